"""A csv of payers' policies: every value is checked, and scripts in it stay text."""

from datetime import date

import pytest

from tests.coverage_files import CODES, POLICIES, POLICY_HEADER
from transforms.cms.coverage_rules import Rules
from transforms.cms.policies import read_policies
from transforms.cms.sheets import sheet_rows
from transforms.errors import UsageError


def read(*lines: str) -> Rules:
    return read_policies(sheet_rows("\n".join(lines).encode()), CODES)


def test_policies_on_wanted_codes_are_rows() -> None:
    rules = read(*POLICIES)
    names = ["billing_code", "authority", "document_id", "geography", "states", "effective_date", "stance", "part"]
    assert rules.table().select(names).rows() == [
        ("97026", "Aetna", "Infrared therapy", "US", [], date(2025, 3, 1), "not_covered", "Aetna"),
        ("97028", "Cigna", "<script>alert(1)</script>", "AK", ["AK"], date(2024, 3, 1), "restricted", "Cigna"),
    ]
    assert rules.parts == {"Aetna", "Cigna"}


def test_a_payer_without_policies_on_wanted_codes_is_a_part() -> None:
    assert read(POLICY_HEADER, "Humana,97110,AK,,Exercise,,").parts == {"Humana"}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("Aetna,97026,ZZ,,Title,,", "line 2: state 'ZZ': expected a two-letter USPS code, or US"),
        ("Aetna,97026,AK,,Title,,maybe", "line 2: stance 'maybe': expected covered, restricted, not_covered, or blank"),
        ("Aetna,97026,AK,,Title,javascript:alert(1),", r"line 2: url 'javascript:alert\(1\)': expected http"),
        ("Aetna,97026,AK,soon,Title,,", "line 2: date not read: 'soon'"),
        (",97026,AK,,,,", "line 2: payer, title: blank"),
    ],
)
def test_a_value_that_can_t_be_used_names_its_line(line: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        read(POLICY_HEADER, line)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(UsageError, match="csv of policies: no column headed 'STANCE'"):
        read(POLICY_HEADER.removesuffix(",stance"), "Aetna,97026,AK,,Title,")


def test_a_policy_twice_with_other_values_is_refused_and_with_the_same_is_one() -> None:
    line = "Aetna,97026,AK,2025-01-01,Title,,covered"
    assert read(POLICY_HEADER, line, line).table().height == 1
    with pytest.raises(UsageError, match="payer_policy: 97026 Aetna Title  AK stands there twice"):
        read(POLICY_HEADER, line, line.replace("2025", "2024")).table()

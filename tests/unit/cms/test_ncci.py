"""NCCI: PTP edits and MUE values as text and as workbooks, under their heading lines."""

import csv
import io
from collections.abc import Sequence
from datetime import date
from xml.sax.saxutils import escape

import pytest

from tests.coverage_files import CODES, MUE_HEADER, MUE_ROWS, PTP_HEADING, PTP_ROWS, mue_text, ptp_text
from tests.nppes_files import workbook
from transforms.cms.coverage_rules import Rules
from transforms.cms.ncci import edition_of, read_ncci, text_rows
from transforms.cms.sheets import workbook_rows
from transforms.errors import UsageError

PTP_COLUMNS = ["billing_code", "document_id", "version", "partner_code", "partner_column", "modifier_indicator"]


def read(content: bytes, name: str = "ccipra-v323r0-f1.txt") -> Rules:
    return read_ncci(text_rows(io.BytesIO(content)), CODES, name, "part")[0]


def as_workbook(lines: Sequence[Sequence[str]]) -> bytes:
    """Codes and dates as numbers where they are such, as a spreadsheet keeps them."""

    def cell(text: str) -> str:
        if text.isdecimal() and not text.startswith("0"):
            return f"<c><v>{text}</v></c>"
        return f'<c t="inlineStr"><is><t>{escape(text)}</t></is></c>'

    return workbook("".join(f"<row>{''.join(map(cell, line))}</row>" for line in lines))


def test_an_edit_is_a_row_for_each_wanted_code_of_its_two() -> None:
    table = read(ptp_text()).table()
    assert table.select(PTP_COLUMNS).rows() == [
        ("97026", "0001A/97026", "19960101", "0001A", 1, "0"),
        ("97026", "97026/97028", "20200101", "97028", 2, "1"),
        ("97028", "97026/97028", "20200101", "97026", 1, "1"),
        ("97028", "97140/97028", "20150401", "97140", 1, "9"),
    ]
    assert table["end_date"].to_list() == [date(2023, 12, 31), None, None, None]
    assert table["title"][3] == "CPT “separate procedure” definition"
    assert set(table["stance"]) == {"bundled"}
    assert set(table["geography"]) == {"US"}


def test_a_limit_is_a_row() -> None:
    table = read(mue_text()).table()
    assert table.select("billing_code", "document_id", "unit_limit", "adjudication_indicator", "stance").rows() == [
        ("97026", "97026", 1, "2", "units")
    ]


def test_workbooks_say_the_same_as_text() -> None:
    lines = [*csv.reader(io.StringIO(PTP_HEADING, newline=""), delimiter="\t"), *PTP_ROWS]
    for content, rows in ((ptp_text(), lines), (mue_text(), [["copyright"], [""], MUE_HEADER, *MUE_ROWS])):
        found, _ = read_ncci(workbook_rows(io.BytesIO(as_workbook(rows)), CODES), CODES, "f1.xlsx", "part")
        assert found.table().drop("title").equals(read(content).table().drop("title"))


def test_what_can_t_be_read_of_a_row_leaves_it_out() -> None:
    rows = [
        ("97026", "97028", "", "someday", "*", "1", ""),
        ("97026", "97140", "", "20200101", "*", "7", ""),
        *PTP_ROWS,
    ]
    rules = read(ptp_text(rows))
    assert rules.table().height == 4
    assert [reason.partition(":")[2] for reason in rules.left_out] == [
        " date not read: 'someday'",
        " expected an effective date and a modifier of 0, 1 or 9",
    ]
    assert len(read(mue_text([("97026", "one", "2 Policy", ""), ("97028", "1", "x", "")])).left_out) == 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (ptp_text().replace(b"Modifier", b"Other"), "PTP edits: no column headed 'MODIFIER"),
        (mue_text().replace(b"Practitioner", b"Outpatient Hospital"), "MUE values: no column headed 'PRACTITIONER"),
        (b"npi,name\r\n1,x\r\n", "neither PTP edits nor MUE values: .* it begins 'npi name'"),
        (b"", "neither PTP edits nor MUE values"),
    ],
)
def test_a_file_without_the_columns_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        read(content)


def test_the_edits_of_hospitals_are_refused() -> None:
    with pytest.raises(UsageError, match="use those of practitioners"):
        read(ptp_text(), "ccioph-v323r0-f1.txt")


@pytest.mark.parametrize(
    ("name", "edition"),
    [
        ("medicare-ncci-2026q2-practitioner-ptp-edits-ccipra-v321r0-f1.zip", date(2026, 4, 1)),
        ("ccipra-v313r0-f1.TXT", date(2025, 10, 1)),
        ("MCR_MUE_PractitionerServices_Eff_10-01-2025.csv", date(2025, 10, 1)),
        ("edits.txt", None),
    ],
)
def test_names_state_the_edition(name: str, edition: date | None) -> None:
    assert edition_of([name]) == edition

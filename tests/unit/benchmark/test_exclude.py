"""The rules in their order: of any two that a row fails, the first names it; and the NPI's check digit."""

from datetime import date
from itertools import combinations
from random import Random
from typing import Any

import polars as pl
import pytest

from schemas.codes import EXCLUSIONS
from tests.documents import ANN, BAD_CHECK_DIGIT
from tests.plain_reading import is_valid_npi
from transforms.benchmark.exclude import exclusion, npi_rule, price_rule, row_rule
from transforms.benchmark.exclude import is_valid_npi as valid

RULES = [rule.name for rule in EXCLUSIONS]
NEED_NPPES = {"npi_unknown", "npi_deactivated", "outside_us"}

ELIGIBLE: dict[str, object] = {
    "arrangement": "ffs",
    "negotiated_type": "negotiated",
    "negotiated_rate": 30.0,
    "modifiers": ["GP"],
    "billing_class": "professional",
    "service_codes": ["11"],
    "expiration_date": date(2027, 1, 1),
    "last_updated_on": date(2026, 6, 1),
    "unresolved": False,
    "npi": ANN,
    "known": True,
    "deactivated": False,
    "state": "AK",
    "country": "US",
}
FAILING: dict[str, dict[str, object]] = {
    "arrangement": {"arrangement": "bundle"},
    "not_dollars": {"negotiated_type": "percentage"},
    "bad_rate": {"negotiated_rate": 0.0},
    "modifier": {"modifiers": ["AS", "GP"]},
    "place_of_service": {"service_codes": ["22"]},
    "expired": {"expiration_date": date(2026, 5, 31)},
    "provider_unresolved": {"unresolved": True},
    "no_npi": {"npi": None},
    "npi_invalid": {"npi": BAD_CHECK_DIGIT},
    "npi_unknown": {"known": False},
    "npi_deactivated": {"deactivated": True},
    "outside_us": {"state": "ZZ"},
    "billing_class": {"billing_class": "dental"},
}
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "arrangement": pl.String,
    "negotiated_type": pl.String,
    "negotiated_rate": pl.Float64,
    "modifiers": pl.List(pl.String),
    "billing_class": pl.String,
    "service_codes": pl.List(pl.String),
    "expiration_date": pl.Date,
    "last_updated_on": pl.Date,
    "unresolved": pl.Boolean,
    "npi": pl.Int64,
    "known": pl.Boolean,
    "deactivated": pl.Boolean,
    "state": pl.String,
    "country": pl.String,
}
NEVER_TOGETHER = {("no_npi", "npi_invalid"), ("place_of_service", "billing_class")}  # a row fails one of these
PAIRS = [pair for pair in combinations(RULES, 2) if pair not in NEVER_TOGETHER]


def name_of(*rules: str, with_nppes: bool = True, **changes: Any) -> str | None:
    row = ELIGIBLE | changes
    for rule in rules:
        row |= FAILING[rule]
    places = {"price": price_rule(), "row": row_rule(), "npi_place": npi_rule(with_nppes=with_nppes)}
    named = pl.DataFrame([row], schema=SCHEMA).with_columns(**places).select(exclusion(*places)).item()
    return None if named is None else str(named)


def test_a_row_that_fails_nothing_is_eligible() -> None:
    assert name_of() is None


def test_every_rule_is_tried_here_and_names_its_own_failure() -> None:
    assert list(FAILING) == RULES
    assert [name_of(rule) for rule in RULES] == RULES


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_of_two_failed_rules_the_first_names_the_row(first: str, second: str) -> None:
    assert name_of(first, second) == name_of(second, first) == first


@pytest.mark.parametrize(
    ("state", "country", "excluded"),
    [
        ("AK", None, False),
        ("PR", None, False),
        ("PR", "PR", False),
        ("AK", "CA", True),
        (None, None, True),
        (None, "US", True),
        ("AE", None, True),
        ("ON", "CA", True),
    ],
)
def test_a_practice_abroad_has_no_state_of_ours_or_another_country_and_none_stated_is_ours(
    state: str | None, country: str | None, excluded: bool
) -> None:
    assert name_of(state=state, country=country) == ("outside_us" if excluded else None)


EARLIER = date(2026, 5, 31)
EDGES: tuple[tuple[str | None, dict[str, object]], ...] = (
    ("arrangement", {"arrangement": None}),
    ("arrangement", {"arrangement": "FFS"}),
    ("not_dollars", {"negotiated_type": None}),
    ("not_dollars", {"negotiated_type": "per diem"}),
    (None, {"negotiated_type": "derived"}),
    (None, {"negotiated_type": "fee schedule"}),
    ("bad_rate", {"negotiated_rate": None}),
    ("bad_rate", {"negotiated_rate": float("nan")}),
    ("bad_rate", {"negotiated_rate": float("inf")}),
    ("bad_rate", {"negotiated_rate": -0.01}),
    (None, {"negotiated_rate": 0.01}),
    (None, {"modifiers": []}),
    (None, {"modifiers": ["00", "59", "96", "97", "GN", "GO", "GP", "KX"]}),
    ("modifier", {"modifiers": ["CO"]}),
    (None, {"service_codes": []}),
    (None, {"service_codes": ["11", "22"]}),
    (None, {"service_codes": ["22", "CSTM-00"]}),
    ("place_of_service", {"service_codes": ["22"], "billing_class": "both"}),
    (None, {"service_codes": ["22"], "billing_class": "institutional"}),
    (None, {"expiration_date": date(2026, 6, 1)}),
    ("expired", {"expiration_date": EARLIER}),
    ("expired", {"last_updated_on": date(2027, 1, 2)}),
    (None, {"expiration_date": None}),
    (None, {"expiration_date": EARLIER, "last_updated_on": None}),
    ("no_npi", {"npi": 0}),
    ("npi_invalid", {"npi": 1}),
    ("npi_invalid", {"npi": -1}),
    ("billing_class", {"billing_class": None}),
    ("billing_class", {"billing_class": ""}),
    ("billing_class", {"billing_class": "Professional"}),  # cleaning is not this module's
)


@pytest.mark.parametrize(("rule", "changes"), EDGES)
def test_each_rule_at_its_edges(rule: str | None, changes: dict[str, Any]) -> None:
    assert name_of(**changes) == rule


def test_failing_all_is_the_first() -> None:
    assert name_of(*RULES) == "arrangement"


def test_without_nppes_its_rules_do_not_apply() -> None:
    for rule in RULES:
        without_columns = name_of(rule, with_nppes=False)
        assert without_columns == (None if rule in NEED_NPPES else rule)


def test_the_check_digit_is_luhns_over_80840_and_the_npi() -> None:
    chance = Random(1)
    near = [ANN + step for step in range(-50, 50)]
    random = [chance.randrange(0, 4_000_000_000) for _ in range(3_000)]
    npis = [
        *near,
        *random,
        0,
        -1,
        -ANN,
        999_999_999,
        1_000_000_000,
        2_999_999_999,
        3_000_000_000,
        2**63 - 1,
        10**10 + ANN,
    ]
    found = pl.DataFrame({"npi": npis}).select(valid(pl.col("npi")))["npi"].to_list()
    assert found == [is_valid_npi(npi) for npi in npis]
    assert sum(found) > 100

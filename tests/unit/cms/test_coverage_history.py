"""What editions changed, and the table of a month."""

import random
from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl
import pytest

from schemas.coverage import COVERAGE, COVERAGE_EDITION
from transforms.cms.coverage_history import (
    Edition,
    counted_editions,
    coverage_of,
    list_changes,
    read_histories,
    rules_for,
)
from transforms.cms.coverage_rules import Rules

FIRST, SECOND, THIRD = date(2026, 1, 5), date(2026, 2, 9), date(2026, 3, 9)
MONTH = date(2026, 3, 1)
CODES = frozenset({"97026", "97028"})
ARTICLE: dict[str, Any] = {
    "billing_code": "97026",
    "authority": "Lantern MAC",
    "document_id": "A1",
    "version": "9",
    "title": "Infrared",
    "effective_date": date(2025, 1, 1),
    "diagnoses_covered": ["M54.50", "M54.51"],
    "text_digest": "a",
}


def edition(
    day: date,
    *rows: dict[str, Any],
    kind: str = "article",
    codes: frozenset[str] = CODES,
    places: Sequence[str] = ("AK",),
) -> Edition:
    """Rows as ``ARTICLE`` with other values; ``places`` in a row are its geographies."""
    rules = Rules(kind)
    for row in rows:
        own = ARTICLE | row
        rules.add(own.pop("places", places), own.pop("part", own["authority"]), **own)
    return Edition(kind, day, codes, frozenset(each["part"] for each in rules.rows), rules.table())


def table(*editions: Edition, month: date = MONTH) -> pl.DataFrame:
    return coverage_of(editions, CODES, month)


def only_row(*editions: Edition, **wanted: str) -> dict[str, Any]:
    predicate = pl.all_horizontal(pl.lit(True), *(pl.col(name) == value for name, value in wanted.items()))
    return table(*editions).row(by_predicate=predicate, named=True)


def test_a_first_edition_is_no_news() -> None:
    row = only_row(edition(FIRST, {}))
    assert (row["first_seen"], row["last_seen"], row["changed_on"], row["changes"]) == (FIRST, FIRST, None, [])
    assert (row["month"], row["kind"], row["status"]) == (MONTH, "article", "in_force")
    assert table(edition(FIRST, {})).schema == COVERAGE.polars


@pytest.mark.parametrize(
    ("values", "changes"),
    [
        ({"title": "Heat"}, ["title: Infrared -> Heat"]),
        ({"effective_date": date(2026, 1, 1)}, ["effective_date: 2025-01-01 -> 2026-01-01"]),
        ({"end_date": date(2026, 12, 31)}, ["end_date: none -> 2026-12-31"]),
        ({"stance": "not_covered"}, ["stance: none -> not_covered"]),
        ({"unit_limit": 2}, ["unit_limit: none -> 2"]),
        ({"modifier_indicator": "1"}, ["modifier_indicator: none -> 1"]),
        ({"text_digest": "b"}, ["text"]),
        (
            {"diagnoses_covered": ["M54.51", "M54.59"]},
            ["diagnoses_covered added: M54.59", "diagnoses_covered removed: M54.50"],
        ),
        ({}, []),
    ],
)
def test_a_change_of_the_same_version_is_told(values: dict[str, Any], changes: list[str]) -> None:
    row = only_row(edition(FIRST, {}), edition(SECOND, values))
    assert row["changes"] == changes
    assert row["changed_on"] == (SECOND if changes else None)
    assert (row["first_seen"], row["last_seen"]) == (FIRST, SECOND)


def test_the_last_change_stays_until_the_next() -> None:
    row = only_row(edition(FIRST, {}), edition(SECOND, {"title": "Heat"}), edition(THIRD, {"title": "Heat"}))
    assert (row["changed_on"], row["changes"], row["last_seen"]) == (SECOND, ["title: Infrared -> Heat"], THIRD)


def test_a_later_version_supersedes_the_one_before() -> None:
    editions = edition(FIRST, {}), edition(SECOND, {"version": "10", "effective_date": date(2026, 2, 1)})
    old, new = only_row(*editions, version="9"), only_row(*editions, version="10")
    assert (old["status"], old["last_seen"], old["changes"]) == ("superseded", FIRST, ["superseded by version 10"])
    assert (new["status"], new["first_seen"]) == ("in_force", SECOND)
    assert new["changes"] == ["version: 9 -> 10", "effective_date: 2025-01-01 -> 2026-02-01"]


def test_of_several_versions_in_an_edition_the_latest_in_force_counts() -> None:
    rows = table(edition(FIRST, {}, {"version": "10"}, {"version": "11", "effective_date": date(2027, 1, 1)}))
    assert rows.select("version", "status").rows() == [("10", "in_force"), ("11", "future"), ("9", "superseded")]


def test_what_is_no_longer_there_is_withdrawn_and_may_come_back() -> None:
    editions = edition(FIRST, {}), edition(SECOND)
    row = only_row(*editions)
    assert (row["status"], row["changed_on"], row["changes"]) == ("withdrawn", SECOND, ["withdrawn"])
    again = only_row(*editions, edition(THIRD, {}))
    assert (again["status"], again["changes"], again["first_seen"]) == ("in_force", ["published again"], FIRST)


def test_a_document_that_comes_later_is_new() -> None:
    row = only_row(edition(FIRST), edition(SECOND, {}))
    assert (row["changes"], row["changed_on"], row["first_seen"]) == (["new"], SECOND, SECOND)


def test_codes_and_states_that_a_document_gains_or_loses_are_told() -> None:
    other = {"billing_code": "97028"}
    editions = edition(FIRST, {}), edition(SECOND, {}, other, places=["AK", "HI"]), edition(THIRD, {}, places=["HI"])
    changes = [
        (each["edition"], each["billing_codes"], each["geographies"], each["changes"]) for each in log(*editions)
    ]
    assert changes == [
        (THIRD, ["97028"], ["AK", "HI"], ["code removed"]),
        (THIRD, ["97026"], ["AK"], ["state removed"]),
        (SECOND, ["97028"], ["AK", "HI"], ["code added"]),
        (SECOND, ["97026"], ["HI"], ["state added"]),
    ]


def log(*editions: Edition) -> list[dict[str, Any]]:
    return list_changes(read_histories(editions), CODES)


def test_a_code_that_earlier_editions_were_not_loaded_for_is_no_news() -> None:
    first = edition(FIRST, {}, codes=frozenset({"97026"}))
    second = edition(SECOND, {}, {"billing_code": "97028"})
    third = edition(THIRD, {"billing_code": "97028", "title": "Heat"}, codes=frozenset({"97028"}))
    assert log(first, second) == []
    assert [(each["billing_codes"], each["changes"]) for each in log(first, second, third)] == [
        (["97028"], ["title: Infrared -> Heat"])
    ]
    assert only_row(first, second, third, billing_code="97026")["status"] == "in_force"


def test_payers_that_an_edition_does_not_name_stay() -> None:
    aetna, cigna = {"authority": "Aetna"}, {"authority": "Cigna"}
    first = edition(FIRST, aetna, kind="payer_policy")
    second = edition(SECOND, cigna, kind="payer_policy")
    third = Edition("payer_policy", THIRD, CODES, frozenset({"Aetna"}), COVERAGE_EDITION.empty())
    assert set(table(first, second)["status"]) == {"in_force"}
    assert log(first, second) == []
    assert [(each["authority"], each["changes"]) for each in log(first, second, third)] == [("Aetna", ["withdrawn"])]


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"end_date": date(2026, 3, 31)}, "in_force"),
        ({"end_date": date(2026, 3, 30)}, "ended"),
        ({"effective_date": date(2026, 4, 1)}, "future"),
        ({"title": "RETIRED - Infrared"}, "ended"),
        ({"effective_date": date(2027, 1, 1), "end_date": date(2026, 12, 1)}, "ended"),
        ({"effective_date": None}, "in_force"),
    ],
)
def test_the_status_follows_from_dates_and_title(values: dict[str, Any], status: str) -> None:
    assert only_row(edition(FIRST, values))["status"] == status


def test_the_order_of_loading_changes_nothing() -> None:
    editions = [
        edition(FIRST, {}, {"document_id": "A2"}),
        edition(SECOND, {"version": "10"}, places=["AK", "HI"]),
        edition(THIRD, {"version": "10", "title": "Heat"}, {"document_id": "A2"}),
        edition(FIRST, {"document_id": "97026"}, kind="mue"),
    ]
    expected = table(*editions)
    for seed in range(5):
        shuffled = random.Random(seed).sample(editions, len(editions))
        assert table(*shuffled).equals(expected)
        assert log(*shuffled) == log(*editions)


def test_a_month_has_the_editions_until_its_end_or_the_first_one() -> None:
    loaded = [("lcd", FIRST), ("lcd", SECOND), ("lcd", THIRD), ("mue", THIRD)]
    assert counted_editions(loaded, date(2026, 2, 1)) == {("lcd", FIRST), ("lcd", SECOND), ("mue", THIRD)}
    assert counted_editions(loaded, date(2025, 1, 1)) == {("lcd", FIRST), ("mue", THIRD)}


def test_rules_for_a_state_are_its_own_and_national_ones_those_in_force_first() -> None:
    ended = {"document_id": "A0", "end_date": date(2026, 1, 1)}
    rows = table(
        edition(FIRST, {}, ended, {"document_id": "A2", "places": ["US"]}, {"document_id": "A3", "places": ["HI"]})
    )
    assert rules_for(rows, "97026", "AK")["document_id"].to_list() == ["A1", "A2", "A0"]
    assert rules_for(rows, "97028", "AK").is_empty()


def test_an_empty_history_is_an_empty_table() -> None:
    assert table().schema == COVERAGE.polars
    assert table(edition(FIRST)).is_empty()

"""The known answers on the demo's coverage rules: they hold in every month, and tell each difference."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from flows.cli.demo_files import EditionFiles, write_editions
from flows.tables.coverage_editions import build_coverage, build_ncci, find_editions
from schemas.codes import DEFAULT_CODES
from schemas.coverage import KINDS
from transforms.cms.coverage_history import coverage_of
from transforms.demo.rule_answers import Rule, answer_rules, check_rules
from transforms.demo.rules import RuleDates

MONTH = date(2026, 6, 1)


def load(editions: tuple[EditionFiles, ...], folder: Path, month: date) -> pl.DataFrame:
    """The month's table of these editions, in this order."""
    for edition in editions:
        build_coverage(edition.coverage, folder, DEFAULT_CODES)
        build_ncci(edition.ncci, folder, DEFAULT_CODES)
    return coverage_of([each.read() for each in find_editions(folder, month)], DEFAULT_CODES, month)


@pytest.fixture(scope="module")
def coverage(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    place = tmp_path_factory.mktemp("rules")
    return load(write_editions(place, MONTH), place / "built", MONTH)


@pytest.mark.parametrize("month", [date(2020, 1, 1), date(2024, 2, 1), MONTH, date(2027, 12, 1)])
def test_the_answers_hold_in_every_month_and_order(month: date, tmp_path: Path) -> None:
    found = load(write_editions(tmp_path, month)[::-1], tmp_path / "built", month)
    assert check_rules(month, found).wrong == ()
    assert check_rules(month, found).cells == found.height == len(answer_rules(month))


def test_every_kind_both_codes_and_every_sort_of_change_are_among_them() -> None:
    rules = answer_rules(MONTH)
    assert {rule.kind for rule in rules} == set(KINDS)
    assert {rule.billing_code for rule in rules} == set(DEFAULT_CODES)
    assert {rule.status for rule in rules} == {"in_force", "ended", "superseded", "withdrawn"}
    said = " ".join(change for rule in rules for change in rule.changes)
    for what in (
        "new",
        "withdrawn",
        "date:",
        "stance:",
        "text",
        "added",
        "removed",
        "version:",
        "limit:",
        "indicator:",
    ):
        assert what in said
    assert len({rule.geography for rule in rules}) == 5
    assert RuleDates.of(date(2026, 1, 1)).quarters == (date(2025, 10, 1), date(2026, 1, 1))


@pytest.mark.parametrize("column", Rule._fields)
def test_a_difference_in_any_column_is_told(column: str, coverage: pl.DataFrame) -> None:
    assert check_rules(MONTH, coverage).wrong == ()
    spoiled = coverage.with_columns(
        pl.when(pl.int_range(pl.len()) == 5).then(pl.lit(None, coverage.schema[column])).otherwise(column).alias(column)
    )
    if column == "stance":
        spoiled = coverage.with_columns(stance=pl.lit("covered"))
    if column == "changes":
        spoiled = coverage.with_columns(changes=pl.lit(["other"]))
    wrong = check_rules(MONTH, spoiled).wrong
    assert any(each.startswith("rule not published: ") for each in wrong)
    assert any(each.startswith("rule published, not expected: ") for each in wrong)


def test_a_missing_and_an_additional_row_are_told(coverage: pl.DataFrame) -> None:
    assert len(check_rules(MONTH, coverage.slice(1)).wrong) == 1
    assert len(check_rules(MONTH, pl.concat([coverage, coverage.slice(3, 1)])).wrong) == 1


def test_descriptions_are_in_the_files_and_not_in_the_table(coverage: pl.DataFrame) -> None:
    assert "a description" not in coverage.write_json()

"""Rows read to rows counted: every step's rows are the step before less what it took."""

import polars as pl

from schemas.codes import EXCLUSIONS
from schemas.published import FILE_EXCLUSIONS, FILES
from tests.report_market import file_row
from transforms.report.accounting import count_down

EXCLUDED = pl.DataFrame(
    [{"source_id": "a", "payer": "Aetna", "billing_code": "97026", "reason": "expired", "rows": 3}],
    schema=FILE_EXCLUSIONS.polars,
)


def test_every_rule_is_a_step_and_the_steps_add_up() -> None:
    files = pl.DataFrame([file_row(), file_row(source="b", twin_of="a")], schema=FILES.polars)
    falls = count_down(files, EXCLUDED, 6)
    assert [fall.left for fall in falls if fall.total] == [10, 7, 6]
    assert [fall.name for fall in falls if fall.meaning] == [rule.name for rule in EXCLUSIONS]
    left = falls[0].left
    for fall in falls[1:]:
        left -= fall.taken
        assert fall.left == left


def test_rows_that_no_rule_explains_are_named_not_hidden() -> None:
    files = pl.DataFrame([file_row(rows=12)], schema=FILES.polars)
    (gap,) = [fall for fall in count_down(files, EXCLUDED, 7) if fall.name == "Unexplained"]
    assert (gap.taken, gap.left) == (2, 7)


def test_more_rows_counted_than_the_files_hold_are_named_too() -> None:
    falls = count_down(pl.DataFrame([file_row()], schema=FILES.polars), EXCLUDED, 9)
    assert [(fall.name, fall.taken, fall.left) for fall in falls[-2:]] == [
        ("Unexplained", -2, 9),
        ("Rows counted", 0, 9),
    ]


def test_without_a_manifest_the_files_own_counts_end_it() -> None:
    falls = count_down(pl.DataFrame([file_row()], schema=FILES.polars), EXCLUDED, None)
    assert falls[-1].left == 7


def test_a_month_without_files_counts_nothing() -> None:
    assert {fall.left for fall in count_down(FILES.empty(), FILE_EXCLUSIONS.empty(), 0)} == {0}

"""Rows read to rows counted: every step's rows are the step before minus what it excluded."""

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
    steps = count_down(files, EXCLUDED, 6)
    assert [step.remaining for step in steps if step.total] == [10, 7, 6]
    assert [step.name for step in steps if step.meaning] == [rule.name for rule in EXCLUSIONS]
    left = steps[0].remaining
    for step in steps[1:]:
        left -= step.excluded
        assert step.remaining == left


def test_rows_that_no_rule_explains_are_named_not_hidden() -> None:
    files = pl.DataFrame([file_row(rows=12)], schema=FILES.polars)
    (gap,) = [step for step in count_down(files, EXCLUDED, 7) if step.name == "Unexplained"]
    assert (gap.excluded, gap.remaining) == (2, 7)


def test_more_rows_counted_than_the_files_hold_are_named_too() -> None:
    steps = count_down(pl.DataFrame([file_row()], schema=FILES.polars), EXCLUDED, 9)
    assert [(step.name, step.excluded, step.remaining) for step in steps[-2:]] == [
        ("Unexplained", -2, 9),
        ("Rows counted", 0, 9),
    ]


def test_without_a_manifest_the_files_own_counts_end_it() -> None:
    steps = count_down(pl.DataFrame([file_row()], schema=FILES.polars), EXCLUDED, None)
    assert steps[-1].remaining == 7


def test_a_month_without_files_counts_nothing() -> None:
    assert {step.remaining for step in count_down(FILES.empty(), FILE_EXCLUSIONS.empty(), 0)} == {0}

"""Rows read to rows counted, step by step, from the quality tables: nothing leaves without a reason and a number."""

from collections.abc import Iterator

import polars as pl

from schemas.codes import EXCLUSIONS
from transforms.report.charts import Fall


def count_down(files: pl.DataFrame, exclusions: pl.DataFrame, rows_eligible: int | None) -> list[Fall]:
    """The waterfall of a month.

    Args:
        files: ``schemas.FILES``; a twin (the same bytes under another name) counts once.
        exclusions: ``schemas.FILE_EXCLUSIONS``.
        rows_eligible: distinct eligible rows over all files, from the manifest; None when it does not say.
    """
    once = files.filter(pl.col("twin_of").is_null())
    read, eligible = int(once["rows"].sum()), int(once["rows_eligible"].sum())
    falls = [Fall("Rows read, over all files", 0, read, total=True), *_by_rule(exclusions, read)]
    if falls[-1].left != eligible:  # a bug of ours, or tables of two runs: say so rather than let the sum look right
        falls.append(Fall("Unexplained", falls[-1].left - eligible, eligible))
    falls.append(Fall("Eligible in their file", 0, eligible, total=True))
    if rows_eligible is not None:
        twice = "The same row in several files" if rows_eligible <= eligible else "Unexplained"
        falls.append(Fall(twice, eligible - rows_eligible, rows_eligible))
        falls.append(Fall("Rows counted", 0, rows_eligible, total=True))
    return falls


def _by_rule(exclusions: pl.DataFrame, left: int) -> Iterator[Fall]:
    """Rules in the order they apply; a rule that no row failed is there with zero."""
    taken = dict(exclusions.group_by("reason").agg(pl.col("rows").sum()).iter_rows())
    for rule in EXCLUSIONS:
        rows = int(taken.get(rule.name, 0))
        left -= rows
        yield Fall(rule.name, rows, left, meaning=rule.when)

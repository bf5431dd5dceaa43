"""Rows read to rows counted, step by step, from the quality tables: nothing leaves without a reason and a number."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from schemas.codes import EXCLUSIONS


@dataclass(frozen=True)
class Step:
    """One step from rows read to rows counted: how many rows it excludes, and how many remain."""

    name: str
    excluded: int
    remaining: int
    total: bool = False
    meaning: str = ""


def count_down(files: pl.DataFrame, exclusions: pl.DataFrame, rows_eligible: int | None) -> list[Step]:
    """The steps of a month.

    Args:
        files: ``schemas.FILES``; a twin (the same bytes under another name) counts once.
        exclusions: ``schemas.FILE_EXCLUSIONS``.
        rows_eligible: distinct eligible rows over all files, from the manifest; None when it does not say.
    """
    once = files.filter(pl.col("twin_of").is_null())
    read, eligible = int(once["rows"].sum()), int(once["rows_eligible"].sum())
    steps = [Step("Rows read, over all files", 0, read, total=True), *_by_rule(exclusions, read)]
    if steps[-1].remaining != eligible:  # a bug of ours, or tables of two runs: the sum must not look right
        steps.append(Step("Unexplained", steps[-1].remaining - eligible, eligible))
    steps.append(Step("Eligible in their file", 0, eligible, total=True))
    if rows_eligible is not None:
        name = "The same row in several files" if rows_eligible <= eligible else "Unexplained"
        steps.append(Step(name, eligible - rows_eligible, rows_eligible))
        steps.append(Step("Rows counted", 0, rows_eligible, total=True))
    return steps


def _by_rule(exclusions: pl.DataFrame, remaining: int) -> Iterator[Step]:
    """Rules in the order they apply, those that exclude no row too."""
    excluded = dict(exclusions.group_by("reason").agg(pl.col("rows").sum()).iter_rows())
    for rule in EXCLUSIONS:
        rows = int(excluded.get(rule.name, 0))
        remaining -= rows
        yield Step(rule.name, rows, remaining, meaning=rule.meaning)

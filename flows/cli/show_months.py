"""Prints what months came to. Free of polars and rich, so that a night without changes costs little."""

from collections.abc import Sequence

from flows.orchestration.month_report import MonthReport, details_of
from flows.storage.layout import month_name


def print_months(months: Sequence[MonthReport]) -> None:
    """One line a month, then what was quarantined, withheld, awaited, stale or left out as undated, and why."""
    for month in months:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(month.sources.items()))
        rows = f"  {month.rows:,} rate rows, {month.rows_eligible:,} eligible" if month.rows else ""
        print(f"{month_name(month.month)}  {month.status:<11}{counts}{rows}  {month.seconds:.1f} s")
    for month in months:
        lines = [] if month.reason is None else [f"failed: {month.reason}"]
        lines += [*details_of(month), *(f"{source} quarantined: {reason}" for source, reason in month.quarantined)]
        if month.delta is not None and month.delta.commits:
            lines.append(f"Delta: {month.delta}")
        for line in lines:
            print(f"{month_name(month.month)} {line}")

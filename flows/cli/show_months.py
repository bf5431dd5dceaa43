"""Prints what months came to. Free of polars and rich, so that a night without changes costs little."""

from collections.abc import Sequence

from flows.orchestration.month_report import MonthReport
from flows.storage.layout import month_name


def print_months(months: Sequence[MonthReport]) -> None:
    """One line a month, then what was quarantined, withheld, awaited, stale or left out as undated, and why."""
    for month in months:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(month.sources.items()))
        rows = f"  {month.rows:,} rate rows, {month.rows_eligible:,} eligible" if month.rows else ""
        print(f"{month_name(month.month)}  {month.status:<11}{counts}{rows}  {month.seconds:.1f} s")
    for month in months:
        reasons = [("failed", month.reason)] if month.reason is not None else []
        reasons += [(f"withheld {payer}", reason) for payer, reason in month.withheld]
        reasons += [("references", str(month.references))] if month.references.count else []
        reasons += [(f"undated {payer}", reason) for payer, reason in month.undated]
        since = "not there since" if month.late else "awaited since"
        reasons += [(f"{since} {each.since} {each.payer}", each.reason) for each in month.awaited]
        reasons += [(f"stale {each.payer}", f"last updated on {each.last_updated_on}") for each in month.stale]
        reasons += [("Delta", str(month.delta))] if month.delta and (month.delta.commits or month.delta.failed) else []
        reasons += [(f"quarantined {source}", reason) for source, reason in month.quarantined]
        for what, reason in reasons:
            print(f"{month_name(month.month)} {what}: {reason}")

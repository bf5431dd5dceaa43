"""What months came to, for people, on stdout. Free of polars, so that a night without changes costs little."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flows.orchestration.month_report import MonthReport
from flows.storage.layout import month_name

if TYPE_CHECKING:
    from rich.console import Console

NO_TERMINAL_WIDTH = 120


def make_console() -> "Console":
    """As wide as the terminal; where there is none, wide enough for the tables."""
    from rich.console import Console

    class Ours(Console):
        def on_broken_pipe(self) -> None:
            """Leave it to ``flows.cli.streams``; rich would end the process with 1."""
            raise BrokenPipeError

    return Ours(width=None if sys.stdout.isatty() else NO_TERMINAL_WIDTH)


def print_months(months: Sequence[MonthReport]) -> None:
    """One line a month, then what was quarantined, withheld or left out as undated, and why.

    A night on which nothing happened is told without rich: importing it would be a tenth of that night's work.
    """
    if all(_is_uneventful(month) for month in months):
        for month in months:
            print(f"{month_name(month.month)}  unchanged  {_counts(month)}  {month.seconds:.1f} s")
        return
    from rich.markup import escape
    from rich.table import Table as RichTable

    console = make_console()
    table = RichTable("month", "status", "sources", "rate rows", "eligible", "seconds")
    for month in months:
        figures = (f"{month.rows:,}", f"{month.rows_eligible:,}", f"{month.seconds:.1f}")
        table.add_row(month_name(month.month), month.status, _counts(month), *figures)
    console.print(table)
    for month in months:
        name = month_name(month.month)
        if month.reason is not None:
            console.print(f"{name} [red]failed[/red]: {escape(month.reason)}", highlight=False)
        for payer, reason in month.withheld:
            console.print(f"{name} [red]withheld[/red] {escape(payer)}: {escape(reason)}", highlight=False)
        if month.references.count:
            console.print(f"{name} {escape(str(month.references))}", highlight=False)
        for payer, reason in month.undated:
            console.print(f"{name} [yellow]undated[/yellow] {escape(payer)}: {escape(reason)}", highlight=False)
        for source, reason in month.quarantined:
            console.print(f"{name} [red]quarantined[/red] {escape(source)}: {escape(reason)}", highlight=False)


def _is_uneventful(month: MonthReport) -> bool:
    return month.status == "unchanged" and not (month.withheld or month.undated or month.quarantined or month.reason)


def _counts(month: MonthReport) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(month.sources.items()))

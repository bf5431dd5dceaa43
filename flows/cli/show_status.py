"""Prints the state of an output. Free of polars and rich, so that `tic-rates status` starts quickly."""

from collections.abc import Sequence
from typing import Any

from flows.operations.state import Finding, MonthState, OutputState

MOST_SHOWN = 20  # findings of one kind and month; --json has all
_TITLES = {
    "late": "not there",
    "unpublished": "nothing published",
    "references": "provider references given up",
    "delta": "not in the Delta tables",
    "coverage": "coverage rules not fetched",
}


def print_status(state: OutputState, cache: dict[str, Any]) -> None:
    """A line for each month, for each thing that needs attention, for the cache and for the reference data."""
    print(f"{state.output}  (tic-rates {state.software}, {_minute(state.checked_at)} UTC)")
    if state.months:
        print()
        _print_table(("month", "published UTC", "rows", "eligible", "method", "files", "last run"), _rows(state.months))
    if state.findings:
        print()
        for line in _findings(state.findings):
            print(line)
    print()
    print(f"cache      {_size(cache['bytes'])} in {cache['files']:,} files, {cache['place']}")
    for number, line in enumerate(_references(state.references)):
        print(f"{'' if number else 'reference':<11}{line}")


def _rows(months: Sequence[MonthState]) -> list[tuple[str, ...]]:
    return [
        (
            month.month,
            "never" if month.published_at is None else _minute(month.published_at),
            f"{month.rows.get('rates', 0):,}",
            f"{month.entry.get('rows_eligible', 0):,}",
            str(month.entry.get("methodology", "")),
            ", ".join(f"{count:,} {status}" for status, count in sorted(month.sources.items())),
            _last_run(month),
        )
        for month in months
    ]


def _last_run(month: MonthState) -> str:
    if month.run is None:
        return ""
    if month.running:
        return f"running since {_minute(month.run.started_at)} on {month.run.host}"
    if month.interrupted:
        return f"{_minute(month.run.started_at)} interrupted"
    return f"{_minute(month.run.finished_at or month.run.started_at)} {month.run.status}"


def _print_table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        cells = [
            cell.rjust(width) if title in ("rows", "eligible") else cell.ljust(width)
            for title, cell, width in zip(titles, row, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _findings(findings: Sequence[Finding]) -> list[str]:
    """Each on a line with its reason, and below those of one kind what to do next."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for each in findings:
        groups.setdefault((each.month, each.what, each.next), []).append(each)
    lines = []
    for (month, what, step), group in groups.items():
        title = _TITLES.get(what, what)
        for each in group[:MOST_SHOWN]:
            subject = "" if each.subject is None else f" {each.subject}"
            lines.append(f"{month} {title}{subject}: {each.reason}".lstrip())
        if len(group) > MOST_SHOWN:
            lines.append(f"{month} {title}: {len(group) - MOST_SHOWN:,} more; --json lists all")
        lines.append(f"        next: {step}")
    return lines


def _references(found: Any) -> list[str]:
    years = found["medicare_years"]
    parts = {
        "NPPES": found["nppes"],
        "fee schedules": f"{years[0]} to {years[-1]}",
        "localities": found["localities"],
        "utilization": found["utilization"],
        "coverage": _editions(found["coverage"]),
        "NCCI": _editions(found["ncci"]),
    }
    return [f"{name:<14} {edition or 'none'}" for name, edition in parts.items()]


def _editions(newest: dict[str, str]) -> str:
    return ", ".join(f"{kind} {day}" for kind, day in newest.items())


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def _size(count: int) -> str:
    """Bytes as people read them: powers of 1,000."""
    amount = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1_000:
            return f"{amount:,.0f} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"
        amount /= 1_000
    return f"{amount:,.1f} TB"

"""An explanation for people: a short table for each step, and how many rows --json has."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from flows.cli.show import make_console
from flows.explain.explain import Explanation, list_localities
from flows.storage.layout import month_name
from schemas.codes import MEDICARE

MOST_ROWS = 10
MOST_PLACES = 2  # of each rate row
_FILE = ("source", "sha256", "index", "last_updated_on", "offsets")
_FIGURES = ("mean_usd", "min_usd", "p10_usd", "p25_usd", "p50_usd", "p75_usd", "p90_usd", "max_usd")


def print_explanation(explained: Explanation, shown: Sequence[Mapping[str, Any]]) -> None:
    """Cell, percentiles, observations, rate rows, files; then the bytes asked for."""
    key, row = explained.cell.key, explained.cell.row
    title = f"{key.text}, {month_name(explained.cell.month)}"
    _print(title, _FIGURES, [[row[name] for name in _FIGURES]], "Computed anew: equal.")
    if key.payer == MEDICARE:
        found = list_localities(explained.layout, explained.cell)
        _print("Localities: RVU x GPCI x conversion factor", [*found[0]] if found else [], (e.values() for e in found))
        return
    worked = explained.quantiles
    _print("Percentiles: h = (n - 1) p", [*worked[0]], (each.values() for each in worked))
    rules = [*explained.excluded.items()]
    eligible = explained.read - sum(explained.excluded.values())
    _print(
        f"Rate rows of this code, class and place: {explained.read:,} read",
        ("rule", "rows"),
        [*rules, ("eligible", eligible)],
    )
    observations = explained.observations
    _print(f"Observations: {observations.height:,}", observations.columns, observations.head(MOST_ROWS + 1).iter_rows())
    files = explained.described_files
    numbers = {file["source_id"]: number for number, file in enumerate(files, start=1)}
    rows = ((numbers[file["source_id"]], *(file[name] for name in _FILE)) for file in files)
    _print("Files", ("file", *_FILE), rows)
    _print_rates(explained, numbers)
    for each in shown:
        for name, value in each.items():
            print(f"{name:<18}{value}")


def _print_rates(explained: Explanation, numbers: Mapping[str, int]) -> None:
    names = ("payer", "npi", "tin", "negotiated_rate", "negotiated_type", "modifiers")
    frames = (("eligible", explained.rates(MOST_ROWS + 1)), ("excluded", explained.excluded_rates()))
    for what, parts in frames:
        rows = [
            [*(row[name] for name in names), row["exclusion"], *_places(row["statements"], numbers)]
            for frame in parts
            for row in frame.head(MOST_ROWS + 1).iter_rows(named=True)
        ]
        if rows:
            heads = (*names, "exclusion", "file", "item at JSON byte", "reference at")
            _print(f"Rate rows, {what}", heads, rows)


def _places(statements: Sequence[Mapping[str, Any]], numbers: Mapping[str, int]) -> tuple[str, str, str]:
    """Where a rate row stands, a line each: number of the file, byte of the item, byte of the reference."""
    shown = [
        (
            f"{numbers.get(each['source_id'], each['source_id'])}{'!' + each['member'] if each['document'] else ''}",
            f"{each['item_offset']:,}",
            f"{_reference(each)}{' at ' + each['location'] if each['location'] else ''}",
        )
        for each in statements[:MOST_PLACES]
    ]
    more = len(statements) - len(shown)
    shown += [("", f"{more:,} more", "")] if more > 0 else []
    files, items, references = map("\n".join, zip(*shown, strict=True)) if shown else ("", "", "")
    return files, items, references


def _reference(statement: Mapping[str, Any]) -> str:
    offset = statement["reference_offset"]
    return "inline" if offset is None else f"{offset:,}"


def _text(name: str, value: object) -> str:
    """A value as a person reads it: dollars with two to four decimals, lists with commas, a digest's first letters."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float) and (name.endswith("_usd") or name == "negotiated_rate"):
        whole, _, decimals = f"{value:,.4f}".partition(".")
        return f"{whole}.{decimals[:2]}{decimals[2:].rstrip('0')}"
    return str(value)[:12] if name == "sha256" else str(value)


def _print(title: str, heads: Iterable[str], rows: Iterable[Iterable[Any]], caption: str = "") -> None:
    table = Table(title=escape(title), title_justify="left", caption=caption)
    names, every = [*heads], [*rows]
    for name in names:
        table.add_column(name, overflow="fold")
    for row in every[:MOST_ROWS]:
        table.add_row(*(escape(_text(name, value)) for name, value in zip(names, row, strict=True)))
    make_console().print(table)
    if len(every) > MOST_ROWS:
        print(f"The first {MOST_ROWS} rows; --json has all of them.")

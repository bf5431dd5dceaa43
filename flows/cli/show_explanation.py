"""An explanation for people: a short table for each step, and how many rows --json has."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import polars as pl
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
    rules = [*explained.excluded.items(), ("eligible", explained.read - sum(explained.excluded.values()))]
    title = f"Rate rows of this code, class and place: {explained.read:,} read"
    _print(title, ("rule", "rows"), rules, most=len(rules))
    observations = explained.observations
    _print(f"Observations: {observations.height:,}", observations.columns, observations.head(MOST_ROWS + 1).iter_rows())
    rates = {"eligible": _first(explained.rates(MOST_ROWS + 1))}
    if explained.npi is not None:
        rates["excluded"] = _first(explained.excluded_rates(MOST_ROWS + 1))
    _print_rates(rates, _print_files(explained.described_files, rates))
    for each in shown:
        for name, value in each.items():
            print(f"{name:<18}{value}")


def _first(frames: Iterable[pl.DataFrame]) -> list[dict[str, Any]]:
    """The rate rows to print, and one more where there are more."""
    return [*islice((row for frame in frames for row in frame.iter_rows(named=True)), MOST_ROWS + 1)]


def _print_files(
    described: Sequence[Mapping[str, Any]], rates: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, int]:
    """Print the files, those of the printed rate rows first; their numbers by source_id."""
    printed = [row for rows in rates.values() for row in rows[:MOST_ROWS]]
    cited = dict.fromkeys(each["source_id"] for row in printed for each in row["statements"][:MOST_PLACES])
    first = [file for file in described if file["source_id"] in cited]
    files = [*first, *(file for file in described if file["source_id"] not in cited)]
    rows = ([number, *(file[name] for name in _FILE)] for number, file in enumerate(files, start=1))
    _print(f"Files: {len(files):,}", ("file", *_FILE), rows, most=max(len(first), MOST_ROWS))
    return {file["source_id"]: number for number, file in enumerate(files, start=1)}


def _print_rates(rates: Mapping[str, Sequence[Mapping[str, Any]]], numbers: Mapping[str, int]) -> None:
    names = ("payer", "npi", "tin", "negotiated_rate", "negotiated_type", "modifiers")
    heads = (*names, "exclusion", "file", "item at JSON byte", "reference at")
    for what, found in rates.items():
        rows = [
            [*(row[name] for name in names), row["exclusion"], *_places(row["statements"], numbers)] for row in found
        ]
        if rows:
            _print(f"Rate rows, {what}", heads, rows)


def _places(statements: Sequence[Mapping[str, Any]], numbers: Mapping[str, int]) -> tuple[str, str, str]:
    """Where a rate row stands, a line each: number of the file, byte of the item, byte of the reference."""
    shown = [
        (
            f"{numbers.get(each['source_id'], each['source_id'])}{'!' + each['member'] if each['member'] else ''}",
            f"{each['item_offset']:,}",
            _reference(each),
        )
        for each in statements[:MOST_PLACES]
    ]
    more = len(statements) - len(shown)
    shown += [("", f"{more:,} more", "")] if more > 0 else []
    files, items, references = map("\n".join, zip(*shown, strict=True)) if shown else ("", "", "")
    return files, items, references


def _reference(statement: Mapping[str, Any]) -> str:
    """Where the provider stands; of a remote reference its address, and the sha256 of what was fetched from there."""
    offset, location = statement["reference_offset"], statement["location"]
    if offset is None:
        return "inline"
    sha256 = statement["location_sha256"]
    content = "not fetched" if sha256 is None else f"sha256 {sha256[:12]}"
    return f"{offset:,} at {location} ({content})" if location else f"{offset:,}"


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


def _print(
    title: str, heads: Iterable[str], rows: Iterable[Iterable[Any]], caption: str = "", most: int = MOST_ROWS
) -> None:
    table = Table(title=escape(title), title_justify="left", caption=caption)
    names, every = [*heads], [*rows]
    for name in names:
        table.add_column(name, overflow="fold")
    for row in every[:most]:
        table.add_row(*(escape(_text(name, value)) for name, value in zip(names, row, strict=True)))
    make_console().print(table)
    if len(every) > most:
        print(f"The first {most} rows; --json has all of them.")

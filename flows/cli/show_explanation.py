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
_FIGURES = ("mean_usd", "min_usd", "p10_usd", "p25_usd", "p50_usd", "p75_usd", "p90_usd", "max_usd")


def print_explanation(explained: Explanation, shown: Sequence[Mapping[str, Any]]) -> None:
    """Cell, percentiles, observations, rate rows, files; then the bytes asked for."""
    key, row = explained.cell.key, explained.cell.row
    title = f"{key.text}, {month_name(explained.cell.month)}"
    _print(title, _FIGURES, [[f"{row[name]:,.4f}" for name in _FIGURES]], "Computed anew: equal.")
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
    _print_rates(explained)
    _print("Files", ("source", "sha256", "index", "last_updated_on", "offsets"), _file_rows(explained))
    for each in shown:
        for name, value in each.items():
            print(f"{name:<18}{value}")


def _file_rows(explained: Explanation) -> list[list[Any]]:
    names = ("source", "sha256", "index", "last_updated_on", "offsets")
    return [
        [(file[name] or "")[:12] if name == "sha256" else file[name] for name in names]
        for file in explained.described_files()
    ]


def _print_rates(explained: Explanation) -> None:
    names = ("payer", "npi", "tin", "negotiated_rate", "negotiated_type", "modifiers")
    sources = dict(explained.files.select("source_id", "source").unique("source_id").iter_rows())
    frames = (("eligible", explained.rates(MOST_ROWS + 1)), ("excluded", explained.excluded_rates()))
    for what, parts in frames:
        rows = [
            [*(row[name] for name in names), row["exclusion"], _places(row["statements"], sources)]
            for frame in parts
            for row in frame.head(MOST_ROWS + 1).iter_rows(named=True)
        ]
        if rows:
            heads = (*names, "exclusion", "source: item, reference (JSON byte)")
            _print(f"Rate rows, {what}", heads, rows)


def _places(statements: Sequence[Mapping[str, Any]], sources: Mapping[str, str]) -> str:
    shown = [
        f"{sources.get(each['source_id'], each['source_id'])}{'!' + each['member'] if each['member'] else ''}: "
        f"{each['item_offset']}, {'inline' if each['reference_offset'] is None else each['reference_offset']}"
        f"{' at ' + each['location'] if each['location'] else ''}"
        for each in statements[:MOST_PLACES]
    ]
    more = len(statements) - len(shown)
    return "\n".join([*shown, *([f"and {more} more"] if more > 0 else [])])


def _print(title: str, heads: Iterable[str], rows: Iterable[Iterable[Any]], caption: str = "") -> None:
    table = Table(title=escape(title), title_justify="left", caption=caption)
    for head in heads:
        table.add_column(head, overflow="fold")
    every = [*rows]
    for row in every[:MOST_ROWS]:
        table.add_row(*("" if value is None else escape(str(value)) for value in row))
    make_console().print(table)
    if len(every) > MOST_ROWS:
        print("and more rows; --json has all of them")

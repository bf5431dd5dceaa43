"""The map of states, and the table of payers by state, as data: texts, shades and legends.

Everything is computed here, so that the page's script only puts ready texts in place and rounds nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from schemas.geographies import IN_ORDER, NATIONAL
from transforms.report.figures import Cell

SHADES = 5


@dataclass(frozen=True)
class Measure:
    """A figure of a cell that the map can show."""

    key: str
    label: str
    unit: str = "$"


MEASURES = (
    Measure("p50", "median (P50)"),
    Measure("mean", "mean"),
    Measure("p25", "P25"),
    Measure("p75", "P75"),
    Measure("iqr", "dispersion (P75 minus P25)"),
    Measure("pct_of_medicare", "median as % of Medicare", "%"),
    Measure("n_npi", "providers", "n"),
)

Places = Mapping[str, Cell]  # one payer's cells by geography


def make_layer(places: Places, measure: Measure) -> dict[str, Any]:
    """One payer and measure: a text and a shade (0 lowest to 4 highest, or -) per geography of ``IN_ORDER``; a legend.

    Equal figures share a shade.
    """
    values = [getattr(places[code], measure.key) if code in places else None for code in IN_ORDER]
    shades = divide(value for value in values if value is not None)
    return {
        "texts": "|".join("" if value is None else write_figure(value, measure) for value in values),
        "shades": "".join("-" if value is None else str(shades[value]) for value in values),
        "legend": write_legend(shades, measure),
    }


def divide(figures: Iterable[Decimal]) -> dict[Decimal, int]:
    """The shade of each distinct figure, lowest first; each shade holds about as many of them as the next."""
    distinct = sorted(set(figures))
    return {figure: min(SHADES, len(distinct)) * place // len(distinct) for place, figure in enumerate(distinct)}


def write_legend(shades: Mapping[Decimal, int], measure: Measure) -> list[str]:
    """The span of figures of each shade, lowest first."""
    groups: dict[int, list[Decimal]] = {}
    for figure, shade in shades.items():
        groups.setdefault(shade, []).append(figure)
    return [_span(group, measure) for group in groups.values()]


def write_figure(figure: Decimal | int, measure: Measure) -> str:
    """``12.48``, ``94.8%``, ``1,204``."""
    return f"{figure:,.2f}" if measure.unit == "$" else f"{figure:,}%" if measure.unit == "%" else f"{figure:,}"


def _span(figures: Sequence[Decimal], measure: Measure) -> str:
    low, high = write_figure(figures[0], measure), write_figure(figures[-1], measure)
    return low if low == high else f"{low} to {high}"


def map_data(payers: Mapping[str, Places], names: Mapping[str, str]) -> dict[str, Any]:
    """What a page embeds for its map: payers by name, measures, and a layer for each pair of them."""
    small = [{code for code, cell in places.items() if cell.low_sample} for places in payers.values()]
    return {
        "codes": list(IN_ORDER),
        "payers": [names[payer] for payer in payers],
        "measures": [measure.label for measure in MEASURES],
        "units": [measure.unit for measure in MEASURES],
        "small": ["".join("1" if code in codes else "0" for code in IN_ORDER) for codes in small],
        "layers": [[make_layer(places, measure) for measure in MEASURES] for places in payers.values()],
    }


def heat_table(payers: Mapping[str, Places], measure: Measure) -> dict[str, Any]:
    """Payers by state on one scale of shades: for each geography with figures a cell per payer.

    Returns: ``rows`` (geography, then per payer text, shade, small sample, anchor; None without a figure), ``legend``.
    """
    shades = divide(getattr(cell, measure.key) for places in payers.values() for cell in places.values())

    def show(cell: Cell | None) -> tuple[str, int, bool, str] | None:
        if cell is None:
            return None
        figure = getattr(cell, measure.key)
        return write_figure(figure, measure), shades[figure], cell.low_sample, cell.anchor

    rows = [
        (code, [show(places.get(code)) for places in payers.values()])
        for code in (NATIONAL, *IN_ORDER)
        if any(code in places for places in payers.values())
    ]
    return {"rows": rows, "legend": write_legend(shades, measure)}

"""The map of states as data: for every payer and measure the texts, shades and legend of all tiles.

Everything is worked out here, so that the page's script only puts ready texts in place and rounds nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from schemas.geographies import IN_ORDER
from transforms.report.figures import Cell, usd

SHADES = 5
NO_FIGURE = "-"


@dataclass(frozen=True)
class Measure:
    """A figure of a cell that the map can show."""

    key: str
    label: str
    unit: str = "$"


MEASURES = (
    Measure("mean", "mean"),
    Measure("p50", "median (P50)"),
    Measure("p25", "P25"),
    Measure("p75", "P75"),
    Measure("iqr", "dispersion (P75 less P25)"),
    Measure("pct_of_medicare", "median as % of Medicare", "%"),
    Measure("n_npi", "providers", "n"),
)

Places = Mapping[str, Cell]  # one payer's cells by geography


@dataclass(frozen=True)
class Layer:
    """One payer and measure: a text and a shade for each geography of ``IN_ORDER``, and the legend."""

    texts: tuple[str, ...]
    shades: str  # one character a geography: 0 lowest to 4 highest, or "-"
    legend: tuple[str, ...]


def make_layer(places: Places, measure: Measure) -> Layer:
    """Equal figures share a shade; each shade holds about as many distinct figures as the next."""
    figures = [_figure(places.get(code), measure) for code in IN_ORDER]
    distinct = sorted({figure for figure in figures if figure is not None})
    shade_of = {figure: min(SHADES, len(distinct)) * place // len(distinct) for place, figure in enumerate(distinct)}
    texts = tuple("" if figure is None else write_figure(figure, measure) for figure in figures)
    shades = "".join(NO_FIGURE if figure is None else str(shade_of[figure]) for figure in figures)
    legend = tuple(
        _span([f for f in distinct if shade_of[f] == shade], measure) for shade in sorted(set(shade_of.values()))
    )
    return Layer(texts, shades, legend)


def _figure(cell: Cell | None, measure: Measure) -> Decimal | None:
    value = None if cell is None else getattr(cell, measure.key)
    return None if value is None else Decimal(value)


def write_figure(figure: Decimal, measure: Measure) -> str:
    """``12.48``, ``94.8%``, ``1,204``."""
    return usd(figure) if measure.unit == "$" else f"{figure}%" if measure.unit == "%" else f"{figure:,}"


def _span(figures: Sequence[Decimal], measure: Measure) -> str:
    low, high = write_figure(figures[0], measure), write_figure(figures[-1], measure)
    return low if low == high else f"{low} to {high}"


def map_data(payers: Mapping[str, Places], names: Mapping[str, str]) -> dict[str, Any]:
    """What a page embeds for its map: payers by name, measures, and a layer for each pair of them."""
    layers = [[make_layer(places, measure) for measure in MEASURES] for places in payers.values()]
    return {
        "codes": list(IN_ORDER),
        "payers": [names[payer] for payer in payers],
        "measures": [measure.label for measure in MEASURES],
        "units": [measure.unit for measure in MEASURES],
        "small": ["".join("1" if _small(places.get(code)) else "0" for code in IN_ORDER) for places in payers.values()],
        "texts": [["|".join(layer.texts) for layer in row] for row in layers],
        "shades": [[layer.shades for layer in row] for row in layers],
        "legends": [[list(layer.legend) for layer in row] for row in layers],
    }


def _small(cell: Cell | None) -> bool:
    return cell is not None and cell.low_sample

"""Parts that pages are put together from, as the templates want them: map, trend, other views, calculator, links."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from markupsafe import Markup

from flows.report.report_code import AT, CodeFigures, Row
from flows.report.report_site import embed_json, show_count
from flows.storage.layout import month_name
from schemas.codes import COMPOSITE_ALL, TAXONOMY_TIERS
from schemas.geographies import BY_CODE, IN_ORDER
from transforms.report.charts import describe_change, sparkline
from transforms.report.figures import Cell, show_name, to_cents, usd
from transforms.report.tile_map import MEASURES, make_layer, map_data

MOST_MONTHS = 24
CALCULATOR_CSV = "medicare.csv"
_OTHER_FIGURES = ("mean_usd", "p25_usd", "p50_usd", "p75_usd", "iqr_usd")


def svg(text: str) -> Markup:
    """A drawing as it is."""
    return Markup(text)


def map_figures(figures: CodeFigures, payers: Sequence[str]) -> Markup:
    """What the map's script shows."""
    return embed_json(map_data({payer: figures.payers[payer] for payer in payers}, figures.names))


def map_context(figures: CodeFigures, payers: Sequence[str], data: Markup, here: str, up: str = "") -> dict[str, Any]:
    """The map as it stands before its script runs: the first measure, of all payers pooled where they are."""
    first = COMPOSITE_ALL if COMPOSITE_ALL in payers else payers[0]
    places = figures.payers[first]
    layer = make_layer(places, MEASURES[0])
    return {
        "payers": [figures.names[payer] for payer in payers],
        "chosen": list(payers).index(first),
        "measures": [measure.label for measure in MEASURES],
        "legend": layer.legend,
        "said": f"{figures.names[first]}, {MEASURES[0].label}",
        "json": data,
        "tiles": [
            _tile(code, layer.texts[at], layer.shades[at], places.get(code))
            | {"here": code == here, "href": f"{up}{code}.html"}
            for at, code in enumerate(IN_ORDER)
        ],
    }


def _tile(code: str, text: str, shade: str, cell: Cell | None) -> dict[str, Any]:
    place = BY_CODE[code]
    small = cell is not None and cell.low_sample
    note = "" if text and not small else ", small sample" if text else ", no figure"
    return {
        "code": code,
        "name": place.name,
        "row": place.row,
        "column": place.column,
        "text": f"{text}*" if small and text else text,
        "shade": "" if shade == "-" else f"q{shade}",
        "said": f" {place.name}{note}",
    }


def trend_context(figures: CodeFigures, geography: str, cells: Sequence[Cell]) -> dict[str, Any] | None:
    """Medians by month; None when there is only one month, or no payer to show."""
    months = figures.published.months
    if len(months) < 2 or not cells:
        return None
    shown, medians = months[-MOST_MONTHS:], figures.published.medians(figures.place(geography))
    return {
        "months": [month_name(month) for month in shown],
        "left_out": len(months) - len(shown),
        "rows": [_trend_row(cell, medians.get(cell.payer, {}), shown) for cell in cells],
    }


def _trend_row(cell: Cell, medians: Mapping[date, Decimal], months: Sequence[date]) -> dict[str, Any]:
    amounts = [medians.get(month) for month in months]
    return {
        "name": cell.name,
        "line": svg(sparkline(amounts, f"{cell.name}, median by month")),
        "texts": ["" if amount is None else usd(amount) for amount in amounts],
        "change": describe_change(amounts[-2], amounts[-1]),
    }


def other_rows(figures: CodeFigures, geography: str) -> list[Row]:
    """Rows of the other views: professional before institutional, tiers from strict to all."""
    return sorted(filter(figures.behind, figures.rows(geography)), key=_other_order)


def _other_order(row: Row) -> tuple[Any, ...]:
    tier = TAXONOMY_TIERS.index(row[AT["taxonomy_tier"]])
    kind = row[AT["payer_kind"]] != "payer"
    return (row[AT["billing_class"]] != "professional", row[AT["weighting"]], tier, kind, row[AT["payer"]])


def show_other(row: Row) -> list[str]:
    """A row of another view as texts."""
    words = [row[AT[name]] for name in ("billing_class", "taxonomy_tier", "weighting")]
    amounts = [usd(to_cents(row[AT[name]])) for name in _OTHER_FIGURES]
    small = " *" if row[AT["low_sample"]] else ""
    return [show_name(row[AT["payer"]]), *words, *amounts, f"{show_count(row[AT['n_npi']])}{small}"]


def calculator_context(fees: Mapping[str, Any], code: str, state: str, month: date) -> dict[str, Any] | None:
    """What the calculator starts with; None where no fee schedule has the place."""
    if not fees["years"]:
        return None
    years = [year for year in fees["years"] if int(year) <= month.year] or list(fees["years"])
    return {"code": code, "state": state, "year": years[-1], "json": embed_json(fees)}


def parquet_links(up: str, month: str) -> list[tuple[str, str]]:
    """The tables behind the pages, where they lie beside the report."""
    return [
        (f"{up}summaries/month={month}/summaries.parquet", "summaries (Parquet)"),
        (f"{up}providers/month={month}/providers.parquet", "providers (Parquet)"),
        (f"{up}manifest.json", "manifest.json"),
    ]

"""What pages of different kinds have in common: links, CSV, scales, the map, the calculator's start."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

from markupsafe import Markup

from flows.report.report_site import embed_json
from flows.report.report_tables import CodeFigures, largest
from schemas.codes import COMPOSITE_ALL
from schemas.geographies import BY_CODE
from transforms.report.calculator import pack
from transforms.report.charts import Scale, make_scale
from transforms.report.figures import Cell, ratio
from transforms.report.tile_map import map_data

CALCULATOR_CSV = "medicare.csv"
RULES_CSV = "rules.csv"  # in a code's folder

File = tuple[str, str]  # path within the report, text
Links = list[tuple[str, str]]


def scale_of(cells: Iterable[Cell], medicare: Cell | None) -> Scale:
    """A scale that holds the ranges of some cells, and Medicare's median."""
    amounts = [amount for cell in cells for amount in (cell.p90, cell.mean)]
    return make_scale([*amounts, medicare.p50] if medicare else amounts)


def share_of(cell: Cell, national: Cell | None) -> str:
    """A mean as percent of the national one; empty where there is none."""
    times = ratio(cell.mean, national.mean) if national else None
    return "" if times is None else f"{times * 100:,.0f}"


def draw_map(figures: CodeFigures, most: int) -> dict[str, Any]:
    """The map of pooled payers, Medicare, and the payers with most providers."""
    firsts = [next(iter(cells.values())) for cells in figures.payers.values()]
    return tile_map(figures, [cell.payer for cell in largest(firsts, most)])


def tile_map(figures: CodeFigures, payers: list[str]) -> dict[str, Any]:
    """The map's data, and as JSON for the page's script; the payers pooled come first where they are."""
    data = map_data({payer: figures.payers[payer] for payer in payers}, figures.names)
    chosen = payers.index(COMPOSITE_ALL) if COMPOSITE_ALL in payers else 0
    return data | {"chosen": chosen, "tiles": list(write_tiles(data, chosen)), "json": embed_json(data)}


def write_tiles(data: Mapping[str, Any], chosen: int) -> Iterator[tuple[str, Markup, Markup]]:
    """The first measure of one payer: code, place, and the tile from its address on; written once for many pages.

    Args:
        data: of ``map_data``.
        chosen: the payer's number there.
    """
    layer = data["layers"][chosen][0]
    for code, small, text, shade in zip(
        data["codes"], data["small"][chosen], layer["texts"].split("|"), layer["shades"], strict=True
    ):
        place, is_small = BY_CODE[code], small == "1"
        remark = ", no figure" if not text else ", small sample" if is_small else ""
        rest = Markup(
            '{code}.html" class="{shade}" data-code="{code}" data-name="{name}" title="{name}">{code} '
            '<span class="figure">{text}{star}</span><span class="unseen"> {name}{remark}</span>'
        ).format(
            code=code,
            shade="" if shade == "-" else f"q{shade}",
            name=place.name,
            text=text,
            star="*" if is_small else "",
            remark=remark,
        )
        yield code, Markup('style="grid-area:{}/{}"').format(place.row, place.column), rest


def calculator_context(fees: Mapping[str, Any], code: str, state: str, month: date) -> dict[str, Any] | None:
    """What the calculator starts with; None where no fee schedule has the place."""
    if not fees["years"]:
        return None
    years = [year for year in fees["years"] if int(year) <= month.year] or list(fees["years"])
    return {"code": code, "state": state, "year": years[-1], "json": embed_json(pack(fees))}


def parquet_links(up: str, month: str, with_coverage: bool = False) -> Links:
    """The tables behind the pages, where they lie beside the report."""
    tables = ("summaries", "network_summaries", "providers", *(["coverage"] if with_coverage else []))
    links = [(f"{up}{table}/period={month}/{table}.parquet", f"{table} (Parquet)") for table in tables]
    return [*links, (f"{up}manifest.json", "manifest.json")]

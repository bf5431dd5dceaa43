"""The pages of one code: national, by geography, by payer. Each comes with the CSV of its tables."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import polars as pl
from jinja2 import Environment

from flows.report.report_site import embed_json
from flows.report.report_tables import TREND_COLUMNS, CodeFigures, largest
from flows.storage.layout import month_name
from schemas.codes import COMPOSITE_ALL, MEDICARE
from schemas.coding import coding_of
from schemas.geographies import BY_CODE, NATIONAL, OTHERS_IN_ORDER, STATES_IN_ORDER, name_of, position_of
from transforms.report.calculator import only_state
from transforms.report.charts import Scale, make_scale
from transforms.report.csv_text import csv_text
from transforms.report.figures import Cell, make_cell, ratio
from transforms.report.insights import Insight, describe_geography, describe_payer
from transforms.report.tile_map import map_data

# Payers can be hundreds: what a page shows of them is bounded, so that it stays under 300 KB; the CSV has them all.
MOST_IN_TABLE = 150
MOST_IN_CHART = 25
MOST_ON_MAP = 15
MOST_ON_NATIONAL_MAP = 150
MOST_OTHERS = 200
MOST_NETWORKS = 150
MOST_MONTHS = 24
CALCULATOR_CSV = "medicare.csv"

File = tuple[str, str]  # path within the report, text
Links = list[tuple[str, str]]


@dataclass(frozen=True)
class CodePages:
    """All pages of one code."""

    figures: CodeFigures
    environment: Environment
    fees: Mapping[str, Any]  # transforms.report.calculator.calculator_figures

    @property
    def month(self) -> str:
        """The month that the pages show."""
        return month_name(self.figures.published.month)

    def files(self) -> Iterator[File]:
        """Every page and CSV of the code."""
        figures, code = self.figures, self.figures.code
        for geography in figures.geographies:
            yield f"{code}/{geography}.html", self._geography_page(geography)
            yield f"{code}/{geography}.csv", frame_csv(figures.rows.filter(pl.col("geography") == geography))
            if geography in figures.others:
                yield f"{code}/{geography}-other-views.csv", frame_csv(figures.others[geography])
            if len(figures.published.months) > 1:
                history = figures.history.get(geography, figures.published.history.clear())
                yield f"{code}/{geography}-trend.csv", frame_csv(history.select(TREND_COLUMNS))
        if figures.published.with_states:
            yield f"{code}/states.csv", frame_csv(figures.rows)
        for payer, slug in figures.slugs.items():
            yield f"{code}/payers/{slug}.html", self._payer_page(payer)
            yield f"{code}/payers/{slug}.csv", frame_csv(figures.rows.filter(pl.col("payer") == payer))
            if payer in figures.networks:
                yield f"{code}/payers/{slug}-networks.csv", frame_csv(figures.networks[payer])

    def insights(self, geography: str = NATIONAL) -> list[Insight]:
        """The sentences of a geography's page."""
        cells, national = self.figures.cells(geography), self.figures.cells(NATIONAL)
        return describe_geography(cells.values(), national, is_national=geography == NATIONAL)

    def table(self, geography: str = NATIONAL) -> list[Cell]:
        """The rows of a geography's benchmark table."""
        return largest(self.figures.cells(geography).values(), MOST_IN_TABLE)

    def _geography_page(self, geography: str) -> str:
        figures, name, shown = self.figures, name_of(geography), self.table(geography)
        cells, others = figures.cells(geography), figures.others.get(geography, pl.DataFrame())
        charted, medicare = largest(cells.values(), MOST_IN_CHART), cells.get(MEDICARE)
        return self.environment.get_template("geography.html").render(
            title=f"CPT {figures.code}, {name}",
            root="../",
            code=figures.code,
            geography=geography,
            name=name,
            panel=coding_of(figures.code),
            insights=self.insights(geography),
            shown=[(cell, cell.name, f"payers/{figures.slugs[cell.payer]}.html", "") for cell in shown],
            left_out=len(cells) - len(shown),
            charted=[(cell, cell.name) for cell in charted],
            scale=_scale(charted, medicare),
            medicare=medicare,
            map=self._map(geography),
            trend=self._trend(geography, shown),
            others=[make_cell(row) for row in others.head(MOST_OTHERS).iter_rows(named=True)],
            others_left_out=max(len(others) - MOST_OTHERS, 0),
            calc=self._calculator(geography),
            downloads=self._downloads(geography),
            **self._pager(geography),
        )

    def _pager(self, geography: str) -> dict[str, Any]:
        places = self.figures.geographies
        around = (None, *places, None)
        here = places.index(geography)
        whole = f"US, {len(STATES_IN_ORDER)} states, DC and {len(OTHERS_IN_ORDER) - 1} territories"
        return {
            "previous": around[here],
            "next": around[here + 2],
            "position": whole if geography == NATIONAL else position_of(geography),
            "options": [(code, f"{code} {name_of(code)}") for code in places],
        }

    def _map_of(self, most: int) -> dict[str, Any]:
        """The map of pooled payers, Medicare, and the largest payers."""
        payers = largest([next(iter(cells.values())) for cells in self.figures.payers.values()], most)
        return tile_map(self.figures, [cell.payer for cell in payers])

    @cached_property
    def _state_map(self) -> dict[str, Any]:
        """The same on every state's page."""
        return self._map_of(MOST_ON_MAP)

    def _map(self, geography: str) -> dict[str, Any] | None:
        if not self.figures.published.with_states or not self.figures.payers:
            return None
        drawn = self._map_of(MOST_ON_NATIONAL_MAP) if geography == NATIONAL else self._state_map
        return drawn | {"here": geography, "left_out": len(self.figures.payers) - len(drawn["payers"])}

    def _trend(self, geography: str, cells: list[Cell]) -> dict[str, Any] | None:
        """Medians by month; None when there is only one month, or no payer to show."""
        months = self.figures.published.months
        if len(months) < 2 or not cells:
            return None
        shown, medians = months[-MOST_MONTHS:], self.figures.medians(geography)
        rows = [(cell.name, [medians[cell.payer].get(month) for month in shown]) for cell in cells]
        return {"months": shown, "left_out": len(months) - len(shown), "rows": rows}

    def _calculator(self, geography: str) -> dict[str, Any] | None:
        """The national page has every state; a state's page its own localities."""
        national = geography == NATIONAL
        fees = self.fees if national else only_state(self.fees, geography)
        first = STATES_IN_ORDER[0] if national else geography
        return calculator_context(fees, self.figures.code, first, self.figures.published.month)

    def _downloads(self, geography: str) -> Links:
        published = self.figures.published
        links = [(f"{geography}.csv", f"Benchmarks, {self.month} (CSV)")]
        if geography in self.figures.others:
            links.append((f"{geography}-other-views.csv", "Other views (CSV)"))
        if len(published.months) > 1:
            links.append((f"{geography}-trend.csv", "Trend, all months (CSV)"))
        if published.with_states:
            links.append(("states.csv", "All states and payers, the figures of the map (CSV)"))
        links.append((f"../{CALCULATOR_CSV}", "Medicare by locality, the calculator's figures (CSV)"))
        return [*links, *parquet_links("../../", self.month)]

    def _payer_page(self, payer: str) -> str:
        figures, name, slug = self.figures, self.figures.names[payer], self.figures.slugs[payer]
        places = {code: figures.payers[payer][code] for code in figures.geographies if code in figures.payers[payer]}
        labels = {code: f"{code} {name_of(code)}" for code in places}
        medicare, national = figures.cells(NATIONAL).get(MEDICARE), places.get(NATIONAL)
        networks = figures.network_cells(payer)
        shown_networks = sorted(networks, key=lambda cell: -(cell.n_npi or 0))[:MOST_NETWORKS]
        links = [(f"{slug}.csv", "This table (CSV)")]
        if payer in figures.networks:
            links.append((f"{slug}-networks.csv", "Networks by state (CSV)"))
        drawn = tile_map(figures, [payer]) | {"here": NATIONAL, "left_out": 0}
        return self.environment.get_template("payer.html").render(
            title=f"CPT {figures.code}, {name}",
            root="../../",
            code=figures.code,
            slug=slug,
            name=name,
            options=[(figures.slugs[other], figures.names[other]) for other in figures.payers],
            insights=describe_payer(name, places),
            shown=[(cell, labels[code], f"../{code}.html", _share(cell, national)) for code, cell in places.items()],
            map=drawn if figures.published.with_states else None,
            charted=[(cell, labels[code]) for code, cell in places.items()],
            scale=_scale(places.values(), medicare),
            medicare=medicare,
            networks=[(cell, cell.name, "", _share(cell, national)) for cell in shown_networks],
            networks_left_out=len(networks) - len(shown_networks),
            downloads=[*links, *parquet_links("../../../", self.month)],
        )


def _scale(cells: Iterable[Cell], medicare: Cell | None) -> Scale:
    amounts = [amount for cell in cells for amount in (cell.p90, cell.mean)]
    return make_scale([*amounts, medicare.p50] if medicare else amounts)


def _share(cell: Cell, national: Cell | None) -> str:
    times = ratio(cell.mean, national.mean) if national else None
    return "" if times is None else f"{times * 100:,.0f}"


def tile_map(figures: CodeFigures, payers: list[str]) -> dict[str, Any]:
    """The map's data, and as JSON for the page's script; the payers pooled come first where they are."""
    data = map_data({payer: figures.payers[payer] for payer in payers}, figures.names)
    chosen = payers.index(COMPOSITE_ALL) if COMPOSITE_ALL in payers else 0
    return data | {"places": BY_CODE, "chosen": chosen, "json": embed_json(data)}


def frame_csv(frame: pl.DataFrame) -> str:
    """A table as CSV: lists of texts with semicolons between."""
    lists = [name for name, dtype in frame.schema.items() if dtype == pl.List(pl.String)]
    flat = frame.with_columns(pl.col(name).list.join("; ") for name in lists)
    return csv_text(flat.columns, flat.iter_rows())


def calculator_context(fees: Mapping[str, Any], code: str, state: str, month: date) -> dict[str, Any] | None:
    """What the calculator starts with; None where no fee schedule has the place."""
    if not fees["years"]:
        return None
    years = [year for year in fees["years"] if int(year) <= month.year] or list(fees["years"])
    return {"code": code, "state": state, "year": years[-1], "json": embed_json(fees)}


def parquet_links(up: str, month: str) -> Links:
    """The tables behind the pages, where they lie beside the report."""
    return [
        (f"{up}summaries/period={month}/summaries.parquet", "summaries (Parquet)"),
        (f"{up}network_summaries/period={month}/network_summaries.parquet", "network_summaries (Parquet)"),
        (f"{up}providers/period={month}/providers.parquet", "providers (Parquet)"),
        (f"{up}manifest.json", "manifest.json"),
    ]

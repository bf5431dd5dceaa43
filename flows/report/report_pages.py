"""The pages of one code: national, by geography, by payer. Each comes with the CSV of its tables."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from flows.report.report_code import CodeFigures, largest, medicare_of, table_order
from flows.report.report_parts import (
    CALCULATOR_CSV,
    calculator_context,
    map_context,
    map_figures,
    other_rows,
    parquet_links,
    show_other,
    svg,
    trend_context,
)
from flows.report.report_tables import TREND_COLUMNS
from flows.storage.layout import month_name
from schemas.coding import coding_of
from schemas.geographies import NATIONAL, OTHERS_IN_ORDER, STATES_IN_ORDER, name_of, position_of
from schemas.published import SUMMARIES
from transforms.report.calculator import only_state
from transforms.report.charts import range_chart, reference_label
from transforms.report.csv_text import csv_text
from transforms.report.figures import Cell, ratio
from transforms.report.insights import Insight, describe_geography
from transforms.report.insights_payer import describe_payer

# Payers can be hundreds: what a page shows of them is bounded, so that it stays under 300 KB; the CSV has them all.
MOST_IN_TABLE = 150
MOST_IN_CHART = 25
MOST_ON_MAP = 15
MOST_ON_NATIONAL_MAP = 150
MOST_OTHERS = 200

File = tuple[str, str]  # path within the report, text


@dataclass(frozen=True)
class CodePages:
    """All pages of one code."""

    figures: CodeFigures
    environment: Environment
    fees: Mapping[str, Any]  # transforms.report.calculator.calculator_figures

    @property
    def insights(self) -> list[Insight]:
        """The national sentences."""
        national = self.figures.national
        return describe_geography(national.values(), national, is_national=True)

    def _largest(self, most: int) -> list[str]:
        """The payers of a map's picker: pooled ones and Medicare, then the largest."""
        widest = [next(iter(cells.values())) for cells in self.figures.payers.values()]
        return [cell.payer for cell in largest(widest, most)]

    @cached_property
    def _on_map(self) -> list[str]:
        return self._largest(MOST_ON_MAP)

    @cached_property
    def _map_figures(self) -> Markup:
        """The same on every state's page."""
        return map_figures(self.figures, self._on_map)

    def files(self) -> Iterator[File]:
        """Every page and CSV of the code."""
        figures = self.figures
        for geography in figures.geographies:
            yield f"{figures.code}/{geography}.html", self._geography_page(geography)
            yield from self._geography_tables(geography)
        if figures.published.with_states:
            rows = (row for rows in figures.front_rows.values() for row in rows)
            yield f"{figures.code}/states.csv", csv_text(SUMMARIES.names, rows)
        for payer, slug in figures.slugs.items():
            yield f"{figures.code}/payers/{slug}.html", self._payer_page(payer)
            yield f"{figures.code}/payers/{slug}.csv", csv_text(SUMMARIES.names, figures.front_rows[payer])

    def _geography_tables(self, geography: str) -> Iterator[File]:
        figures = self.figures
        front = [row for row in figures.rows(geography) if not figures.behind(row)]
        yield f"{figures.code}/{geography}.csv", csv_text(SUMMARIES.names, sorted(front, key=table_order))
        if others := other_rows(figures, geography):
            yield f"{figures.code}/{geography}-other-views.csv", csv_text(SUMMARIES.names, others)
        if len(figures.published.months) > 1:
            history = figures.published.history.get(figures.place(geography), [])
            rows = ([row[name] for name in TREND_COLUMNS] for row in history)
            yield f"{figures.code}/{geography}-trend.csv", csv_text(TREND_COLUMNS, rows)

    def _geography_page(self, geography: str) -> str:
        figures, name = self.figures, name_of(geography)
        cells, others = figures.cells(geography), other_rows(figures, geography)
        medicare = medicare_of(cells)
        shown, charted = largest(cells, MOST_IN_TABLE), largest(cells, MOST_IN_CHART)
        return self.environment.get_template("geography.html").render(
            title=f"CPT {figures.code}, {name}",
            root="../",
            code=figures.code,
            geography=geography,
            name=name,
            panel=coding_of(figures.code),
            insights=describe_geography(cells, figures.national, is_national=geography == NATIONAL),
            shown=[(cell, cell.name, f"payers/{figures.slugs[cell.payer]}.html", "") for cell in shown],
            left_out=len(cells) - len(shown),
            chart=svg(range_chart(charted, medicare, f"Ranges by payer, {name}")) if charted else None,
            charted=len(charted),
            reference=reference_label(medicare),
            fees=f"; Medicare by its fee schedule of {medicare.medicare_year}" if medicare else "",
            map=self._map(geography),
            trend=trend_context(figures, geography, shown),
            others=[show_other(row) for row in others[:MOST_OTHERS]],
            others_left_out=max(len(others) - MOST_OTHERS, 0),
            calc=self._calculator(geography),
            downloads=self._downloads(geography),
            **self._pager(geography),
        )

    def _pager(self, geography: str) -> dict[str, Any]:
        places = self.figures.geographies
        around = (None, *places, None)
        here = places.index(geography)
        whole = f"US, {len(STATES_IN_ORDER)} states, {len(OTHERS_IN_ORDER)} others"
        return {
            "previous": around[here],
            "next": around[here + 2],
            "position": whole if geography == NATIONAL else position_of(geography),
            "options": [(code, f"{code} {name_of(code)}") for code in places],
        }

    def _map(self, geography: str) -> dict[str, Any] | None:
        if not self.figures.published.with_states or not self._on_map:
            return None
        payers, data = self._on_map, self._map_figures
        if geography == NATIONAL:  # no page of the many: it holds whatever can be picked
            payers = self._largest(MOST_ON_NATIONAL_MAP)
            data = map_figures(self.figures, payers)
        left_out = len(self.figures.payers) - len(payers)
        return map_context(self.figures, payers, data, geography) | {"left_out": left_out}

    def _calculator(self, geography: str) -> dict[str, Any] | None:
        """The national page has every state; a state's page its own localities."""
        national = geography == NATIONAL
        fees = self.fees if national else only_state(self.fees, geography)
        first = STATES_IN_ORDER[0] if national else geography
        return calculator_context(fees, self.figures.code, first, self.figures.published.month)

    def _downloads(self, geography: str) -> list[tuple[str, str]]:
        published = self.figures.published
        month = month_name(published.month)
        links = [(f"{geography}.csv", f"Benchmarks, {month} (CSV)")]
        if other_rows(self.figures, geography):
            links.append((f"{geography}-other-views.csv", "Other views (CSV)"))
        if len(published.months) > 1:
            links.append((f"{geography}-trend.csv", "Trend, all months (CSV)"))
        if published.with_states:
            links.append(("states.csv", "All states and payers, the figures of the map (CSV)"))
        links.append((f"../{CALCULATOR_CSV}", "Medicare by locality, the calculator's figures (CSV)"))
        return [*links, *parquet_links("../../", month)]

    def _payer_page(self, payer: str) -> str:
        figures, name, slug = self.figures, self.figures.names[payer], self.figures.slugs[payer]
        places = {code: figures.payers[payer][code] for code in figures.geographies if code in figures.payers[payer]}
        labels = {code: f"{code} {name_of(code)}" for code in places}
        medicare, national = medicare_of(figures.national.values()), places.get(NATIONAL)
        chart = range_chart([*places.values()], medicare, f"Ranges by state, {name}", [*labels.values()])
        data = map_figures(figures, (payer,))
        with_states, month = figures.published.with_states, month_name(figures.published.month)
        return self.environment.get_template("payer.html").render(
            title=f"CPT {figures.code}, {name}",
            root="../../",
            code=figures.code,
            slug=slug,
            name=name,
            options=[(figures.slugs[other], figures.names[other]) for other in figures.payers],
            insights=describe_payer(name, places),
            shown=[(cell, labels[code], f"../{code}.html", _times(cell, national)) for code, cell in places.items()],
            map=map_context(figures, (payer,), data, NATIONAL, "../") | {"left_out": 0} if with_states else None,
            chart=svg(chart),
            reference=f"{reference_label(medicare)}, national" if medicare else "",
            downloads=[(f"{slug}.csv", "This table (CSV)"), *parquet_links("../../../", month)],
        )


def _times(cell: Cell, national: Cell | None) -> str:
    times = ratio(cell.mean, national.mean) if national else None
    return "" if times is None else str(times)

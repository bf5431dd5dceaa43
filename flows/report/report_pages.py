"""The pages of one code: national, by geography, by payer. Each comes with the CSV of its tables."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl
from jinja2 import Environment

from flows.report.report_derivations import Derivations
from flows.report.report_parts import (
    CALCULATOR_CSV,
    RULES_CSV,
    File,
    Links,
    calculator_context,
    draw_map,
    parquet_links,
    scale_of,
)
from flows.report.report_payers import HEAT_PAGE, heat_page, payer_page
from flows.report.report_site import derivation_of, derivation_page
from flows.report.report_tables import TREND_COLUMNS, CodeFigures, CodeViews, Published, largest
from flows.storage.layout import month_name
from schemas.codes import MEDICARE
from schemas.coding import coding_of
from schemas.geographies import NATIONAL, OTHERS_IN_ORDER, STATES_IN_ORDER, name_of, position_of
from transforms.explain.views import View
from transforms.report.calculator import only_state
from transforms.report.coding_panel import make_panel
from transforms.report.csv_text import frame_text
from transforms.report.figures import Cell, make_cell
from transforms.report.insights import describe_geography
from transforms.report.paragraph import describe_place, headline_figures, small_sample_remark
from transforms.report.rules import CodeRules

# Payers can be hundreds: what a page shows of them is bounded, so that it stays under 300 KB; the CSV has them all.
MOST_IN_TABLE = 100
MOST_ON_FIRST_PAGE = 15
MOST_IN_CHART = 25
MOST_ON_MAP = 15
MOST_OTHERS = 60
MOST_MONTHS = 24


@dataclass(frozen=True)
class CodePages:
    """All pages of one code."""

    views: CodeViews
    environment: Environment
    fees: Mapping[str, Any]  # transforms.report.calculator.calculator_figures
    derivations: Derivations | None = None  # None: of the first page alone

    @property
    def code(self) -> str:
        """The code that the pages are about."""
        return self.views.code

    @property
    def published(self) -> Published:
        """The tables behind the pages."""
        return self.views.published

    def files(self) -> Iterator[File]:
        """Every page and CSV of the code."""
        code, views, published = self.code, self.views, self.published
        for geography in views.national.geographies:
            figures = views.of_place(geography)
            yield f"{code}/{geography}.html", self._geography_page(geography, figures)
            yield f"{code}/{geography}.csv", frame_text(figures.by_place.get(geography, figures.rows.clear()))
            if geography in figures.others:
                yield f"{code}/{geography}-other-views.csv", frame_text(figures.others[geography])
            if len(published.months) > 1:
                history = figures.history.get(geography, published.history.clear())
                yield f"{code}/{geography}-trend.csv", frame_text(history.select(TREND_COLUMNS))
        if self.derivations is not None:
            yield from self.derivations.files(self.environment)
        if published.with_states:
            yield f"{code}/states.csv", frame_text(views.national.rows)
            yield f"{code}/{HEAT_PAGE}", heat_page(self.environment, views)
        if self.rules:
            yield f"{code}/{RULES_CSV}", frame_text(self.rules.table)
        for payer, (slug, _) in views.payers.items():
            figures, _ = views.of_payer(payer)
            yield f"{code}/payers/{slug}.html", payer_page(self.environment, views, payer, self.rules)
            yield f"{code}/payers/{slug}.csv", frame_text(figures.by_payer[payer])
            if payer in figures.networks:
                yield f"{code}/payers/{slug}-networks.csv", frame_text(figures.networks[payer])

    def table(self, most: int = MOST_IN_TABLE, geography: str = NATIONAL) -> list[Cell]:
        """The largest rows of a geography's benchmark table."""
        return largest(self.views.of_place(geography).cells(geography).values(), most)

    def start(self, geography: str = NATIONAL) -> dict[str, Any]:
        """What a page begins with: the view and why, a paragraph, four figures, the remark on small samples."""
        place = self.views.place(geography)
        return {
            "why": self.views.why(geography),
            "paragraph": describe_place(place),
            "headlines": headline_figures(place),
            "remark": small_sample_remark(place),
        }

    def map_of(self, figures: CodeFigures, geography: str = NATIONAL) -> dict[str, Any] | None:
        """The map of pooled payers, Medicare, and the largest payers; None without states or figures."""
        if not self.published.with_states or not figures.payers:
            return None
        drawn = self._maps.get(figures.view) or draw_map(figures, MOST_ON_MAP)
        self._maps[figures.view] = drawn
        return drawn | {"here": geography, "left_out": len(figures.payers) - len(drawn["payers"])}

    @cached_property
    def _maps(self) -> dict[View, dict[str, Any]]:
        """Maps by view: the same on every page of a place."""
        return {}

    @cached_property
    def rules(self) -> CodeRules | None:
        """The coverage rules of the code; None where none are published."""
        coverage, editions = self.published.coverage, self.published.entry.get("coverage") or ()
        return None if coverage is None else CodeRules(self.code, coverage, editions)

    def _geography_page(self, geography: str, figures: CodeFigures) -> str:
        name, shown = name_of(geography), self.table(geography=geography)
        cells, others = figures.cells(geography), figures.others.get(geography, pl.DataFrame())
        charted, medicare = largest(cells.values(), MOST_IN_CHART), cells.get(MEDICARE)
        rules, panel = self.rules.at(geography) if self.rules else None, coding_of(self.code)
        return self.environment.get_template("geography.html").render(
            title=f"CPT {self.code}, {name}",
            root="../",
            code=self.code,
            geography=geography,
            name=name,
            panel=panel,
            rules=rules,
            rules_csv=RULES_CSV,
            coding=make_panel(panel, rules.rows if rules else ()),
            **self.start(geography),
            findings=describe_geography(cells.values(), figures.cells(NATIONAL), is_national=geography == NATIONAL),
            shown=[
                (cell, cell.name, f"payers/{figures.slugs[cell.payer]}.html", "", derivation_of(cell)) for cell in shown
            ],
            left_out=len(cells) - len(shown),
            derivation_page=derivation_page,
            charted=[(cell, cell.name) for cell in charted],
            scale=scale_of(charted, medicare),
            medicare=medicare,
            map=self.map_of(figures, geography),
            heat=HEAT_PAGE,
            tiers=self.views.tiers(geography, [cell.payer for cell in shown]),
            trend=self._trend(geography, figures, shown),
            others=[make_cell(row) for row in others.head(MOST_OTHERS).iter_rows(named=True)],
            others_left_out=max(len(others) - MOST_OTHERS, 0),
            calc=self._calculator(geography),
            downloads=self._downloads(geography, figures),
            **self._pager(geography),
        )

    def _pager(self, geography: str) -> dict[str, Any]:
        places = self.views.national.geographies
        around = (None, *places, None)
        here = places.index(geography)
        whole = f"US, {len(STATES_IN_ORDER)} states, DC and {len(OTHERS_IN_ORDER) - 1} territories"
        return {
            "previous": around[here],
            "next": around[here + 2],
            "position": whole if geography == NATIONAL else position_of(geography),
            "options": [(code, f"{code} {name_of(code)}") for code in places],
        }

    def _trend(self, geography: str, figures: CodeFigures, cells: list[Cell]) -> dict[str, Any] | None:
        """Medians by month; None when there is only one month, or no payer to show."""
        months = self.published.months
        if len(months) < 2 or not cells:
            return None
        shown, medians = months[-MOST_MONTHS:], figures.medians(geography)
        rows = [(cell, [medians[cell.payer].get(month) for month in shown]) for cell in cells]
        return {"months": shown, "left_out": len(months) - len(shown), "rows": rows}

    def _calculator(self, geography: str) -> dict[str, Any] | None:
        """The national page has every state; a state's page its own localities."""
        national = geography == NATIONAL
        fees = self.fees if national else only_state(self.fees, geography)
        first = STATES_IN_ORDER[0] if national else geography
        return calculator_context(fees, self.code, first, self.published.month)

    def _downloads(self, geography: str, figures: CodeFigures) -> Links:
        month = month_name(self.published.month)
        links = [(f"{geography}.csv", f"Benchmarks, {month} (CSV)")]
        if geography in figures.others:
            links.append((f"{geography}-other-views.csv", "Other views (CSV)"))
        if len(self.published.months) > 1:
            links.append((f"{geography}-trend.csv", "Trend, all months (CSV)"))
        if self.published.with_states:
            links.append(("states.csv", "All states and payers of the national page's view (CSV)"))
        if self.rules:
            links.append((RULES_CSV, "Coverage rules of every state and version (CSV)"))
        links.append((f"../{CALCULATOR_CSV}", "Medicare by locality, the calculator's figures (CSV)"))
        return [*links, *parquet_links("../../", month, with_coverage=self.rules is not None)]

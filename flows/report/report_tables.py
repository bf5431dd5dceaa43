"""The published tables as the report needs them: one view heads a page, the others follow, earlier months beside it.

Memory: the latest month's ``summaries`` in full, of earlier months the views that can head a page.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from flows.publish.manifest import read_manifest
from flows.publish.published_month import find_months
from flows.storage.layout import Layout
from schemas.codes import BILLED, MEDICARE, TAXONOMY_TIERS
from schemas.coverage import COVERAGE
from schemas.geographies import IN_ORDER, NATIONAL
from schemas.published import NETWORK_SUMMARIES, SUMMARIES
from transforms.benchmark.payers import payer_slug
from transforms.errors import UsageError
from transforms.explain.views import BENCHMARK, View, choose_headline, choose_views, explain_headline
from transforms.report.figures import KIND_ORDER, Cell, anchor_of, make_cell, show_name, to_cents
from transforms.report.paragraph import Place
from transforms.report.sentences import pooled_of

TIER_ORDER = {tier: place for place, tier in enumerate(TAXONOMY_TIERS)}
_BESIDE = {*((tier, "npi") for tier in TAXONOMY_TIERS), (BILLED, "services")}  # tiers side by side on a page
VIEW_COLUMNS = ("billing_code", "billing_class", "geography", "taxonomy_tier", "weighting")
TREND_COLUMNS = ("month", "payer", "payer_kind", "n_npi", "mean_usd", "p25_usd", "p50_usd", "p75_usd")


@dataclass(frozen=True)
class Published:
    """Everything that the pages show."""

    months: tuple[date, ...]
    codes: tuple[str, ...]
    views: tuple[View, ...]  # those that can head a page, the preferred one first
    with_states: bool
    latest: pl.DataFrame  # the latest month, in the order of the pages
    networks: pl.DataFrame  # the latest month by payer and network
    history: pl.DataFrame  # those views in all months
    manifest: dict[str, Any]
    coverage: pl.DataFrame | None = None  # rules of the latest month; None where no edition is published

    @property
    def month(self) -> date:
        """The latest month: the one the pages are about."""
        return self.months[-1]

    @property
    def entry(self) -> dict[str, Any]:
        """The manifest's entry of the latest month; empty when a run was killed before it wrote one."""
        found: dict[str, Any] = self.manifest.get("months", {}).get(f"{self.month:%Y-%m}", {})
        return found


@dataclass(frozen=True)
class CodeFigures:
    """What the pages of one code and view share: its rows by place and payer."""

    published: Published
    code: str
    view: View

    @cached_property
    def geographies(self) -> tuple[str, ...]:
        """Pages in their order: national, states, DC and territories."""
        return (NATIONAL, *IN_ORDER) if self.published.with_states else (NATIONAL,)

    @cached_property
    def _latest(self) -> pl.DataFrame:
        """All rows of the code; without states, the national ones alone for commercial payers."""
        return self.published.latest.filter(pl.col("billing_code") == self.code)

    @cached_property
    def rows(self) -> pl.DataFrame:
        """Published rows of the view, by payer, then place."""
        return self._latest.filter(self.view.rows)

    @cached_property
    def by_place(self) -> dict[str, pl.DataFrame]:
        """The rows by geography."""
        return _by("geography", self.rows)

    @cached_property
    def by_payer(self) -> dict[str, pl.DataFrame]:
        """The rows by payer."""
        return _by("payer", self.rows)

    @cached_property
    def others(self) -> dict[str, pl.DataFrame]:
        """Published rows of the other views by geography."""
        order = (
            "geography",
            pl.col("billing_class") != "professional",
            "weighting",
            _rank("taxonomy_tier", TAXONOMY_TIERS),
        )
        rows = self._latest.filter(~self.view.rows).sort(*order, pl.col("payer_kind") != "payer", "payer")
        return _by("geography", rows)

    @cached_property
    def history(self) -> dict[str, pl.DataFrame]:
        """Rows of the view of all months by geography: month, then payer."""
        return _by("geography", self.published.history.filter(pl.col("billing_code") == self.code, self.view.rows))

    @cached_property
    def networks(self) -> dict[str, pl.DataFrame]:
        """Published rows of networks by payer."""
        return _by("payer", self.published.networks.filter(pl.col("billing_code") == self.code, self.view.rows))

    @cached_property
    def payers(self) -> dict[str, dict[str, Cell]]:
        """Each payer's cells by geography; payers in the order of the tables."""
        found: dict[str, dict[str, Cell]] = {}
        for row in self.rows.iter_rows(named=True):
            found.setdefault(row["payer"], {})[row["geography"]] = make_cell(row)
        return found

    @cached_property
    def names(self) -> dict[str, str]:
        """Payers as shown."""
        return {payer: show_name(payer) for payer in self.payers}

    @cached_property
    def slugs(self) -> dict[str, str]:
        """File names of payer pages, the same as of the folders of ``rates``."""
        return {payer: payer_slug(payer) for payer in self.payers}

    def cells(self, geography: str) -> dict[str, Cell]:
        """A geography's figures by payer, in table order."""
        return {payer: cells[geography] for payer, cells in self.payers.items() if geography in cells}

    def national(self, payer: str) -> list[Cell]:
        """A payer's national row, if it has one."""
        return [cell for code, cell in self.payers.get(payer, {}).items() if code == NATIONAL]

    def network_cells(self, payer: str) -> dict[str, Cell]:
        """The national figures of a payer's networks, by name as published."""
        if payer not in self.networks:
            return {}
        rows = self.networks[payer].filter(pl.col("geography") == NATIONAL)
        names = rows["network_name"].to_list()
        return {
            name: replace(make_cell(row), name=show_name(name))
            for name, row in zip(names, rows.iter_rows(named=True), strict=True)
        }

    def medians(self, geography: str) -> dict[str, dict[date, Decimal]]:
        """P50 as shown, by payer and month."""
        found: dict[str, dict[date, Decimal]] = {}
        for row in self.history[geography].iter_rows(named=True):
            found.setdefault(row["payer"], {})[row["month"]] = to_cents(row["p50_usd"])
        return found


class TierMedian(NamedTuple):
    """A median as shown, and the sample behind it."""

    p50: Decimal
    n_npi: int | None
    low_sample: bool
    anchor: str  # of transforms.report.figures.Cell


@dataclass(frozen=True)
class Tiers:
    """Medians by payer in each tier; ``headline`` is the place of the column that heads the page."""

    columns: list[str]
    headline: int
    rows: list[tuple[str, list[TierMedian | None]]]  # by payer as published


@dataclass(frozen=True)
class CodeViews:
    """One code in each view that can head a page, and which view heads which page."""

    published: Published
    code: str

    @cached_property
    def figures(self) -> dict[View, CodeFigures]:
        """The figures of each view, the preferred view first."""
        return {view: CodeFigures(self.published, self.code, view) for view in self.published.views}

    @cached_property
    def national(self) -> CodeFigures:
        """The figures that head the national page."""
        return self.of_place(NATIONAL)

    @cached_property
    def payers(self) -> dict[str, tuple[str, str]]:
        """File names and shown names of the payers of any view, in table order."""
        found = {payer: cells for each in self.figures.values() for payer, cells in each.payers.items()}
        ordered = sorted(found, key=lambda payer: next(iter(found[payer].values())).order)
        return {payer: (payer_slug(payer), show_name(payer)) for payer in ordered}

    def of_place(self, geography: str) -> CodeFigures:
        """The figures that head a geography's page."""
        return self.figures[choose_headline(self.published.views, self._samples(geography))]

    def why(self, geography: str = NATIONAL) -> str:
        """The view that heads a geography's page, and why."""
        return explain_headline(self.published.views, self._samples(geography))

    def of_payer(self, payer: str) -> tuple[CodeFigures, str]:
        """The figures that head a payer's page, and why: by its national sample."""
        if payer == MEDICARE:
            return self.national, "Medicare's fee schedule: each locality counts once."
        samples = [each.national(payer) for each in self.figures.values()]
        figures = self.figures[choose_headline(self.published.views, samples)]
        if payer not in figures.payers:
            figures = next(each for each in self.figures.values() if payer in each.payers)
        return figures, explain_headline(self.published.views, samples)

    def _samples(self, geography: str) -> list[list[Cell]]:
        """The commercial rows of each view at a place."""
        cells = (each.cells(geography).values() for each in self.figures.values())
        return [[cell for cell in of_view if cell.payer_kind != "benchmark"] for of_view in cells]

    def tiers(self, geography: str, payers: Iterable[str]) -> Tiers | None:
        """The medians of every tier at a place, for these payers; None where there is one tier alone."""
        rows = self._by_tier.get(geography, {})
        found = {column for payer in payers for column in rows.get(payer, ()) if column in _BESIDE}
        columns = sorted(found, key=lambda column: (column[1] != "npi", TIER_ORDER[column[0]]))
        if len(columns) < 2:
            return None
        view = self.of_place(geography).view
        return Tiers(
            columns=[(tier if weighting == "npi" else f"{tier}, by {weighting}") for tier, weighting in columns],
            headline=columns.index((view.taxonomy_tier, view.weighting)),
            rows=[(payer, [rows[payer].get(column) for column in columns]) for payer in payers if payer in rows],
        )

    @cached_property
    def _by_tier(self) -> dict[str, dict[str, dict[tuple[str, str], TierMedian]]]:
        """By geography, payer, and tier and weighting."""
        billing_class = self.published.views[0].billing_class
        same = (pl.col("billing_class") == billing_class) & (pl.col("weighting") != "tin")
        names = ("geography", "payer", "taxonomy_tier", "weighting", "p50_usd", "n_npi", "low_sample")
        rows = self.published.latest.filter(pl.col("billing_code") == self.code, same, ~BENCHMARK).select(names)
        found: dict[str, dict[str, dict[tuple[str, str], TierMedian]]] = {}
        for geography, payer, tier, weighting, median, n_npi, small in rows.iter_rows():
            figures = found.setdefault(geography, {}).setdefault(payer, {})
            anchor = anchor_of(geography, billing_class, tier, weighting)
            figures[tier, weighting] = TierMedian(to_cents(median), n_npi, small, anchor)
        return found

    def place(self, geography: str = NATIONAL) -> Place:
        """What the beginning of a geography's page compares."""
        figures = self.of_place(geography)
        pooled = pooled_of(cells[NATIONAL] for cells in figures.payers.values() if NATIONAL in cells)
        everywhere = figures.payers[pooled.payer] if pooled else {}
        return Place(self.code, geography, [*figures.cells(geography).values()], everywhere)


def _by(column: str, frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {str(key): part for (key,), part in frame.partition_by(column, as_dict=True).items()}


def largest(cells: Iterable[Cell], most: int) -> list[Cell]:
    """At most so many, in table order: pooled payers and Medicare, then the payers with most providers."""
    ordered = sorted(cells, key=lambda cell: (cell.payer_kind == "payer", -(cell.n_npi or 0), cell.payer))
    return sorted(ordered[:most], key=lambda cell: cell.order)


def load_published(layout: Layout) -> Published:
    """Read what is published.

    Raises:
        UsageError: no month is published under this output folder.
    """
    paths = find_months(layout)
    if not paths:
        where = layout.location
        raise UsageError(f"no month is published under {where}; give its --output, or run first: tic-rates demo")
    latest = pl.read_parquet(paths[max(paths)]).select(SUMMARIES.names)
    manifest = read_manifest(layout)
    codes = manifest.get("months", {}).get(f"{max(paths):%Y-%m}", {}).get("codes", ())  # also those without a rate
    views = choose_views(latest)
    with_states = not latest.filter(~BENCHMARK & (pl.col("geography") != NATIONAL)).is_empty()
    if not with_states:
        latest = latest.filter(pl.col("geography") == NATIONAL)
    wanted = pl.any_horizontal(view.rows for view in views)
    history = [pl.scan_parquet(path).filter(wanted).select(*VIEW_COLUMNS, *TREND_COLUMNS) for path in paths.values()]
    return Published(
        months=tuple(paths),
        codes=tuple(sorted({*latest["billing_code"], *codes})),
        views=views,
        with_states=with_states,
        latest=latest.sort(
            _rank("payer_kind", KIND_ORDER),
            "payer",
            _rank("geography", (NATIONAL, *IN_ORDER)),
            pl.col("billing_class") != "professional",
            _rank("taxonomy_tier", TAXONOMY_TIERS),
            "weighting",
        ),
        networks=_read_networks(layout.month("network_summaries", max(paths))),
        history=pl.concat(history).sort("month", "payer").collect(),
        manifest=manifest,
        coverage=_read_coverage(layout.month("coverage", max(paths)) / "coverage.parquet"),
    )


def _read_networks(folder: Path) -> pl.DataFrame:
    """Rows by payer, network, place; none where an earlier version published the month."""
    path = folder / "network_summaries.parquet"
    rows = pl.read_parquet(path) if path.exists() else NETWORK_SUMMARIES.empty()
    return rows.sort("payer", "network_name", _rank("geography", (NATIONAL, *IN_ORDER)))


def _read_coverage(path: Path) -> pl.DataFrame | None:
    return COVERAGE.complete(pl.read_parquet(path, hive_partitioning=False)) if path.exists() else None


def _rank(column: str, order: Iterable[str]) -> pl.Expr:
    """The place of each value in an order; the others after them."""
    places = {value: n for n, value in enumerate(order)}
    return pl.col(column).replace_strict(places, default=len(places), return_dtype=pl.Int32)

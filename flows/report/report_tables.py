"""The published tables as the report needs them: one view on the pages, the others behind it, earlier months beside it.

Memory: the latest month's ``summaries`` in full, of earlier months the main view alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from flows.publish.publish import read_manifest
from flows.storage.layout import Layout
from schemas.codes import TAXONOMY_TIERS
from schemas.geographies import IN_ORDER, NATIONAL
from schemas.published import NETWORK_SUMMARIES, SUMMARIES
from transforms.benchmark.payers import payer_slug
from transforms.errors import UsageError
from transforms.report.figures import KIND_ORDER, Cell, make_cell, show_name, to_cents

BENCHMARK = pl.col("payer_kind") == "benchmark"
TREND_COLUMNS = ("month", "payer", "payer_kind", "n_npi", "mean_usd", "p25_usd", "p50_usd", "p75_usd")


@dataclass(frozen=True)
class View:
    """The main view: the rows of ``summaries`` of one class, tier and weighting, and Medicare's."""

    billing_class: str
    taxonomy_tier: str
    weighting: str = "npi"

    @property
    def rows(self) -> pl.Expr:
        """True for the rows of the view."""
        same = [pl.col(name) == getattr(self, name) for name in ("billing_class", "taxonomy_tier", "weighting")]
        return pl.all_horizontal(same) | BENCHMARK

    @property
    def text(self) -> str:
        """The view in a sentence."""
        who = "all taxonomies" if self.taxonomy_tier == "all" else "physical therapists and similar"
        return f"{self.billing_class.capitalize()} rates; each provider counts once; {self.taxonomy_tier} tier ({who})."


@dataclass(frozen=True)
class Published:
    """Everything that the pages show."""

    months: tuple[date, ...]
    codes: tuple[str, ...]
    view: View
    with_states: bool
    main: pl.DataFrame  # the main view of the latest month, in the order of the pages
    others: pl.DataFrame  # all its other rows, likewise
    networks: pl.DataFrame  # the main view of the latest month by payer and network
    history: pl.DataFrame  # the main view of all months
    manifest: dict[str, Any]

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
    """What the pages of one code share: its rows by place and payer."""

    published: Published
    code: str

    @cached_property
    def geographies(self) -> tuple[str, ...]:
        """Pages in their order: national, states, DC and territories."""
        return (NATIONAL, *IN_ORDER) if self.published.with_states else (NATIONAL,)

    @cached_property
    def rows(self) -> pl.DataFrame:
        """Published rows of the main view, by payer, then place."""
        return self.published.main.filter(pl.col("billing_code") == self.code)

    @cached_property
    def others(self) -> dict[str, pl.DataFrame]:
        """Published rows of the other views by geography."""
        return _by("geography", self.published.others.filter(pl.col("billing_code") == self.code))

    @cached_property
    def history(self) -> dict[str, pl.DataFrame]:
        """Rows of the main view of all months by geography: month, then payer."""
        return _by("geography", self.published.history.filter(pl.col("billing_code") == self.code))

    @cached_property
    def networks(self) -> dict[str, pl.DataFrame]:
        """Published rows of networks by payer."""
        return _by("payer", self.published.networks.filter(pl.col("billing_code") == self.code))

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
        """The main view of a geography by payer, in table order."""
        return {payer: cells[geography] for payer, cells in self.payers.items() if geography in cells}

    def network_cells(self, payer: str) -> list[Cell]:
        """The national figures of a payer's networks, by name."""
        rows = self.networks.get(payer, self.published.networks.clear()).filter(pl.col("geography") == NATIONAL)
        return [replace(make_cell(row), name=show_name(row["network_name"])) for row in rows.iter_rows(named=True)]

    def medians(self, geography: str) -> dict[str, dict[date, Decimal]]:
        """P50 as shown, by payer and month."""
        found: dict[str, dict[date, Decimal]] = {}
        for row in self.history[geography].iter_rows(named=True):
            found.setdefault(row["payer"], {})[row["month"]] = to_cents(row["p50_usd"])
        return found


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
    view = choose_view(latest)
    with_states = not latest.filter(~BENCHMARK & (pl.col("geography") != NATIONAL)).is_empty()
    main = latest.filter(view.rows & (with_states | (pl.col("geography") == NATIONAL)))
    history = [
        pl.scan_parquet(path).filter(view.rows).select("billing_code", "geography", *TREND_COLUMNS)
        for path in paths.values()
    ]
    return Published(
        months=tuple(paths),
        codes=tuple(sorted({*latest["billing_code"], *codes})),
        view=view,
        with_states=with_states,
        main=main.sort(_rank("payer_kind", KIND_ORDER), "payer", _rank("geography", (NATIONAL, *IN_ORDER))),
        others=latest.filter(~view.rows).sort(
            pl.col("billing_class") != "professional",
            "weighting",
            _rank("taxonomy_tier", TAXONOMY_TIERS),
            pl.col("payer_kind") != "payer",
            "payer",
        ),
        networks=_read_networks(layout.month("network_summaries", max(paths)), view),
        history=pl.concat(history).sort("month", "payer").collect(),
        manifest=manifest,
    )


def _read_networks(folder: Path, view: View) -> pl.DataFrame:
    """The main view by payer, network, place; no rows where an earlier version published the month."""
    path = folder / "network_summaries.parquet"
    rows = pl.read_parquet(path) if path.exists() else NETWORK_SUMMARIES.empty()
    return rows.filter(view.rows).sort("payer", "network_name", _rank("geography", (NATIONAL, *IN_ORDER)))


def _rank(column: str, order: Iterable[str]) -> pl.Expr:
    """The place of each value in an order."""
    return pl.col(column).replace_strict({value: n for n, value in enumerate(order)}, return_dtype=pl.Int32)


def find_months(layout: Layout) -> dict[date, Path]:
    """Published months and their summaries, oldest first."""
    found = {}
    for path in sorted((layout.root / "summaries").glob("period=????-??/summaries.parquet")):
        found[date.fromisoformat(f"{path.parent.name.removeprefix('period=')}-01")] = path
    return found


def choose_view(latest: pl.DataFrame) -> View:
    """Professional rates of the `balanced` tier; what there is instead, where a month has none of them."""
    commercial = latest.filter(~BENCHMARK)
    professional = commercial.is_empty() or "professional" in commercial["billing_class"]
    tier = "balanced" if "balanced" in commercial["taxonomy_tier"] else "all"
    return View("professional" if professional else "institutional", tier)

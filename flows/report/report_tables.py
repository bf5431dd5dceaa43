"""The published tables as the report needs them: one view in front, the others behind it, earlier months beside it.

Memory: the latest month's ``summaries`` in full, of earlier months the view in front alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from flows.publish.publish import read_manifest
from flows.storage.layout import Layout
from schemas.geographies import NATIONAL
from schemas.published import SUMMARIES
from transforms.errors import UsageError
from transforms.report.figures import Cell, make_cell, to_cents

Row = TypeVar("Row")
Place = tuple[str, str]  # billing code, geography
BENCHMARK = pl.col("payer_kind") == "benchmark"
TREND_COLUMNS = ("month", "payer", "payer_kind", "n_npi", "mean_usd", "p25_usd", "p50_usd", "p75_usd")


@dataclass(frozen=True)
class View:
    """Which rows of ``summaries`` stand in front: one class, tier and weighting, and Medicare's."""

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
        who = "every provider, whatever the taxonomy" if self.taxonomy_tier == "all" else "therapists and similar"
        return f"{self.billing_class.capitalize()} prices, each provider once, tier {self.taxonomy_tier} ({who})."


@dataclass(frozen=True)
class Published:
    """Everything the pages are made of."""

    months: tuple[date, ...]
    codes: tuple[str, ...]
    view: View
    with_states: bool
    cells: dict[Place, list[Cell]]  # the view in front, latest month
    rows: dict[Place, list[tuple[Any, ...]]]  # all rows of the latest month, as published
    history: dict[Place, list[dict[str, Any]]]  # the view in front, all months: TREND_COLUMNS
    manifest: dict[str, Any]

    @property
    def month(self) -> date:
        """The latest month: the one the pages are about."""
        return self.months[-1]

    @property
    def entry(self) -> dict[str, Any]:
        """What the manifest says of the latest month; nothing when a run was killed before it could."""
        return self.entry_of(self.month)

    def entry_of(self, month: date) -> dict[str, Any]:
        """What the manifest says of a month."""
        found: dict[str, Any] = self.manifest.get("months", {}).get(f"{month:%Y-%m}", {})
        return found

    def medians(self, place: Place) -> dict[str, dict[date, Decimal]]:
        """P50 as shown, by payer and month."""
        found: dict[str, dict[date, Decimal]] = {}
        for row in self.history.get(place, []):
            found.setdefault(row["payer"], {})[row["month"]] = to_cents(row["p50_usd"])
        return found


def load_published(layout: Layout) -> Published:
    """Read what is published.

    Raises:
        UsageError: no month is published under this output folder.
    """
    paths = find_months(layout)
    if not paths:
        where = layout.location
        raise UsageError(f"no month is published under {where}; give its --output, or run first: tic-rates demo")
    latest = pl.read_parquet(paths[max(paths)], hive_partitioning=False).select(SUMMARIES.names)
    manifest = read_manifest(layout)
    view = choose_view(latest)
    codes = {*latest["billing_code"], *manifest.get("months", {}).get(f"{max(paths):%Y-%m}", {}).get("codes", ())}
    history = pl.concat([_front(path, view) for path in paths.values()]).sort("month", "payer")
    return Published(
        months=tuple(sorted(paths)),
        codes=tuple(sorted(codes)),
        view=view,
        with_states=not latest.filter(~BENCHMARK & (pl.col("geography") != NATIONAL)).is_empty(),
        cells=_cells(latest.filter(view.rows)),
        rows=_by_place(latest, latest.rows()),
        history=_by_place(history, history.select(TREND_COLUMNS).rows(named=True)),
        manifest=manifest,
    )


def find_months(layout: Layout) -> dict[date, Path]:
    """Published months and their summaries, oldest first."""
    found = {}
    for path in sorted((layout.root / "summaries").glob("month=????-??/summaries.parquet")):
        found[date.fromisoformat(f"{path.parent.name.removeprefix('month=')}-01")] = path
    return found


def choose_view(latest: pl.DataFrame) -> View:
    """Professional prices of the `balanced` tier; what there is instead, where a month has none of them."""
    commercial = latest.filter(~BENCHMARK)
    professional = commercial.is_empty() or "professional" in commercial["billing_class"]
    tier = "balanced" if "balanced" in commercial["taxonomy_tier"] else "all"
    return View("professional" if professional else "institutional", tier)


def _front(path: Path, view: View) -> pl.DataFrame:
    columns = ("billing_code", "geography", *TREND_COLUMNS)
    return pl.scan_parquet(path, hive_partitioning=False).filter(view.rows).select(columns).collect()


def _cells(front: pl.DataFrame) -> dict[Place, list[Cell]]:
    grouped = _by_place(front, map(make_cell, front.iter_rows(named=True)))
    return {place: sorted(cells, key=lambda cell: cell.order) for place, cells in grouped.items()}


def _by_place(frame: pl.DataFrame, rows: Iterable[Row]) -> dict[Place, list[Row]]:
    found: dict[Place, list[Row]] = {}
    for place, row in zip(frame.select("billing_code", "geography").iter_rows(), rows, strict=True):
        found.setdefault(place, []).append(row)
    return found

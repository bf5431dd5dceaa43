"""A payer's part of a month from its published tables, where it is withheld or its files are not read.
Memory: one piece of its rates, and its outliers.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from flows.publish.publish import fetch_published
from flows.storage.parquet import read_by_npi, read_frames, write_table
from flows.tables.observations_external_sort import SortedObservations
from flows.tables.payer_builds import (
    Observer,
    ObserverOf,
    PayerBuild,
    RowCounts,
    link_or_copy,
    rates_path,
    write_networks,
)
from schemas.published import FILES, PROVIDERS, RATES
from transforms.benchmark.payers import payer_slug

if TYPE_CHECKING:  # which imports this module
    from flows.publish.published_month import PublishedMonth

Names = set[str | None]


def restore_build(
    published: "PublishedMonth", payer: str, folder: Path, observer_of: ObserverOf, moved: Callable[[Names], Names]
) -> tuple[PayerBuild, Names] | None:
    """A payer's published tables, and the reporting entities in them; None where this month has none.

    Args:
        folder: for what is made of them.
        observer_of: ``MonthInputs.observer``: evidence is always of today's utilization file.
        moved: of these reporting entities those that are now another payer's, whose rows are left out.
    """
    layout, month = published.layout, published.month
    rates, providers = rates_path(layout.month("rates", month), payer), layout.month("providers", month)
    fetch_published(layout, *(path.relative_to(layout.root).as_posix() for path in (rates.parent, providers)))
    if not rates.exists():
        return None
    names: Names = set(pl.scan_parquet(rates).select(pl.col("reporting_entity_name").unique()).collect().to_series())
    left_out = moved(names)
    if left_out == names:
        return None
    own = folder / payer_slug(payer)
    own.mkdir(parents=True)
    _copy_rates(rates, own / "rates.parquet", left_out)
    observer = observer_of(pl.scan_parquet(own / "rates.parquet").select("npi").unique().collect().to_series())
    if not _copy_observations(payer, providers / "providers.parquet", own, observer):
        _observe(own, observer)
    counts = RowCounts(observer)
    is_outlier = pl.col("exclusion").is_not_null()
    outliers = pl.scan_parquet(own / "observations.parquet").filter(is_outlier).collect()
    for piece in read_frames(own / "rates.parquet"):
        counts.add(piece, outliers)
    figures = counts.write(own)
    write_networks(own, observer)
    source_ids = pl.read_parquet(own / "counts.parquet")["source_id"].unique().sort()
    key = published.payers[payer]["build"]
    return PayerBuild(payer, key, own, figures, tuple(source_ids)), names - left_out


def _copy_rates(published: Path, target: Path, left_out: Names) -> None:
    if not left_out and pl.scan_parquet(published).collect_schema() == RATES.polars:
        link_or_copy(published, target)
        return
    is_left = ~pl.col("reporting_entity_name").is_in(list(left_out), nulls_equal=True)
    write_table(target, RATES, (RATES.complete(piece.filter(is_left)) for piece in read_frames(published)))


def _copy_observations(payer: str, published: Path, folder: Path, observer: Observer) -> bool:
    """Whether the published observations belong to the rates; a kill may have exchanged one table only."""
    eligible = pl.scan_parquet(folder / "rates.parquet").select(pl.col("exclusion").is_null().sum()).collect().item()
    if not published.exists():
        return False
    is_own = pl.col("payer") == payer
    stated = pl.scan_parquet(published).filter(is_own).select(pl.col("n_rates").sum()).collect().item()
    if stated != eligible:
        return False
    pieces = (observer.renew_evidence(PROVIDERS.complete(piece.filter(is_own))) for piece in read_frames(published))
    write_table(folder / "observations.parquet", PROVIDERS, pieces)
    return True


def _observe(folder: Path, observer: Observer) -> None:
    rates = folder / "rates.parquet"
    tins = pl.scan_parquet(rates).select(pl.col("tin").unique()).collect().to_series()
    observations = SortedObservations(folder, tins)
    for piece in read_by_npi(rates):
        observations.add(observer.observe(piece))
    write_table(folder / "observations.parquet", PROVIDERS, observations.frames())


def published_files(published: "PublishedMonth") -> pl.DataFrame:
    """The month's ``schemas.FILES`` as published; no rows where there are none."""
    folder = published.layout.month("quality", published.month)
    fetch_published(published.layout, folder.relative_to(published.layout.root).as_posix())
    path = folder / "files.parquet"
    return FILES.complete(pl.read_parquet(path)) if path.exists() else FILES.empty()

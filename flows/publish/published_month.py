"""The last publication of a month, from the manifest: its payers, the files behind them, and their blocks.

A run of some payers leaves the others as published, and a payer that is withheld keeps its last rows: both come from
the published tables. The cache is not needed for that. Memory: one piece of a payer's rates, and its outliers.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from flows.download.sources import Source
from flows.extract.outcome import Outcome
from flows.publish.manifest import published_entry
from flows.publish.publish import fetch_published
from flows.storage.layout import Layout, month_name, month_of_name
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
from transforms.benchmark.payers import map_payers, payer_slug
from transforms.errors import UsageError

Names = set[str | None]


@dataclass(frozen=True)
class PublishedMonth:
    """A month's entry in the manifest; empty where the month was never published."""

    layout: Layout
    month: date
    entry: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, layout: Layout, month: date) -> "PublishedMonth":
        """As the manifest has it now."""
        return cls(layout, month, published_entry(layout, month))

    @property
    def payers(self) -> Mapping[str, Mapping[str, Any]]:
        """The manifest's entry of each payer that has rows."""
        payers: Mapping[str, Mapping[str, Any]] = self.entry.get("payers", {})
        return payers

    def files(self, blocks: Collection[str]) -> list[dict[str, Any]]:
        """The manifest's entries of the files of these blocks."""
        return [file for file in self.entry.get("files", ()) if file.get("block") in blocks]

    def outcomes(self, blocks: Collection[str]) -> list[Outcome]:
        """The files of these blocks as they were last read; nothing of their content."""
        reasons = {each["source"]: each["reason"] for each in self.entry.get("quarantined", ())}
        return [
            Outcome(
                Source(file["source"], file["block"]),
                file["status"],
                reasons.get(file["source"]) if file["status"] == "quarantined" else None,
                file["source_id"],
                facts_id=file.get("facts_id"),
            )
            for file in self.files(blocks)
        ]

    def blocks_beside(
        self, outcomes: Iterable[Outcome], read: Collection[str], configured: Collection[str]
    ) -> set[str]:
        """Further blocks of the configuration to read, so that what was read of some can be published with the rest.

        A payer is built from all of its files: blocks that share a payer or a file with those read belong to them.
        Where a block has left the configuration, all others are read: any of them may have its files.

        Args:
            outcomes: what was read of ``read``.
        """
        outcomes = list(outcomes)
        known = {block for payer in self.payers.values() for block in payer.get("groups", ())}
        if known - set(configured):
            return set(configured) - set(read)
        names = {outcome.source.name for outcome in outcomes}
        contents = {outcome.source_id for outcome in outcomes if outcome.source_id is not None}
        found = {
            file["block"]
            for file in self.entry.get("files", ())
            if file.get("block") and (file["source"] in names or file["source_id"] in contents)
        }
        for blocks in self._blocks_of_payers(entities_of(outcomes), read):
            found |= blocks
        return (found & set(configured)) - set(read)

    def _blocks_of_payers(self, entities: set[str | None], read: Collection[str]) -> Iterable[set[str]]:
        """The blocks of each payer that has a file in ``read``, or any of these reporting entities."""
        stated = {payer: set(entry.get("reporting_entities", ())) for payer, entry in self.payers.items()}
        mapping = map_payers(entities.union(*stated.values()))
        payers = dict(mapping.select("reporting_entity_name", "payer").iter_rows())
        now = {payers[entity] for entity in entities}
        for payer, entry in self.payers.items():
            blocks = set(entry.get("groups", ()))
            if not blocks.isdisjoint(read) or any(payers[entity] in now for entity in stated[payer]):
                yield blocks


@dataclass(frozen=True)
class Baseline:
    """What is published of a month that a run rebuilds. read: blocks that it reads. configured: names of all blocks."""

    published: PublishedMonth
    read: frozenset[str]
    configured: frozenset[str]

    @property
    def files(self) -> list[dict[str, Any]]:
        """The manifest's entries of the files of blocks that this run does not read."""
        return self.published.files(self.configured - self.read)

    @property
    def outcomes(self) -> list[Outcome]:
        """These files as they were last read."""
        return self.published.outcomes(self.configured - self.read)

    @property
    def unresolved(self) -> dict[str, str]:
        """Remote provider references that these files may cite, and that could not be fetched."""
        return dict(self.published.entry.get("unresolved_locations", {})) if self.files else {}

    def blocks(self, payer: str) -> set[str]:
        """The blocks of the configuration behind what is published of a payer; none where all have left it."""
        return set(self.published.payers.get(payer, {}).get("groups", ())) & self.configured

    def restore(
        self, payer: str, folder: Path, observer_of: ObserverOf, moved: Callable[[Names], Names]
    ) -> tuple[PayerBuild, Names] | None:
        """A payer's published tables, and the reporting entities in them; None where this month has none.

        Args:
            folder: for what is made of them.
            observer_of: ``MonthInputs.observer``: evidence is always of today's utilization file.
            moved: of these reporting entities those that are now another payer's, whose rows are left out.
        """
        layout, month = self.published.layout, self.published.month
        rates, providers = rates_path(layout.month("rates", month), payer), layout.month("providers", month)
        fetch_published(layout, *(path.relative_to(layout.root).as_posix() for path in (rates.parent, providers)))
        if not rates.exists():
            return None
        names: Names = set(
            pl.scan_parquet(rates).select(pl.col("reporting_entity_name").unique()).collect().to_series()
        )
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
        key = self.published.payers[payer]["build"]
        return PayerBuild(payer, key, own, figures, tuple(source_ids)), names - left_out

    @property
    def published_files(self) -> pl.DataFrame:
        """The month's ``schemas.FILES`` as published; no rows where there are none."""
        layout, month = self.published.layout, self.published.month
        folder = layout.month("quality", month)
        fetch_published(layout, folder.relative_to(layout.root).as_posix())
        path = folder / "files.parquet"
        return FILES.complete(pl.read_parquet(path)) if path.exists() else FILES.empty()

    @property
    def unread(self) -> list[str]:
        """Published payers whose blocks are in the configuration and are not read."""
        blocks = {payer: self.blocks(payer) for payer in self.published.payers}
        return [payer for payer, names in blocks.items() if names and names.isdisjoint(self.read)]


def entities_of(outcomes: Iterable[Outcome]) -> set[str | None]:
    """The reporting entities of the documents that matched; of one that states none, the block's name."""
    return {
        document.header.get("reporting_entity_name") or outcome.source.payer
        for outcome in outcomes
        if outcome.status == "matched"
        for document in outcome.account.documents
        if document.items_matched
    }


def find_months(layout: Layout) -> dict[date, Path]:
    """Published months and their summaries, oldest first."""
    found = {}
    for path in sorted((layout.root / "summaries").glob("period=????-??/summaries.parquet")):
        found[month_of_name(path.parent.name.removeprefix("period="))] = path
    return found


def choose_month(layout: Layout, month: date | None) -> date:
    """The month if it is published; the latest published one where none is given.

    Raises:
        UsageError: it is not published, or no month is.
    """
    months = find_months(layout)
    if not months:
        raise UsageError(f"no month is published under {layout.location}; give its --output, or run first")
    if month is None:
        return max(months)
    if month not in months:
        named = ", ".join(map(month_name, months))
        raise UsageError(f"{month_name(month)} is not published under {layout.location}; published: {named}")
    return month


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

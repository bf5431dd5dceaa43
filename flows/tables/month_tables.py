"""Extracts of one month into its tables, in a staging folder: rates, providers, summaries, quality.

Memory: one payer at a time (``payer_builds``), then the month's observations (``summarize``).
"""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from flows.extract.stored_tables import count_values
from flows.extract.worker_processes import SeparateProcess
from flows.storage.object_sync import require_files
from flows.storage.parquet import read_frames, write_table
from flows.storage.resource_errors import explain_resource_errors
from flows.tables.files_table import count_files, describe_files, merge_files
from flows.tables.month_inputs import (
    MonthInputs,
    bytes_of,
    resolvable_extracts,
    stored_tables,
)
from flows.tables.payer_builds import (
    COUNTED,
    NO_FILES,
    PayerBuild,
    PayerInputs,
    build_payer,
    cached_build,
    sum_counts,
)
from schemas.coverage import COVERAGE
from schemas.published import FILE_EXCLUSIONS, FILES, NETWORK_SUMMARIES, PROVIDERS, SUMMARIES, UNMAPPED
from transforms.benchmark.networks import summarize_networks
from transforms.benchmark.payers import map_payers, unused_mappings
from transforms.benchmark.resolve import count_stated_pairs
from transforms.benchmark.summarize import Comparison, Observed, summarize
from transforms.cms.coverage_history import coverage_of

if TYPE_CHECKING:  # the room above passes it in
    from flows.publish.published_month import Baseline

LOG = logging.getLogger(__name__)
# What is larger runs in a process of its own; less is done before a process has started, in little memory
LARGE_VALUES = 200_000  # of an extract's longest columns: fewer are counted
LARGE_PAIRS = 1_000_000  # of price and NPI, as stated
LARGE_BYTES = 8 << 20  # of observations

BuildElsewhere = Callable[[MonthInputs, Sequence[PayerInputs]], Sequence[PayerBuild]]


def build_payers(
    inputs: MonthInputs, process: SeparateProcess, elsewhere: BuildElsewhere | None = None
) -> list[PayerBuild]:
    """Each payer's rates and observations; those whose inputs are unchanged come from the cache.

    Args: elsewhere: builds on other machines instead; what it does not return is built here.
    """
    force, layout = inputs.request.force, inputs.layout
    cached = ((payer, None if force else cached_build(layout, payer, own.key)) for payer, own in inputs.payers.items())
    found = {payer: build for payer, build in cached if build is not None}
    for payer in found:
        LOG.info("%s: nothing changed", payer)
    rest = {payer: own for payer, own in inputs.payers.items() if payer not in found}
    if elsewhere is not None and rest:
        found |= {build.payer: build for build in elsewhere(inputs, list(rest.values()))}
    for payer, own in rest.items():
        if payer not in found:
            with explain_resource_errors(f"building the tables of {payer}", layout.payer_builds):
                found[payer] = _build_payer(inputs, own, process)
    return [found[payer] for payer in inputs.payers]


def _build_payer(inputs: MonthInputs, own: PayerInputs, process: SeparateProcess) -> PayerBuild:
    stored = stored_tables(inputs.sources, own.documents["source_no"].unique().to_list(), inputs.layout)
    extracts = resolvable_extracts(own, stored)
    values = accumulate(chain(stored.values(), map(count_values, set(own.fetched.values()))))
    large = any(so_far >= LARGE_VALUES for so_far in values) or count_stated_pairs(extracts) >= LARGE_PAIRS
    return process.run(build_payer, own, extracts, inputs.layout, large=large)


class MonthBuilder:
    """Writes every table of a month under ``folder``, in the published layout.

    The tables depend on the files' content only. Names, order and twins change ``quality/files`` alone.
    """

    def __init__(
        self,
        inputs: MonthInputs,
        builds: Sequence[PayerBuild],
        folder: Path,
        process: SeparateProcess,
        baseline: "Baseline | None" = None,
    ) -> None:
        self._inputs = inputs
        self._request = inputs.request
        self.outcomes = inputs.outcomes
        self._baseline = baseline
        self._layout = inputs.layout
        self._folder = folder
        self._process = process
        self.builds = {build.payer: build for build in builds}
        self.withheld: dict[str, str] = {}
        self._restored: dict[str, set[str | None]] = {}  # payers from the published tables, with reporting entities
        self.rows: dict[str, int] = {"rates": 0}

    @property
    def groups(self) -> dict[str, set[str]]:
        """The blocks of the configuration behind each payer."""
        found: dict[str, set[str]] = {}
        blocks, sources = self._inputs.blocks, self._inputs.sources
        for source_no, payer in self._inputs.documents.select("source_no", "payer").iter_rows():
            found.setdefault(payer, set()).update(blocks.get(sources[source_no].source_id, ()))
        if self._baseline is not None:
            for payer in self._restored:
                found[payer] = found.get(payer, set()) | self._baseline.blocks(payer)
        return found

    @property
    def reporting_entities(self) -> dict[str, list[str | None]]:
        """The names in the headers of each payer's documents, null for none."""
        found = {payer: set(names) for payer, names in self._restored.items()}
        for name, payer in self._inputs.mapping.select("reporting_entity_name", "payer").iter_rows():
            if payer not in self._restored:
                found.setdefault(payer, set()).add(name)
        return {payer: sorted(names, key=lambda name: (name is not None, name)) for payer, names in found.items()}

    @property
    def eligible(self) -> int:
        """Rate rows that no rule excludes."""
        return sum(build.figures.rows_eligible for build in self.builds.values())

    def withhold(self, payer: str, reason: str) -> None:
        """Leave a payer's new figures out of the month."""
        self.withheld[payer] = reason
        self.builds.pop(payer, None)

    def restore(self, payers: Iterable[str]) -> None:
        """Put what is published of these payers into the month, where this month has rows of them."""
        baseline = self._baseline
        if baseline is None:
            return
        for payer in sorted(baseline.published.payers.keys() & set(payers)):
            with explain_resource_errors(f"restoring the tables of {payer}", self._folder):
                folder, moved = self._folder / "restored", partial(self._moved, payer)
                found = baseline.restore(payer, folder, self._inputs.observer, moved)
            if found is not None:
                self.builds[payer], self._restored[payer] = found

    def moved_to_other_payers(self, payer: str, entities: Collection[str | None]) -> bool:
        """Whether these reporting entities, once the payer's, are all of payers that are built now."""
        return bool(entities) and self._moved(payer, set(entities)) == set(entities)

    def _moved(self, payer: str, entities: set[str | None]) -> set[str | None]:
        """Those of a payer's reporting entities as published that are now of another payer that is built."""
        now = dict(self._inputs.mapping.select("reporting_entity_name", "payer").iter_rows())
        together = map_payers({*now, *entities})
        payers = dict(together.select("reporting_entity_name", "payer").iter_rows())
        built = self.builds.keys() - self._restored.keys() - {payer}
        others = {payers[name] for name, other in now.items() if other in built}
        return {name for name in entities if payers[name] in others}

    def summarise(self) -> None:
        """Rates, providers, summaries (of payers and of networks) and quality, from the payers' builds."""
        self.builds = dict(sorted(self.builds.items()))
        self._tables("rates")
        for build in self.builds.values():
            build.link_rates(self._folder)
        self.rows["rates"] = sum(build.figures.rows for build in self.builds.values())
        self._write_providers()
        self._write_summaries()
        self._write_network_summaries()
        self._write_quality()
        self._write_coverage()

    def _tables(self, name: str) -> list[Path]:
        tables = [build.table(name) for build in self.builds.values()]
        require_files(self._layout, tables)
        return tables

    def _write_providers(self) -> None:
        # payers in order: sorted as a whole
        frames = (piece for path in self._tables("observations") for piece in read_frames(path))
        self.rows["providers"] = write_table(self._folder / "providers" / "providers.parquet", PROVIDERS, frames)

    def _write_summaries(self) -> None:
        request = self._request
        medicare = Comparison(self._inputs.localities, self._inputs.medicare_year)
        observations, files = self._tables("observations"), self._tables("files")
        observed = Observed(
            pl.concat([PROVIDERS.empty().lazy(), *map(pl.scan_parquet, observations)]),
            pl.concat([NO_FILES.lazy(), *map(pl.scan_parquet, files)]),
        )
        work = partial(summarize, observed, request.month, medicare, with_nppes=request.nppes is not None)
        summaries = self._process.run(work, large=bytes_of([*observations, *files]) >= LARGE_BYTES)
        path = self._folder / "summaries" / "summaries.parquet"
        self.rows["summaries"] = write_table(path, SUMMARIES, [summaries])

    def _write_network_summaries(self) -> None:
        request = self._request
        medicare = Comparison(self._inputs.localities, self._inputs.medicare_year)
        observations, files = self._tables("network_observations"), self._tables("network_files")
        frames = [NETWORK_SUMMARIES.empty()]
        for payer, own, behind in zip(self.builds, observations, files, strict=True):
            observed = Observed(pl.scan_parquet(own), pl.scan_parquet(behind))
            if not observed.providers.select(pl.len()).collect().item():  # none of its rates names a network
                continue
            work = partial(
                summarize_networks, observed, payer, request.month, medicare, with_nppes=request.nppes is not None
            )
            frames.append(self._process.run(work, large=bytes_of([own, behind]) >= LARGE_BYTES))
        path = self._folder / "network_summaries" / "network_summaries.parquet"
        sorted_frame = pl.concat(frames).sort(NETWORK_SUMMARIES.grain)
        self.rows["network_summaries"] = write_table(path, NETWORK_SUMMARIES, [sorted_frame])

    def _sum(self, name: str) -> pl.DataFrame:
        return sum_counts([pl.read_parquet(path) for path in self._tables(name)], COUNTED[name])

    def _write_quality(self) -> None:
        counts = self._sum("counts")
        folder = self._folder / "quality"
        month = pl.lit(self._request.month).alias("month")
        excluded = counts.filter(pl.col("reason").is_not_null()).with_columns(month)
        self.rows["exclusions"] = write_table(folder / "exclusions.parquet", FILE_EXCLUSIONS, [excluded])
        names = {name for names in self.reporting_entities.values() for name in names}
        unused = pl.DataFrame({"value": unused_mappings(names)}).with_columns(rows=pl.lit(0, pl.Int64))
        unmapped = pl.concat(
            [
                _kind("npi", self._sum("unknown_npis")),
                _kind("reporting_entity", self._sum("unknown_entities")),
                _kind("unused_mapping", unused),
            ]
        )
        write_table(folder / "unmapped.parquet", UNMAPPED, [unmapped.with_columns(month).sort(UNMAPPED.grain)])
        payers = dict(self._inputs.mapping.select("reporting_entity_name", "payer").iter_rows())
        outcomes = self.outcomes
        if self._request.report_unchanged:
            outcomes = [replace(o, status="unchanged") if o.unchanged and o.usable else o for o in outcomes]
        files = count_files(describe_files(self._request.month, outcomes, payers, self._inputs.blocks), counts)
        if self._baseline is not None:
            files = count_files(self._with_published(files, self._baseline), counts)
        self.rows["files"] = write_table(folder / "files.parquet", FILES, [files])

    def _write_coverage(self) -> None:
        """The rules of the loaded editions; no file where none is loaded."""
        request = self._request
        if request.coverage:
            table = coverage_of([each.read() for each in request.coverage], request.codes, request.month)
            path = self._folder / "coverage" / "coverage.parquet"
            self.rows["coverage"] = write_table(path, COVERAGE, [table])

    def _with_published(self, files: pl.DataFrame, baseline: "Baseline") -> pl.DataFrame:
        """Files of this run, those that it did not read, and those behind restored rows."""
        unread = {file["shown"] for file in baseline.files}
        behind: dict[str, str | None] = {}
        for payer in self._restored:
            is_withheld = payer in self.withheld
            reason = f"{payer} is withheld: its published rows come from this content" if is_withheld else None
            behind |= dict.fromkeys(self.builds[payer].source_ids, reason)
        return merge_files(files, baseline.published_files, unread, behind) if unread or behind else files


def _kind(kind: str, counted: pl.DataFrame) -> pl.DataFrame:
    return counted.select(kind=pl.lit(kind), value=pl.col("value").cast(pl.String), rows=pl.col("rows"))

"""Extracts of one month into its tables, in a staging folder: rates, providers, summaries, quality.

Memory: one payer at a time (``payer_builds``), then the month's observations as ``summarize`` takes them.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path

import polars as pl

from flows.apart import Apart
from flows.extracts import Outcome, UnresolvedReferences
from flows.faults import during
from flows.fetching import Fetching
from flows.layout import Layout
from flows.month_inputs import (
    Fetched,
    as_reference_groups,
    bytes_of,
    contents_of,
    extract_folders,
    fetch_remote,
    load,
    require,
    table_in,
)
from flows.payer_builds import COUNTED, NO_FILES, PayerBuild, PayerInputs, build_payer, known_build, sum_counts
from flows.reference import downloads_behind
from flows.remote import RemoteReferences
from flows.sources import names_apart
from flows.tables import read_pieces, write_table
from schemas.extracted import INLINE_GROUPS, REFERENCE_GROUPS
from schemas.published import FILE_EXCLUSIONS, FILES, PROVIDERS, SUMMARIES, UNMAPPED
from transforms.clean import date_of
from transforms.medicare import MedicareReference, medicare_year_for, national_amounts, price_localities
from transforms.payers import map_payers, unused_mappings
from transforms.summarize import Comparison, Observed, summarize

LOG = logging.getLogger(__name__)
# What is larger is done apart; less is done before another process has begun, and asks for little memory
LARGE_PAIRS = 1_000_000  # of price and provider, at most
LARGE_BYTES = 8 << 20  # of observations
NPI_BYTES = 4  # about, in an extract

_GROUPS = (INLINE_GROUPS, REFERENCE_GROUPS)
_DOCUMENTS = pl.Schema(
    {
        "source_no": pl.UInt32(),
        "document": pl.Int32(),
        "reporting_entity_name": pl.String(),
        "last_updated_on": pl.Date(),
    }
)


@dataclass(frozen=True)
class MonthRequest:
    """What a month is built from, besides its files. ``nppes``: a built lookup, or None."""

    month: date
    codes: tuple[str, ...]
    medicare: MedicareReference
    nppes: Path | None = None
    force: bool = False  # build payers that stand in the cache anew
    fetching: Fetching | None = None  # of remote provider references
    tell_unchanged: bool = False  # in quality/files, of what an earlier run had read
    remote: RemoteReferences | None = None  # what this run knows of remote references already


class MonthBuilder:
    """Writes every table of a month under ``folder``, in the published layout.

    The tables depend on the files' content only: neither names nor order nor twins change a byte of them, but for
    ``quality/files``, which says what each name was.
    """

    def __init__(
        self, request: MonthRequest, outcomes: Sequence[Outcome], layout: Layout, folder: Path, apart: Apart
    ) -> None:
        self._request = request
        self._outcomes = outcomes
        self._sources = _distinct(outcomes)
        self._layout = layout
        self._folder = folder
        self._apart = apart
        self._remote = request.remote or RemoteReferences(layout, request.fetching, force=request.force)
        self._fetched: Fetched = {}
        documents = _documents(self._sources)
        self._mapping = map_payers(documents["reporting_entity_name"].to_list())
        self._documents = documents.join(self._mapping, on="reporting_entity_name", nulls_equal=True)
        self.builds: dict[str, PayerBuild] = {}
        self.withheld: dict[str, str] = {}
        self._kept_groups: dict[str, set[str]] = {}
        self.rows: dict[str, int] = {"rates": 0}

    @property
    def groups(self) -> dict[str, set[str]]:
        """The configuration's names whose files each payer's documents stand in."""
        found = {payer: set(names) for payer, names in self._kept_groups.items()}
        for source_no, payer in self._documents.select("source_no", "payer").iter_rows():
            name = self._sources[source_no].source.payer
            if name is not None:
                found.setdefault(payer, set()).add(name)
        return found

    @property
    def eligible(self) -> int:
        """Rate rows that no rule excludes."""
        return sum(build.figures.rows_eligible for build in self.builds.values())

    @property
    def medicare_year(self) -> int | None:
        """The fee schedule year compared with."""
        return medicare_year_for(self._request.medicare, self._request.month)

    @property
    def nppes_identity(self) -> dict[str, object] | None:
        """Which NPPES lookup was joined: the downloads it was made from, rows and bytes of the built file."""
        path = self._request.nppes
        if path is None:
            return None
        rows = pl.scan_parquet(path).select(pl.len()).collect().item()
        return {"lookup": path.name, "made_from": downloads_behind(path), "rows": rows, "bytes": path.stat().st_size}

    @property
    def unresolved_locations(self) -> dict[str, str]:
        """Remote provider references that could not be had, and why."""
        return self._remote.failed

    @property
    def unresolved_references(self) -> UnresolvedReferences:
        """How many remote provider references could not be had."""
        return UnresolvedReferences(self._remote.unresolved, dict(sorted(self._remote.given_up.items())))

    def normalise(self) -> None:
        """Rates and observations, payer by payer; those whose inputs are unchanged are taken from the cache."""
        with during("fetching provider references", self._layout.remote):
            self._fetched = fetch_remote(self._sources, self._layout, self._remote)
        for payer in self._documents["payer"].unique().sort():
            with during(f"building the tables of {payer}", self._layout.payer_builds):
                self.builds[payer] = self._build_payer(payer)

    def hold_back(
        self, payer: str, reason: str, last_good: str | None, groups: tuple[str, ...], read_then: Sequence[Outcome]
    ) -> None:
        """Keep a payer's new figures out of the month; its last good ones stay, where this month has some.

        Args:
            last_good: the key of the build that stands published.
            groups: the configuration's names behind that one.
            read_then: outcomes of the files read then, for ``quality/files``.
        """
        self.withheld[payer] = reason
        self.builds.pop(payer, None)
        kept = None if last_good is None else known_build(self._layout, payer, last_good)
        if kept is not None:
            self.builds[payer] = kept
            self._kept_groups[payer] = set(groups)
            described = {outcome.source_id for outcome in self._outcomes}
            behind = set(kept.source_ids) - described
            self._outcomes = [*self._outcomes, *(o for o in read_then if o.source_id in behind)]

    def summarise(self) -> None:
        """Rates, providers, summaries and quality, from the payers' builds."""
        self.builds = dict(sorted(self.builds.items()))
        self._tables("rates")
        for build in self.builds.values():
            build.link_rates(self._folder)
        self.rows["rates"] = sum(build.figures.rows for build in self.builds.values())
        self._write_providers()
        self._write_summaries()
        self._write_quality()

    def _build_payer(self, payer: str) -> PayerBuild:
        """One payer's tables, found or built."""
        request = self._request
        own = self._documents.filter(pl.col("payer") == payer)
        folders = extract_folders(self._sources, own["source_no"], self._layout)
        extracts = load(folders, own.select(list(_DOCUMENTS)))
        documents = set(own.select("source_no", "document").iter_rows())
        fetched = {grain: path for grain, path in self._fetched.items() if grain[:2] in documents}
        inputs = PayerInputs(
            payer=payer,
            documents=own,
            mapping=self._mapping.filter(pl.col("payer") == payer),
            source_ids=[outcome.source_id or "" for outcome in self._sources],
            national=national_amounts(request.medicare, request.codes, request.month).select(
                "billing_code", "amount_usd"
            ),
            codes=request.codes,
            nppes=request.nppes,
            fetched=tuple(contents_of(fetched, self._sources)),
        )
        known = None if request.force else known_build(self._layout, payer, inputs.key())
        if known is not None:
            LOG.info("%s: nothing changed", payer)
            return known
        groups = pl.concat([extracts.reference_groups, *as_reference_groups(fetched)])
        resolvable = replace(extracts, reference_groups=groups)
        large = self._may_pair_up(folders, fetched.values()) >= LARGE_PAIRS
        return self._apart.run(build_payer, inputs, resolvable, self._layout, large=large)

    def _may_pair_up(self, folders: dict[int, Path], fetched: Iterable[Path]) -> int:
        """How many pairs of price and provider there may be, from the files' sizes: a few bytes hold an NPI."""
        remote = bytes_of(fetched)
        groups = {no: bytes_of(table_in(folder, table) for table in _GROUPS) for no, folder in folders.items()}
        return sum(self._sources[no].account.prices * (remote + size) // NPI_BYTES for no, size in groups.items())

    def _tables(self, name: str) -> list[Path]:
        tables = [build.table(name) for build in self.builds.values()]
        require(self._layout, tables)
        return tables

    def _write_providers(self) -> None:
        # payers in order: sorted as a whole
        frames = (piece for path in self._tables("observations") for piece in read_pieces(path))
        self.rows["providers"] = write_table(self._folder / "providers" / "providers.parquet", PROVIDERS, frames)

    def _write_summaries(self) -> None:
        request = self._request
        localities = price_localities(request.medicare, request.codes, request.month)
        medicare = Comparison(
            localities.select("billing_code", "state", "amount_usd"),
            self.medicare_year,
        )
        observations, files = self._tables("observations"), self._tables("files")
        observed = Observed(
            pl.concat([PROVIDERS.empty().lazy(), *map(pl.scan_parquet, observations)]),
            pl.concat([NO_FILES.lazy(), *map(pl.scan_parquet, files)]),
        )
        work = partial(summarize, observed, request.month, medicare, with_nppes=request.nppes is not None)
        summaries = self._apart.run(work, large=bytes_of([*observations, *files]) >= LARGE_BYTES)
        path = self._folder / "summaries" / "summaries.parquet"
        self.rows["summaries"] = write_table(path, SUMMARIES, [summaries])

    def _sum(self, name: str) -> pl.DataFrame:
        return sum_counts([pl.read_parquet(path) for path in self._tables(name)], COUNTED[name])

    def _write_quality(self) -> None:
        counts = self._sum("counts")
        folder = self._folder / "quality"
        excluded = counts.filter(pl.col("reason").is_not_null())
        self.rows["exclusions"] = write_table(folder / "exclusions.parquet", FILE_EXCLUSIONS, [excluded])
        names = self._mapping["reporting_entity_name"].to_list()
        unused = pl.DataFrame({"value": unused_mappings(names)}).with_columns(rows=pl.lit(0, pl.Int64))
        unmapped = pl.concat(
            [
                _kind("npi", self._sum("unknown_npis")),
                _kind("reporting_entity", self._sum("unknown_entities")),
                _kind("unused_mapping", unused),
            ]
        )
        write_table(folder / "unmapped.parquet", UNMAPPED, [unmapped.sort(UNMAPPED.grain)])
        payers = dict(self._mapping.select("reporting_entity_name", "payer").iter_rows())
        outcomes = self._outcomes
        if self._request.tell_unchanged:
            outcomes = [replace(o, status="unchanged") if o.unchanged else o for o in outcomes]
        files = describe_files(outcomes, counts, payers)
        self.rows["files"] = write_table(folder / "files.parquet", FILES, [files])


def remote_contents(outcomes: Sequence[Outcome], layout: Layout, remote: RemoteReferences) -> list[str]:
    """Which content the remote references that these files cite have now: what a month depends on besides them."""
    sources = _distinct(outcomes)
    return contents_of(fetch_remote(sources, layout, remote), sources)


def _distinct(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """One outcome per content that matched, in order of content: twins count once."""
    by_id: dict[str, Outcome] = {}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.source):
        if outcome.status == "matched" and outcome.source_id is not None:
            by_id.setdefault(outcome.source_id, outcome)
    return [by_id[source_id] for source_id in sorted(by_id)]


def _documents(sources: Sequence[Outcome]) -> pl.DataFrame:
    rows = [
        (
            source_no,
            number_in_source,
            document.header.get("reporting_entity_name") or outcome.source.payer,
            date_of(document.header.get("last_updated_on")),
        )
        for source_no, outcome in enumerate(sources)
        for number_in_source, document in enumerate(outcome.account.documents)
        if document.items_matched
    ]
    return pl.DataFrame(rows, schema=_DOCUMENTS, orient="row")


def _kind(kind: str, counted: pl.DataFrame) -> pl.DataFrame:
    return counted.select(kind=pl.lit(kind), value=pl.col("value").cast(pl.String), rows=pl.col("rows"))


def describe_files(outcomes: Sequence[Outcome], counts: pl.DataFrame, payers: dict[str | None, str]) -> pl.DataFrame:
    """``schemas.FILES``: one row per source of the run."""
    rows: dict[str, int] = dict(counts.group_by("source_id").agg(pl.col("rows").sum()).iter_rows())
    eligible: dict[str, int] = dict(
        counts.filter(pl.col("reason").is_null()).group_by("source_id").agg(pl.col("rows").sum()).iter_rows()
    )
    first_name: dict[str, str] = {}
    names = names_apart(outcome.source for outcome in outcomes)
    described = []
    for outcome in sorted(outcomes, key=lambda outcome: outcome.source):
        described.append(_describe_file(outcome, names[outcome.source], rows, eligible, payers, first_name))
    return pl.DataFrame(described, schema=FILES.polars).sort(FILES.grain)


def _describe_file(
    outcome: Outcome,
    name: str,
    rows: dict[str, int],
    eligible: dict[str, int],
    payers: dict[str | None, str],
    first_name: dict[str, str],
) -> dict[str, object]:
    account = outcome.account
    header = account.documents[0].header if account.documents else {}
    entity = (header.get("reporting_entity_name") or outcome.source.payer) if account.documents else None
    source_id = outcome.source_id or ""
    first = first_name.setdefault(source_id, name) if source_id else None
    return {
        "source_id": outcome.source_id,
        "source": name,
        "status": outcome.status,
        "reason": outcome.reason,
        "bytes": outcome.bytes,
        "bytes_json": account.bytes_json if outcome.usable else None,
        "sha256": outcome.source_id,
        "etag": outcome.etag,
        "version": header.get("version"),
        "shape": account.shape if account.documents else None,
        "reporting_entity_name": entity,
        "payer": payers.get(entity) if account.items_matched else None,
        "last_updated_on": date_of(header.get("last_updated_on")),
        "items_seen": account.items_seen,
        "items_matched": account.items_matched,
        "prices": account.prices,
        "rows": rows.get(source_id, 0),
        "rows_eligible": eligible.get(source_id, 0),
        "twin_of": None if first in (None, name) else first,
        "quirks": account.quirks,
        "seconds": round(outcome.seconds, 3),
    }

"""What a month is built from: its request, its files' extracts, the remote provider references that they cite.

``MonthInputs.key`` and ``PayerInputs.key`` are digests of the values that the tables depend on.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl

from flows.download.sources import parse_stored, resolve_location
from flows.extract.ledger import content_of
from flows.extract.outcome import Outcome, UnresolvedReferences
from flows.extract.provider_references import RemoteReferences
from flows.extract.stored_tables import StoredTables
from flows.settings.values import Fetching
from flows.storage.code_versions import code_version, digest_of
from flows.storage.layout import Layout
from flows.storage.resource_errors import explain_resource_errors
from flows.tables.coverage_editions import StoredEdition
from flows.tables.nppes_lookup import downloads_behind
from flows.tables.payer_builds import EvidenceInputs, Fetched, Observer, PayerInputs, payer_rules
from flows.tables.utilization_lookup import Utilization
from schemas.code_families import family_of
from schemas.extracted import EXTRACTED, REFERENCE_GROUPS, REFERENCES
from transforms.benchmark.evidence import NO_EVIDENCE
from transforms.benchmark.payers import map_payers, reviewed_payers
from transforms.benchmark.rates import PLACES, locate_providers
from transforms.benchmark.representative_rates import MedicareAmounts
from transforms.benchmark.resolve import REFERENCE_GRAIN, Extracts
from transforms.cms.localities import locality_name, locate_zips
from transforms.cms.medicare import MedicareReference, medicare_year_for, national_amounts, price_localities
from transforms.read.clean import date_of

LOG = logging.getLogger(__name__)
DOCUMENTS = pl.Schema(
    {
        "source_no": pl.UInt32(),
        "document": pl.Int32(),
        "reporting_entity_name": pl.String(),
        "last_updated_on": pl.Date(),
    }
)
_RULES = (
    "flows.tables.month_tables",
    "flows.tables.month_inputs",
    "flows.tables.payer_builds",
    "flows.publish.published_month",
    "flows.storage.parquet",
)


@dataclass(frozen=True)
class MonthRequest:
    """What a month is built from, besides its files. ``nppes``: a built lookup, or None."""

    month: date
    codes: tuple[str, ...]
    medicare: MedicareReference
    zip_localities: pl.DataFrame  # schemas.reference.ZIP_LOCALITIES
    nppes: Path | None = None
    utilization: Utilization | None = None  # of the year that counts for the month
    force: bool = False  # build payers again that the cache has
    fetching: Fetching | None = None  # of remote provider references
    report_unchanged: bool = False  # in quality/files, for files that an earlier run read
    coverage: tuple[StoredEdition, ...] = ()  # of coverage rules, those that count for the month


class MonthInputs:
    """Everything that a month's tables depend on.

    sources: one outcome per content that matched. blocks: the configuration's names of each content.
    documents: of those sources, with their payers (``map_payers``).
    mapping: every name's payer. localities: billing_code, state, amount_usd. nppes_id: digest of the lookup's content.
    """

    def __init__(self, request: MonthRequest, outcomes: Sequence[Outcome], layout: Layout) -> None:
        self.request = request
        self.outcomes = outcomes
        self.layout = layout
        self.sources = _distinct(outcomes)
        self.blocks = _blocks_of(outcomes)
        documents = _documents(self.sources, self.blocks)
        self.mapping = map_payers(documents["reporting_entity_name"].to_list())
        self.documents = documents.join(self.mapping, on="reporting_entity_name", nulls_equal=True)
        self.medicare_year = medicare_year_for(request.medicare, request.month)
        priced = price_localities(request.medicare, request.codes, request.month)
        self.localities = priced.select("billing_code", "state", "amount_usd")
        self.zip_localities = locate_zips(request.zip_localities, request.medicare, self.medicare_year)
        self.medicare = MedicareAmounts(
            national_amounts(request.medicare, request.codes, request.month).select("billing_code", "amount_usd"),
            priced.select("billing_code", locality=locality_name(), medicare_usd="amount_usd"),
        )
        self._localities_id = digest_of(self.zip_localities.write_csv(), self.medicare.local.write_csv())
        self.nppes_id = None if request.nppes is None else content_of(request.nppes, layout)
        self.evidence = None if request.utilization is None else _evidence(request.utilization, request.codes, layout)
        self._remote = RemoteReferences(layout, request.fetching, force=request.force)

    @cached_property
    def payers(self) -> dict[str, PayerInputs]:
        """Each payer's inputs, in order of payers; fetches the remote references that are cited."""
        request = self.request
        with explain_resource_errors("fetching provider references", self.layout.remote):
            everything = fetch_remote(self.sources, self.layout, self._remote)
        rules, source_ids = payer_rules(), [outcome.source_id or "" for outcome in self.sources]
        parts = {}
        for (payer,), documents in sorted(self.documents.partition_by("payer", as_dict=True).items()):
            own = set(documents.select("source_no", "document").iter_rows())
            parts[payer] = PayerInputs(
                payer=payer,
                month=request.month,
                documents=documents,
                mapping=self.mapping.filter(pl.col("payer") == payer),
                source_ids=source_ids,
                medicare=self.medicare,
                zip_localities=self.zip_localities,
                localities_id=self._localities_id,
                codes=request.codes,
                nppes=request.nppes,
                nppes_id=self.nppes_id,
                rules=rules,
                fetched={grain: path for grain, path in everything.items() if grain[:2] in own},
                evidence=self.evidence,
            )
        return parts

    @property
    def nppes_identity(self) -> dict[str, object] | None:
        """Which NPPES lookup is joined: the downloads it was made from, rows and bytes of the built file."""
        path = self.request.nppes
        if path is None:
            return None
        return {
            "lookup": path.name,
            "made_from": downloads_behind(path),
            "rows": pl.scan_parquet(path).select(pl.len()).collect().item(),
            "bytes": path.stat().st_size,
            "sha256": self.nppes_id,
        }

    @property
    def utilization_identity(self) -> dict[str, object] | None:
        """Which year's services are the evidence: the built file, its download, NPIs, the digest of its content."""
        built = self.request.utilization
        if built is None or self.evidence is None:
            return None
        return {
            "year": built.year,
            "lookup": built.path.name,
            "made_from": built.made_from,
            "codes": list(self.evidence.codes),
            "npis": pl.scan_parquet(built.path).select(pl.col("npi").n_unique()).collect().item(),
            "sha256": content_of(built.path, self.layout),
        }

    @property
    def coverage_identity(self) -> list[dict[str, object]]:
        """Which editions of coverage rules are published: codes, downloads and digest of the content of each."""
        return [
            {
                "kind": each.kind,
                "edition": each.date.isoformat(),
                "codes": list(each.codes),
                "made_from": list(each.made_from),
                "sha256": content_of(each.path, self.layout),
            }
            for each in self.request.coverage
        ]

    @property
    def localities_edition(self) -> str | None:
        """The edition of the ZIP to locality file, such as ``2026Q1``; None where the year's is not loaded."""
        editions = self.request.zip_localities.filter(pl.col("year").eq_missing(self.medicare_year))
        return None if editions.is_empty() else f"{self.medicare_year}Q{editions['quarter'][0]}"

    def observer(self, npis: pl.Series) -> Observer:
        """For published rates of these NPIs."""
        places = pl.DataFrame(schema=PLACES)
        if self.request.nppes is not None:
            wanted = pl.LazyFrame({"npi": npis.unique()}, schema={"npi": pl.Int64})
            own = pl.scan_parquet(self.request.nppes).join(wanted, on="npi", how="semi")
            places = locate_providers(own.select("npi", "zip5").collect(), self.zip_localities)
        return Observer(places, self.medicare, NO_EVIDENCE if self.evidence is None else self.evidence.find(npis))

    @property
    def unresolved_locations(self) -> dict[str, str]:
        """Remote provider references that could not be fetched, and why."""
        return self._remote.failed

    @property
    def unresolved_references(self) -> UnresolvedReferences:
        """How many remote provider references could not be fetched."""
        return UnresolvedReferences(self._remote.unresolved, dict(sorted(self._remote.given_up.items())))

    def key(self, unread: Iterable[Outcome] = (), builds: Mapping[str, str] = MappingProxyType({})) -> str:
        """A digest: the same as the last publication's when a build would give the same tables.

        Args:
            unread: files that stay as published.
            builds: the keys of published payers that stay.
        """
        keys = {**builds, **{payer: own.key for payer, own in self.payers.items()}}
        outcomes = (*self.outcomes, *unread)
        files = ((o.source.name, o.source.payer, o.source_id, o.usable, o.facts_id) for o in outcomes)
        return digest_of(
            code_version(*_RULES),
            sorted(keys.items()),
            sorted(files, key=str),
            reviewed_payers().rows(),
            self.localities.rows(),
            self.medicare_year,
            self.request.nppes is not None,
            None if self.evidence is None else self.evidence.id,
            (self.request.codes, self.coverage_identity) if self.request.coverage else None,
        )


def _evidence(built: Utilization, billing_codes: Sequence[str], layout: Layout) -> EvidenceInputs:
    codes = built.evidence_codes(billing_codes)
    if missing := [code for code in billing_codes if code not in codes]:
        LOG.warning(
            "%s: no evidence of %s: build it again: tic-rates reference utilization FILE --codes %s",
            *(built.path, ", ".join(missing), ",".join(billing_codes)),
        )
    families = [(code, str(family_of(code))) for code in codes]
    return EvidenceInputs(built.path, codes, digest_of(content_of(built.path, layout), families))


def _distinct(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """One outcome per content that matched, in order of content: twins count once."""
    by_id: dict[str, Outcome] = {}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.source):
        if outcome.status == "matched" and outcome.source_id is not None:
            by_id.setdefault(outcome.source_id, outcome)
    return [by_id[source_id] for source_id in sorted(by_id)]


def _blocks_of(outcomes: Sequence[Outcome]) -> dict[str | None, list[str]]:
    """The configuration's names of each content, sorted: the first one names the payer of a file that does not."""
    found: dict[str | None, set[str]] = {}
    for outcome in outcomes:
        if outcome.source_id is not None and outcome.source.payer is not None:
            found.setdefault(outcome.source_id, set()).add(outcome.source.payer)
    return {source_id: sorted(names) for source_id, names in found.items()}


def _documents(sources: Sequence[Outcome], blocks: Mapping[str | None, Sequence[str]]) -> pl.DataFrame:
    rows = [
        (
            source_no,
            number_in_source,
            document.header.get("reporting_entity_name") or next(iter(blocks.get(outcome.source_id, ())), None),
            date_of(document.header.get("last_updated_on")),
        )
        for source_no, outcome in enumerate(sources)
        for number_in_source, document in enumerate(outcome.account.documents)
        if document.items_matched
    ]
    return pl.DataFrame(rows, schema=DOCUMENTS, orient="row")


def bytes_of(paths: Iterable[Path]) -> int:
    """Of these files together."""
    return sum(path.stat().st_size for path in paths)


def stored_tables(sources: Sequence[Outcome], numbers: Iterable[int], layout: Layout) -> StoredTables:
    """The extract tables of these sources."""
    return StoredTables(layout, name_extracts(sources, numbers, layout))


def name_extracts(sources: Sequence[Outcome], numbers: Iterable[int], layout: Layout) -> dict[int, Path]:
    """Extract folders by name: another machine's cache may have another path."""
    return {
        no: layout.extracts / folder.name for no in sorted(set(numbers)) if (folder := sources[no].extract) is not None
    }


def rows_of(documents: pl.DataFrame, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The rows of an extract table that are of these documents."""
    key = ["source_no", "document"]
    return rows.join(documents.lazy().select(key), on=key, how="semi")


def resolvable_extracts(own: PayerInputs, stored: StoredTables) -> Extracts:
    """The extract tables of one payer, with the groups of its remote references."""
    documents = own.documents.select(list(DOCUMENTS))
    tables = [rows_of(documents, stored.scan(table)) for table in EXTRACTED]
    tables[-1] = pl.concat([tables[-1], *as_reference_groups(own.fetched)])
    return Extracts(documents.lazy(), *tables)


def fetch_remote(sources: Sequence[Outcome], layout: Layout, remote: RemoteReferences) -> Fetched:
    """The cited references that hold no groups themselves, with what was fetched from their locations.

    Of all sources at once, so that the same hosts are given up whatever payers are built.
    """
    locations: dict[tuple[int, int, str, int], str] = {}
    known: Fetched = {}
    for row in _remote_references(sources, layout):
        source_no, document, reference_key, ordinal = (row[name] for name in REFERENCE_GRAIN)
        grain = (source_no, document, reference_key, ordinal)
        stated, outcome = row["location"], sources[source_no]
        shown, digest, refused = parse_stored(stated)
        location = outcome.signed.get(stated) if digest else resolve_location(stated, outcome.source)
        if refused or (location is None and digest is None):
            remote.note_unresolvable(shown)
        elif location is not None:
            locations[grain] = location
        elif (path := remote.find_signed(str(digest), shown)) is not None:
            known[grain] = path
    paths = remote.fetch(locations.values())
    return known | {grain: paths[location] for grain, location in locations.items() if location in paths}


def _remote_references(sources: Sequence[Outcome], layout: Layout) -> Iterator[dict[str, Any]]:
    """Rows of REFERENCES that have a location and no groups, with their source_no."""
    numbers = [no for no, outcome in enumerate(sources) if outcome.account.cites_remotely]
    for no, folder in name_extracts(sources, numbers, layout).items():
        references = StoredTables(layout, {no: folder}).scan(REFERENCES)
        wanted = references.filter((pl.col("n_groups") == 0) & pl.col("location").is_not_null())
        yield from wanted.collect().iter_rows(named=True)


def as_reference_groups(fetched: Fetched) -> Iterator[pl.LazyFrame]:
    """Fetched provider groups as rows of REFERENCE_GROUPS."""
    columns = [*REFERENCE_GROUPS.names, "source_no"]
    for (source_no, document, reference_key, ordinal), path in fetched.items():
        yield (
            pl.scan_parquet(path)
            .with_columns(
                document=pl.lit(document, pl.Int32),
                ordinal=pl.lit(ordinal, pl.Int64),
                reference_key=pl.lit(reference_key),
                source_no=pl.lit(source_no, pl.UInt32),
            )
            .select(columns)
        )

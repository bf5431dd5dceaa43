"""One payer's part of a month, built once and cached under a digest of everything it was made from.

A changed file rebuilds its own payers only; the cached tables of the others are linked into the new month.
Memory: one payer's numbered prices and providers, and one range of its pairs at a time.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from flows.extract.readers import reading_version
from flows.storage.atomic_files import put_in_place, unfinished_folder
from flows.storage.cache_entries import CacheEntry, read_cache_entry, write_cache_entry
from flows.storage.code_versions import code_version, digest_of
from flows.storage.layout import Layout
from flows.storage.object_sync import ensure_local, upload
from flows.storage.parquet import read_by_npi, write_table
from flows.tables.observations_external_sort import SortedObservations
from schemas.codes import EXCLUSIONS
from schemas.published import PROVIDERS, RATES
from schemas.reference import NPPES
from transforms.benchmark.evidence import NO_EVIDENCE, find_evidence
from transforms.benchmark.networks import rates_by_network
from transforms.benchmark.payers import payer_slug
from transforms.benchmark.rates import describe_rates, gather_facts
from transforms.benchmark.representative_rates import FILES_BEHIND, MedicareAmounts, list_files, observe_providers
from transforms.benchmark.resolve import Extracts, iter_pairs, resolve_providers
from transforms.benchmark.taxonomy import therapy_taxonomies

PAIRS_EACH = 1_000_000  # rate rows in memory at a time: about a kB each
FIGURES = "figures.json"
REMOTE = "remote.parquet"
ELIGIBLE = "eligible"
_EXCLUSION_NAMES = [rule.name for rule in EXCLUSIONS]
_RULES_OF_THE_KNOWN = _EXCLUSION_NAMES[
    _EXCLUSION_NAMES.index("npi_unknown") + 1 :
]  # a row that fails one of these passed npi_unknown
COUNTED = {  # what is counted, by which columns
    "files": [],
    "counts": ["source_id", "payer", "billing_code", "reason"],
    "reasons": ["reason"],
    "unknown_npis": ["value"],
    "unknown_entities": ["value"],
}
_BUILDING_MODULES = (
    "flows.extract.stored_tables",
    "flows.tables.month_inputs",
    "flows.tables.payer_builds",
    "flows.tables.observations_external_sort",
    "flows.storage.parquet",
)
Fetched = dict[tuple[int, int, str, int], Path]  # by REFERENCE_GRAIN: Parquet of a remote reference's groups
FETCHED = pl.Schema(
    {
        "source_id": pl.String(),
        "document": pl.Int32(),
        "ordinal": pl.Int64(),
        "reference_key": pl.String(),
        "sha256": pl.String(),
    }
)
NO_FILES = pl.DataFrame(schema=dict.fromkeys(FILES_BEHIND, pl.String) | {"has_tin": pl.Boolean})


def payer_rules() -> str:
    """The version of what one payer's tables hold for the same inputs: of the rules and of reading."""
    return digest_of(code_version(*_BUILDING_MODULES), reading_version(), therapy_taxonomies().rows())


@dataclass(frozen=True)
class EvidenceInputs:
    """A built utilization file, and for which codes it has evidence. id: the digest of all that."""

    path: Path
    codes: tuple[str, ...]
    id: str

    def find(self, npis: pl.Series) -> pl.DataFrame:
        """``find_evidence`` of these NPIs."""
        return find_evidence(pl.scan_parquet(self.path), npis, self.codes)


@dataclass(frozen=True)
class Observer:
    """Makes observations of rates: what is known of some NPIs, and Medicare's amounts.

    places: npi, zip5, locality. evidence: of ``find_evidence``.
    """

    places: pl.DataFrame
    medicare: MedicareAmounts
    evidence: pl.DataFrame

    def observe(self, rates: pl.DataFrame) -> pl.DataFrame:
        """``schemas.PROVIDERS`` of whole (tin, npi) groups."""
        return observe_providers(rates, self.places, self.medicare, self.evidence)

    def renew_evidence(self, providers: pl.DataFrame) -> pl.DataFrame:
        """Published ``schemas.PROVIDERS`` with the present evidence, in the same order."""
        others = providers.drop("evidence", "services").lazy()
        joined = others.join(self.evidence.lazy(), on=["npi", "billing_code"], how="left", maintain_order="left")
        return joined.pipe(PROVIDERS.conform).collect()

    def list_files(self, rates: pl.DataFrame, providers: pl.DataFrame) -> pl.DataFrame:
        """The source files of the providers that are not outliers."""
        return list_files(rates, providers, self.evidence)


ObserverOf = Callable[[pl.Series], Observer]  # by NPIs


@dataclass(frozen=True)
class PayerInputs:
    """Everything that one payer's tables depend on.

    documents: source_no, document, reporting_entity_name, last_updated_on. mapping: the names' payers.
    source_ids: by source_no. nppes_id: the digest of the lookup's content. zip_localities: zip5, locality;
    localities_id: the digest of these and of their Medicare amounts.
    rules: ``payer_rules``. fetched: the groups of its remote references, in files named by their content.
    """

    payer: str
    month: date
    documents: pl.DataFrame
    mapping: pl.DataFrame
    source_ids: Sequence[str]
    medicare: MedicareAmounts
    zip_localities: pl.DataFrame
    localities_id: str
    codes: tuple[str, ...]
    nppes: Path | None
    nppes_id: str | None
    rules: str
    fetched: Fetched = field(default_factory=dict)
    evidence: EvidenceInputs | None = None

    @property
    def own_source_ids(self) -> list[str]:
        """The files that have this payer's documents."""
        return sorted({self.source_ids[number] for number in self.documents["source_no"].to_list()})

    @cached_property
    def key(self) -> str:
        """The name of its build: the same for the same inputs and rules, whatever the names and order of the files."""
        documents = [
            (self.source_ids[source_no], document, name, str(updated))
            for source_no, document, name, updated in self.documents.select(
                "source_no", "document", "reporting_entity_name", "last_updated_on"
            ).iter_rows()
        ]
        return digest_of(
            self.rules,
            self.payer,
            self.month.isoformat(),
            sorted(documents, key=str),
            sorted(self.mapping.rows(), key=str),
            sorted(self.medicare.national.rows(), key=str),
            self.localities_id,
            sorted(self.codes),
            self.nppes_id,
            None if self.evidence is None else self.evidence.id,
            sorted(
                f"{self.source_ids[source_no]} {document} {reference_key} {ordinal}: {path.stem}"
                for (source_no, document, reference_key, ordinal), path in self.fetched.items()
            ),
        )


@dataclass(frozen=True)
class PayerFigures:
    """What the gates before publishing compare.

    rows: distinct rate rows. reasons: rows by exclusion, ``eligible`` for none.
    medians_usd: by billing code, over the counted professional observations.
    """

    rows: int
    reasons: dict[str, int]
    medians_usd: dict[str, float]

    @property
    def rows_eligible(self) -> int:
        """Rows that no rule excludes."""
        return self.reasons.get(ELIGIBLE, 0)

    @property
    def nppes_share(self) -> float | None:
        """Of the rows whose NPI was looked up, those that NPPES knows; None where none was."""
        known = sum(self.reasons.get(reason, 0) for reason in (ELIGIBLE, *_RULES_OF_THE_KNOWN))
        looked_up = known + self.reasons.get("npi_unknown", 0)
        return known / looked_up if looked_up else None


class _CacheEntry(CacheEntry):
    figures: PayerFigures
    source_ids: tuple[str, ...]


@dataclass(frozen=True)
class PayerBuild:
    """A payer's tables in the cache: rates, observations (of networks, too), counts that the month's tables add up."""

    payer: str
    key: str
    folder: Path
    figures: PayerFigures
    source_ids: tuple[str, ...]

    def table(self, name: str) -> Path:
        """One of its Parquet files."""
        return self.folder / f"{name}.parquet"

    def link_rates(self, month: Path) -> None:
        """Put the rates into a month being built; linked, not copied, where the file system can."""
        target = rates_path(month / "rates", self.payer)
        target.parent.mkdir(parents=True)
        link_or_copy(self.table("rates"), target)

    def as_json(self) -> dict[str, Any]:
        """The manifest's account of it."""
        figures = asdict(self.figures) | {"rows_eligible": self.figures.rows_eligible}
        return {"build": self.key, "source_ids": list(self.source_ids), **figures}


def rates_path(month: Path, payer: str) -> Path:
    """A payer's rates under a month's folder of them."""
    return month / f"payer_slug={payer_slug(payer)}" / "rates.parquet"


def link_or_copy(path: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no links."""
    try:
        target.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, target)


def cached_build(layout: Layout, payer: str, key: str) -> PayerBuild | None:
    """A build from the cache, or None."""
    folder = layout.payer_builds / key
    stated = read_cache_entry(layout, folder, FIGURES, _CacheEntry)
    if stated is None:
        return None
    return PayerBuild(payer, key, folder, stated.figures, stated.source_ids)


def build_payer(inputs: PayerInputs, extracts: Extracts, layout: Layout) -> PayerBuild:
    """Build one payer's tables in the cache; they appear there whole."""
    key = inputs.key
    target = layout.payer_builds / key
    with unfinished_folder(layout.payer_builds) as temporary:
        figures = _write(inputs, extracts, temporary)
        _write_fetched(inputs, temporary / REMOTE)
        write_cache_entry(temporary, FIGURES, _CacheEntry(figures=figures, source_ids=tuple(inputs.own_source_ids)))
        put_in_place(temporary, target)
    upload(layout, *sorted(target.glob("*.parquet")), target / FIGURES)
    built = cached_build(layout, inputs.payer, key)
    assert built is not None, f"no build of {inputs.payer} under {layout.payer_builds}"
    return built


def _write_fetched(inputs: PayerInputs, path: Path) -> None:
    """Write which content each remote reference had; no file where there are none."""
    rows = [
        (inputs.source_ids[source_no], document, ordinal, reference_key, groups.name.partition("-")[0])
        for (source_no, document, reference_key, ordinal), groups in sorted(inputs.fetched.items())
    ]
    if rows:
        pl.DataFrame(rows, schema=FETCHED, orient="row").write_parquet(path)


def fetched_references(layout: Layout, key: str) -> pl.DataFrame | None:
    """``FETCHED``: the content of each remote reference of a build; None where there is none, or no such build."""
    path = layout.payer_builds / key / REMOTE
    return pl.read_parquet(path) if ensure_local(layout, path) else None


def _write(inputs: PayerInputs, extracts: Extracts, folder: Path) -> PayerFigures:
    resolved = resolve_providers(extracts)
    nppes = None if inputs.nppes is None else pl.scan_parquet(inputs.nppes).select(NPPES.names)
    facts = gather_facts(
        inputs.payer,
        inputs.month,
        resolved,
        inputs.mapping,
        inputs.source_ids,
        nppes,
        inputs.zip_localities,
        inputs.codes,
    )
    observations = SortedObservations(folder, resolved.tins["tin"])
    evidence = NO_EVIDENCE if inputs.evidence is None else inputs.evidence.find(facts.npis["npi"])
    observer = Observer(facts.places, inputs.medicare, evidence)
    counts = RowCounts(observer)

    def rate_frames() -> Iterator[pl.DataFrame]:
        for pairs in iter_pairs(resolved, PAIRS_EACH):
            rates = describe_rates(pairs, facts)
            providers = observer.observe(rates)
            observations.add(providers)
            counts.add(rates, providers)
            yield rates

    write_table(folder / "rates.parquet", RATES, rate_frames())
    write_table(folder / "observations.parquet", PROVIDERS, observations.frames())
    write_networks(folder, observer)
    return counts.write(folder)


def write_networks(folder: Path, observer: Observer) -> None:
    """Write the observations by network, and the files behind them, beside ``rates.parquet``; ``payer`` is the network.

    Memory: a row group of rates, once for each network that they name.
    """
    path = folder / "rates.parquet"
    networks = pl.scan_parquet(path).select(pl.col("network_names").list.len().sum()).collect().item()
    files = [NO_FILES]

    def frames() -> Iterator[pl.DataFrame]:
        for piece in read_by_npi(path) if networks else ():
            rates = rates_by_network(piece)
            providers = observer.observe(rates)
            files.append(observer.list_files(rates, providers))
            yield providers

    write_table(folder / "network_observations.parquet", PROVIDERS, frames())
    pl.concat(files).unique().sort(FILES_BEHIND).write_parquet(folder / "network_files.parquet")


class RowCounts:
    """What the month's tables add up of a payer's rates, piece by piece: the tables of ``COUNTED``."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._counted: dict[str, list[pl.DataFrame]] = {name: [] for name in COUNTED}

    def add(self, rates: pl.DataFrame, providers: pl.DataFrame) -> None:
        """Count rows of ``schemas.RATES``. Args: providers: their observations, or those that are outliers."""
        self._counted["files"].append(self._observer.list_files(rates, providers))
        for name, counted in _count(rates).items():
            self._counted[name].append(counted)

    def write(self, folder: Path) -> PayerFigures:
        """Write the tables beside ``observations.parquet``; the figures that the gates compare."""
        files = pl.concat([NO_FILES, *self._counted["files"]]).unique()
        files.sort(FILES_BEHIND).write_parquet(folder / "files.parquet")
        for name, key in COUNTED.items():
            if key:
                sum_counts(self._counted[name], key).write_parquet(folder / f"{name}.parquet")
        reasons = dict(sum_counts(self._counted["reasons"], COUNTED["reasons"]).iter_rows())
        medians = _medians(pl.scan_parquet(folder / "observations.parquet"))
        return PayerFigures(sum(reasons.values()), reasons, medians)


def _count(rates: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Rows by what the month's tables count: by file and reason, by reason, by unknown NPI and entity."""
    rows = pl.len().cast(pl.Int64)
    by_file = (
        rates.lazy()
        .group_by("source_ids", "payer", "billing_code", "exclusion")
        .agg(rows=rows)
        .explode("source_ids")
        .group_by(source_id="source_ids", payer="payer", billing_code="billing_code", reason="exclusion")
        .agg(pl.col("rows").sum())
        .collect()
    )
    unknown = rates.filter(pl.col("exclusion") == "npi_unknown")
    unmapped = rates.filter(~pl.col("payer_mapped"))
    return {
        "counts": by_file,
        "reasons": rates.group_by(reason=pl.col("exclusion").fill_null(ELIGIBLE)).agg(rows=rows),
        "unknown_npis": unknown.group_by(value=pl.col("npi").cast(pl.String)).agg(rows=rows),
        "unknown_entities": unmapped.group_by(value=pl.col("reporting_entity_name").fill_null("")).agg(rows=rows),
    }


def sum_counts(frames: Sequence[pl.DataFrame], key: list[str]) -> pl.DataFrame:
    """Counts added up by key, sorted."""
    if not frames:
        return pl.DataFrame(schema={name: pl.String() for name in key} | {"rows": pl.Int64()})
    return pl.concat(frames).group_by(key).agg(pl.col("rows").sum()).sort(key)


def _medians(observed: pl.LazyFrame) -> dict[str, float]:
    counted = observed.filter(pl.col("exclusion").is_null() & (pl.col("billing_class") == "professional"))
    medians = counted.group_by("billing_code").agg(pl.col("representative_rate_usd").median()).sort("billing_code")
    return dict(medians.collect().iter_rows())

"""Extracts of one month into its tables, in a staging folder: rates, providers, summaries, quality.

Memory: one payer's numbered prices and providers, and one range of its pairs at a time.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import polars as pl

from flows.extracts import Outcome
from flows.layout import Layout
from flows.remote import RemoteReferences, resolve_location
from flows.tables import write_table
from schemas.extracted import EXTRACTED, REFERENCE_GROUPS
from schemas.nppes import NPPES
from schemas.published import FILE_EXCLUSIONS, FILES, PROVIDERS, RATES, SUMMARIES, UNMAPPED
from transforms.clean import date_of
from transforms.medicare import MedicareReference, medicare_year_for, national_amounts, price_localities
from transforms.observe import observe_providers
from transforms.payers import map_payers, payer_slug, unused_mappings
from transforms.rates import Payer, Places, describe_rates
from transforms.resolve import Extracts, Numbered, iter_pairs, number
from transforms.summarize import Comparison, summarize
from transforms.taxonomy import assign_tiers

LOG = logging.getLogger(__name__)
PAIRS_EACH = 2_000_000  # rate rows in memory at a time

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


@dataclass
class BuiltMonth:
    """What was built: row counts by table, for the manifest and the result line."""

    folder: Path
    rows: dict[str, int] = field(default_factory=dict)
    eligible: int = 0
    payers: list[str] = field(default_factory=list)
    unresolved_locations: dict[str, str] = field(default_factory=dict)


@dataclass
class _Tally:
    """Counts that grow payer by payer."""

    exclusions: list[pl.DataFrame] = field(default_factory=list)
    unknown_npis: list[pl.DataFrame] = field(default_factory=list)
    unknown_entities: list[pl.DataFrame] = field(default_factory=list)
    observations: list[Path] = field(default_factory=list)


def build_month(request: MonthRequest, outcomes: Sequence[Outcome], layout: Layout, folder: Path) -> BuiltMonth:
    """Write every table of the month under ``folder``, in the published layout.

    The tables depend on the files' content only: neither names nor order nor twins change a byte of them, but for
    ``quality/files``, which says what each name was.
    """
    sources = _distinct(outcomes)
    built = BuiltMonth(folder)
    tally = _Tally()
    documents = _documents(sources)
    mapping = map_payers(documents["reporting_entity_name"].to_list())
    remote = RemoteReferences(layout)
    national = national_amounts(request.medicare, request.codes, request.month).select("billing_code", "amount_usd")
    by_payer = documents.join(mapping, on="reporting_entity_name", nulls_equal=True)
    for payer in by_payer["payer"].unique().sort():
        own = by_payer.filter(pl.col("payer") == payer)
        extracts = _load(sources, own.select(list(_DOCUMENTS)), remote)
        _build_payer(request, Payer(payer, mapping.drop("payer")), extracts, sources, national, built, tally)
        built.payers.append(payer)
    built.unresolved_locations = remote.failed
    _write_providers(built, tally)
    _write_summaries(request, built, tally)
    _write_quality(outcomes, mapping, built, tally)
    return built


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
            document.header.get("reporting_entity_name"),
            date_of(document.header.get("last_updated_on")),
        )
        for source_no, outcome in enumerate(sources)
        for number_in_source, document in enumerate(outcome.account.documents)
        if document.items_matched
    ]
    return pl.DataFrame(rows, schema=_DOCUMENTS, orient="row")


def _load(sources: Sequence[Outcome], documents: pl.DataFrame, remote: RemoteReferences) -> Extracts:
    """The extract tables of one payer's documents."""
    numbers = documents["source_no"].unique().sort().to_list()
    folders = {no: folder for no in numbers if (folder := sources[no].extract) is not None}
    ours = documents.lazy()
    key = ["source_no", "document"]
    tables = {table.name: _scan(folders, table.name).join(ours.select(key), on=key, how="semi") for table in EXTRACTED}
    fetched = _fetch_remote(tables["REFERENCES"].collect(), sources, remote)
    return Extracts(
        documents=ours,
        prices=tables["PRICES"],
        citations=tables["CITATIONS"],
        inline_groups=tables["INLINE_GROUPS"],
        references=tables["REFERENCES"],
        reference_groups=pl.concat([tables["REFERENCE_GROUPS"], *fetched]),
    )


def _scan(folders: dict[int, Path], table: str) -> pl.LazyFrame:
    paths = {str(folder / f"{table.lower()}.parquet"): no for no, folder in folders.items()}
    no_of_path = pl.col("path").replace_strict(paths, return_dtype=pl.UInt32).alias("source_no")
    return pl.scan_parquet(list(paths), include_file_paths="path").with_columns(no_of_path).drop("path")


def _fetch_remote(
    references: pl.DataFrame, sources: Sequence[Outcome], remote: RemoteReferences
) -> Iterator[pl.LazyFrame]:
    """Provider groups of the cited references that hold none themselves, as rows of REFERENCE_GROUPS."""
    wanted = references.filter((pl.col("n_groups") == 0) & pl.col("location").is_not_null())
    rows = [
        (row["source_no"], row["document"], row["reference_key"], location)
        for row in wanted.iter_rows(named=True)
        if (location := resolve_location(row["location"], sources[row["source_no"]].source)) is not None
    ]
    paths = remote.fetch(location for *_, location in rows)
    columns = [*REFERENCE_GROUPS.names, "source_no"]
    for source_no, document, reference_key, location in rows:
        if location in paths:
            yield (
                pl.scan_parquet(paths[location])
                .with_columns(
                    document=pl.lit(document, pl.Int32),
                    reference_key=pl.lit(reference_key),
                    source_no=pl.lit(source_no, pl.UInt32),
                )
                .select(columns)
            )


def _build_payer(
    request: MonthRequest,
    payer: Payer,
    extracts: Extracts,
    sources: Sequence[Outcome],
    national: pl.DataFrame,
    built: BuiltMonth,
    tally: _Tally,
) -> None:
    """One payer's rates, written sorted; its observations and counts kept for the month."""
    numbered = number(extracts)
    places = _places(numbered, request)
    source_ids = pl.Series([outcome.source_id for outcome in sources], dtype=pl.String)
    observations: list[pl.DataFrame] = []

    def rate_frames() -> Iterator[pl.DataFrame]:
        for pairs in iter_pairs(numbered, PAIRS_EACH):
            rates = describe_rates(pairs, numbered, payer, source_ids, places)
            observations.append(observe_providers(rates.lazy(), national.lazy()).collect())
            _count(rates, tally)
            yield rates

    path = built.folder / "rates" / f"payer={payer_slug(payer.name)}" / "rates.parquet"
    built.rows["rates"] = built.rows.get("rates", 0) + write_table(path, RATES, rate_frames())
    kept = built.folder / ".observations" / path.parent.name / "observations.parquet"
    kept.parent.mkdir(parents=True)
    pl.concat(observations).sort(PROVIDERS.grain).write_parquet(kept)
    tally.observations.append(kept)


def _places(numbered: Numbered, request: MonthRequest) -> Places | None:
    """What NPPES knows of one payer's NPIs: a semi-join against the lookup, never all of it."""
    if request.nppes is None:
        return None
    npis = (
        pl.concat([numbered.inline.lazy().select("npi"), numbered.references.lazy().select("npi")])
        .explode("npi")
        .drop_nulls()
        .unique()
    )
    known = pl.scan_parquet(request.nppes).select(NPPES.names).join(npis, on="npi", how="semi").collect()
    tiers = assign_tiers(known.lazy(), request.codes).collect()
    return Places(known.select("npi", "state", "country", "deactivated"), tiers)


def _count(rates: pl.DataFrame, tally: _Tally) -> None:
    tally.exclusions.append(
        rates.lazy()
        .group_by("source_ids", "payer", "billing_code", "exclusion")
        .agg(rows=pl.len().cast(pl.Int64))
        .explode("source_ids")
        .group_by(source_id="source_ids", payer="payer", billing_code="billing_code", reason="exclusion")
        .agg(pl.col("rows").sum())
        .collect()
    )
    rows = pl.len().cast(pl.Int64)
    tally.unknown_npis.append(
        rates.filter(pl.col("exclusion") == "npi_unknown").group_by(value=pl.col("npi").cast(pl.String)).agg(rows=rows)
    )
    tally.unknown_entities.append(
        rates.filter(~pl.col("payer_mapped"))
        .group_by(value=pl.col("reporting_entity_name").fill_null(""))
        .agg(rows=rows)
    )


def _write_providers(built: BuiltMonth, tally: _Tally) -> None:
    frames = (pl.read_parquet(path) for path in tally.observations)  # payers in order: sorted by the whole grain
    path = built.folder / "providers" / "providers.parquet"
    built.rows["providers"] = write_table(path, PROVIDERS, frames)


def _write_summaries(request: MonthRequest, built: BuiltMonth, tally: _Tally) -> None:
    localities = price_localities(request.medicare, request.codes, request.month)
    medicare = Comparison(
        localities.select("billing_code", "state", "amount_usd"), medicare_year_for(request.medicare, request.month)
    )
    empty = PROVIDERS.empty().lazy().with_columns(source_ids=pl.lit([], pl.List(pl.String)))
    observations = pl.concat([empty, *(pl.scan_parquet(path) for path in tally.observations)])
    summaries = summarize(observations, request.month, medicare, with_nppes=request.nppes is not None)
    path = built.folder / "summaries" / "summaries.parquet"
    built.rows["summaries"] = write_table(path, SUMMARIES, [summaries])


def _write_quality(outcomes: Sequence[Outcome], mapping: pl.DataFrame, built: BuiltMonth, tally: _Tally) -> None:
    counts = _sum(tally.exclusions, ["source_id", "payer", "billing_code", "reason"])
    folder = built.folder / "quality"
    excluded = counts.filter(pl.col("reason").is_not_null())
    built.rows["exclusions"] = write_table(folder / "exclusions.parquet", FILE_EXCLUSIONS, [excluded])
    unmapped = pl.concat(
        [
            _kind("npi", _sum(tally.unknown_npis, ["value"])),
            _kind("reporting_entity", _sum(tally.unknown_entities, ["value"])),
            _kind(
                "unused_mapping",
                pl.DataFrame({"value": unused_mappings(mapping["reporting_entity_name"].to_list())}).with_columns(
                    rows=pl.lit(0, pl.Int64)
                ),
            ),
        ]
    )
    write_table(folder / "unmapped.parquet", UNMAPPED, [unmapped.sort(UNMAPPED.grain)])
    files = describe_files(outcomes, counts, dict(mapping.select("reporting_entity_name", "payer").iter_rows()))
    built.rows["files"] = write_table(folder / "files.parquet", FILES, [files])
    built.eligible = int(counts.filter(pl.col("reason").is_null())["rows"].sum())


def _sum(frames: list[pl.DataFrame], key: list[str]) -> pl.DataFrame:
    """Counts added up by key, sorted."""
    if not frames:
        return pl.DataFrame(schema={name: pl.String() for name in key} | {"rows": pl.Int64()})
    return pl.concat(frames).group_by(key).agg(pl.col("rows").sum()).sort(key)


def _kind(kind: str, counted: pl.DataFrame) -> pl.DataFrame:
    return counted.select(kind=pl.lit(kind), value=pl.col("value").cast(pl.String), rows=pl.col("rows"))


def describe_files(outcomes: Sequence[Outcome], counts: pl.DataFrame, payers: dict[str | None, str]) -> pl.DataFrame:
    """``schemas.FILES``: one row per source of the run."""
    rows: dict[str, int] = dict(counts.group_by("source_id").agg(pl.col("rows").sum()).iter_rows())
    eligible: dict[str, int] = dict(
        counts.filter(pl.col("reason").is_null()).group_by("source_id").agg(pl.col("rows").sum()).iter_rows()
    )
    first_name: dict[str, str] = {}
    described = []
    for outcome in sorted(outcomes, key=lambda outcome: outcome.source):
        described.append(_describe_file(outcome, rows, eligible, payers, first_name))
    return pl.DataFrame(described, schema=FILES.polars).sort(FILES.grain)


def _describe_file(
    outcome: Outcome,
    rows: dict[str, int],
    eligible: dict[str, int],
    payers: dict[str | None, str],
    first_name: dict[str, str],
) -> dict[str, object]:
    account = outcome.account
    header = account.documents[0].header if account.documents else {}
    entity = header.get("reporting_entity_name")
    source_id = outcome.source_id or ""
    first = first_name.setdefault(source_id, outcome.source.name) if source_id else None
    return {
        "source_id": outcome.source_id,
        "source": outcome.source.name,
        "status": outcome.status,
        "reason": outcome.reason,
        "bytes": outcome.bytes,
        "bytes_json": account.bytes_json if outcome.usable else None,
        "sha256": outcome.source_id,
        "etag": None,
        "version": header.get("version"),
        "shape": account.shape if account.documents else None,
        "reporting_entity_name": entity,
        "payer": payers.get(entity) if outcome.status == "matched" else None,
        "last_updated_on": date_of(header.get("last_updated_on")),
        "items_seen": account.items_seen,
        "items_matched": account.items_matched,
        "prices": account.prices,
        "rows": rows.get(source_id, 0),
        "rows_eligible": eligible.get(source_id, 0),
        "twin_of": None if first in (None, outcome.source.name) else first,
        "quirks": account.quirks,
        "seconds": round(outcome.seconds, 3),
    }

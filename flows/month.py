"""Extracts of one month into its tables, in a staging folder: rates, providers, summaries, quality.

Memory: one payer's numbered prices and providers, and one range of its pairs at a time.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from transforms.observe import FILES_BEHIND, list_files, observe_providers
from transforms.payers import map_payers, payer_slug, unused_mappings
from transforms.rates import describe_rates, gather_facts
from transforms.resolve import Extracts, iter_pairs, number
from transforms.summarize import Comparison, Observed, summarize

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


class MonthBuilder:
    """Writes every table of a month under ``folder``, in the published layout.

    The tables depend on the files' content only: neither names nor order nor twins change a byte of them, but for
    ``quality/files``, which says what each name was.
    """

    def __init__(self, request: MonthRequest, outcomes: Sequence[Outcome], layout: Layout, folder: Path) -> None:
        self._request = request
        self._outcomes = outcomes
        self._sources = _distinct(outcomes)
        self._folder = folder
        self._remote = RemoteReferences(layout)
        self._exclusions: list[pl.DataFrame] = []
        self._unknown_npis: list[pl.DataFrame] = []
        self._unknown_entities: list[pl.DataFrame] = []
        self._observations: list[Path] = []
        self._files: list[pl.DataFrame] = []
        documents = _documents(self._sources)
        self._mapping = map_payers(documents["reporting_entity_name"].to_list())
        self._documents = documents.join(self._mapping, on="reporting_entity_name", nulls_equal=True)
        self.rows: dict[str, int] = {"rates": 0}
        self.eligible = 0

    @property
    def medicare_year(self) -> int | None:
        """The fee schedule year compared with."""
        return medicare_year_for(self._request.medicare, self._request.month)

    @property
    def nppes_identity(self) -> dict[str, object] | None:
        """Which NPPES lookup was joined: rows and bytes of the built file."""
        path = self._request.nppes
        if path is None:
            return None
        rows = pl.scan_parquet(path).select(pl.len()).collect().item()
        return {"lookup": path.name, "rows": rows, "bytes": path.stat().st_size}

    @property
    def unresolved_locations(self) -> dict[str, str]:
        """Remote provider references that could not be had, and why."""
        return self._remote.failed

    def normalise(self) -> None:
        """Rates and observations, payer by payer."""
        for payer in self._documents["payer"].unique().sort():
            own = self._documents.filter(pl.col("payer") == payer)
            extracts = _load(self._sources, own.select(list(_DOCUMENTS)), self._remote)
            self._build_payer(payer, extracts)

    def summarise(self) -> None:
        """Providers, summaries and quality, from what ``normalise`` wrote."""
        self._write_providers()
        self._write_summaries()
        self._write_quality()

    def _build_payer(self, payer: str, extracts: Extracts) -> None:
        """One payer's rates, written sorted; its observations and counts kept for the month."""
        request = self._request
        numbered = number(extracts)
        source_ids = [outcome.source_id or "" for outcome in self._sources]
        nppes = None if request.nppes is None else pl.scan_parquet(request.nppes).select(NPPES.names)
        facts = gather_facts(payer, numbered, self._mapping, source_ids, nppes, request.codes)
        national = national_amounts(request.medicare, request.codes, request.month)
        compared = national.select("billing_code", "amount_usd")
        observations: list[pl.DataFrame] = []

        def rate_frames() -> Iterator[pl.DataFrame]:
            for pairs in iter_pairs(numbered, PAIRS_EACH):
                rates = describe_rates(pairs, facts)
                providers = observe_providers(rates, compared)
                observations.append(providers)
                self._files.append(list_files(rates.lazy(), providers.lazy()).collect())
                self._count(rates)
                self.eligible += rates["exclusion"].null_count()
                yield rates

        path = self._folder / "rates" / f"payer={payer_slug(payer)}" / "rates.parquet"
        self.rows["rates"] += write_table(path, RATES, rate_frames())
        kept = self._folder / ".observations" / path.parent.name / "observations.parquet"
        kept.parent.mkdir(parents=True)
        pl.concat(observations).sort(PROVIDERS.grain).write_parquet(kept)
        self._observations.append(kept)

    def _count(self, rates: pl.DataFrame) -> None:
        rows = pl.len().cast(pl.Int64)
        self._exclusions.append(
            rates.lazy()
            .group_by("source_ids", "payer", "billing_code", "exclusion")
            .agg(rows=rows)
            .explode("source_ids")
            .group_by(source_id="source_ids", payer="payer", billing_code="billing_code", reason="exclusion")
            .agg(pl.col("rows").sum())
            .collect()
        )
        unknown = rates.filter(pl.col("exclusion") == "npi_unknown")
        self._unknown_npis.append(unknown.group_by(value=pl.col("npi").cast(pl.String)).agg(rows=rows))
        unmapped = rates.filter(~pl.col("payer_mapped"))
        names = pl.col("reporting_entity_name").fill_null("")
        self._unknown_entities.append(unmapped.group_by(value=names).agg(rows=rows))

    def _write_providers(self) -> None:
        frames = (pl.read_parquet(path) for path in self._observations)  # payers in order: sorted by the whole grain
        self.rows["providers"] = write_table(self._folder / "providers" / "providers.parquet", PROVIDERS, frames)

    def _write_summaries(self) -> None:
        request = self._request
        localities = price_localities(request.medicare, request.codes, request.month)
        medicare = Comparison(
            localities.select("billing_code", "state", "amount_usd"),
            self.medicare_year,
        )
        providers = pl.concat([PROVIDERS.empty().lazy(), *(pl.scan_parquet(path) for path in self._observations)])
        no_files = pl.DataFrame(schema=dict.fromkeys(FILES_BEHIND, pl.String) | {"has_tin": pl.Boolean})
        files = pl.concat([no_files, *self._files]).unique()
        observed = Observed(providers, files.lazy())
        summaries = summarize(observed, request.month, medicare, with_nppes=request.nppes is not None)
        path = self._folder / "summaries" / "summaries.parquet"
        self.rows["summaries"] = write_table(path, SUMMARIES, [summaries])

    def _write_quality(self) -> None:
        counts = _sum(self._exclusions, ["source_id", "payer", "billing_code", "reason"])
        folder = self._folder / "quality"
        excluded = counts.filter(pl.col("reason").is_not_null())
        self.rows["exclusions"] = write_table(folder / "exclusions.parquet", FILE_EXCLUSIONS, [excluded])
        names = self._mapping["reporting_entity_name"].to_list()
        unused = pl.DataFrame({"value": unused_mappings(names)}).with_columns(rows=pl.lit(0, pl.Int64))
        unmapped = pl.concat(
            [
                _kind("npi", _sum(self._unknown_npis, ["value"])),
                _kind("reporting_entity", _sum(self._unknown_entities, ["value"])),
                _kind("unused_mapping", unused),
            ]
        )
        write_table(folder / "unmapped.parquet", UNMAPPED, [unmapped.sort(UNMAPPED.grain)])
        payers = dict(self._mapping.select("reporting_entity_name", "payer").iter_rows())
        files = describe_files(self._outcomes, counts, payers)
        self.rows["files"] = write_table(folder / "files.parquet", FILES, [files])


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
        (row["source_no"], row["document"], row["ordinal"], row["reference_key"], location)
        for row in wanted.iter_rows(named=True)
        if (location := resolve_location(row["location"], sources[row["source_no"]].source)) is not None
    ]
    paths = remote.fetch(location for *_, location in rows)
    columns = [*REFERENCE_GROUPS.names, "source_no"]
    for source_no, document, ordinal, reference_key, location in rows:
        if location in paths:
            yield (
                pl.scan_parquet(paths[location])
                .with_columns(
                    document=pl.lit(document, pl.Int32),
                    ordinal=pl.lit(ordinal, pl.Int64),
                    reference_key=pl.lit(reference_key),
                    source_no=pl.lit(source_no, pl.UInt32),
                )
                .select(columns)
            )


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

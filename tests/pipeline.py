"""The pipeline's own way from published bytes to rate rows, in memory, for comparison with the plain reading."""

import hashlib
import io
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, BinaryIO, cast

import polars as pl
import pyarrow as pa

from schemas.extracted import CITATIONS, EXTRACTED, INLINE_GROUPS, PRICES, REFERENCE_GROUPS, REFERENCES, REMOTE_GROUPS
from schemas.published import RATE_GRAIN
from schemas.table import Table
from transforms.benchmark.payers import map_payers
from transforms.benchmark.rates import describe_rates, gather_facts
from transforms.benchmark.resolve import Extracts, iter_pairs, resolve_providers
from transforms.errors import BadFileError, FullReadingNeededError
from transforms.read.account import SourceAccount
from transforms.read.clean import date_of
from transforms.read.collect import Collected
from transforms.read.containers import open_documents
from transforms.read.extract import extract_source
from transforms.read.read_ijson import read_document, read_provider_reference

ReadDocument = Callable[..., None]
CODES = frozenset({"97026", "97028"})


@dataclass
class Extracted:
    """One source's extract in memory."""

    source_id: str
    account: SourceAccount
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)


def open_temporary() -> BinaryIO:
    """A temporary file for spools."""
    return cast("BinaryIO", tempfile.TemporaryFile())


def extract_bytes(published: bytes, reader: ReadDocument = read_document, codes: frozenset[str] = CODES) -> Extracted:
    """Read one source; ``BadFileError`` as in a run."""
    try:
        return _extract(published, reader, codes, skip=True)
    except FullReadingNeededError:
        return _extract(published, reader, codes, skip=False)


def _extract(published: bytes, reader: ReadDocument, codes: frozenset[str], *, skip: bool) -> Extracted:
    batches: dict[str, list[pa.RecordBatch]] = {table.name: [] for table in EXTRACTED}

    def emit(table: Table, batch: pa.RecordBatch) -> None:
        batches[table.name].append(batch)

    account = extract_source(io.BytesIO(published), codes, emit, open_temporary, reader=reader, skip=skip)
    tables = {table.name: _frame(table, batches[table.name]) for table in EXTRACTED}
    return Extracted(hashlib.sha256(published).hexdigest(), account, tables)


def _frame(table: Table, batches: Sequence[pa.RecordBatch]) -> pl.DataFrame:
    return table.conform(
        cast("pl.DataFrame", pl.from_arrow(pa.Table.from_batches(batches, table.arrow()))).lazy()
    ).collect()


def remote_groups(published: bytes) -> pl.DataFrame | None:
    """The provider groups of a remote reference file; None where it is no such file."""
    collected = Collected(open_temporary)
    try:
        for document in open_documents(io.BytesIO(published), open_temporary):
            read_provider_reference(document.stream, collected)
    except BadFileError:
        return None
    schema = REMOTE_GROUPS.arrow()
    batches = [pa.RecordBatch.from_arrays(each.columns[1:], schema=schema) for each in collected.groups.batches()]
    return _frame(REMOTE_GROUPS, batches)


def join_sources(sources: Sequence[Extracted], remote: Mapping[str, bytes] | None = None) -> Extracts:
    """Extracts of several sources, numbered in their order, with remote references resolved from ``remote``."""

    def numbered(table: Table) -> pl.LazyFrame:
        frames = [
            source.tables[table.name].with_columns(source_no=pl.lit(no, pl.UInt32)) for no, source in enumerate(sources)
        ]
        return pl.concat(frames).lazy()

    references = numbered(REFERENCES).collect()
    documents = [
        (no, number, document.header.get("reporting_entity_name"), date_of(document.header.get("last_updated_on")))
        for no, source in enumerate(sources)
        for number, document in enumerate(source.account.documents)
    ]
    schema = {
        "source_no": pl.UInt32,
        "document": pl.Int32,
        "reporting_entity_name": pl.String,
        "last_updated_on": pl.Date,
    }
    return Extracts(
        documents=pl.LazyFrame(documents, schema=schema, orient="row"),
        prices=numbered(PRICES),
        citations=numbered(CITATIONS),
        inline_groups=numbered(INLINE_GROUPS),
        references=references.lazy(),
        reference_groups=pl.concat([numbered(REFERENCE_GROUPS), *_fetched(references, remote or {})]),
    )


def _fetched(references: pl.DataFrame, remote: Mapping[str, bytes]) -> Iterable[pl.LazyFrame]:
    for row in references.filter((pl.col("n_groups") == 0) & pl.col("location").is_not_null()).iter_rows(named=True):
        groups = remote_groups(remote[row["location"].strip()]) if row["location"].strip() in remote else None
        if groups is not None:
            yield groups.lazy().select(
                pl.lit(row["document"], pl.Int32).alias("document"),
                pl.lit(row["ordinal"], pl.Int64).alias("ordinal"),
                pl.lit(row["reference_key"]).alias("reference_key"),
                *REMOTE_GROUPS.names,
                pl.lit(row["source_no"], pl.UInt32).alias("source_no"),
            )


def rate_rows(
    sources: Sequence[Extracted],
    remote: Mapping[str, bytes] | None = None,
    nppes: pl.LazyFrame | None = None,
    pairs_each: int = 1_000_000,
) -> pl.DataFrame:
    """``schemas.RATES`` of sources taken as one payer's."""
    ordered = sorted({source.source_id: source for source in sources}.values(), key=lambda source: source.source_id)
    extracts = join_sources(ordered, remote)
    names = extracts.documents.collect()["reporting_entity_name"].to_list()
    resolved = resolve_providers(extracts)
    ids = [source.source_id for source in ordered]
    facts = gather_facts("anyone", date(2025, 6, 1), resolved, map_payers(names), ids, nppes, NO_ZIPS, sorted(CODES))
    return pl.concat([describe_rates(pairs, facts) for pairs in iter_pairs(resolved, pairs_each)])


def grain_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """A rate row's grain as the plain reading writes it."""
    return tuple(_plain(row[name]) for name in RATE_GRAIN)


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


NO_ZIPS = pl.DataFrame(schema={"zip5": pl.String, "locality": pl.String})
Fate = tuple[str | None, date | None, tuple[str, ...], tuple[str, ...], str | None, int | None]


def fates(rows: pl.DataFrame) -> dict[tuple[Any, ...], Fate]:
    """Per grain: exclusion, last_updated_on, source_ids, network_names, business_name, group_size."""
    found = {
        grain_of(row): (
            *(row["exclusion"], row["last_updated_on"], tuple(row["source_ids"]), tuple(row["network_names"])),
            *(row["business_name"], row["group_size"]),
        )
        for row in rows.iter_rows(named=True)
    }
    assert len(found) == rows.height, "a grain stands twice"
    return found

"""Where rate rows stand in their sources: the extracts in the cache, and the remote provider references they cite."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from flows.download.sources import Source, parse_stored, resolve_location
from flows.extract.extract_source import find_extract
from flows.extract.ledger import recall_digest
from flows.storage.layout import Layout
from flows.tables.month_inputs import require_files, table_in
from schemas.extracted import CITATIONS, EXTRACTED, INLINE_GROUPS, PRICES, REFERENCE_GROUPS, REFERENCES
from schemas.table import Table
from transforms.explain.statements import ExtractTables, find_statements

PLACED = pl.Schema(
    {
        "row": pl.UInt32(),
        "source_id": pl.String(),
        "document": pl.Int32(),
        "member": pl.String(),
        "item_offset": pl.Int64(),
        "reference_offset": pl.Int64(),
        "location": pl.String(),
    }
)


class Extracts:
    """The extracts behind published files, each opened once."""

    def __init__(self, layout: Layout, code: str, files: Mapping[str, str]) -> None:
        self._layout = layout
        self._code = code
        self._files = files  # names by source_id
        self._opened: dict[str, tuple[ExtractTables, dict[int, str]] | None] = {}
        self.remote: dict[str, str | None] = {}  # shown locations of remote references: sha256, where one is known

    def place(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Every statement of rate rows: ``PLACED``, by row and source.

        Args: rows: ``row`` and the columns of ``schemas.RATES``.
        """
        by_source = rows.explode("source_ids").partition_by("source_ids", as_dict=True)
        placed = [pl.DataFrame(schema=PLACED), *(self._of(str(key[0]), own) for key, own in by_source.items())]
        return pl.concat(placed).sort("row", "source_id", "document", "item_offset", "reference_offset")

    def has(self, source_id: str) -> bool:
        """Whether the cache has an extract of this content, with offsets."""
        if source_id not in self._opened:
            self._opened[source_id] = self._open(source_id)
        return self._opened[source_id] is not None

    def _of(self, source_id: str, rows: pl.DataFrame) -> pl.DataFrame:
        opened = self._opened[source_id] if self.has(source_id) else None
        if opened is None:
            return pl.DataFrame(schema=PLACED)
        tables, members = opened
        return find_statements(rows, tables).select(
            pl.col("row").cast(pl.UInt32),
            pl.lit(source_id).alias("source_id"),
            "document",
            pl.col("document").replace_strict(members, return_dtype=pl.String).alias("member"),
            "item_offset",
            "reference_offset",
            pl.col("location").map_elements(lambda stated: parse_stored(stated)[0], return_dtype=pl.String),
        )

    def _open(self, source_id: str) -> tuple[ExtractTables, dict[int, str]] | None:
        found = find_extract(self._layout, source_id, self._code)
        if found is None:
            return None
        folder, account = found
        require_files(self._layout, [table_in(folder, table) for table in EXTRACTED])
        if "item_offset" not in pl.read_parquet_schema(table_in(folder, PRICES)):
            return None

        def scan(table: Table) -> pl.LazyFrame:
            return pl.scan_parquet(table_in(folder, table))

        entities = [
            (number, document.header.get("reporting_entity_name") or None)
            for number, document in enumerate(account.documents)
        ]
        documents = pl.DataFrame(entities, schema={"document": pl.Int32, "entity": pl.String}, orient="row")
        tables = ExtractTables(
            documents,
            scan(PRICES),
            scan(CITATIONS),
            scan(INLINE_GROUPS),
            scan(REFERENCES),
            scan(REFERENCE_GROUPS),
            list(self._remote(scan(REFERENCES), Source(self._files.get(source_id, "")))),
        )
        return tables, {number: document.name for number, document in enumerate(account.documents)}

    def _remote(self, references: pl.LazyFrame, source: Source) -> Iterator[pl.LazyFrame]:
        """The groups of remote provider references that an earlier run fetched, as REFERENCE_GROUPS."""
        wanted = references.filter((pl.col("n_groups") == 0) & pl.col("location").is_not_null()).collect()
        for row in wanted.iter_rows(named=True):
            path = self._fetched(row, source)
            if path is not None:
                number, ordinal = pl.lit(row["document"], pl.Int32), pl.lit(row["ordinal"], pl.Int64)
                key = pl.lit(row["reference_key"])
                groups = pl.scan_parquet(path).with_columns(document=number, ordinal=ordinal, reference_key=key)
                yield groups.select(REFERENCE_GROUPS.names)

    def _fetched(self, row: Mapping[str, Any], source: Source) -> Path | None:
        shown, digest, refused = parse_stored(row["location"])
        location = None if digest or refused else resolve_location(row["location"], source)
        digest = digest or (None if location is None else Source(location).digest)
        entry = None if digest is None else recall_digest(digest, self._layout)
        self.remote[shown] = None if entry is None else entry.sha256
        paths = sorted(self._layout.remote.glob(f"{entry.sha256}-*.parquet")) if entry is not None else []
        return paths[0] if paths else None

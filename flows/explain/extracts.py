"""Where rate rows stand in their sources: the extracts in the cache, and the remote provider references they cite."""

from collections.abc import Iterator
from datetime import date

import polars as pl

from flows.download.sources import parse_stored
from flows.extract.extract_source import find_extract
from flows.extract.provider_references import remote_groups_path
from flows.extract.stored_tables import StoredTables
from flows.publish.manifest import published_entry
from flows.storage.layout import Layout
from flows.storage.object_sync import ensure_local
from flows.tables.payer_builds import FETCHED, fetched_references
from schemas.extracted import EXTRACTED, REFERENCE_GROUPS
from transforms.errors import UsageError
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
        "location_sha256": pl.String(),
    }
)


class Extracts:
    """The extracts behind the files of a published month, each opened once."""

    def __init__(self, layout: Layout, month: date, code: str) -> None:
        self._layout = layout
        self._code = code
        self._entry = published_entry(layout, month)
        self._opened: dict[str, tuple[ExtractTables, dict[int, str]] | None] = {}
        self._fetched: dict[str, pl.DataFrame] = {}  # by payer

    def place(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Every statement of rate rows: ``PLACED``, by row and source.

        Args: rows: ``row`` and the columns of ``schemas.RATES``.
        """
        parts = rows.explode("source_ids").partition_by("source_ids", "payer", as_dict=True)
        placed = [self._of(str(source_id), str(payer), own) for (source_id, payer), own in parts.items()]
        found = pl.concat([pl.DataFrame(schema=PLACED), *placed])
        return found.sort("row", "source_id", "document", "item_offset", "reference_offset", "location")

    def has(self, source_id: str) -> bool:
        """Whether the cache has an extract of this content, with offsets."""
        if source_id not in self._opened:
            self._opened[source_id] = self._open(source_id)
        return self._opened[source_id] is not None

    def _of(self, source_id: str, payer: str, rows: pl.DataFrame) -> pl.DataFrame:
        opened = self._opened[source_id] if self.has(source_id) else None
        if opened is None:
            return pl.DataFrame(schema=PLACED)
        tables, members = opened
        fetched = self._fetched_of(payer).filter(pl.col("source_id") == source_id)
        return find_statements(rows, tables, fetched, list(self._remote_groups(fetched))).select(
            pl.col("row").cast(pl.UInt32),
            pl.lit(source_id).alias("source_id"),
            "document",
            pl.col("document").replace_strict(members, return_dtype=pl.String).alias("member"),
            "item_offset",
            "reference_offset",
            pl.col("location").map_elements(lambda stated: parse_stored(stated)[0], return_dtype=pl.String),
            pl.col("sha256").alias("location_sha256"),
        )

    def _open(self, source_id: str) -> tuple[ExtractTables, dict[int, str]] | None:
        found = find_extract(self._layout, source_id, self._code, self._entry.get("codes", ()))
        if found is None:
            return None
        folder, account = found
        try:
            stored = StoredTables(self._layout, {0: folder})
            scans = [stored.scan(table).drop("source_no") for table in EXTRACTED]
        except UsageError:  # a table is missing
            return None
        if "item_offset" not in scans[0].collect_schema():
            return None
        entities = [
            (number, document.header.get("reporting_entity_name") or None)
            for number, document in enumerate(account.documents)
        ]
        documents = pl.DataFrame(entities, schema={"document": pl.Int32, "entity": pl.String}, orient="row")
        return ExtractTables(documents, *scans), {
            number: document.name for number, document in enumerate(account.documents)
        }

    def _fetched_of(self, payer: str) -> pl.DataFrame:
        """The remote references that the payer's published tables were built from: ``FETCHED``."""
        if payer not in self._fetched:
            build = self._entry.get("payers", {}).get(payer, {}).get("build")
            found = None if build is None else fetched_references(self._layout, build)
            self._fetched[payer] = pl.DataFrame(schema=FETCHED) if found is None else found
        return self._fetched[payer]

    def _remote_groups(self, fetched: pl.DataFrame) -> Iterator[pl.LazyFrame]:
        """Their provider groups, as REFERENCE_GROUPS."""
        for row in fetched.iter_rows(named=True):
            path = remote_groups_path(self._layout, row["sha256"])
            if ensure_local(self._layout, path):
                key = (
                    pl.lit(row[name], FETCHED[name]).alias(name) for name in ("document", "ordinal", "reference_key")
                )
                yield pl.scan_parquet(path).with_columns(key).select(REFERENCE_GROUPS.names)

"""An extract's tables as the cache stores them: in Parquet files beside its account; of a small source, inside it.

A table without rows is not stored. So a small source is one file in the cache, and one object in a store: to create a
file for each table takes longer than to read the source.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from flows.storage.cache_entries import CacheEntry, read_record
from flows.storage.code_versions import digest_of
from flows.storage.layout import Layout
from flows.storage.object_sync import require_files
from flows.storage.threads import Threads, wait_for_result
from schemas.extracted import EXTRACTED
from schemas.table import Table
from transforms.errors import UsageError

if TYPE_CHECKING:  # imported where something is read: what did not change shall not wait for it
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

ACCOUNT = "account.json"
SMALL_BYTES = 32 << 10  # of a source's rows
ROW_BYTES = 4  # of one at least, as a small source's are stored


class StoredRows(CacheEntry, kw_only=True):
    """The record of an extract, as far as its tables go.

    rows: of a small source, by table: an Arrow record batch without its schema. columns: which schemas these are.
    """

    rows: dict[str, bytes] = {}  # noqa: RUF012 msgspec copies it
    columns: str = ""

    @property
    def is_readable(self) -> bool:
        """Whether the rows are of the present schemas."""
        return not self.rows or self.columns == columns_version()


@cache
def columns_version() -> str:
    """A digest of the present schemas of all tables."""
    return digest_of([(table.name, [(each.name, each.dtype) for each in table]) for table in EXTRACTED])


class TableWriters:
    """Writes an extract's tables into its folder; of a small source it holds the rows.

    As a context it closes the files with the body. Memory: ``SMALL_BYTES``, and a batch being written.
    """

    def __init__(self, folder: Path, *, overlap: bool = False) -> None:
        """Begin without files.

        Args: overlap: write in a second thread, one batch while the next one is made.
        """
        self._folder = folder
        self._overlap = overlap
        self._thread = Threads(1)
        self._writing: Future[None] | None = None
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._held: list[tuple[Table, pa.RecordBatch]] = []
        self._held_bytes = 0
        self._open = ExitStack()

    def __enter__(self) -> "TableWriters":
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        self._open.callback(self._thread.close)
        self._open.callback(self._settle)
        if self._writing is not None:
            wait([self._writing])  # whatever interrupted that: a file can't be closed meanwhile
        self._open.__exit__(kind, *raised)  # type: ignore[arg-type]

    def write(self, table: Table, batch: "pa.RecordBatch") -> None:
        """Append a batch."""
        is_first = not self._writers and all(table is not other for other, _ in self._held)
        if is_first and self._held_bytes + batch.nbytes <= SMALL_BYTES:
            self._held.append((table, batch))
            self._held_bytes += batch.nbytes
            return
        for held in self._held:
            self._write(*held)
        self._held.clear()
        self._write(table, batch)

    def rows(self) -> dict[str, bytes]:
        """Those of a small source, as ``StoredRows`` has them."""
        return {table.name: batch.serialize().to_pybytes() for table, batch in self._held}

    def _write(self, table: Table, batch: "pa.RecordBatch") -> None:
        from flows.storage.parquet import parquet_writer

        if table.name not in self._writers:
            opened = parquet_writer(self._folder / file_name(table), table.arrow(), internal=True)
            self._writers[table.name] = self._open.enter_context(opened)
        writer = self._writers[table.name]
        if not self._overlap:
            writer.write_batch(batch)
            return
        self._settle()
        self._writing = self._thread.submit(writer.write_batch, batch)

    def _settle(self) -> None:
        """Until the last batch is written; raise the error that writing it ended with."""
        if self._writing is not None:
            wait_for_result(self._writing)
            self._writing = None


def file_name(table: Table) -> str:
    """The name of a table's Parquet file in an extract's folder."""
    return f"{table.name.lower()}.parquet"


class StoredTables:
    """The tables of some extracts, by the number of their source.

    Memory: the rows of small sources.

    Raises:
        UsageError: an extract is missing, here and in the store.
    """

    def __init__(self, layout: Layout, folders: Mapping[int, Path]) -> None:
        self._layout = layout
        self._folders = folders
        require_files(layout, [folder / ACCOUNT for folder in folders.values()])
        self._records = {number: _record(folder) for number, folder in folders.items()}

    def files(self) -> list[Path]:
        """All files of the extracts, each of them here."""
        tables = [path for table in EXTRACTED for path in self._paths(table).values()]
        return [*(folder / ACCOUNT for folder in self._folders.values()), *tables]

    def values(self) -> Iterator[int]:
        """How many values the longest column of each table has: rows, or elements of lists; of small sources at most.

        Bytes don't say it: repeated values take few. The files are opened one by one, so that a caller can stop.
        """
        yield sum(len(data) for record in self._records.values() for data in record.rows.values()) // ROW_BYTES
        for table in EXTRACTED:
            yield from map(count_values, self._paths(table).values())

    def scan(self, table: Table) -> "pl.LazyFrame":
        """The rows of all extracts, with the ``source_no`` of each."""
        import polars as pl

        numbers = {str(path): number for number, path in self._paths(table).items()}
        rows = self._rows(table)
        parts = [rows.lazy()] if rows.height or not numbers else []
        if numbers:
            number_of = pl.col("path").replace_strict(numbers, return_dtype=pl.UInt32)
            files = pl.scan_parquet(list(numbers), include_file_paths="path")
            parts.append(files.with_columns(source_no=number_of).drop("path"))
        return pl.concat(parts)

    def _paths(self, table: Table) -> dict[int, Path]:
        """A table's files, each of them here."""
        name = file_name(table)
        paths = {number: self._folders[number] / name for number, each in self._records.items() if name in each.tables}
        require_files(self._layout, list(paths.values()))
        return paths

    def _rows(self, table: Table) -> "pl.DataFrame":
        """The rows of small sources."""
        import numpy as np
        import polars as pl
        import pyarrow as pa

        schema, numbers, batches = table.arrow(), [], []
        for number, record in self._records.items():
            if (data := record.rows.get(table.name)) is not None:
                batches.append(pa.ipc.read_record_batch(pa.py_buffer(data), schema))
                numbers.append(number)
        source_no = np.repeat(np.array(numbers, np.uint32), [batch.num_rows for batch in batches])
        rows = pl.DataFrame(pl.from_arrow(pa.Table.from_batches(batches, schema)))
        return rows.with_columns(source_no=pl.Series(source_no, dtype=pl.UInt32))


def count_values(path: Path) -> int:
    """The number of values in the longest column of a Parquet file, from its footer."""
    import pyarrow.parquet as pq

    footer = pq.read_metadata(path)
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    return max(
        (sum(group.column(column).num_values for group in groups) for column in range(footer.num_columns)), default=0
    )


def _record(folder: Path) -> StoredRows:
    record = read_record(folder / ACCOUNT, StoredRows)
    if record is None or not record.is_readable:
        raise UsageError(f"{folder}: a damaged extract; run again with --force")
    return record

"""Writing published tables: declared schema, zstd, fixed row groups, so that the same rows are the same bytes."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from flows.storage.atomic_files import unfinished_file
from schemas.codes import METHODOLOGY
from schemas.table import Table

ROW_GROUP_ROWS = 250_000
ZSTD_LEVEL = 3


def write_table(path: Path, table: Table, frames: Iterable[pl.DataFrame], **metadata: str) -> int:
    """The rows of the frames, written one after the other as one Parquet file of ``table``.

    Row groups are cut at fixed counts, wherever the frames begin and end. Memory: one row group and one frame.
    """
    schema = table.arrow(methodology=METHODOLOGY, **metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = 0
    with parquet_writer(path, schema) as writer:
        for group in _row_groups(frames, table):
            plain = group.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema).combine_chunks()
            writer.write_table(plain, row_group_size=ROW_GROUP_ROWS)
            rows += group.height
    return rows


def replace_table(path: Path, table: Table, frames: Iterable[pl.DataFrame], **metadata: str) -> int:
    """As ``write_table``, in place of an older file: readers see that or the new one, never a part."""
    with unfinished_file(path.parent) as unfinished:
        rows = write_table(unfinished, table, frames, **metadata)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    return rows


@contextmanager
def parquet_writer(path: Path, schema: pa.Schema, *, internal: bool = False) -> Iterator[pq.ParquetWriter]:
    """A writer that is closed with the context, and silent once that has failed.

    pyarrow's own would try to close the file again when it is forgotten, on a disk that is still full, and print that.

    Args:
        internal: write a table of the cache, which this package alone reads: half the time, no larger.
    """
    layout = _internal_layout(schema) if internal else {"compression_level": ZSTD_LEVEL}
    writer = pq.ParquetWriter(path, schema, compression="zstd", **layout)
    try:
        yield writer
        writer.close()
    except BaseException:
        with suppress(Exception):
            writer.close()
        writer.is_open = False
        raise


def _internal_layout(schema: pa.Schema) -> dict[str, Any]:
    """Dictionaries for texts that repeat alone: numbers and keys fill a dictionary, and then are written once more."""
    whole = {field.name: "DELTA_BINARY_PACKED" for field in schema if field.type == pa.int64()}
    plain = {pa.int64(), pa.float64(), pa.list_(pa.int64())}
    repeated = [
        f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name
        for field in schema
        if field.type not in plain and field.name != "reference_key"
    ]
    return {
        "compression_level": 1,
        "use_dictionary": repeated or False,
        "column_encoding": whole or None,
        "write_statistics": False,
    }


def has_schema(path: Path, schema: pa.Schema) -> bool:
    """Whether a file is whole, as far as its footer tells, and has these columns."""
    try:
        return bool(pq.read_schema(path).equals(schema))
    except (pa.ArrowInvalid, FileNotFoundError):
        return False


def metadata_of(path: Path, table: Table) -> dict[bytes, bytes]:
    """What the footer of a table's file states; nothing where it is not a whole file with these columns."""
    return (pq.read_schema(path).metadata or {}) if has_schema(path, table.arrow()) else {}


def read_frames(path: Path) -> Iterator[pl.DataFrame]:
    """A Parquet file's rows in order. Memory: one piece."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROW_GROUP_ROWS):
            yield pl.DataFrame(pl.from_arrow(batch))


def read_by_npi(path: Path) -> Iterator[pl.DataFrame]:
    """The same of rows that are sorted by NPI, cut where the NPI changes. Memory: one piece, and one NPI's rows."""
    held: pl.DataFrame | None = None
    for piece in read_frames(path):
        rows = piece if held is None else pl.concat([held, piece])
        is_last = rows["npi"].eq_missing(rows["npi"][-1])
        held = rows.filter(is_last)
        yield rows.filter(~is_last)
    if held is not None:
        yield held


def _row_groups(frames: Iterable[pl.DataFrame], table: Table) -> Iterator[pl.DataFrame]:
    buffered = table.empty()
    for frame in frames:
        buffered = pl.concat([buffered, frame.select(table.names)]) if buffered.height else frame.select(table.names)
        while buffered.height >= ROW_GROUP_ROWS:
            yield buffered.head(ROW_GROUP_ROWS)
            buffered = buffered.slice(ROW_GROUP_ROWS)
    if buffered.height:
        yield buffered

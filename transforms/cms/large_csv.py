"""Some columns of a csv that is too large to hold, as Arrow tables, one after the other.

Memory: some 150 MiB, whatever the length of the file.
"""

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.csv

from transforms.errors import UsageError

BLOCK_BYTES = 1 << 20  # measured best of 256 KiB to 16 MiB: larger blocks leave the CPU's cache
BLOCKS_PER_FRAME = 64  # one block at a time, polars spends ten times longer starting than working
_HEADER_BYTES = 1 << 20  # NPPES has 13 kB


def read_header(stream: BinaryIO) -> tuple[list[str], str]:
    """The column names, trimmed, none where the first line is no csv; the beginning of that line, for a message."""
    line = stream.readline(_HEADER_BYTES).decode("utf-8-sig", errors="replace")
    try:
        return [name.strip() for name in next(csv.reader([line]), [])], line[:60]
    except csv.Error:  # carriage returns, or a name of 128 KiB
        return [], line[:60]


def read_columns(stream: BinaryIO, header: Sequence[str], wanted: Sequence[str], file: str) -> Iterator[pl.DataFrame]:
    """The wanted columns as text, in file order, after the header; empty cells are null.

    A byte that is not UTF-8 spoils its own value, not the whole file.

    Raises:
        UsageError: a record of another width (a cut file); the text begins with ``file`` and says about where.
    """
    reading = pa.csv.ReadOptions(column_names=header, block_size=BLOCK_BYTES)
    converting = pa.csv.ConvertOptions(
        include_columns=wanted,
        column_types=dict.fromkeys(wanted, pa.binary()),
        null_values=[""],
        strings_can_be_null=True,
    )
    parsing = pa.csv.ParseOptions(newlines_in_values=True)
    records = 0
    try:
        with pa.csv.open_csv(stream, reading, parsing, converting) as batches:
            while pending := list(itertools.islice(batches, BLOCKS_PER_FRAME)):
                columns = pl.DataFrame(pl.from_arrow(pa.Table.from_batches(pending).combine_chunks()))
                records += len(columns)
                yield pl.DataFrame([_text(column) for column in columns])
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):  # a header without records: a weekly file can be empty
            return
        place = f"some way after record {records:,}"
        raise UsageError(f"{file}: {_without_content(error)}, {place}; download it again") from error


def _text(column: pl.Series) -> pl.Series:
    try:
        return column.cast(pl.String)
    except pl.exceptions.PolarsError:  # old files have Latin-1 texts, never in a code or a US state
        return pl.Series(column.name, [value and value.decode(errors="replace") for value in column], pl.String)


def _without_content(error: Exception) -> str:
    """The error's text without the record that Arrow quotes, which has personal data."""
    return re.sub(r"(got \d+).*", r"\1", str(error).splitlines()[0])

"""Some columns of a csv that is too large to hold, as frames, one after the other.

The compiled kernel cuts the wanted fields out of plain records. From the first record on that is not plain (a quote in
the middle of a field, another width), Arrow parses the rest of a file; where the kernel is missing, all of it.
Memory: some 150 MiB, whatever the length of the file.
"""

import csv
import ctypes
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa

from transforms.errors import UsageError
from transforms.scan.scan_kernel import library

BLOCK_BYTES = 1 << 20  # measured best of 256 KiB to 16 MiB: larger blocks leave the CPU's cache
BLOCKS_PER_FRAME = 64  # one block at a time, polars spends ten times longer starting than working
CUT_BYTES = BLOCK_BYTES
VIEWS_BYTES = 24 << 20  # of a frame: 70,000 records of NPPES
LONG_BYTES = 16 << 20  # of a frame: its texts of more than 12 bytes
_PADDING = 128  # behind a block: what the kernel may read
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
    records = 0
    if library.problem() is None and len(header) > 1:
        cutter = _Cutter(stream, header, wanted)
        for columns in cutter.frames():
            records += len(columns)
            yield _texts(columns)
        stream = cutter.rest()
    try:
        for columns in _parsed(stream, header, wanted):
            records += len(columns)
            yield _texts(columns)
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):  # a header without records: a weekly file can be empty
            return
        place = f"some way after record {records:,}"
        raise UsageError(f"{file}: {_without_content(error)}, {place}; download it again") from error


def trimmed(column: str) -> pl.Expr:
    """A column of texts without blanks around them; null for a blank one."""
    text = pl.col(column).str.strip_chars()
    return pl.when(text != "").then(text)


class _Cutter:
    """The kernel's columns of a csv, as far as its records are plain."""

    def __init__(self, stream: BinaryIO, header: Sequence[str], wanted: Sequence[str]) -> None:
        from transforms.scan.scan_kernel import csv_columns  # where the library is missing, importing it fails

        self._kernel = csv_columns
        self._stream = stream
        self._wanted = wanted
        self._numbers = np.array(sorted(map(header.index, wanted)), np.int64)
        self._names = [header[number] for number in self._numbers]
        self._columns = len(header)
        self._room = VIEWS_BYTES // csv_columns.VIEW_BYTES // len(wanted) // 8 * 8
        self._block = np.empty(2 * CUT_BYTES + 1 + _PADDING, np.uint8)
        self._start = self._end = 0  # of what is left to cut in the block
        self._closed = False  # whether a line end was added behind the last record

    def frames(self) -> Iterator[pl.DataFrame]:
        """Frames of the wanted columns as bytes."""
        count, room, kernel = len(self._wanted), self._room, self._kernel
        event = kernel.CSV_FULL
        while event == kernel.CSV_FULL:
            views = np.empty((count, room, kernel.VIEW_BYTES), np.uint8)
            present = np.empty((count, room // 8), np.uint8)
            long_texts = np.empty(LONG_BYTES, np.uint8)
            columns = kernel.CsvColumns(columns=self._columns, wanted=count, room=room, byte_room=LONG_BYTES)
            columns.numbers, columns.views = self._numbers.ctypes.data, views.ctypes.data
            columns.present, columns.bytes = present.ctypes.data, long_texts.ctypes.data
            event = self._fill(columns)
            if not columns.records:
                return
            held = pa.py_buffer(long_texts[: columns.byte_count].tobytes())
            arrays = [
                pa.Array.from_buffers(pa.binary_view(), columns.records, [*map(pa.py_buffer, buffers), held])
                for buffers in zip(present, views, strict=True)
            ]
            yield pl.DataFrame(pl.from_arrow(pa.table(arrays, names=self._names))).select(self._wanted)

    def rest(self) -> BinaryIO:
        """What was not cut."""
        end = self._end - (self._closed and self._start < self._end)
        return io.BufferedReader(_Rest(self._block[self._start : end].tobytes(), self._stream), BLOCK_BYTES)

    def _fill(self, columns: Any) -> int:
        """Why the columns get no further record: they are full, or the rest of the file is not plain, or empty."""
        event = self._kernel.CSV_NEED_MORE
        while event == self._kernel.CSV_NEED_MORE and (self._start < self._end or self._read_block()):
            block = self._block.ctypes.data + self._start, self._end - self._start
            event = self._kernel.cut_csv(*block, ctypes.addressof(columns))
            self._start += columns.end
            if event == self._kernel.CSV_NEED_MORE and self._start < self._end and not self._read_block():
                break
        return event

    def _read_block(self) -> bool:
        """Whether there are more bytes behind those left over: the next block, or a last record's missing line end."""
        left_over = self._end - self._start
        if left_over > CUT_BYTES or self._closed:
            return False
        self._block[:left_over] = self._block[self._start : self._end].copy()
        self._start, self._end = 0, left_over
        view = self._block.data[left_over : left_over + CUT_BYTES]
        while len(view) and (read := _read_into(self._stream, view)):
            self._end += read
            view = view[read:]
        if len(view) and self._end and self._block[self._end - 1] != ord("\n"):
            self._block[self._end] = ord("\n")
            self._end += 1
            self._closed = True
        return self._end > left_over


def _read_into(stream: BinaryIO, view: memoryview) -> int:
    return stream.readinto(view)  # type: ignore[attr-defined, no-any-return]


class _Rest(io.RawIOBase):
    """Bytes, and a stream behind them."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer with what comes next."""
        if not self._head:
            return _read_into(self._stream, buffer)
        size = min(len(self._head), len(buffer))
        buffer[:size] = self._head[:size]
        self._head = self._head[size:]
        return size


def _parsed(stream: BinaryIO, header: Sequence[str], wanted: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Frames of the wanted columns as bytes, by Arrow's parser."""
    import pyarrow.csv

    reading = pyarrow.csv.ReadOptions(column_names=header, block_size=BLOCK_BYTES)
    converting = pyarrow.csv.ConvertOptions(
        include_columns=wanted,
        column_types=dict.fromkeys(wanted, pa.binary()),
        null_values=[""],
        strings_can_be_null=True,
    )
    parsing = pyarrow.csv.ParseOptions(newlines_in_values=True)
    with pyarrow.csv.open_csv(stream, reading, parsing, converting) as batches:
        while pending := list(itertools.islice(batches, BLOCKS_PER_FRAME)):
            yield pl.DataFrame(pl.from_arrow(pa.Table.from_batches(pending).combine_chunks()))


def _texts(columns: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame([_text(column) for column in columns])


def _text(column: pl.Series) -> pl.Series:
    try:
        return column.cast(pl.String)
    except pl.exceptions.PolarsError:  # old files have Latin-1 texts, never in a code or a US state
        return pl.Series(column.name, [value and value.decode(errors="replace") for value in column], pl.String)


def _without_content(error: Exception) -> str:
    """The error's text without the record that Arrow quotes, which has personal data."""
    return re.sub(r"(got \d+).*", r"\1", str(error).splitlines()[0])

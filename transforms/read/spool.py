"""An append-only table of rows that can be cut back to a mark, and moves to disk when it grows past its limit.

Rows come one by one or as Arrow batches, and are kept as Arrow: in memory up to a limit, then as Arrow streams in one
temporary file, which a thread writes meanwhile. Single rows may come before the batch whose rows stand among them:
``reserve`` says how many of those stand in front of the next one. Memory: ``limit`` bytes of batches and as many that
are being written, whatever the file; rows that came one by one count by their weight.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from threading import Thread
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.read.arrow_columns import column_of, numbers

OpenTemporary = Callable[[], BinaryIO]
Row = tuple[object, ...]

LIMIT_BYTES = 4 << 20
ROW_BYTES = 400  # about, of a row of weight 1 as Python holds it
BATCH_BYTES = 4_096  # about, of a batch beside its buffers: many can be of a row each


class _Spilled(NamedTuple):
    first: int
    rows: int
    offset: int
    size: int


class Spool:
    """Rows in order. Columns may be dictionary-encoded in some batches, and plain in others."""

    def __init__(self, open_temporary: OpenTemporary, schema: pa.Schema, limit: int = LIMIT_BYTES) -> None:
        self._open_temporary = open_temporary
        self.schema = schema
        self._limit = limit
        self._rows: list[Row] = []  # those behind all batches
        self._weights: list[int] = []
        self._weight = 0
        self._reserved: list[tuple[int, int]] = []  # so many of ``_rows``, then the first so many of the next batch
        self._batches: list[pa.RecordBatch] = []  # those behind what is on disk
        self._bytes = 0
        self._in_batches = 0
        self._spilled: list[_Spilled] = []
        self._on_disk = 0
        self._file: BinaryIO | None = None
        self._writing: Future[None] | None = None

    def __len__(self) -> int:
        return self._on_disk + self._in_batches + self._awaited + len(self._rows)

    @property
    def _awaited(self) -> int:
        return self._reserved[-1][1] if self._reserved else 0

    def append(self, row: Row, weight: int = 1) -> None:
        """Add one row; ``weight`` is its size in units of a plain small row."""
        self._rows.append(row)
        self._weights.append(weight)
        self._weight += weight
        if self._weight * ROW_BYTES >= self._limit and not self._reserved:
            self._seal()

    def reserve(self, count: int) -> None:
        """The first ``count`` rows of the batch that is added next stand in front of the rows from here on."""
        if count > self._awaited:
            self._reserved.append((len(self._rows), count))

    def append_batch(self, batch: pa.RecordBatch) -> None:
        """Add a batch of rows."""
        if self._reserved:
            batch = self._merged(batch)
        self._seal()
        self._add(batch)

    def _merged(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The single rows and the batch's, each where it belongs."""
        first = self._reserved[0][0]
        rows, self._rows = self._rows[first:], self._rows[:first]
        self._weights = self._weights[:first]
        self._weight = sum(self._weights)
        ends = [row for row, _ in self._reserved[1:]] + [first + len(rows)]
        before = np.repeat([count for _, count in self._reserved], np.diff([first, *ends]))
        self._reserved = []
        if not rows:
            return batch
        both = [pa.RecordBatch.from_arrays(list(map(decoded, batch.columns)), schema=self.schema)]
        both.append(batch_of(rows, self.schema))
        order = np.insert(np.arange(batch.num_rows), before, batch.num_rows + np.arange(len(rows)))
        return pa.Table.from_batches(both).combine_chunks().to_batches()[0].take(numbers(order))

    def truncate(self, mark: int) -> None:
        """Remove every row from number ``mark`` on (a mark is an earlier ``len``)."""
        if mark >= self._on_disk + self._in_batches:
            kept = mark - self._on_disk - self._in_batches - self._awaited
            assert kept >= (self._reserved[-1][0] if self._reserved else 0), "what comes next is not known yet"
            self._weight -= sum(self._weights[kept:])
            del self._rows[kept:], self._weights[kept:]
            return
        self._rows, self._weights, self._weight = [], [], 0
        if mark < self._on_disk:
            self._wait()
        while mark < self._on_disk:
            last = self._spilled.pop()
            self._batches = list(self._read(last))
            self._on_disk = last.first
            self._in_batches = last.rows
            assert self._file is not None
            self._file.truncate(last.offset)
        while mark < self._on_disk + self._in_batches:
            batch = self._batches.pop()
            self._in_batches -= batch.num_rows
            kept = mark - self._on_disk - self._in_batches
            if kept > 0:
                self._batches.append(batch.slice(0, kept))
                self._in_batches += kept
        self._bytes = sum(map(_size_of, self._batches))

    @property
    def spilled(self) -> bool:
        """Whether rows are on disk."""
        return bool(self._on_disk)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows as batches of the schema's types."""
        for batch in self.encoded_batches():
            yield pa.RecordBatch.from_arrays(list(map(decoded, batch.columns)), schema=self.schema)

    def encoded_batches(self) -> Iterator[pa.RecordBatch]:
        """All rows as they are stored: columns may be dictionary-encoded."""
        self._seal()
        self._wait()
        for spilled in [*self._spilled]:
            yield from self._read(spilled)
        yield from [*self._batches]

    def close(self) -> None:
        """Close the temporary file; the spool is empty."""
        if self._writing is not None:
            wait([self._writing])
        if self._file is not None:
            self._file.close()
        self._rows, self._weights, self._batches, self._spilled, self._reserved = [], [], [], [], []
        self._weight = self._bytes = self._in_batches = self._on_disk = 0

    def _seal(self) -> None:
        assert not self._reserved
        if self._rows:
            batch = batch_of(self._rows, self.schema)
            self._rows, self._weights, self._weight = [], [], 0
            self._add(batch)

    def _add(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._in_batches += batch.num_rows
        self._bytes += _size_of(batch)
        if self._bytes > self._limit:
            self._spill()

    def _spill(self) -> None:
        self._wait()
        if self._file is None:
            self._file = self._open_temporary()
        self._writing = Future()
        arguments = (self._writing, self._batches, self._on_disk)
        # A daemon that still is in Arrow's code when Python ends would end the process with an abort
        Thread(target=self._write, args=arguments, name="spool").start()
        self._on_disk += self._in_batches
        self._batches, self._bytes, self._in_batches = [], 0, 0

    def _write(self, written: Future[None], batches: list[pa.RecordBatch], first: int) -> None:
        assert self._file is not None
        try:
            end = self._file.seek(0, 2)
            for batch in batches:
                with pa.ipc.new_stream(self._file, batch.schema) as writer:
                    writer.write_batch(batch)
                start, end = end, self._file.tell()
                self._spilled.append(_Spilled(first, batch.num_rows, start, end - start))
                first += batch.num_rows
        except BaseException as error:  # noqa: BLE001 raised again by ``_wait``
            written.set_exception(error)
        else:
            written.set_result(None)

    def _wait(self) -> None:
        """Until the file holds what goes there; raise the error that writing it ended with."""
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _read(self, spilled: _Spilled) -> Iterator[pa.RecordBatch]:
        assert self._file is not None
        self._file.seek(spilled.offset)
        with pa.ipc.open_stream(self._file.read(spilled.size)) as reader:
            yield from reader


def _size_of(batch: pa.RecordBatch) -> int:
    return int(batch.get_total_buffer_size()) + BATCH_BYTES


def batch_of(rows: list[Row], schema: pa.Schema) -> pa.RecordBatch:
    """Rows of Python values as one batch."""
    columns = zip(*rows, strict=True)
    arrays = [column_of(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def decoded(column: pa.Array) -> pa.Array:
    """A column, its values themselves where it holds their numbers in a dictionary."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column

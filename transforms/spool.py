"""An append-only list of rows that can be cut back to a mark, and moves to disk when it grows past its limit.

Memory: at most ``limit`` weight of rows in memory, whatever the file; the rest lies in one temporary file.
"""

import pickle
from collections.abc import Callable, Iterator
from typing import BinaryIO

OpenTemporary = Callable[[], BinaryIO]


class Spool:
    """Rows in order. Pickle is safe here: what is read back is what this process wrote."""

    def __init__(self, open_temporary: OpenTemporary, limit: int = 10_000) -> None:
        self._open_temporary = open_temporary
        self._limit = limit
        self._rows: list[tuple[object, ...]] = []
        self._weights: list[int] = []  # of those rows
        self._weight = 0
        self._file: BinaryIO | None = None
        self._chunks: list[tuple[int, int]] = []  # (first row, offset) of each chunk on disk
        self._spilled = 0

    def __len__(self) -> int:
        return self._spilled + len(self._rows)

    def append(self, row: tuple[object, ...], weight: int = 1) -> None:
        """Add one row; ``weight`` is its size in units of a plain small row."""
        self._rows.append(row)
        self._weights.append(weight)
        self._weight += weight
        if self._weight >= self._limit:
            self._spill()

    def truncate(self, mark: int) -> None:
        """Forget every row from number ``mark`` on (a mark is an earlier ``len``)."""
        while mark < self._spilled:
            first, offset = self._chunks.pop()
            assert self._file is not None
            self._file.seek(offset)
            self._rows, self._weights = pickle.load(self._file)
            self._file.truncate(offset)
            self._spilled = first
            self._weight = sum(self._weights)
        kept = mark - self._spilled
        self._weight -= sum(self._weights[kept:])
        del self._rows[kept:], self._weights[kept:]

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        for _, offset in self._chunks:
            assert self._file is not None
            self._file.seek(offset)
            rows, _ = pickle.load(self._file)
            yield from rows
        yield from self._rows

    def close(self) -> None:
        """Give the disk back."""
        if self._file is not None:
            self._file.close()
        self._rows, self._weights, self._chunks, self._spilled, self._weight = [], [], [], 0, 0

    def _spill(self) -> None:
        if self._file is None:
            self._file = self._open_temporary()
        offset = self._file.seek(0, 2)
        pickle.dump((self._rows, self._weights), self._file, protocol=pickle.HIGHEST_PROTOCOL)
        self._chunks.append((self._spilled, offset))
        self._spilled += len(self._rows)
        self._rows, self._weights, self._weight = [], [], 0

"""Bytes in order, read back by place; they move to disk when they grow past their limit.

Memory: at most ``limit`` bytes, whatever the file; the rest lies in one temporary file.
"""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from mmap import ACCESS_READ, ALLOCATIONGRANULARITY, mmap
from os import pread, pwrite
from threading import Thread
from typing import BinaryIO

from transforms.read.spool import OpenTemporary

LIMIT_BYTES = 4 << 20  # more would gain nothing: the system keeps what is written in memory as long as it can
COPY_BYTES = 1 << 20
LONG_BYTES = 64 << 20  # of more the system needs hundredths of a second to give them back, for which nobody waits


def _give_back(file: BinaryIO) -> None:
    with suppress(OSError):  # what a disk says late of bytes that nobody wants any more
        file.close()


class ByteSpool:
    """Appended bytes."""

    def __init__(self, open_temporary: OpenTemporary, limit: int | None = None) -> None:
        self._open_temporary = open_temporary
        self._limit = LIMIT_BYTES if limit is None else limit
        self._chunks: list[bytes] = []
        self._starts: list[int] = []
        self._file: BinaryIO | None = None
        self._size = 0
        self._padded = 0  # the file's length, once its end has been viewed

    def __len__(self) -> int:
        return self._size

    def append(self, data: memoryview) -> None:
        """Add a copy of these bytes."""
        if self._file is None and self._size + len(data) > self._limit:
            self._file = self._open_temporary()
            for start, chunk in zip(self._starts, self._chunks, strict=True):
                self.put(start, memoryview(chunk))
            self._chunks, self._starts = [], []
        if self._file is not None:
            self.put(self._size, data)
        else:
            self._starts.append(self._size)
            self._chunks.append(bytes(data))
        self._size += len(data)

    @property
    def on_disk(self) -> bool:
        """Whether there are so many that they go into a file."""
        return self._file is not None

    def put(self, place: int, data: memoryview) -> None:
        """Write bytes to the file, wherever ``append`` is; from any thread."""
        assert self._file is not None
        descriptor = self._file.fileno()
        while data:
            written = pwrite(descriptor, data, place)
            data, place = data[written:], place + written

    def skip(self, count: int) -> None:
        """What would be appended next has been ``put`` there."""
        self._size += count

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes between two places, in pieces."""
        if self._file is not None:
            descriptor = self._file.fileno()  # a seek and a buffered read take five times as long where little is read
            while start < end and (piece := pread(descriptor, min(COPY_BYTES, end - start), start)):
                start += len(piece)
                yield piece
            return
        number = bisect_right(self._starts, start) - 1
        while start < end:
            first = self._starts[number]
            piece = self._chunks[number][start - first : end - first]
            yield piece
            start += len(piece)
            number += 1

    def view(self, start: int, end: int, padding: int) -> memoryview:
        """The bytes between two places, and some behind them that can be read; of a file they are mapped, not copied.

        Memory: what is read of them, as long as the view is held.
        """
        if self._file is None:
            return memoryview(b"".join([*self.read(start, end), bytes(padding)]))
        if self._padded < self._size + padding:
            self._padded = self._size + padding
            self._file.truncate(self._padded)
        before = start % ALLOCATIONGRANULARITY
        first = start - before
        mapped = mmap(self._file.fileno(), end + padding - first, offset=first, access=ACCESS_READ)
        return memoryview(mapped)[before:]

    def close(self) -> None:
        """Give memory and disk back."""
        if self._file is not None:
            if self._size > LONG_BYTES:
                Thread(target=_give_back, args=(self._file,), name="give back", daemon=True).start()
            else:
                _give_back(self._file)
        self._chunks, self._starts, self._file, self._size = [], [], None, 0

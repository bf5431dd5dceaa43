"""Bytes in order, read back by place; they move to disk when they grow past their limit.

Memory: at most ``limit`` bytes, whatever the file; the rest lies in one temporary file.
"""

from collections.abc import Iterator
from contextlib import suppress
from mmap import ACCESS_READ, ALLOCATIONGRANULARITY, mmap
from os import pread, pwrite
from threading import Thread
from typing import BinaryIO

from transforms.read.spool import OpenTemporary

LIMIT_BYTES = 4 << 20  # more gains no time: the system's page cache holds what is written
COPY_BYTES = 1 << 20
LONG_BYTES = 64 << 20  # a longer file is closed in a thread: freeing its pages takes hundredths of a second


class ByteSpool:
    """Appended bytes."""

    def __init__(self, open_temporary: OpenTemporary, limit: int | None = None) -> None:
        self._open_temporary = open_temporary
        self._limit = LIMIT_BYTES if limit is None else limit
        self._memory = bytearray()
        self._file: BinaryIO | None = None
        self._size = 0
        self._padded = 0  # the file's length, once its end has been viewed

    def __len__(self) -> int:
        return self._size

    @property
    def on_disk(self) -> bool:
        """Whether there are so many that they go into a file."""
        return self._file is not None

    def append(self, data: memoryview) -> None:
        """Add a copy of these bytes."""
        if self._file is None and self._size + len(data) > self._limit:
            self._file = self._open_temporary()
            self.put(0, memoryview(self._memory))
            self._memory = bytearray()
        if self._file is not None:
            self.put(self._size, data)
        else:
            self._memory += data
        self._size += len(data)

    def put(self, place: int, data: memoryview) -> None:
        """Write bytes to the file, wherever ``append`` is; from any thread."""
        assert self._file is not None
        while data:
            written = pwrite(self._file.fileno(), data, place)
            data, place = data[written:], place + written

    def skip(self, count: int) -> None:
        """Count bytes that have been ``put`` where the next would be appended."""
        self._size += count

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes between two places, in pieces."""
        if self._file is None:
            yield bytes(memoryview(self._memory)[start:end])
            return
        while start < end and (piece := pread(self._file.fileno(), min(COPY_BYTES, end - start), start)):
            start += len(piece)  # a seek and a buffered read take five times as long for a few bytes
            yield piece

    def view(self, start: int, end: int, padding: int) -> memoryview:
        """The bytes between two places, and some behind them that can be read; of a file they are mapped, not copied.

        Memory: what is read of them, as long as the view is used.
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
        """Free memory and disk."""
        if self._file is not None and self._size > LONG_BYTES:
            Thread(target=_close, args=(self._file,), name="close", daemon=True).start()
        elif self._file is not None:
            _close(self._file)
        self._memory, self._file, self._size = bytearray(), None, 0


def _close(file: BinaryIO) -> None:
    with suppress(OSError):  # the bytes are not needed any more
        file.close()

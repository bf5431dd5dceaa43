"""A stream as large blocks in reused buffers, inflated by a second thread while the first one scans, or by the same.

Inflating (isal) and scanning (C) both release the GIL, so the time for a file is that of the slower of the two.
Inflating itself stays with one core: rapidgzip spends twice isal's time on one core and six times on two
(`make bench`), so it needs more than six cores to be as fast, and the one thread that scans limits what it could gain.
Memory: ``BUFFERS`` blocks.
"""

from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

import numpy as np

PADDING = 128  # bytes behind each block's data that the kernel may read
BLOCK_BYTES = 1 << 20  # measured best of 256 KiB to 4 MiB, with two threads and with one
HEAD_BYTES = 64 * 1024  # in front of each block: the bytes left over from the last one
BUFFERS = 3
LINE_BYTES = 64
LOOK_UP_SECONDS = 0.2


Store = Callable[[int, memoryview], object]  # stores bytes, with their position in the stream


class Block(NamedTuple):
    """Bytes in memory (with ``PADDING`` or more behind them), their address, and their number.

    ``stored_by``: the function that has stored those behind the left-over bytes, see ``Blocks.store_ahead``.
    """

    bytes: memoryview
    address: int
    size: int
    stored_by: Store | None = None


def memory_of(size: int) -> tuple[memoryview, int]:
    """Memory of so many bytes, and its address: asking numpy for it at every block takes longer than a short scan.

    It is not zeroed, because bytes behind a block's data never count: zeroing takes a tenth of a small file's time.
    It is aligned to a cache line: the scan reads whole lines, the first of them from before its position.
    """
    array = np.empty(size + LINE_BYTES, np.uint8)
    address = int(array.ctypes.data)
    before = -address % LINE_BYTES
    return array.data[before : before + size], address + before


def fill(stream: BinaryIO, buffer: memoryview) -> int:
    """How many bytes the buffer holds once it is full or the stream has ended."""
    size = 0
    readinto: Callable[[memoryview], int] | None = getattr(stream, "readinto", None)
    while size < len(buffer):
        if readinto is not None:
            count = readinto(buffer[size:])
        else:
            data = stream.read(len(buffer) - size)
            count = len(data)
            buffer[size : size + count] = data
        if not count:
            break
        size += count
    return size


class Buffer:
    """Memory for one block, and in front of it for the bytes left over from the last one."""

    def __init__(self, block_bytes: int) -> None:
        self.bytes, self.address = memory_of(HEAD_BYTES + block_bytes + PADDING)
        self.block = self.bytes[HEAD_BYTES : HEAD_BYTES + block_bytes]
        self.size = 0
        self.stored_by: Store | None = None

    def behind(self, left_over: memoryview) -> Block:
        """This block with ``left_over`` in front of it."""
        before = len(left_over)
        size = before + self.size
        if before > HEAD_BYTES:
            joined, address = memory_of(size + PADDING)
            joined[:before] = left_over
            joined[before:size] = self.block[: self.size]
            return Block(joined, address, size, self.stored_by)
        first = HEAD_BYTES - before
        self.bytes[first:HEAD_BYTES] = left_over
        return Block(self.bytes[first:], self.address + first, size, self.stored_by)


class Blocks:
    """Blocks read when asked for, in the caller's thread: cheapest where every core has a file of its own."""

    def __init__(self, stream: BinaryIO, block_bytes: int = BLOCK_BYTES) -> None:
        self._stream = stream
        self._next = Buffer(block_bytes)
        self._last = Buffer(block_bytes)

    def next(self, left_over: memoryview) -> Block:
        """The bytes left over (of the last block) and the next block behind them; no more than before at the end."""
        self._next, self._last = self._last, self._next
        self._last.size = fill(self._stream, self._last.block)
        return self._last.behind(left_over)

    def store_ahead(self, store: Store | None) -> None:
        """Let another thread store blocks before they are handed over from now on; None: no more, once this returns."""


class OverlappedBlocks(Blocks):
    """Blocks read ahead in a thread. Leave the context before the stream is closed: the thread ends there.

    A stream that ends within its first block has no thread, which would cost more than reading it.
    If blocks are to be stored, that thread stores them when it is ahead: the bytes are in its core's cache then.
    After an interrupt the context does not wait for it: a read can hang on a network, and the process ends anyway.
    """

    def __init__(self, stream: BinaryIO, block_bytes: int = BLOCK_BYTES) -> None:
        self._stream = stream
        self._free: SimpleQueue[Buffer | None] = SimpleQueue()
        self._full: SimpleQueue[Buffer | BaseException] = SimpleQueue()
        self._block_bytes = block_bytes
        self._start = 0  # of the next block in the stream
        self._current: Buffer | None = None
        self._store: Store | None = None
        self._storing = Lock()
        self._thread: Thread | None = None

    def _read_ahead(self) -> None:
        while (buffer := self._free.get()) is not None and self._read_into(buffer):
            pass

    def _read_into(self, buffer: Buffer) -> int:
        """How many bytes there are of the next block; 0 at the end, and where reading fails."""
        try:
            buffer.size = fill(self._stream, buffer.block)
            buffer.stored_by = None
            if self._store is not None and not self._full.empty():
                with self._storing:
                    if (store := self._store) is not None:
                        store(self._start, buffer.block[: buffer.size])
                        buffer.stored_by = store
            self._start += buffer.size
            self._full.put(buffer)
        except BaseException as error:  # noqa: BLE001 handed to the reading thread, which raises it
            self._full.put(error)
            return 0
        return buffer.size

    def next(self, left_over: memoryview) -> Block:
        """See ``Blocks``."""
        if self._current is not None and not self._current.size:
            return self._current.behind(left_over)
        found = self._wait()
        if isinstance(found, BaseException):
            self._full.put(found)
            raise found
        block = found.behind(left_over)
        if self._current is not None:
            self._free.put(self._current)
        self._current = found
        return block

    def store_ahead(self, store: Store | None) -> None:
        """See ``Blocks``."""
        self._store = store
        with self._storing:  # until the block that is being stored is
            pass

    def _wait(self) -> Buffer | BaseException:
        """In short pieces: a signal that the system hands to the reading thread does not end a wait in this one."""
        while True:
            with suppress(Empty):
                return self._full.get(timeout=LOOK_UP_SECONDS)

    def __enter__(self) -> Self:
        size = self._read_into(Buffer(self._block_bytes))
        if size == self._block_bytes:
            for _ in range(BUFFERS - 1):
                self._free.put(Buffer(self._block_bytes))
            self._thread = Thread(target=self._read_ahead, name="inflate", daemon=True)
            self._thread.start()
        elif size:
            self._read_into(Buffer(0))  # the end
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._free.put(None)
        if self._thread is not None and (kind is None or issubclass(kind, Exception)):
            self._thread.join()

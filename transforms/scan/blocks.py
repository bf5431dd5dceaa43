"""A stream as large blocks in reused buffers, filled by a second thread while the first one scans.

Inflating (isal) and scanning (C) both release the GIL, so a file takes as long as the slower of the two.
Inflating itself stays with one core: rapidgzip spends twice isal's time on one core and six times on two
(`make bench`), so it needs more than six cores to be as fast, and could win no more than the one thread that scans.
Memory: ``BUFFERS`` blocks.
"""

from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from types import TracebackType
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np

BLOCK_BYTES = 1 << 20  # inflated by one core and scanned by another; measured best of 256 KiB to 4 MiB
PLAIN_BLOCK_BYTES = 1 << 20  # inflated and scanned by one core; half of it was slower where references come first
HEAD_BYTES = 64 * 1024  # in front of each block: what the last one left over
BUFFERS = 3
LINE_BYTES = 64
LOOK_UP_SECONDS = 0.2


Keep = Callable[[int, memoryview], object]  # puts bytes away, with where in the stream they begin


class Block(NamedTuple):
    """Bytes in memory (``PADDING`` or more stand behind them), where in memory, and how many.

    ``kept``: what has put those away that stand behind what was left over, see ``Blocks.keep``.
    """

    bytes: memoryview
    address: int
    size: int
    kept: Keep | None = None


def memory_of(size: int) -> tuple[memoryview, int]:
    """So many bytes of anything, and their address: asking numpy for it at every block takes longer than a short scan.

    What follows a block's data never counts, so nobody waits for zeros, which cost a small file a tenth of its time.
    They begin where a line of the cache begins: the scan reads whole lines, some of them from before its place on.
    """
    array = np.empty(size + LINE_BYTES, np.uint8)
    address = int(array.ctypes.data)
    before = -address % LINE_BYTES
    return array.data[before : before + size], address + before


class Blocks(Protocol):
    """Where the reader's bytes come from."""

    def next(self, left_over: memoryview, padding: int) -> "Block":
        """The bytes left over and the next block behind them; no more than before at the end."""

    def keep(self, keep: Keep | None) -> None:
        """Blocks may be put away before they are handed over from now on; with None no more, not even just now."""


def fill(stream: BinaryIO, buffer: memoryview) -> int:
    """Read until the buffer is full or the stream has ended; how many bytes it holds."""
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


class _Buffer:
    def __init__(self, block_bytes: int, padding: int) -> None:
        self.bytes, self.address = memory_of(HEAD_BYTES + block_bytes + padding)
        self.block = self.bytes[HEAD_BYTES : HEAD_BYTES + block_bytes]
        self.size = 0
        self.kept: Keep | None = None

    def behind(self, left_over: memoryview, padding: int) -> Block:
        """This block with ``left_over`` in front of it."""
        before = len(left_over)
        size = before + self.size
        if before > HEAD_BYTES:
            joined, address = memory_of(size + padding)
            joined[:before] = left_over
            joined[before:size] = self.block[: self.size]
            return Block(joined, address, size, self.kept)
        first = HEAD_BYTES - before
        self.bytes[first:HEAD_BYTES] = left_over
        return Block(self.bytes[first:], self.address + first, size, self.kept)


class PlainBlocks:
    """Read when asked, in the caller's thread: what costs least where every core has a file of its own."""

    def __init__(self, stream: BinaryIO, block_bytes: int = PLAIN_BLOCK_BYTES) -> None:
        self._stream = stream
        self._block_bytes = block_bytes
        self._buffers: list[_Buffer] = []
        self._turn = 0

    def next(self, left_over: memoryview, padding: int) -> Block:
        """See ``Blocks``."""
        if len(self._buffers) < 2:
            self._buffers.append(_Buffer(self._block_bytes, padding))
        buffer = self._buffers[self._turn % len(self._buffers)]
        self._turn += 1
        buffer.size = fill(self._stream, buffer.block)
        return buffer.behind(left_over, padding)

    def keep(self, keep: Keep | None) -> None:
        """See ``Blocks``: nobody else is there to do it."""

    def __enter__(self) -> "PlainBlocks":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class OverlappedBlocks:
    """Read ahead in a thread. Leave the context before the stream is closed: the thread ends there.

    Where blocks are to be kept, that thread does it if it is ahead: while the bytes are near by in its core's cache.
    Only an interrupt doesn't wait for it: a read may hang for as long as a network does, and the process ends anyway.
    """

    def __init__(self, stream: BinaryIO, padding: int, block_bytes: int = BLOCK_BYTES) -> None:
        self._stream = stream
        self._free: SimpleQueue[_Buffer | None] = SimpleQueue()
        self._full: SimpleQueue[_Buffer | BaseException] = SimpleQueue()
        for _ in range(BUFFERS):
            self._free.put(_Buffer(block_bytes, padding))
        self._held: _Buffer | None = None
        self._keep: Keep | None = None
        self._keeping = Lock()
        self._thread = Thread(target=self._read, name="inflate", daemon=True)

    def _read(self) -> None:
        begin = 0
        try:
            while (buffer := self._free.get()) is not None:
                buffer.size = fill(self._stream, buffer.block)
                buffer.kept = None
                if self._keep is not None and not self._full.empty():
                    self._put_away(buffer, begin)
                begin += buffer.size
                self._full.put(buffer)
                if not buffer.size:
                    return
        except BaseException as error:  # noqa: BLE001 handed to the reading thread, which raises it
            self._full.put(error)

    def next(self, left_over: memoryview, padding: int) -> Block:
        """See ``Blocks``."""
        if self._held is not None and not self._held.size:
            return self._held.behind(left_over, padding)
        got = self._wait()
        if isinstance(got, BaseException):
            self._full.put(got)
            raise got
        joined = got.behind(left_over, padding)
        if self._held is not None:
            self._free.put(self._held)
        self._held = got
        return joined

    def _put_away(self, buffer: _Buffer, begin: int) -> None:
        with self._keeping:
            keep = self._keep
            if keep is not None:
                keep(begin, buffer.block[: buffer.size])
                buffer.kept = keep

    def keep(self, keep: Keep | None) -> None:
        """See ``Blocks``."""
        self._keep = keep
        with self._keeping:  # until the block that is being kept is
            pass

    def _wait(self) -> _Buffer | BaseException:
        """In short pieces: a signal that the system hands to the reading thread does not end a wait in this one."""
        while True:
            with suppress(Empty):
                return self._full.get(timeout=LOOK_UP_SECONDS)

    def __enter__(self) -> "OverlappedBlocks":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._free.put(None)
        if kind is None or issubclass(kind, Exception):
            self._thread.join()

"""Which provider references may be cited: a 32-bit hash of each one's id, and where its bytes stand.

Equal ids have equal hashes, so nothing cited is missed; a reference whose hash is met by chance is decoded in vain.
Memory: twelve bytes a reference for up to ``ROWS`` of them, then one temporary file; five bytes a cited key.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from transforms import scan_kernels as k
from transforms.byte_spool import ByteSpool
from transforms.spool import OpenTemporary

ROWS = 1 << 16
INDEX_BYTES = 32 << 20


class ReferenceIndex:
    """Rows of (hash, start, end), in order."""

    def __init__(self, open_temporary: OpenTemporary, rows: int = ROWS) -> None:
        self.hashes = np.zeros(rows, np.int64)
        self.ends = np.zeros((rows, 2), np.int64)
        self._packed = ByteSpool(open_temporary, INDEX_BYTES)
        self._counts: list[tuple[int, int]] = []  # (rows, first start) of each flush

    def flush(self, state: np.ndarray) -> None:
        """Put away the rows that the kernel has filled in."""
        count = int(state[k.INDEXED])
        if not count:
            return
        state[k.INDEXED] = 0
        starts, ends = self.ends[:count, 0], self.ends[:count, 1]
        gaps = np.diff(starts, prepend=starts[0])
        lengths = ends - starts
        width = np.uint32 if max(int(gaps.max()), int(lengths.max())) < 1 << 32 else np.uint64
        self._counts.append((count, int(starts[0]), np.dtype(width).itemsize))
        self._packed.append(memoryview(self.hashes[:count].astype(np.uint32)).cast("B"))
        self._packed.append(memoryview(gaps.astype(width)).cast("B"))
        self._packed.append(memoryview(lengths.astype(width)).cast("B"))

    def places(self, table: np.ndarray) -> Iterator[tuple[int, int]]:
        """(start, end) of every reference whose id's hash is in the table or that only Python can tell."""
        at = 0
        for count, first, width in self._counts:
            size = count * (4 + 2 * width)
            packed = b"".join(self._packed.read(at, at + size))
            at += size
            kind = np.uint32 if width == 4 else np.uint64
            hashes = np.frombuffer(packed, np.uint32, count)
            gaps, lengths = np.frombuffer(packed, kind, 2 * count, 4 * count).reshape(2, count).astype(np.int64)
            starts = first + np.cumsum(gaps)
            chosen = np.flatnonzero(k.in_table(table, hashes))
            yield from zip(starts[chosen].tolist(), (starts + lengths)[chosen].tolist(), strict=True)

    def close(self) -> None:
        """Give memory and disk back."""
        self._packed.close()


def key_table(keys: Iterable[str]) -> np.ndarray:
    """A table of the hashes of canonical reference keys."""
    encoded = [key.encode("utf-8", "surrogatepass") for key in keys]
    data = np.frombuffer(b"".join(encoded) + bytes(k.PADDING), np.uint8).copy()
    hashes = np.zeros(len(encoded), np.int64)
    k.hash_texts(data, np.cumsum([len(key) for key in encoded], dtype=np.int64), hashes)
    return _table(hashes)


def wanted_table(codes: Iterable[str]) -> np.ndarray:
    """A table of the hashes of billing codes."""
    hashes = []
    for code in codes:
        data = np.frombuffer(code.encode("utf-8", "surrogatepass") + bytes(k.PADDING), np.uint8).copy()
        hashes.append((k.hash_bytes(data, 0, len(data) - k.PADDING, 0) & 0xFFFFFFFF) | 2)
    return _table(np.array(hashes, np.int64))


def _table(hashes: np.ndarray) -> np.ndarray:
    table = np.zeros(1 << max(6, (4 * len(hashes)).bit_length()), np.int64)
    k.put_in_table(table, hashes)
    return table

"""Which provider references may be cited: a 32-bit hash of each one's id, and where its bytes stand.

Equal ids have equal hashes, so nothing cited is missed; a reference whose hash is met by chance is decoded in vain.
Memory: twelve bytes a reference up to ``INDEX_BYTES``, the rest in one temporary file; 32 to 64 bytes a cited key.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from transforms import scan_kernels as k
from transforms.byte_spool import ByteSpool
from transforms.spool import OpenTemporary

Int64s = NDArray[np.int64]

ROWS = 1 << 15
INDEX_BYTES = 8 << 20
KEYS_AT_ONCE = 10_000  # encoded copies of a million keys would be the largest thing in memory


class ReferenceIndex:
    """(start, end) by hash, in order; filled from the kernel's rows."""

    def __init__(self, open_temporary: OpenTemporary) -> None:
        self._packed = ByteSpool(open_temporary, INDEX_BYTES)
        self._batches: list[tuple[int, int, str]] = []  # rows, first start, type of gaps and lengths

    def add(self, rows: Int64s) -> None:
        """Put away rows of (hash, start, end)."""
        hashes, starts, ends = rows.T
        gaps = np.diff(starts, prepend=starts[:1])
        lengths = ends - starts
        width = "<u4" if max(int(gaps.max()), int(lengths.max())) < 1 << 32 else "<u8"
        self._batches.append((len(rows), int(starts[0]), width))
        for column, kind in ((hashes, "<u4"), (gaps, width), (lengths, width)):
            self._packed.append(memoryview(column.astype(kind)).cast("B"))

    def places(self, table: Int64s) -> Iterator[tuple[int, int]]:
        """(start, end) of every reference whose id's hash is in the table, or that only Python can tell."""
        at = 0
        for count, first, width in self._batches:
            kind = np.dtype(width)
            size = count * (4 + 2 * kind.itemsize)
            packed = b"".join(self._packed.read(at, at + size))
            at += size
            hashes = np.frombuffer(packed, "<u4", count).astype(np.int64)
            gaps, lengths = np.frombuffer(packed, kind, 2 * count, 4 * count).reshape(2, count).astype(np.int64)
            if k.in_table(table.ctypes.data, hashes.ctypes.data, count):
                starts = first + np.cumsum(gaps)
                chosen = np.flatnonzero(hashes)
                yield from zip(starts[chosen].tolist(), (starts + lengths)[chosen].tolist(), strict=True)

    def close(self) -> None:
        """Give memory and disk back."""
        self._packed.close()


def key_table(keys: Iterable[str]) -> Int64s:
    """A table of the hashes of canonical reference keys."""
    rest = iter(keys)
    hashes = [np.zeros(0, np.int64)]
    while batch := list(islice(rest, KEYS_AT_ONCE)):
        hashes.append(_hash_keys(batch))
    return _table(np.concatenate(hashes))


def _hash_keys(keys: Iterable[str]) -> Int64s:
    encoded = [key.encode("utf-8", "surrogatepass") for key in keys]
    data = np.frombuffer(b"".join(encoded) + bytes(k.PADDING), np.uint8)
    ends = np.cumsum([len(key) for key in encoded], dtype=np.int64)
    hashes = np.zeros(len(encoded), np.int64)
    k.hash_texts(data.ctypes.data, ends.ctypes.data, hashes.ctypes.data, len(encoded))
    return hashes


def code_table(codes: Iterable[str]) -> Int64s:
    """A table of the hashes of billing codes."""
    hashes = []
    for code in codes:
        encoded = code.encode("utf-8", "surrogatepass")
        data = np.frombuffer(encoded + bytes(k.PADDING), np.uint8)
        hashes.append(k.code_hash(data.ctypes.data, 0, len(encoded)))
    return _table(np.array(hashes, np.int64))


def _table(hashes: Int64s) -> Int64s:
    slots = 1 << max(6, (2 * len(hashes)).bit_length())
    table = np.zeros(1 + slots, np.int64)
    table[0] = slots - 1
    k.put_in_table(table.ctypes.data, hashes.ctypes.data, len(hashes))
    return table

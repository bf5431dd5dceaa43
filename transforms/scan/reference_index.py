"""Provider references in front of ``in_network``: their bytes, a 32-bit hash of each one's id, and its position.

Equal ids have equal hashes, so every cited reference is found; another with such a hash is decoded, then dropped.
Hashes and positions have a spool each: all hashes are read at the end, but few positions.
Memory: ``byte_spool.LIMIT_BYTES`` of bytes, ``INDEX_BYTES`` each of hashes and positions, the rest (and 4 and 24 bytes
a reference) in temporary files; 18 to 36 bytes a cited key.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from transforms.read.reference_keys import Int64s, ReferenceKeys
from transforms.read.spool import OpenTemporary
from transforms.scan.byte_spool import ByteSpool
from transforms.scan.scan_kernel import kernel as k
from transforms.scan.scan_kernel.library import Function

ROWS = 1 << 15
ROW_BYTES = 24
HASH_BYTES = 4
FILTERED = 8  # slots of a table whose filter is one more int64
FEW = 500  # of fewer than one row in so many each is read by itself
INDEX_BYTES = 1 << 20
KEYS_AT_ONCE = 10_000  # encoded copies of a million keys at once would be the reader's largest use of memory


class StoredReferences:
    """The bytes of a section, and the kernel's rows of (hash, start, end), in order."""

    def __init__(self, open_temporary: OpenTemporary) -> None:
        self.first = 0  # byte of the section in the document
        self.bytes = ByteSpool(open_temporary)
        self._hashes = ByteSpool(open_temporary, INDEX_BYTES)
        self._rows = ByteSpool(open_temporary, INDEX_BYTES)

    def add(self, rows: Int64s) -> None:
        """Store rows as they are: packing them would take longer than writing them."""
        self._hashes.append(rows[:, 0].astype(np.uint32).data.cast("B"))
        self._rows.append(rows.data.cast("B"))

    def places(self, table: Int64s) -> Iterator[Int64s]:
        """New arrays of the rows of ids whose hash is in the table, or that only Python can compare."""
        numbers = np.empty(ROWS, np.int64)
        count = len(self._hashes) // HASH_BYTES
        for first in range(0, count, ROWS):
            end = min(first + ROWS, count)
            hashes = np.frombuffer(_entries(self._hashes, first, end, HASH_BYTES), np.uint32)
            chosen = numbers[: k.choose(table.ctypes.data, hashes.ctypes.data, len(hashes), numbers.ctypes.data)]
            if len(chosen) * FEW < len(hashes):
                data = b"".join(_entries(self._rows, row, row + 1, ROW_BYTES) for row in (first + chosen).tolist())
                yield _rows_of(data).copy()
            else:
                yield _rows_of(_entries(self._rows, first, end, ROW_BYTES)).take(chosen, axis=0)

    def close(self) -> None:
        """Free memory and disk."""
        self.bytes.close()
        self._hashes.close()
        self._rows.close()


def _rows_of(data: bytes) -> Int64s:
    return np.frombuffer(data, np.int64).reshape(-1, 3)


def _entries(spool: ByteSpool, first: int, end: int, size: int) -> bytes:
    return b"".join(spool.read(first * size, end * size))


def key_table(numbers: Int64s, keys: ReferenceKeys) -> Int64s:
    """A table of the hashes of reference keys, given as their numbers."""
    hashes = np.zeros(len(numbers), np.int64)
    k.hash_numbers(numbers.ctypes.data, hashes.ctypes.data, len(numbers))
    odd = np.flatnonzero(numbers < 0)
    for first in range(0, len(odd), KEYS_AT_ONCE):
        places = odd[first : first + KEYS_AT_ONCE]
        hashes[places] = _hashes([keys.text_of(number) or "" for number in numbers[places].tolist()], k.hash_texts)
    return _table(hashes)


def code_table(codes: Iterable[str]) -> Int64s:
    """A table of the hashes of billing codes."""
    return _table(_hashes(codes, k.hash_codes))


def _hashes(texts: Iterable[str], function: Function) -> Int64s:
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    data = np.frombuffer(b"".join(encoded) + bytes(k.PADDING), np.uint8)
    ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
    hashes = np.zeros(len(encoded), np.int64)
    function(data.ctypes.data, ends.ctypes.data, hashes.ctypes.data, len(encoded))
    return hashes


def _table(hashes: Int64s) -> Int64s:
    slots = 1 << max(6, (2 * len(hashes)).bit_length())
    table = np.zeros(1 + slots + slots // FILTERED, np.int64)
    table[0] = slots - 1
    k.put_in_table(table.ctypes.data, hashes.ctypes.data, len(hashes))
    return table

"""Keys of provider references as int64, to store, compare and look up a million of them.

A canonical key (``clean.reference_key``) that is a plain whole number of up to 18 digits is that number; any other is
numbered below -1, and its text kept once; -1 stands for values that cannot be an id.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.read import arrow_columns as arrow

Int64s = NDArray[np.int64]

NO_KEY = -1
_WHOLE_DIGITS = 18
MERGED_AT_ONCE = 1 << 20
MARKED_FROM, MARKED_BELOW = 1 << 12, 1 << 24  # so many values, all below that, are marked, not sorted


class ReferenceKeys:
    """The numbers of one document's keys."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def number_of(self, key: str | None) -> int:
        """The key's number, a new one where it has none yet."""
        known = self.known_number(key)
        if known is None:
            assert key is not None
            known = self._numbers[key] = NO_KEY - 1 - len(self._texts)
            self._texts.append(key)
        return known

    def known_number(self, key: str | None) -> int | None:
        """The key's number; None where it has none yet."""
        if key is None:
            return NO_KEY
        if len(key) <= _WHOLE_DIGITS and key.isascii() and key.isdigit() and (key[0] != "0" or key == "0"):
            return int(key)
        return self._numbers.get(key)

    def text_of(self, number: int) -> str | None:
        """The inverse of ``number_of``."""
        if number == NO_KEY:
            return None
        return str(number) if number >= 0 else self._texts[NO_KEY - 1 - number]

    def texts_of(self, numbers: pa.Int64Array) -> pa.StringArray:
        """The inverse of ``number_of``, of a column."""
        values = arrow.numpy_of(numbers)
        texts = numbers.cast(pa.string())
        if len(values) and values.min() < 0:
            odd = arrow.texts([self.text_of(value) if value < 0 else None for value in values.tolist()])
            texts = pc.if_else(arrow.flags(values < 0), odd, texts)
        return texts


def distinct(values: Int64s) -> Int64s:
    """Sorted, each once: numpy's own ``unique`` hashes, which takes several times as long."""
    ordered = np.sort(values)
    first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


class _Marks:
    """Small numbers, each marked at its place: batches that hold most of them need not be sorted and merged.

    Memory: a byte for each number up to twice the largest one, ``MARKED_BELOW`` at most.
    """

    def __init__(self) -> None:
        self._marks = np.zeros(0, np.bool_)

    def put(self, values: Int64s) -> bool:
        """Mark them; False where they are few, or some too large."""
        if len(values) < MARKED_FROM or values.min() < 0 or (largest := int(values.max())) >= MARKED_BELOW:
            return False
        if largest >= len(self._marks):
            marks = np.zeros(min(2 * largest + 1, MARKED_BELOW), np.bool_)
            marks[: len(self._marks)] = self._marks
            self._marks = marks
        self._marks[values] = True
        return True

    def numbers(self) -> Int64s:
        """Those that were marked, ascending."""
        return np.flatnonzero(self._marks)


class CitedKeys:
    """A set of keys."""

    def __init__(self, numbers: Iterable[Int64s], keys: ReferenceKeys) -> None:
        found = np.zeros(0, np.int64)
        waiting: list[Int64s] = []
        marks = _Marks()
        for more in numbers:
            if marks.put(more):
                continue
            several = distinct(more)
            waiting.append(several[several != NO_KEY])
            if sum(map(len, waiting)) > max(len(found), MERGED_AT_ONCE):
                found, waiting = distinct(np.concatenate([found, *waiting])), []
        marked, others = marks.numbers(), np.concatenate([found, *waiting])
        self.numbers: Int64s = distinct(np.concatenate([marked, others])) if len(others) else marked  # ascending
        self._keys = keys

    def __len__(self) -> int:
        return len(self.numbers)

    def __contains__(self, key: object) -> bool:
        number = self._keys.known_number(key) if isinstance(key, str) else None
        if number is None:
            return False
        at = int(np.searchsorted(self.numbers, number))
        return at < len(self.numbers) and int(self.numbers[at]) == number

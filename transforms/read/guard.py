r"""Strings and numbers that are too long, found before a parser holds them in memory.

A parser's memory is its longest string or number, which a few megabytes of gzip make gigabytes long. Lengths are
those of the bytes as written: ``\u00e9`` is six.
Memory: what is read at once.
"""

import re
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from transforms.errors import BadFileError
from transforms.limits import Limits, Place, crossed

_ESCAPE = re.compile(rb"\\.", re.S)
_MASK = b".."
_QUOTE = b'"'
_BACKSLASH = 0x5C
_NUMBER = b"0123456789+-.eE"
_NO_SPACES = (b"\x0b", b"\x0c")  # vertical tab, form feed: yajl reads them as white space
_DIGIT_OR_NOT = bytes(ord("d") if byte in _NUMBER else ord(" ") for byte in range(256))
_SAMPLES = 64  # of the longest number that is allowed
_NEAR_BYTES = 1_024


def _masked(data: bytes) -> bytes:
    """With dots for escapes: every quote left is one, and a backslash at the end escapes what follows."""
    return _ESCAPE.sub(_MASK, data) if b"\\" in data else data


def braces_of(data: bytes, *, inside: bool) -> NDArray[np.intp]:
    """Where the opening braces stand that are outside of strings. Neither end is within an escape.

    Args: inside: the text begins within a string.
    """
    text = np.frombuffer(_masked(data), np.uint8)
    braces, quotes = (np.flatnonzero(text == ord(sign)) for sign in '{"')
    outside: NDArray[np.intp] = braces[np.searchsorted(quotes, braces) & 1 == int(inside)]
    return outside


def first_quote(data: memoryview, start: int, end: int) -> int:
    """Where the string ends that is open at ``start``; -1 when it does not end here."""
    width = _NEAR_BYTES
    while start < end:
        stop = min(start + width, end)
        masked = _masked(bytes(data[start:stop]))
        at = masked.find(_QUOTE)
        if at >= 0:
            return start + at
        start = stop + masked.endswith(b"\\")
        width *= 8
    return -1


def last_quote(data: memoryview, start: int, end: int) -> int:
    """Where the string begins that is open at ``end``; no escape may be cut at ``start``. -1 when there is none."""
    near = bytes(data[max(start, end - _NEAR_BYTES) : end])
    at = near.rfind(_QUOTE)
    if at > 0 and near[at - 1 : at] != b"\\":
        return end - len(near) + at
    at = _masked(bytes(data[start:end])).rfind(_QUOTE)
    return start + at if at >= 0 else -1


def has_long_number(data: bytes, digits: int, *, inside: bool = False) -> bool:
    """Whether JSON text holds a number of more than so many characters.

    Args: inside: the text begins within a string, and not within an escape.
    """
    if len(data) <= digits:
        return False
    step = max(1, digits // _SAMPLES)
    if b"d" * ((digits + 1) // step) not in data[::step].translate(_DIGIT_OR_NOT):
        return False  # nearly always: a number that long covers so many samples in a row
    outside = _masked(data).split(_QUOTE)[int(inside) :: 2]
    # from where each begins alone: from all of its digits a search would take the square of their number
    long_number = re.compile(rb"(?<![-+.eE0-9])[-+.eE0-9]{%d}" % (digits + 1))
    return any(long_number.search(text) for text in outside)


def has_long_string(data: bytes, longest: int) -> bool:
    """Whether JSON text holds a string of more than so many bytes; some of more than half as many count, too."""
    window = max(1, longest // 2)
    starts = range(0, len(data) - window + 1, window)  # one of these windows lies within any string that long
    return len(data) > longest and any(not _has_quote(data, at, at + window) for at in starts) and _fills(data, window)


def _has_quote(data: bytes, start: int, end: int) -> bool:
    """Whether the first quote here is certainly one: there is no backslash before it."""
    at = data.find(_QUOTE, start, end)
    return at == 0 or (at > 0 and data[at - 1] != _BACKSLASH)


def _fills(data: bytes, window: int) -> bool:
    masked = _masked(data)
    quotes = counted = 0
    for start in range(0, len(masked) - window + 1, window):
        if masked.find(_QUOTE, start, start + window) < 0:
            quotes += masked.count(_QUOTE, counted, start)
            counted = start
            if quotes & 1:
                return True
    return False


class GuardedStream:
    """A document's bytes on their way to ijson. ``BadFileError`` for a string or number beyond the limits.

    ``inside``: whether what was read so far ends within a string.

    ijson hands on a null pointer for an integer of more digits than CPython converts, which crashes the process; no
    limit is above that.

    Strings are measured across reads of up to a MiB: no limit is below that, so none can hide within one.
    """

    def __init__(self, stream: BinaryIO, limits: Limits, place: Place) -> None:
        self._stream = stream
        self._limits = limits
        self._place = place
        self._bytes = 0
        self.inside = False
        self._length = 0  # of the string that is open
        self._cut_escape = False
        self._number = b""  # what the last read ended with, where that may go on as a number

    def read(self, size: int = -1) -> bytes:
        """As a file's ``read``."""
        data = self._stream.read(size)
        if data:
            self._check(data)
            self._bytes += len(data)
        return data

    def _check(self, data: bytes) -> None:
        for control in _NO_SPACES:
            if control in data:
                what = f"not well-formed JSON: a control character, {control!r}"
                raise BadFileError(f"{what} {self._place(self._bytes + data.index(control))}")
        masked = _masked(_MASK[:1] + data[1:] if self._cut_escape else data)
        self._cut_escape = masked.endswith(b"\\")
        self._number += masked
        if has_long_number(self._number, self._limits.number_digits, inside=self.inside):
            raise crossed(self._limits, "number_digits", f"a number of more digits {self._place(self._bytes)}")
        first = masked.find(_QUOTE)
        if self.inside:
            self._length += len(masked) if first < 0 else first
            self._check_length()
        if first >= 0:
            self.inside ^= bool(masked.count(_QUOTE) & 1)
            self._length = len(masked) - masked.rfind(_QUOTE) - 1
            if self.inside:
                self._check_length()
        end = b"" if self.inside else self._number[-self._limits.number_digits - 1 :]
        self._number = end[len(end.rstrip(_NUMBER)) :]

    def _check_length(self) -> None:
        if self._length > self._limits.string_bytes:
            raise crossed(self._limits, "string_bytes", f"a string of more bytes {self._place(self._bytes)}")

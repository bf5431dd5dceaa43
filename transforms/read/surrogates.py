r"""Lone surrogate escapes (``\ud83d`` without its other half) become ``\ufffd``: legal JSON, but not valid text.

yajl refuses or garbles them, Parquet can't hold them. Only escapes are looked at, so nothing else can change; both
spellings are six bytes, so no offset moves.
"""

import re
from typing import BinaryIO

_ESCAPES = re.compile(
    rb"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.S
)
_LAST_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{0,4})?\Z")
_WHOLE = re.compile(rb"(?:(\\u[0-9a-fA-F]{4})|\\[^u]|[^\\])*", re.S)
_HIGH_HALF = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}")
_REPLACEMENT = rb"\ufffd"
_ESCAPE_BYTES = 6


def mend(data: bytes) -> bytes:
    """``data`` with lone surrogate escapes replaced; it must not begin or end inside an escape."""
    if b"\\ud" not in data and b"\\uD" not in data:
        return data
    return _ESCAPES.sub(_mend_one, data)


def _mend_one(match: "re.Match[bytes]") -> bytes:
    escape = match.group()
    is_surrogate = len(escape) == len(_REPLACEMENT) and escape[1:3] in (b"ud", b"uD")
    return _REPLACEMENT if is_surrogate else escape


class MendedStream:
    """A stream whose lone surrogate escapes are replaced. Holds back what could be half of a pair."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._held = b""

    def read(self, size: int = -1) -> bytes:
        """As a file's ``read``, though it may return somewhat more or less than asked for; empty only at the end."""
        if size == 0:
            return b""
        while True:
            fresh = self._stream.read(size)
            data = self._held + fresh
            if not fresh:
                self._held = b""
                return mend(data)
            cut = self._unfinished(data)
            self._held = data[cut:]
            if cut:
                return mend(data[:cut])

    @staticmethod
    def _unfinished(data: bytes) -> int:
        """Where the escape begins that the block cuts off, or the half that may have its other half in the next block.

        Backslashes are paired from the beginning of their run. Linear, and never more than two escapes are held.
        """
        start = len(data)
        while match := _LAST_ESCAPE.search(data, max(start - _ESCAPE_BYTES, 0), start):
            start = match.start()
        whole = _WHOLE.match(data, start)
        assert whole is not None  # it matches nothing, too
        end = whole.end()
        if whole.end(1) == end and _HIGH_HALF.fullmatch(whole[1]):
            end = whole.start(1)
        return end if len(data) - end < 2 * _ESCAPE_BYTES else len(data)  # longer: no JSON, for the parser to refuse

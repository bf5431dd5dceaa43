"""The smallest document that still shows a find: by pieces of its bytes, then value by value."""

from collections.abc import Callable
from time import monotonic

from tests.fuzz.spans import parse

Shows = Callable[[bytes], bool]


def minimise(document: bytes, shows: Shows, seconds: float = 20.0) -> bytes:
    """``document`` with as much taken out as ``shows`` allows, in about so many seconds."""
    until = monotonic() + seconds
    before = b""
    while before != document and monotonic() < until:
        before = document
        document = _without_parts(document, shows, until)
        document = _without_pieces(document, shows, until)
    return document


def _without_parts(document: bytes, shows: Shows, until: float) -> bytes:
    """Without whole members and elements, the longest first."""
    text = parse(document)
    spans = [member.whole for member in text.members] + [span for spans in text.arrays for span in spans]
    for start, end in sorted(spans, key=lambda span: span[0] - span[1]):
        for new in (_cut(document, start, end + 1), _cut(document, start - 1, end)):
            if monotonic() < until and new is not None and shows(new):
                return _without_parts(new, shows, until)
    return document


def _cut(document: bytes, start: int, end: int) -> bytes | None:
    return document[:start] + document[end:] if start >= 0 and end <= len(document) else None


def _without_pieces(document: bytes, shows: Shows, until: float) -> bytes:
    """Without runs of bytes, of half the document at first, of one byte at last."""
    size = max(len(document) // 2, 1)
    while size and monotonic() < until:
        at = 0
        while at < len(document) and monotonic() < until:
            new = document[:at] + document[at + size :]
            if shows(new):
                document = new
            else:
                at += size
        size //= 2
    return document

"""Pieces that the scan cut out, decoded: at once where they are plain, by ijson and ``walk`` where they are odd."""

import io
from collections.abc import Callable, Iterable, Iterator
from decimal import InvalidOperation
from typing import TYPE_CHECKING, BinaryIO

import ijson

from transforms.byte_spool import ByteSpool
from transforms.collect import Collected
from transforms.decode import MAX_DECODED_BYTES, OddElementError, decode_rates, decode_references
from transforms.guard import has_long_number, has_long_string
from transforms.limits import Limits
from transforms.read_ijson import HUGE_EXPONENT, parse
from transforms.reference_index import Int64s, ReferenceIndex, key_table
from transforms.walk import Event

if TYPE_CHECKING:
    from transforms.read_scan import Reading


def nothing() -> Event:
    """No event: what a walker reads between elements."""
    raise StopIteration


def first_line(error: Exception) -> str:
    """What a parser says, in one line."""
    message = error.args[0] if error.args else str(error)
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
    return text.split("\n")[0][:200]


def expect_plain(data: bytes, limits: Limits) -> None:
    """``OddElementError`` where a limit may be crossed: the walk then says which."""
    if has_long_number(data, limits.number_digits) or has_long_string(data, limits.value_chars):
        raise OddElementError


def walk_elements(reading: "Reading", stream: BinaryIO, walk: Callable[[], None], *, array: bool = False) -> None:
    """Parse one object, or an array of them, and walk each."""
    events = parse(stream, reading.limits, lambda _: reading.place(reading.pos))
    walker = reading.walker
    walker.next = events.__next__
    try:
        if array:
            next(events)
        for event, _ in events:
            if event == "start_map":
                walk()
    except InvalidOperation as error:
        raise reading.bad(HUGE_EXPONENT) from error
    except (ijson.JSONError, UnicodeDecodeError, StopIteration) as error:
        raise reading.bad(first_line(error)) from error
    finally:
        walker.next = nothing


def in_batches(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """JSON arrays of these elements, each as large as is decoded at once."""
    batch: list[bytes] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece)
        if size >= MAX_DECODED_BYTES:
            yield b"[%b]" % b",".join(batch)
            batch, size = [], 0
    if batch:
        yield b"[%b]" % b",".join(batch)


def decode_or_walk_rates(reading: "Reading", data: bytes) -> None:
    """Rows of an array of rates."""
    try:
        expect_plain(data, reading.limits)
        decode_rates(data, reading.collected)
    except OddElementError:
        walk_elements(reading, io.BytesIO(data), reading.walker.walk_rate, array=True)


def decode_or_walk_references(reading: "Reading", data: bytes) -> None:
    """Rows of an array of references."""
    cited = reading.walker.cited
    assert cited is not None
    try:
        expect_plain(data, reading.limits)
        decode_references(data, cited, reading.collected)
    except OddElementError:
        walk_elements(reading, io.BytesIO(data), reading.walker.walk_reference, array=True)


class Pieces:
    """Pieces of bytes as a stream for ijson."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._left = memoryview(piece)
        taken = bytes(self._left[:size]) if size >= 0 else bytes(self._left)
        self._left = self._left[len(taken) :]
        return taken


class IndexedReferences:
    """Provider references that stood in front of ``in_network``: their bytes, and where each one's begin."""

    def __init__(self, collected: Collected) -> None:
        self.bytes = ByteSpool(collected.open_temporary)
        self.index = ReferenceIndex(collected.open_temporary)

    def replay(self, reading: "Reading") -> None:
        """Decode what the matched prices cite."""
        collected = reading.collected
        cited = collected.cited_keys()
        if cited:
            seen = collected.references_seen
            reading.walker.cited = cited
            for batch in in_batches(self._cited(key_table(cited))):
                decode_or_walk_references(reading, batch)
            collected.references_seen = seen

    def _cited(self, table: Int64s) -> Iterator[bytes]:
        for start, end in self.index.places(table):
            yield b"".join(self.bytes.read(start, end))

    def close(self) -> None:
        """Give memory and disk back."""
        self.bytes.close()
        self.index.close()

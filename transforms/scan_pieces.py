"""Pieces that the scan cut out, decoded: at once where they are plain, by ijson and ``walk`` where they are odd."""

import io
from collections.abc import Callable, Iterable, Iterator
from decimal import InvalidOperation
from typing import BinaryIO

import ijson

from transforms.byte_spool import ByteSpool
from transforms.collect import Collected
from transforms.decode import MAX_DECODED_BYTES, OddElementError, decode_item, decode_rates, decode_references
from transforms.guard import has_long_number, has_long_string
from transforms.read_ijson import HUGE_EXPONENT, first_line, parse
from transforms.reference_index import Int64s, ReferenceIndex, key_table
from transforms.scan_cursor import Cursor
from transforms.walk import Event, Walker


def nothing() -> Event:
    """No event: what a walker reads between elements."""
    raise StopIteration


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


class ElementRows:
    """The rows of elements that the scan cut out of one document."""

    def __init__(self, cursor: Cursor, wanted: frozenset[str], walker: Walker) -> None:
        self.cursor = cursor
        self.wanted = wanted
        self.walker = walker
        self.collected = cursor.collected

    def item(self, data: bytes) -> None:
        """Of one item."""
        try:
            self.expect_plain(data)
            decode_item(data, self.wanted, self.collected)
        except OddElementError:
            self.walk(io.BytesIO(data), self.walker.walk_item)

    def rates(self, data: bytes) -> None:
        """Of an array of rates."""
        try:
            self.expect_plain(data)
            decode_rates(data, self.collected)
        except OddElementError:
            self.walk(io.BytesIO(data), self.walker.walk_rate, array=True)

    def references(self, data: bytes) -> None:
        """Of an array of references."""
        cited = self.walker.cited
        assert cited is not None
        try:
            self.expect_plain(data)
            decode_references(data, cited, self.collected)
        except OddElementError:
            self.walk(io.BytesIO(data), self.walker.walk_reference, array=True)

    def expect_plain(self, data: bytes) -> None:
        """``OddElementError`` where a limit may be crossed: the walk then says which."""
        limits = self.cursor.limits
        if has_long_number(data, limits.number_digits) or has_long_string(data, limits.value_chars):
            raise OddElementError

    def walk(self, stream: BinaryIO, walk: Callable[[], None], *, array: bool = False) -> None:
        """Parse one object, or an array of them, and walk each."""
        cursor, walker = self.cursor, self.walker
        events = parse(stream, cursor.limits, lambda _: cursor.place(cursor.pos))
        walker.next = events.__next__
        try:
            if array:
                next(events)
            for event, _ in events:
                if event == "start_map":
                    walk()
        except InvalidOperation as error:
            raise cursor.bad(HUGE_EXPONENT) from error
        except (ijson.JSONError, UnicodeDecodeError, StopIteration) as error:
            raise cursor.bad(first_line(error)) from error
        finally:
            walker.next = nothing


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

    def replay(self, rows: ElementRows) -> None:
        """Decode what the matched prices cite."""
        collected = rows.collected
        cited = collected.cited_keys()
        if cited:
            seen = collected.references_seen
            rows.walker.cited = cited
            for batch in in_batches(self._cited(key_table(cited))):
                rows.references(batch)
            collected.references_seen = seen

    def _cited(self, table: Int64s) -> Iterator[bytes]:
        for start, end in self.index.places(table):
            yield b"".join(self.bytes.read(start, end))

    def close(self) -> None:
        """Give memory and disk back."""
        self.bytes.close()
        self.index.close()

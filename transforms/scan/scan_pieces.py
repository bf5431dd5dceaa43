"""Pieces that the scan cut out, decoded: by the kernel where they are plain, by ``walk`` where they are odd."""

import io
from collections.abc import Callable, Iterable, Iterator
from decimal import InvalidOperation
from typing import BinaryIO

import ijson
import numpy as np

from transforms.read.collect import Collected
from transforms.read.read_ijson import HUGE_EXPONENT, first_line, parse
from transforms.read.reference_keys import Int64s
from transforms.read.walk import Event, Walker
from transforms.scan.byte_spool import ByteSpool
from transforms.scan.reference_index import ReferenceIndex, key_table
from transforms.scan.scan_columns import Decoder, Fallbacks
from transforms.scan.scan_cursor import Cursor
from transforms.scan.scan_kernel import kernel as k

VIEWED_BYTES = 16 << 20  # of spooled references
MAX_WALKED_BYTES = 16 << 10  # of an odd item; a longer one is read rate by rate, and the odd rates alone are walked
_PADDING = bytes(k.PADDING)


def nothing() -> Event:
    """No event: what a walker reads between elements."""
    raise StopIteration


class ElementRows:
    """The rows of elements that the scan cut out of one document."""

    def __init__(
        self, cursor: Cursor, decoder: Decoder, walker: Walker, walk_long_item: Callable[[BinaryIO], None]
    ) -> None:
        self.cursor = cursor
        self.decoder = decoder
        self.walker = walker
        self.walk_long_item = walk_long_item
        self.collected = cursor.collected

    def decode(self, data: memoryview, address: int, places: Int64s, section: int) -> None:
        """Of elements in order: see ``Decoder``. What it does not decode is walked."""
        self.decoder.decode(data, address, places, section, self.fallbacks(section))

    def decode_view(self, data: memoryview, places: Int64s, section: int) -> None:
        """Of elements in bytes that no block holds, with as many behind them that can be read."""
        self.decode(data, np.frombuffer(data, np.uint8).ctypes.data, places, section)

    def decode_one(self, pieces: Iterable[bytes], size: int, section: int) -> None:
        """Of one element."""
        data = memoryview(b"".join([*pieces, _PADDING]))
        self.decode_view(data, np.array([[0, 0, size]], np.int64), section)

    def fallbacks(self, section: int) -> Fallbacks:
        """Who reads the elements of a section that the kernel does not decode."""
        walk = self.walk_of(section)

        def odd(element: memoryview) -> None:
            if section == k.ITEMS and len(element) > MAX_WALKED_BYTES:
                large(element)
            else:
                self.walk(io.BytesIO(element), walk)

        def large(element: memoryview) -> None:
            if section == k.ITEMS:
                self.walk_long_item(io.BytesIO(element))
            else:
                self.walk(io.BytesIO(element), walk)

        return Fallbacks(odd, large)

    def walk_of(self, section: int) -> Callable[[], None]:
        """The plain grammar of a section's elements."""
        walker = self.walker
        return {k.ITEMS: walker.walk_item, k.RATES: walker.walk_rate}.get(section, walker.walk_reference)

    def walk(self, stream: BinaryIO, walk: Callable[[], None]) -> None:
        """Parse one object and walk it."""
        cursor, walker = self.cursor, self.walker
        self.decoder.flush()
        events = parse(stream, cursor.limits, lambda _: cursor.place(cursor.pos))
        walker.next = events.__next__
        try:
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
        if not len(cited):
            return
        seen = collected.references_seen
        rows.walker.cited = cited
        rows.decoder.cite(cited)
        for places in self.index.places(key_table(cited.numbers, collected.keys)):
            for first, end in _runs(places):
                self._decode(rows, places[first:end])
        rows.decoder.flush()
        collected.references_seen = seen

    def _decode(self, rows: ElementRows, places: Int64s) -> None:
        """References in order, with what stands between them."""
        start, end = int(places[0, 0]), int(places[-1, 1])
        within = np.zeros((len(places), 3), np.int64)
        within[:, 1:] = places - start
        rows.decode_view(self.bytes.view(start, end, k.PADDING), within, k.REFERENCES_FILTERED)

    def close(self) -> None:
        """Give memory and disk back."""
        self.bytes.close()
        self.index.close()


def _runs(places: Int64s) -> Iterator[tuple[int, int]]:
    """Which of these places are viewed at once."""
    ends = places[:, 1]
    first = 0
    while first < len(places):
        end = max(int(np.searchsorted(ends, places[first, 0] + VIEWED_BYTES, side="right")), first + 1)
        yield first, end
        first = end

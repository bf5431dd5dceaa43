"""Pieces that the scan cut out, decoded: by the kernel where they are plain, by ``walk`` where they are odd."""

import io
from collections.abc import Callable, Iterable, Iterator
from decimal import InvalidOperation
from typing import Any, BinaryIO

import ijson
import numpy as np

from transforms.read.collect import Collected
from transforms.read.read_ijson import HUGE_EXPONENT, first_line, parse
from transforms.read.reference_keys import Int64s
from transforms.read.walk import Event, Walker
from transforms.scan.byte_spool import ByteSpool
from transforms.scan.reference_index import ReferenceIndex, key_table
from transforms.scan.scan_columns import Decoder
from transforms.scan.scan_cursor import Cursor
from transforms.scan.scan_kernel import kernel as k

VIEWED_BYTES = 16 << 20  # of spooled references
MAX_WALKED_BYTES = 16 << 10  # of an odd item; a longer one is read rate by rate, and the odd rates alone are walked
PADDING = bytes(k.PADDING)


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
        self.walks = {k.ITEMS: walker.walk_item, k.RATES: walker.walk_rate}

    def decode(self, data: memoryview, address: int, places: Int64s, section: int) -> None:
        """Of elements in order: see ``Decoder``. What it does not decode is walked."""

        def walk(element: memoryview, too_many_rows: bool) -> None:
            self.walk(io.BytesIO(element), section, rate_by_rate=too_many_rows or len(element) > MAX_WALKED_BYTES)

        self.decoder.decode(data, address, places, section, walk)

    def decode_view(self, data: memoryview, places: Int64s, section: int) -> None:
        """Of elements in bytes that no block holds, with as many behind them that can be read."""
        self.decode(data, np.frombuffer(data, np.uint8).ctypes.data, places, section)

    def walk(self, stream: BinaryIO, section: int, *, rate_by_rate: bool) -> None:
        """Of one element, by the plain grammar; of an item by rates, which the kernel decodes where they are plain."""
        if section == k.ITEMS and rate_by_rate:
            self.walk_long_item(stream)
            return
        cursor, walker = self.cursor, self.walker
        self.decoder.flush()
        events = parse(stream, cursor.limits, lambda _: cursor.place(cursor.pos))
        walker.next = events.__next__
        try:
            for event, _ in events:
                if event == "start_map":
                    self.walks.get(section, walker.walk_reference)()
        except InvalidOperation as error:
            raise cursor.bad(HUGE_EXPONENT) from error
        except (ijson.JSONError, UnicodeDecodeError, StopIteration) as error:
            raise cursor.bad(first_line(error)) from error
        finally:
            walker.next = nothing


class Pieces(io.RawIOBase):
    """Pieces of bytes as a stream."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = memoryview(b"")

    def readinto(self, buffer: Any) -> int:
        """As a file's ``readinto``."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


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
        """Free memory and disk."""
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

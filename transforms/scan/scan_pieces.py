"""Elements that the scan found, decoded: plain ones by the kernel, odd ones by the plain grammar (``walk``)."""

import io
from collections.abc import Callable, Iterable
from decimal import InvalidOperation
from typing import Any, BinaryIO

import ijson
import numpy as np

from transforms.read.read_ijson import HUGE_EXPONENT, first_line, parse
from transforms.read.reference_keys import Int64s
from transforms.read.walk import Event, Walker
from transforms.scan.reference_index import StoredReferences
from transforms.scan.scan_columns import Decoder
from transforms.scan.scan_cursor import Cursor
from transforms.scan.scan_kernel import kernel as k

VIEWED_BYTES = 4 << 20  # of spooled references
# Of an odd element. A longer item is read rate by rate, and its odd rates alone are walked; in front of any longer
# element the kernel's rows are put away.
MAX_WALKED_BYTES = 16 << 10
PADDING = bytes(k.PADDING)


def no_event() -> Event:
    """Raise StopIteration: between elements a walker has no events."""
    raise StopIteration


class ElementRows:
    """Decodes elements of one document into ``Collected``."""

    def __init__(
        self, cursor: Cursor, decoder: Decoder, walker: Walker, walk_long_item: Callable[[BinaryIO, int], None]
    ) -> None:
        self.cursor = cursor
        self.decoder = decoder
        self.walker = walker
        self.walk_long_item = walk_long_item
        self.collected = cursor.collected

    def decode(self, data: memoryview, address: int, base: int, places: Int64s, section: int) -> None:
        """Decode elements in order; walk those that ``Decoder`` does not decode. ``base``: see ``Decoder.decode``."""

        def walk(element: memoryview, offset: int, too_many_rows: bool) -> None:
            is_long = too_many_rows or len(element) > MAX_WALKED_BYTES
            if not is_long:
                self.decoder.reserve(len(element))
            self.walk(io.BytesIO(element), offset, section, is_long=is_long)

        self.decoder.decode(data, address, base, places, section, walk)

    def decode_view(self, data: memoryview, base: int, places: Int64s, section: int) -> None:
        """Decode elements in bytes outside of the current block, with ``PADDING`` behind them."""
        self.decode(data, np.frombuffer(data, np.uint8).ctypes.data, base, places, section)

    def replay(self, references: StoredReferences, table: Int64s) -> None:
        """Decode the stored references whose ids' hashes are in the table, from views of some megabytes each."""
        seen = self.collected.references_seen
        for places in references.places(table):
            first, ends = 0, places[:, 2].copy()
            while first < len(places):
                start = int(places[first, 1])
                end = max(int(np.searchsorted(ends, start + VIEWED_BYTES, side="right")), first + 1)
                within = places[first:end]
                within[:, 1] -= start
                within[:, 2] -= start
                view = references.bytes.view(start, int(ends[end - 1]), k.PADDING)
                self.decode_view(view, references.first + start, within, k.REFERENCES_FILTERED)
                first = end
        self.decoder.flush()
        self.collected.references_seen = seen

    def walk(self, stream: BinaryIO, offset: int, section: int, *, is_long: bool) -> None:
        """Read one element by the plain grammar; a large item rate by rate, most of them by the kernel.

        Args: offset: the element's first byte in the document.
        """
        if section == k.ITEMS and is_long:
            self.walk_long_item(stream, offset)
            return
        cursor, walker = self.cursor, self.walker
        if is_long:
            self.decoder.flush()
        events = parse(stream, cursor.limits, lambda _: cursor.place(cursor.pos))
        walker.next = events.__next__
        try:
            for event, _ in events:
                if event == "start_map" and section == k.RATES:
                    walker.walk_rate()
                elif event == "start_map":
                    (walker.walk_item if section == k.ITEMS else walker.walk_reference)(lambda: offset)
        except InvalidOperation as error:
            raise cursor.bad(HUGE_EXPONENT) from error
        except (ijson.JSONError, UnicodeDecodeError, StopIteration) as error:
            raise cursor.bad(first_line(error)) from error
        finally:
            walker.next = no_event


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

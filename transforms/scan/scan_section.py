"""One root array on its way through the kernel: which of its elements are held, decoded, spooled or skipped."""

from collections.abc import Iterator
from typing import BinaryIO, cast

import numpy as np

from transforms.errors import FullReadingNeededError
from transforms.read.collect import NULL_OBJECT
from transforms.read.reference_keys import Int64s
from transforms.scan.blocks import Store
from transforms.scan.byte_spool import ByteSpool
from transforms.scan.reference_index import ROWS, StoredReferences
from transforms.scan.scan_cursor import Cursor
from transforms.scan.scan_kernel import kernel as k
from transforms.scan.scan_pieces import PADDING, ElementRows, Pieces

MAX_HELD_BYTES = 16 << 20
MAX_DECODED_BYTES = 1 << 20  # of an item that no block holds; a longer one is read rate by rate
MANY_ROWS = 8  # in one block: where most elements of those are wanted, the next ones are decoded without a scan
DEEP = 100  # below this limit of nesting elements are scanned first, which counts brackets


class Section:
    """One root array on its way through the kernel."""

    def __init__(
        self,
        cursor: Cursor,
        rows: ElementRows,
        table: Int64s,
        references: StoredReferences | None,
        *,
        skip: bool,
    ) -> None:
        """Start at the cursor's position and state.

        Args:
            table: the hashes of what is wanted.
            references: stores provider references in front of ``in_network``.
            skip: drop the bytes of elements already known to be unwanted.
        """
        self.cursor = cursor
        self.rows = rows
        self.references = references
        self.skip = skip
        self.state = cursor.state
        self.table = table  # so that its memory stays allocated
        self.table_address = table.ctypes.data
        self.places = np.empty((ROWS, 3), np.int64)
        self.places_address = self.places.ctypes.data
        self.state[k.INDEX_ROWS] = ROWS
        self.kind = self.state[k.SECTION]
        self.can_decode_ahead = (
            self.kind in (k.ITEMS, k.REFERENCES_FILTERED) and not self.state[k.SINGLE] and self.state[k.DEEPEST] >= DEEP
        )
        self.decodes_ahead = False
        self.first = cursor.base + cursor.pos  # byte of the section in the document
        if references is not None and self.kind == k.REFERENCES_INDEXED:
            references.first = self.first
        self.store: Store | None = None  # spools blocks, once the spool is a file
        self.spooled_from = cursor.pos
        self.state[k.SPOOLED] = -cursor.pos
        self.held = ByteSpool(cursor.collected.open_temporary, MAX_HELD_BYTES)  # of the open element
        self.dropped = False
        self.seen = 0
        self.seen_before = 0  # when rows were decoded last

    def read(self) -> None:
        """All elements."""
        try:
            self.all_elements()
        finally:
            if self.store is not None:
                self.cursor.blocks.store_ahead(None)
        self.rows.decoder.flush()
        quirks = self.cursor.collected.quirks
        if self.state[k.NULLS]:
            quirks[NULL_OBJECT] += self.state[k.NULLS]
        if self.state[k.OTHERS]:
            quirks["something else where an object belongs"] += self.state[k.OTHERS]

    def all_elements(self) -> None:
        """Up to the section's end."""
        cursor = self.cursor
        while True:
            if self.decodes_ahead:
                self.decode_ahead()
            event = self.scan()
            if event != k.NEED_MORE or self.kind != k.REFERENCES_INDEXED:  # whose positions are the section's
                self.decode_rows()
            if event == k.NEED_MORE:
                self.hold()
                self.refill()
                if len(self.held) > MAX_HELD_BYTES and self.is_wanted():
                    self.decode_streamed()
            elif event == k.ELEMENT:
                self.decode_whole()
            elif event == k.SECTION_END:
                cursor.measure_strings(inside=False)
                break
        if self.kind == k.REFERENCES_INDEXED:
            self.spool(cursor.pos)

    def scan(self) -> int:
        """Run the kernel up to its next event; count the elements that it passed over."""
        cursor, seen = self.cursor, self.seen
        try:
            return cursor.step(
                k.next_event(cursor.address, cursor.size, cursor.at(), self.table_address, self.places_address)
            )
        finally:
            self.seen = self.state[k.SEEN]
            if self.kind == k.ITEMS:
                cursor.collected.items_seen += self.seen - seen
            elif self.kind != k.RATES:
                cursor.collected.references_seen += self.seen - seen
            if not k.NOWHERE < self.state[k.START] < 0:  # the held element has ended, and was passed over
                self.held.close()
                self.dropped = False

    def decode_rows(self) -> None:
        """Decode the elements that lie in this block and may be wanted; index references."""
        count = self.state[k.INDEXED]
        if not count:
            return
        self.state[k.INDEXED] = 0
        places = self.places[:count]
        if self.kind == k.REFERENCES_INDEXED:
            assert self.references is not None
            self.references.add(places)
            return
        self.rows.decode(self.cursor.data, self.cursor.address, self.cursor.base, places, self.kind)
        if self.can_decode_ahead and count >= MANY_ROWS and self.seen - self.seen_before < count:
            self.decodes_ahead = True
        self.seen_before = self.seen

    def decode_ahead(self) -> None:
        """Decode elements without a scan; where that stops, the scan goes on up to the next wanted element."""
        if self.state[k.STATE] in (k.ELEMENT_NEXT, k.AFTER_ELEMENT):
            cursor = self.cursor
            decode_ahead = self.rows.decoder.decode_ahead
            self.decodes_ahead = decode_ahead(cursor.address, cursor.size, cursor.base, cursor.at())
            cursor.pos = self.state[k.POS]
        self.state[k.INDEX_ROWS] = 1 if self.decodes_ahead else ROWS

    def refill(self) -> None:
        """The next block; places are shifted."""
        cursor, state = self.cursor, self.state
        shift = cursor.pos
        self.spooled_from = cursor.size - shift
        cursor.measure_strings(inside=cursor.in_string(), escaped=int(state[k.ESCAPED]))
        cursor.need_more()
        state[k.SPOOLED] += shift
        if state[k.START] != k.NOWHERE:
            state[k.START] -= shift

    # ---- the open element at a block's end -----------------------------------------------------------------

    def is_wanted(self) -> bool:
        """Whether the open element is known to be wanted, or only Python can decide it."""
        state = self.state
        return state[k.ODD] != 0 or (state[k.CODE] == k.WANTED and state[k.TYPE] == k.WANTED)

    def hold(self) -> None:
        """Hold the open element's bytes of this block, unless it is known to be unwanted."""
        state = self.state
        if self.kind == k.REFERENCES_INDEXED:
            self.spool(self.cursor.size)
        elif state[k.START] != k.NOWHERE:
            unwanted = state[k.CODE] == k.UNWANTED or state[k.TYPE] == k.UNWANTED
            if self.skip and unwanted and state[k.ODD] == 0:
                self.held.close()
                self.dropped = True
            elif not self.dropped:
                self.held.append(self.bytes_here())

    def element_offset(self) -> int:
        """The open element's first byte in the document."""
        return self.cursor.base + self.state[k.START]

    def bytes_here(self) -> memoryview:
        """The open element's bytes in this block."""
        return self.cursor.data[max(self.state[k.START], 0) : self.cursor.pos]

    # ---- decoding ------------------------------------------------------------------------------------------

    def decode_whole(self) -> None:
        """The element that has just ended."""
        if self.dropped:
            raise FullReadingNeededError("billing_code or provider_group_id stands twice in one element")
        size = len(self.held) + self.cursor.pos
        if size <= (MAX_DECODED_BYTES if self.kind == k.ITEMS else MAX_HELD_BYTES):
            data = memoryview(b"".join([*self.pieces_to_end(), PADDING]))
            self.rows.decode_view(data, self.element_offset(), np.array([[0, 0, size]], np.int64), self.kind)
        else:
            self.walk(self.pieces_to_end())
        self.close_element()

    def decode_streamed(self) -> None:
        """An element too long to hold, while the scan goes on through it."""
        self.state[k.STOP_AT_END] = 1
        self.walk(self.pieces_streamed())
        self.state[k.STOP_AT_END] = 0
        self.close_element()

    def close_element(self) -> None:
        """Note that no element is open."""
        self.held.close()
        self.state[k.START] = k.NOWHERE

    def pieces_to_end(self) -> Iterator[bytes]:
        """The bytes of an element that has ended."""
        yield from self.held.read(0, len(self.held))
        yield bytes(self.bytes_here())

    def pieces_streamed(self) -> Iterator[bytes]:
        """The bytes of an element that has not ended yet: what was held, then block by block."""
        yield from self.held.read(0, len(self.held))
        self.held.close()
        while self.scan() == k.NEED_MORE:
            piece = bytes(self.bytes_here())
            self.refill()
            yield piece
        yield bytes(self.bytes_here())

    def walk(self, pieces: Iterator[bytes]) -> None:
        """One element's rows, by the plain grammar, into ``Collected``."""
        self.rows.walk(cast("BinaryIO", Pieces(pieces)), self.element_offset(), self.kind, is_long=True)

    # ---- references in front of in_network -----------------------------------------------------------------

    def spool(self, end: int) -> None:
        """Store this block's bytes of the section, up to ``end``, unless another thread has done it."""
        cursor = self.cursor
        assert self.references is not None
        spool = self.references.bytes
        if self.store is not None and cursor.stored_by is self.store:
            spool.skip(end - self.spooled_from)
            return
        spool.append(cursor.data[self.spooled_from : end])
        if self.store is None and spool.on_disk:
            first = self.first

            def store(start: int, data: memoryview) -> None:
                spool.put(start - first, data)

            self.store = store
            cursor.blocks.store_ahead(store)

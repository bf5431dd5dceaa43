"""One root array on its way through the kernel: which of its elements are held, decoded, spooled or forgotten."""

from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, cast

import numpy as np

from transforms.errors import FullReadingNeededError
from transforms.read.reference_keys import Int64s
from transforms.scan.blocks import Keep
from transforms.scan.byte_spool import ByteSpool
from transforms.scan.reference_index import ROWS
from transforms.scan.scan_cursor import Cursor
from transforms.scan.scan_kernel import kernel as k
from transforms.scan.scan_pieces import ElementRows, IndexedReferences, Pieces

MAX_HELD_BYTES = 16 << 20
MAX_DECODED_BYTES = 1 << 20  # of an item that no block holds; a longer one is read rate by rate
MANY_ROWS = 8  # in one block: where most elements of those are wanted, the next ones are decoded without a scan
DEEP = 100  # limits below this are for the scan to hold, which counts brackets


class Section:
    """One root array on its way through the kernel."""

    def __init__(
        self,
        cursor: Cursor,
        rows: ElementRows,
        table: Int64s,
        references: IndexedReferences | None,
        *,
        skip: bool,
    ) -> None:
        """Begin where the cursor is, in the state that it holds.

        Args:
            table: the hashes of what is wanted.
            references: where provider references are kept that stand in front of ``in_network``.
            skip: forget the bytes of elements already known to be unwanted.
        """
        self.cursor = cursor
        self.rows = rows
        self.references = references
        self.skip = skip
        self.state = cursor.state
        self.table = table  # keeps its memory alive
        self.table_address = table.ctypes.data
        self.places = np.empty((ROWS, 3), np.int64)
        self.places_address = self.places.ctypes.data
        self.state[k.INDEX_ROWS] = ROWS
        self.kind = self.state[k.SECTION]
        self.can_decode_ahead = (
            self.kind in (k.ITEMS, k.REFERENCES_FILTERED) and not self.state[k.SINGLE] and self.state[k.DEEPEST] >= DEEP
        )
        self.decodes_ahead = False
        self.passed_over = 0  # elements, since rows were taken last
        self.begin = cursor.base + cursor.pos  # in the document
        self.keeper: Keep | None = None  # spools blocks, once the spool is a file
        self.spooled_from = cursor.pos
        self.state[k.SPOOLED] = -cursor.pos
        self.held: list[bytes] = []  # the open element's bytes from earlier blocks
        self.held_bytes = 0
        self.held_on_disk: ByteSpool | None = None
        self.dropped = False
        self.seen = 0

    def read(self) -> None:
        """All elements."""
        try:
            self.all_elements()
        finally:
            if self.keeper is not None:
                self.cursor.blocks.keep(None)
        self.rows.decoder.flush()
        quirks = self.cursor.collected.quirks
        if self.state[k.NULLS]:
            quirks["null where an object belongs"] += self.state[k.NULLS]
        if self.state[k.OTHERS]:
            quirks["something else where an object belongs"] += self.state[k.OTHERS]

    def all_elements(self) -> None:
        """Up to the section's end."""
        cursor = self.cursor
        while True:
            if self.decodes_ahead:
                self.decode_ahead()
            event = self.scan()
            if event != k.NEED_MORE or self.kind != k.REFERENCES_INDEXED:  # whose places hold in any block
                self.take_rows()
            if event == k.NEED_MORE:
                self.hold()
                self.refill()
                if self.held_bytes > MAX_HELD_BYTES and self.is_wanted():
                    self.decode_streamed()
            elif event == k.ELEMENT:
                self.decode_whole()
            elif event == k.SECTION_END:
                cursor.measure_strings(inside=False)
                break
        if self.kind == k.REFERENCES_INDEXED:
            self.spool(cursor.pos)

    def scan(self) -> int:
        """Run the kernel up to its next event."""
        cursor = self.cursor
        try:
            return cursor.step(
                k.next_event(cursor.address, cursor.size, cursor.at(), self.table_address, self.places_address)
            )
        finally:
            self.count()
            if not k.NOWHERE < self.state[k.START] < 0:  # what was held has ended, and was passed over
                self.forget()
                self.dropped = False

    def take_rows(self) -> None:
        """The elements that began and ended in this block and may be wanted."""
        count = self.state[k.INDEXED]
        if not count:
            return
        self.state[k.INDEXED] = 0
        places = self.places[:count]
        if self.kind == k.REFERENCES_INDEXED:
            assert self.references is not None
            self.references.index.add(places)
            return
        self.rows.decode(self.cursor.data, self.cursor.address, places, self.kind)
        if self.can_decode_ahead and count >= MANY_ROWS and self.passed_over < count:
            self.decodes_ahead = True
        self.passed_over = 0

    def decode_ahead(self) -> None:
        """Decode what can be without a scan; the scan goes on where that stops, up to the next wanted element."""
        if self.state[k.STATE] in (k.ELEMENT_NEXT, k.AFTER_ELEMENT):
            cursor = self.cursor
            self.decodes_ahead = self.rows.decoder.decode_ahead(cursor.address, cursor.size, cursor.at())
            cursor.pos = self.state[k.POS]
        self.state[k.INDEX_ROWS] = 1 if self.decodes_ahead else ROWS

    def count(self) -> None:
        """Elements passed over since the last time."""
        new = self.state[k.SEEN] - self.seen
        self.seen += new
        self.passed_over += new
        if self.kind == k.ITEMS:
            self.cursor.collected.items_seen += new
        elif self.kind != k.RATES:
            self.cursor.collected.references_seen += new

    def refill(self) -> None:
        """The next block; places are shifted."""
        cursor = self.cursor
        shift = cursor.pos
        left = cursor.size - shift
        cursor.measure_strings(inside=cursor.in_string(), escaped=int(self.state[k.ESCAPED]))
        cursor.need_more()
        state = self.state
        state[k.SPOOLED] += shift
        if state[k.START] != k.NOWHERE:
            state[k.START] -= shift
        self.spooled_from = left

    # ---- the open element at a block's end -----------------------------------------------------------------

    def is_wanted(self) -> bool:
        """Whether what is known of the open element says that it is to be decoded, or that Python must decide."""
        state = self.state
        return state[k.ODD] != 0 or (state[k.CODE] == k.WANTED and state[k.TYPE] == k.WANTED)

    def hold(self) -> None:
        """Keep the open element's bytes of this block, unless it is known to be unwanted."""
        if self.kind == k.REFERENCES_INDEXED:
            self.spool(self.cursor.size)
            return
        state = self.state
        if state[k.START] == k.NOWHERE:
            return
        unwanted = state[k.CODE] == k.UNWANTED or state[k.TYPE] == k.UNWANTED
        if self.skip and unwanted and state[k.ODD] == 0:
            self.forget()
            self.dropped = True
        elif not self.dropped:
            self.keep(self.bytes_here())

    def keep(self, data: memoryview) -> None:
        """Hold bytes, on disk when there are many."""
        self.held_bytes += len(data)
        if self.held_on_disk is None and self.held_bytes > MAX_HELD_BYTES and not self.is_wanted():
            self.held_on_disk = ByteSpool(self.cursor.collected.open_temporary, limit=0)
            for piece in self.held:
                self.held_on_disk.append(memoryview(piece))
            self.held = []
        if self.held_on_disk is not None:
            self.held_on_disk.append(data)
        else:
            self.held.append(bytes(data))

    def bytes_here(self) -> memoryview:
        """The open element's bytes in this block."""
        start = max(self.state[k.START], 0)
        return self.cursor.data[start : self.cursor.pos]

    def forget(self) -> None:
        """Give back what was held."""
        if self.held_on_disk is not None:
            self.held_on_disk.close()
        self.held, self.held_bytes, self.held_on_disk = [], 0, None

    def held_pieces(self) -> Iterator[bytes]:
        """What was held, in order."""
        if self.held_on_disk is not None:
            yield from self.held_on_disk.read(0, len(self.held_on_disk))
        yield from self.held

    # ---- decoding ------------------------------------------------------------------------------------------

    def decode_whole(self) -> None:
        """The element that has just ended."""
        if self.dropped:
            raise FullReadingNeededError("billing_code or provider_group_id stands twice in one element")
        size = self.held_bytes + self.cursor.pos
        if size <= (MAX_DECODED_BYTES if self.kind == k.ITEMS else MAX_HELD_BYTES):
            self.rows.decode_one(self.pieces_to_end(), size, self.kind)
        else:
            self.decode(Pieces(self.pieces_to_end()))
        self.close_element()

    def pieces_to_end(self) -> Iterator[bytes]:
        """The bytes of an element that has ended."""
        yield from self.held_pieces()
        yield bytes(self.bytes_here())

    def decode_streamed(self) -> None:
        """An element too long to hold, while the scan goes on through it."""
        self.state[k.STOP_AT_END] = 1
        self.decode(Pieces(self.pieces_streamed()))
        self.state[k.STOP_AT_END] = 0
        self.close_element()

    def pieces_streamed(self) -> Iterator[bytes]:
        """The bytes of an element that has not ended yet: what was held, then block by block."""
        yield from self.held_pieces()
        self.forget()
        while self.scan() == k.NEED_MORE:
            piece = bytes(self.bytes_here())
            self.refill()
            yield piece
        yield bytes(self.bytes_here())

    def close_element(self) -> None:
        """Nothing is open now."""
        self.forget()
        self.dropped = False
        self.state[k.START] = k.NOWHERE

    def decode(self, stream: object) -> None:
        """One element's rows into ``Collected``."""
        if self.kind == k.ITEMS:
            self.rows.walk_long_item(cast("BinaryIO", stream))
        else:
            self.rows.walk(cast("BinaryIO", stream), self.rows.walk_of(self.kind))

    # ---- references in front of in_network -----------------------------------------------------------------

    def spool(self, end: int) -> None:
        """Keep this block's bytes of the section, up to ``end``, unless another thread has done it."""
        cursor = self.cursor
        assert self.references is not None
        spool = self.references.bytes
        if self.keeper is not None and cursor.kept is self.keeper:
            spool.skip(end - self.spooled_from)
            return
        spool.append(cursor.data[self.spooled_from : end])
        if self.keeper is None and spool.on_disk:
            self.keeper = partial(_put, spool, self.begin)
            cursor.blocks.keep(self.keeper)


def _put(spool: ByteSpool, origin: int, begin: int, data: memoryview) -> None:
    """A block that begins there in the document, into the spool of what begins at ``origin``."""
    spool.put(begin - origin, data)

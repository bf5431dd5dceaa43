"""Elements that may be wanted, decoded by the kernel into columns, and put into the spools of ``Collected`` as Arrow.

The plain grammar reads what the kernel does not decode, element by element and in order; for the kernel's rows before
such an element the spools reserve their places, or, where it is long, the rows are put into the spools first.
Memory: the columns, 24 MiB at most, and as much again where full ones are put into the spools by a thread while the
next ones are filled; of the NPIs' 16 MiB among them only the filled part is touched.
"""

import ctypes
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.read.collect import NULL_OBJECT, SINGLE_VALUE, Collected
from transforms.read.reference_keys import CitedKeys, Int64s
from transforms.scan.filled_columns import COLUMNS, ROWS, Filled
from transforms.scan.one_thread import OneThread
from transforms.scan.scan_kernel import columns as k
from transforms.scan.scan_kernel import kernel
from transforms.scan.scan_texts import Texts

TEXTS = 1 << 13
_ROOMS = {
    "item_room": 1 << 14,
    "price_room": 1 << 15,
    "citation_room": 1 << 17,
    "group_room": 1 << 16,
    "reference_room": 1 << 15,
    "npi_room": 1 << 21,
    "digit_room": 20 << 16,
    "text_room": TEXTS,
    "byte_room": 1 << 20,
    "slot_mask": 2 * TEXTS - 1,
}
KEPT_TEXT_BYTES, KEPT_TEXTS = 1 << 18, 1 << 12  # above these all texts are forgotten after a batch, which has copies
WALKED_BYTES = 1 << 20  # odd elements between rows that wait in the columns
LIST_BYTES = 8_192  # of a list of codes or names as written; the schema's hundred service codes have 600

Walk = Callable[[memoryview, int, bool], None]  # an element, its byte in the document, whether it has many rows

_KINDS_OF_ROWS: dict[str, tuple[type, int]] = {
    **{
        name: (np.int64 if rule is None else np.int32, _ROOMS[f"{rows}_room"])
        for rows, columns in COLUMNS.items()
        for name, rule in columns.items()
    },
    "price_amount": (np.float64, _ROOMS["price_room"]),
    **dict.fromkeys(("group_owner", "group_size"), (np.int64, _ROOMS["group_room"])),
    **dict.fromkeys(
        ("group_tin_type", "group_tin", "group_name", "group_digits_end", "group_npis_end"),
        (np.int32, _ROOMS["group_room"]),
    ),
    "digits": (np.uint8, _ROOMS["digit_room"]),
    "npis": (np.int64, _ROOMS["npi_room"] + k.LANES),
}
_KINDS_OF_TEXTS: dict[str, tuple[type, int]] = {
    "texts": (np.int64, len(k.TEXT_FIELDS) * TEXTS),
    "bytes": (np.uint8, _ROOMS["byte_room"] + kernel.PADDING),
    "slots": (np.int64, 2 * 2 * TEXTS),
    "forms": (np.uint8, k.FORMS * k.FORM_SIZE),
}


class _Arrays(NamedTuple):
    """Arrays, and their addresses."""

    arrays: dict[str, NDArray[Any]]
    addresses: dict[str, int]


# Of documents that were read: of a small one, allocating takes longer than decoding
_FREE_ROWS: list[_Arrays] = []
_FREE_TEXTS: list[_Arrays] = []


def _take(free: list[_Arrays], kinds: dict[str, tuple[type, int]]) -> _Arrays:
    if free:
        return free.pop()
    arrays: dict[str, NDArray[Any]] = {name: np.empty(size, kind) for name, (kind, size) in kinds.items()}
    return _Arrays(arrays, {name: int(array.ctypes.data) for name, array in arrays.items()})


class Decoder:
    """Columns, and their way into the spools."""

    def __init__(self, wanted: frozenset[str], collected: Collected, *, overlap: bool = False) -> None:
        """Start without columns.

        Args: overlap: put full columns into the spools in a second thread.
        """
        self._wanted = wanted
        self._collected = collected
        self._overlap = overlap
        self._columns = k.Columns()
        self._address = ctypes.addressof(self._columns)
        self._held_texts: _Arrays | None = None
        self._rows: list[_Arrays] = []  # those being filled, then those that may be on their way into the spools
        self._thread: OneThread[Counter[str]] = OneThread("columns")
        self._putting: Future[Counter[str]] | None = None
        self._cited: Int64s | None = None
        self._known_texts = 0
        self._walked_bytes = 0  # of odd elements since the last flush

    def _allocate(self) -> None:
        """Allocate the columns: with the first element that may be wanted, because most files have none."""
        limits = self._collected.limits
        self._held_texts = _take(_FREE_TEXTS, _KINDS_OF_TEXTS)
        self._rows.append(_take(_FREE_ROWS, _KINDS_OF_ROWS))
        self._set_columns(
            {
                "number_digits": limits.number_digits,
                "value_bytes": min(limits.value_chars, limits.string_bytes),
                "string_bytes": limits.string_bytes,
                "list_bytes": min(LIST_BYTES, limits.string_bytes),
                **_ROOMS,
                **self._held_texts.addresses,
                **self._rows[0].addresses,
            }
        )
        self._entries = self._held_texts.arrays["texts"].reshape(-1, len(k.TEXT_FIELDS))
        self._texts = Texts(self._wanted, self._collected)
        self._forget_texts()

    def _set_columns(self, values: dict[str, int]) -> None:
        for name, value in values.items():
            setattr(self._columns, name, value)

    def release(self) -> None:
        """Leave the columns to the next document's decoder; after the last ``flush``, or an error."""
        self._thread.close()
        if self._held_texts is not None:
            _FREE_TEXTS.append(self._held_texts)
        if len(self._rows) == 1:  # after a large document, what follows needs their memory
            _FREE_ROWS.extend(self._rows)
        self._held_texts, self._rows = None, []

    def cite(self, cited: CitedKeys) -> None:
        """From now on, decode references that have these keys."""
        self._cited = cited.numbers
        self._columns.cited, self._columns.cited_count = cited.numbers.ctypes.data, len(cited.numbers)

    def decode(self, data: memoryview, address: int, base: int, rows: Int64s, section: int, walk: Walk) -> None:
        """Decode elements in order.

        Args:
            data: where they stand, at ``address``; bytes behind it can be read (see ``PADDING``).
            base: byte of ``data[0]`` in the document.
            rows: of each (anything, start, end).
            walk: reads one that the kernel does not decode, because it is odd or has more rows than there is room for.
        """
        at, count = 0, len(rows)
        rows_address = rows.ctypes.data
        retried = -1
        self._columns.base = base
        while at < count:
            at = self._run(k.decode, address, rows_address, at, count, section)
            stopped = self._columns.stopped
            if stopped in (k.DECODED, k.TEXTS_UNREAD):
                continue
            if stopped == k.NO_ROOM:
                self._hand_over()
                if retried != at:
                    retried = at
                    continue
            walk(data[rows[at, 1] : rows[at, 2]], base + int(rows[at, 1]), stopped == k.NO_ROOM)
            at += 1

    def decode_ahead(self, address: int, size: int, base: int, scan_state: int) -> bool:
        """Decode elements that follow each other from where the scan is, as far as it goes; whether most are wanted."""
        retried = -1
        self._columns.base = base
        while True:
            at = self._run(k.decode_ahead, address, size, scan_state)
            stopped = self._columns.stopped
            if stopped == k.NO_ROOM and retried != at:
                self._hand_over()
                retried = at
            elif stopped != k.TEXTS_UNREAD:
                return bool(stopped != k.MOSTLY_UNWANTED)

    def _run(self, decode: Callable[..., int], *arguments: int) -> int:
        """Let the kernel decode up to where it stops; read the texts that are new."""
        columns, collected = self._columns, self._collected
        if self._held_texts is None:
            self._allocate()
        columns.next_rate, columns.next_reference = collected.next_rate_id, collected.next_reference_no
        at = decode(self._address, *arguments)
        collected.next_rate_id, collected.next_reference_no = columns.next_rate, columns.next_reference
        collected.items_seen += columns.items_seen
        collected.items_matched += columns.items_matched
        collected.references_seen += columns.references_seen
        columns.items_seen = columns.items_matched = columns.references_seen = 0
        if columns.singles or columns.nulls:
            collected.quirks += Counter({SINGLE_VALUE: columns.singles, NULL_OBJECT: columns.nulls})
            columns.singles = columns.nulls = 0
        self._read_texts()
        return at

    # ---- texts ---------------------------------------------------------------------------------------------

    def _forget_texts(self) -> None:
        self._texts.forget()
        self._known_texts = 0
        k.forget_texts(self._address)
        self._read_texts()

    def _read_texts(self) -> None:
        """Clean what is new."""
        columns = self._columns
        if self._known_texts == columns.text_count:
            return
        assert self._held_texts is not None
        held = self._held_texts.arrays["bytes"].data
        new = self._entries[self._known_texts : columns.text_count]
        for entry, (rule, _, offset, length, _, _) in zip(new, new.tolist(), strict=True):
            entry[1], entry[5] = self._texts.read(rule, bytes(held[offset : offset + length]))
        self._known_texts = columns.text_count
        columns.unread = 0

    # ---- columns to spools ---------------------------------------------------------------------------------

    def reserve(self, walked_bytes: int) -> None:
        """Make ready for rows of an odd element of that size, behind the rows here."""
        self._settle()
        self._walked_bytes += walked_bytes
        if self._walked_bytes > WALKED_BYTES:
            self.flush()
            return
        filled = self._filled()
        for rows, spool in filled.spools(self._collected).items():
            spool.reserve(filled.counts[rows])

    def flush(self) -> None:
        """Put all rows into the spools."""
        self._settle()
        if self._rows:
            self._collected.quirks += self._filled().put(self._collected)
            self._begin_anew()

    def _hand_over(self) -> None:
        """Likewise, where nothing else needs the spools before the next rows: in a thread, if one may read ahead."""
        if not self._overlap:
            self.flush()
            return
        self._settle()
        self._putting = self._thread.submit(self._filled().put, self._collected)
        if len(self._rows) == 1:
            self._rows.append(_take(_FREE_ROWS, _KINDS_OF_ROWS))
        self._rows.reverse()
        self._set_columns(self._rows[0].addresses)
        self._begin_anew()

    def _settle(self) -> None:
        """Until the rows that were handed over are in the spools."""
        if self._putting is not None:
            putting, self._putting = self._putting, None
            self._collected.quirks += putting.result()

    def _filled(self) -> Filled:
        columns = self._columns
        counts = {name: getattr(columns, f"{name}_count") for name in (*ROWS, "digit", "npi")}
        counts["blanks"] = columns.blanks
        cleaned = self._texts.cleaned
        return Filled(self._rows[0].arrays, counts, cleaned, tuple(map(len, cleaned.values)))

    def _begin_anew(self) -> None:
        columns = self._columns
        self._walked_bytes = 0
        columns.item_count = columns.price_count = columns.citation_count = columns.reference_count = 0
        columns.group_count = columns.digit_count = columns.npi_count = columns.blanks = 0
        if columns.byte_count > KEPT_TEXT_BYTES or columns.text_count > KEPT_TEXTS:
            self._forget_texts()

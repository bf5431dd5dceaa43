"""Elements that may be wanted, decoded by the kernel into columns, and put into the spools of ``Collected`` as Arrow.

The plain grammar reads what the kernel does not decode, element by element and in order; for the kernel's rows before
such an element the spools reserve their places, or, where it is long, the rows are put into the spools first.
Memory: the columns, 24 MiB at most; of the NPIs' 16 MiB among them only the filled part is touched.
"""

import ctypes
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.read import arrow_columns as arrow
from transforms.read.collect import NULL_OBJECT, SINGLE_VALUE, Collected
from transforms.read.reference_keys import CitedKeys, Int64s
from transforms.read.spool import Spool, decoded
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
FEW_ROWS = 16  # of so few, the values themselves take less time than a dictionary of them
LIST_BYTES = 8_192  # of a list of codes or names as written; the schema's hundred service codes have 600

Walk = Callable[[memoryview, int, bool], None]  # an element, its byte in the document, whether it has many rows

_COLUMNS: dict[str, dict[str, int | None]] = {
    "item": {
        "item_arrangement": k.AS_TEXT,
        "item_code": k.AS_CODE,
        "item_code_type": k.AS_CODE_TYPE,
        "item_first": None,
        "item_end": None,
        "item_offset": None,
    },
    "price": {
        "price_rate": None,
        "price_type": k.AS_TEXT,
        "price_amount": None,
        "price_class": k.AS_CLASS,
        "price_setting": k.AS_TEXT,
        "price_codes": k.AS_CODES,
        "price_modifiers": k.AS_CODES,
        "price_date": k.AS_DATE,
    },
    "citation": {"citation_rate": None, "citation_key": None},
    "reference": {
        "reference_no": None,
        "reference_key": None,
        "reference_location": k.AS_TEXT,
        "reference_networks": k.AS_NAMES,
        "reference_groups": None,
        "reference_offset": None,
    },
}  # of each spool, in its order: numbers (None), or texts and the rule that cleans them; see _groups for groups
_KINDS: dict[str, tuple[type, int]] = {
    **{
        name: (np.int64 if rule is None else np.int32, _ROOMS[f"{rows}_room"])
        for rows, columns in _COLUMNS.items()
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
    "texts": (np.int64, len(k.TEXT_FIELDS) * TEXTS),
    "bytes": (np.uint8, _ROOMS["byte_room"] + kernel.PADDING),
    "slots": (np.int64, 2 * 2 * TEXTS),
    "forms": (np.uint8, k.FORMS * k.FORM_SIZE),
}
_LISTS = (k.AS_CODES, k.AS_NAMES)  # rules that give lists of texts; AS_DATE and AS_TIN give tuples, others texts


_Room = tuple[dict[str, NDArray[Any]], dict[str, int]]  # the columns' arrays, and their addresses
_FREE: list[_Room] = []  # of documents that were read: of a small one, allocating takes longer than decoding


def _new_room() -> _Room:
    arrays: dict[str, NDArray[Any]] = {name: np.empty(size, kind) for name, (kind, size) in _KINDS.items()}
    return arrays, {name: int(array.ctypes.data) for name, array in arrays.items()}


class Decoder:
    """Columns, and their way into the spools."""

    def __init__(self, wanted: frozenset[str], collected: Collected) -> None:
        self._wanted = wanted
        self._collected = collected
        self._columns = k.Columns()
        self._address = ctypes.addressof(self._columns)
        self._arrays: dict[str, NDArray[Any]] = {}
        self._cited: Int64s | None = None
        self._dictionaries: dict[int, list[pa.Array]] = {}
        self._known_texts = 0
        self._walked_bytes = 0  # of odd elements since the last flush

    def _allocate(self) -> None:
        """Allocate the columns: with the first element that may be wanted, because most files have none."""
        limits = self._collected.limits
        self._arrays, addresses = self._room = _FREE.pop() if _FREE else _new_room()
        columns = {
            "number_digits": limits.number_digits,
            "value_bytes": min(limits.value_chars, limits.string_bytes),
            "string_bytes": limits.string_bytes,
            "list_bytes": min(LIST_BYTES, limits.string_bytes),
            **_ROOMS,
            **addresses,
        }
        for name, value in columns.items():
            setattr(self._columns, name, value)
        self._entries = self._arrays["texts"].reshape(-1, len(k.TEXT_FIELDS))
        self._texts = Texts(self._wanted, self._collected)
        self._forget_texts()

    def release(self) -> None:
        """Leave the columns to the next document's decoder; after the last ``flush``."""
        if self._arrays:
            _FREE.append(self._room)
            self._arrays = {}

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
                self.flush()
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
                self.flush()
                retried = at
            elif stopped != k.TEXTS_UNREAD:
                return bool(stopped != k.MOSTLY_UNWANTED)

    def _run(self, decode: Callable[..., int], *arguments: int) -> int:
        """Let the kernel decode up to where it stops; read the texts that are new."""
        columns, collected = self._columns, self._collected
        if not self._arrays:
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
        self._dictionaries.clear()
        self._known_texts = 0
        k.forget_texts(self._address)
        self._read_texts()

    def _read_texts(self) -> None:
        """Clean what is new."""
        columns = self._columns
        if self._known_texts == columns.text_count:
            return
        held = self._arrays["bytes"].data
        new = self._entries[self._known_texts : columns.text_count]
        for entry, (rule, _, offset, length, _, _) in zip(new, new.tolist(), strict=True):
            entry[1], entry[5] = self._texts.read(rule, bytes(held[offset : offset + length]))
        self._known_texts = columns.text_count
        columns.unread = 0

    def _cleaned(self, rule: int) -> list[pa.Array]:
        """What the texts of a rule are cleaned to, by their numbers."""
        values = self._texts.values[rule]
        if rule not in self._dictionaries or len(self._dictionaries[rule][0]) < len(values):
            self._dictionaries[rule] = _columns_of(rule, values)
        return self._dictionaries[rule]

    # ---- columns to spools ---------------------------------------------------------------------------------

    def reserve(self, walked_bytes: int) -> None:
        """Make ready for rows of an odd element of that size, behind the rows here."""
        self._walked_bytes += walked_bytes
        if self._walked_bytes > WALKED_BYTES:
            self.flush()
            return
        columns, collected = self._columns, self._collected
        collected.items.reserve(columns.item_count)
        collected.prices.reserve(columns.price_count)
        collected.citations.reserve(columns.citation_count)
        self._spool_of_groups().reserve(columns.group_count)
        collected.references.reserve(columns.reference_count)

    def _spool_of_groups(self) -> Spool:
        collected = self._collected
        return collected.reference_groups if self._columns.reference_count else collected.groups

    def flush(self) -> None:
        """Put all rows into the spools."""
        columns, collected = self._columns, self._collected
        groups = self._spool_of_groups()
        self._walked_bytes = 0
        self._put(collected.items, "item", columns.item_count)
        self._put(collected.prices, "price", columns.price_count)
        self._put(collected.citations, "citation", columns.citation_count)
        if columns.group_count:
            groups.append_batch(
                pa.RecordBatch.from_arrays(self._groups(columns.group_count), names=groups.schema.names)
            )
        self._put(collected.references, "reference", columns.reference_count)
        columns.item_count = columns.price_count = columns.citation_count = columns.reference_count = 0
        columns.group_count = columns.digit_count = columns.npi_count = columns.blanks = 0
        if columns.byte_count > KEPT_TEXT_BYTES or columns.text_count > KEPT_TEXTS:
            self._forget_texts()

    def _put(self, spool: Spool, rows: str, count: int) -> None:
        if count:
            columns = _COLUMNS[rows].items()
            _append(spool, [array for name, rule in columns for array in self._arrow(name, rule, count)])

    def _arrow(self, name: str, rule: int | None, count: int) -> list[pa.Array]:
        """A column: numbers, or what its texts are cleaned to; of many rows dictionary-encoded."""
        numbers = self._arrays[name][:count]
        if rule is None:
            return [arrow.numbers(numbers, np.isnan(numbers) if name == "price_amount" else None)]
        self._count_quirks(numbers, rule)
        if count <= FEW_ROWS:
            values = self._texts.values[rule]
            return _columns_of(rule, [values[number] for number in numbers.tolist()])
        encoded = arrow.numbers(numbers)
        return [pa.DictionaryArray.from_arrays(encoded, cleaned) for cleaned in self._cleaned(rule)]

    def _count_quirks(self, numbers: NDArray[np.int32], rule: int) -> None:
        for number, quirks in self._texts.quirks[rule].items():
            times = int(np.count_nonzero(numbers == number))
            for name, count in quirks.items():
                self._collected.quirks[name] += times * count

    def _groups(self, count: int) -> list[pa.Array]:
        columns, arrays = self._columns, self._arrays
        (types,), (names,) = (self._arrow(f"group_{name}", k.AS_TEXT, count) for name in ("tin_type", "name"))
        ends = arrays["group_digits_end"][:count]
        digits = np.diff(ends, prepend=np.int32(0)) > 0
        tins = arrow.texts_of(arrays["digits"][: columns.digit_count], ends, digits)
        odd = arrays["group_tin"][:count]
        if odd.any():
            self._count_quirks(odd, k.AS_TIN)
            odd_types, odd_tins, odd_names = (cleaned.take(arrow.numbers(odd)) for cleaned in self._cleaned(k.AS_TIN))
            is_odd = arrow.flags(odd > 0)
            types = pc.if_else(is_odd, odd_types, decoded(types))
            tins = pc.if_else(is_odd, odd_tins, tins)
            names = pc.if_else(is_odd, odd_names, decoded(names))
        npis = arrays["npis"][: columns.npi_count]
        values = arrow.numbers(npis, npis == k.BLANK_NPI if columns.blanks else None)
        lists = pa.ListArray.from_arrays(arrow.numbers(arrow.offsets(arrays["group_npis_end"][:count])), values)
        owners, sizes = (arrow.numbers(arrays[name][:count]) for name in ("group_owner", "group_size"))
        return [owners, types, tins, names, sizes, lists]


def _columns_of(rule: int, values: Sequence[Any]) -> list[pa.Array]:
    """Cleaned values of a rule: one array for each part of a value."""
    if rule == k.AS_DATE:
        days, unread = zip(*((None, None) if pair is None else pair for pair in values), strict=True)
        return [arrow.dates(days), arrow.flags(np.array(unread, np.bool_))]
    if rule == k.AS_TIN:
        parts = zip(*((None, None, None) if tin is None else tin for tin in values), strict=True)
        return [arrow.texts(part) for part in parts]
    return [arrow.lists(values) if rule in _LISTS else arrow.texts(values)]


def _append(spool: Spool, arrays: list[pa.Array]) -> None:
    spool.append_batch(pa.RecordBatch.from_arrays(arrays, names=spool.schema.names))

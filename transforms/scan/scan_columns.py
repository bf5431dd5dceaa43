"""Elements that may be wanted, decoded by the kernel into columns, and put into the spools of ``Collected`` as Arrow.

What the kernel does not decode is handed to the plain grammar, element by element and in order; until then its rows
would stand behind the kernel's, so those are put into the spools first.
Memory: the columns, 24 MiB at most; of NPIs, 16 MiB of them, only what is filled is ever touched.
"""

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.read import arrow_columns as arrow
from transforms.read.collect import Collected
from transforms.read.reference_keys import CitedKeys, Int64s
from transforms.read.spool import Spool
from transforms.scan.scan_kernel import columns as k
from transforms.scan.scan_kernel import kernel
from transforms.scan.scan_texts import Texts

ITEMS, PRICES, CITATIONS, GROUPS, REFERENCES = 1 << 14, 1 << 15, 1 << 17, 1 << 16, 1 << 15  # rooms, in rows
NPIS, DIGITS = 1 << 21, 20 << 16
TEXTS, TEXT_BYTES = 1 << 13, 1 << 20
KEPT_TEXT_BYTES, KEPT_TEXTS = 1 << 18, 1 << 12  # of more, all are forgotten with each batch, which holds a copy
LIST_BYTES = 8_192  # of a list of codes or names as it is written; the schema's hundred service codes take 600

Fallback = Callable[[memoryview], None]

_ARRAYS: dict[str, tuple[type, int]] = {
    **dict.fromkeys(("item_arrangement", "item_code", "item_code_type"), (np.int32, ITEMS)),
    **dict.fromkeys(("item_first", "item_end"), (np.int64, ITEMS)),
    **dict.fromkeys(("price_type", "price_class", "price_setting"), (np.int32, PRICES)),
    **dict.fromkeys(("price_codes", "price_modifiers", "price_date"), (np.int32, PRICES)),
    "price_rate": (np.int64, PRICES),
    "price_amount": (np.float64, PRICES),
    **dict.fromkeys(("citation_rate", "citation_key"), (np.int64, CITATIONS)),
    **dict.fromkeys(("group_tin_type", "group_tin", "group_digits_end", "group_npis_end"), (np.int32, GROUPS)),
    "group_owner": (np.int64, GROUPS),
    "digits": (np.uint8, DIGITS),
    "npis": (np.int64, NPIS),
    **dict.fromkeys(("reference_no", "reference_key", "reference_groups"), (np.int64, REFERENCES)),
    **dict.fromkeys(("reference_location", "reference_networks"), (np.int32, REFERENCES)),
    "texts": (np.int64, len(k.TEXT_FIELDS) * TEXTS),
    "bytes": (np.uint8, TEXT_BYTES + kernel.PADDING),
    "slots": (np.int64, 2 * 2 * TEXTS),
    "forms": (np.uint8, k.FORMS * k.FORM_SIZE),
}
_ROOMS = {
    "item_room": ITEMS,
    "price_room": PRICES,
    "citation_room": CITATIONS,
    "group_room": GROUPS,
    "digit_room": DIGITS,
    "npi_room": NPIS,
    "reference_room": REFERENCES,
    "text_room": TEXTS,
    "byte_room": TEXT_BYTES,
    "slot_mask": 2 * TEXTS - 1,
}
_BUILT: dict[int, Callable[[Any], pa.Array]] = {
    k.AS_TEXT: arrow.texts,
    k.AS_CLASS: arrow.texts,
    k.AS_CODES: arrow.lists,
    k.AS_NAMES: arrow.lists,
    k.AS_CODE: arrow.texts,
    k.AS_CODE_TYPE: arrow.texts,
}  # a column of what the texts of a rule are cleaned to


class Fallbacks(NamedTuple):
    """Who reads what the kernel does not: an odd element, and one that has more rows than there is room for."""

    odd: Fallback
    large: Fallback


class Decoder:
    """Columns, and their way into the spools."""

    def __init__(self, wanted: frozenset[str], collected: Collected) -> None:
        self._wanted = wanted
        self._collected = collected
        self._columns = k.Columns()
        self._address = ctypes.addressof(self._columns)
        self._arrays: dict[str, NDArray[Any]] = {}
        self._cited: Int64s | None = None
        self._dictionaries: dict[int, pa.Array] = {}
        self._known = 0

    def _begin(self) -> None:
        """Give the columns their memory: not before something is wanted, for most files hold nothing."""
        limits = self._collected.limits
        self._arrays = {name: np.empty(size, kind) for name, (kind, size) in _ARRAYS.items()}
        columns = {
            "number_digits": limits.number_digits,
            "value_bytes": min(limits.value_chars, limits.string_bytes),
            "string_bytes": limits.string_bytes,
            "list_bytes": min(LIST_BYTES, limits.string_bytes),
            **_ROOMS,
            **{name: array.ctypes.data for name, array in self._arrays.items()},
        }
        for name, value in columns.items():
            setattr(self._columns, name, value)
        self._entries = self._arrays["texts"].reshape(-1, len(k.TEXT_FIELDS))
        self._texts = Texts(self._wanted, self._collected, self._collected.open_temporary)
        self._forget_texts()

    def cite(self, cited: CitedKeys) -> None:
        """References with these keys are kept from now on."""
        self._cited = cited.numbers
        self._columns.cited, self._columns.cited_count = cited.numbers.ctypes.data, len(cited.numbers)

    def decode(self, data: memoryview, address: int, rows: Int64s, section: int, fallbacks: Fallbacks) -> None:
        """Decode elements in order.

        Args:
            data: where they stand, at ``address``; bytes behind it can be read (see ``PADDING``).
            rows: of each (anything, start, end).
        """
        at, count = 0, len(rows)
        retried = -1
        while at < count:
            at = self._run(k.decode, address, rows.ctypes.data, at, count, section)
            stopped = self._columns.stopped
            if stopped in (k.DECODED, k.TEXTS_UNREAD):
                continue
            self.flush()
            if stopped == k.NO_ROOM and retried != at:
                retried = at
                continue
            element = data[rows[at, 1] : rows[at, 2]]
            (fallbacks.odd if stopped == k.ODD_ELEMENT else fallbacks.large)(element)
            at += 1

    def decode_ahead(self, address: int, size: int, scan_state: int) -> bool:
        """Decode elements that follow each other from where the scan is, as far as it goes; whether most are wanted."""
        retried = -1
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
            self._begin()
        columns.next_rate, columns.next_reference = collected.next_rate_id, collected.next_reference_no
        at = decode(self._address, *arguments)
        collected.next_rate_id, collected.next_reference_no = columns.next_rate, columns.next_reference
        collected.items_seen += columns.items_seen
        collected.items_matched += columns.items_matched
        collected.references_seen += columns.references_seen
        columns.items_seen = columns.items_matched = columns.references_seen = 0
        self._read_texts()
        return at

    # ---- texts ---------------------------------------------------------------------------------------------

    def _forget_texts(self) -> None:
        self._texts.forget()
        self._known = 0
        k.forget_texts(self._address)
        self._read_texts()

    def _read_texts(self) -> None:
        """Clean what is new."""
        columns = self._columns
        if self._known == columns.text_count:
            return
        held = self._arrays["bytes"].data
        new = self._entries[self._known : columns.text_count]
        for entry, (rule, _, offset, length, _, _) in zip(new, new.tolist(), strict=True):
            state, told = self._texts.read(rule, bytes(held[offset : offset + length]))
            entry[1], entry[5] = state, told
        self._known = columns.text_count
        columns.unread = 0
        self._dictionaries.clear()

    def _dictionary(self, rule: int) -> pa.Array:
        """What the texts of a rule are cleaned to."""
        if rule not in self._dictionaries:
            self._dictionaries[rule] = _BUILT[rule](self._texts.values[rule])
        return self._dictionaries[rule]

    def _part(self, rule: int, part: int) -> list[Any]:
        """Likewise one of the two parts that each is cleaned to."""
        pairs = self._texts.values[rule]
        return [None if pair is None else pair[part] for pair in pairs]  # type: ignore[index]

    # ---- columns to spools ---------------------------------------------------------------------------------

    def flush(self) -> None:
        """Put all rows into the spools."""
        columns, collected = self._columns, self._collected
        if columns.item_count:
            self._put(collected.items, self._items(columns.item_count))
        if columns.price_count:
            self._put(collected.prices, self._prices(columns.price_count))
        if columns.citation_count:
            cited = [self._numbers(name, columns.citation_count) for name in ("citation_rate", "citation_key")]
            self._put(collected.citations, cited)
        if columns.group_count:
            spool = collected.reference_groups if columns.reference_count else collected.groups
            self._put(spool, self._groups(columns.group_count))
        if columns.reference_count:
            self._put(collected.references, self._references(columns.reference_count))
        columns.item_count = columns.price_count = columns.citation_count = columns.reference_count = 0
        columns.group_count = columns.digit_count = columns.npi_count = columns.blanks = 0
        if columns.byte_count > KEPT_TEXT_BYTES or columns.text_count > KEPT_TEXTS:
            self._forget_texts()

    @staticmethod
    def _put(spool: Spool, arrays: list[pa.Array]) -> None:
        spool.append_batch(pa.RecordBatch.from_arrays(arrays, names=spool.schema.names))

    def _numbers(self, name: str, count: int) -> pa.Array:
        return arrow.numbers(self._arrays[name][:count])

    def _encoded(self, name: str, count: int, rule: int) -> pa.Array:
        """A column of texts."""
        numbers = self._arrays[name][:count]
        self._count_quirks(numbers, rule)
        return pa.DictionaryArray.from_arrays(arrow.numbers(numbers), self._dictionary(rule))

    def _count_quirks(self, numbers: NDArray[np.int32], rule: int) -> None:
        for number, quirks in self._texts.quirks[rule].items():
            times = int(np.count_nonzero(numbers == number))
            for name, count in quirks.items():
                self._collected.quirks[name] += times * count

    def _items(self, count: int) -> list[pa.Array]:
        return [
            self._encoded("item_arrangement", count, k.AS_TEXT),
            self._encoded("item_code", count, k.AS_CODE),
            self._encoded("item_code_type", count, k.AS_CODE_TYPE),
            self._numbers("item_first", count),
            self._numbers("item_end", count),
        ]

    def _prices(self, count: int) -> list[pa.Array]:
        amounts = self._arrays["price_amount"][:count]
        days = self._numbers("price_date", count)
        dates, unread = self._part(k.AS_DATE, 0), np.array(self._part(k.AS_DATE, 1), np.bool_)
        return [
            self._numbers("price_rate", count),
            self._encoded("price_type", count, k.AS_TEXT),
            arrow.numbers(amounts, np.isnan(amounts)),
            self._encoded("price_class", count, k.AS_CLASS),
            self._encoded("price_setting", count, k.AS_TEXT),
            self._encoded("price_codes", count, k.AS_CODES),
            self._encoded("price_modifiers", count, k.AS_CODES),
            pa.DictionaryArray.from_arrays(days, arrow.dates(dates)),
            pa.DictionaryArray.from_arrays(days, arrow.flags(unread)),
        ]

    def _groups(self, count: int) -> list[pa.Array]:
        columns, arrays = self._columns, self._arrays
        odd = arrays["group_tin"][:count]
        self._count_quirks(odd, k.AS_TIN)
        types = self._encoded("group_tin_type", count, k.AS_TEXT)
        ends = arrays["group_digits_end"][:count]
        digits = np.diff(ends, prepend=np.int32(0)) > 0
        tins = arrow.texts_of(arrays["digits"][: columns.digit_count], ends, digits)
        if odd.any():
            is_odd, texts = arrow.flags(odd > 0), arrow.numbers(odd)
            odd_types, odd_tins = (arrow.texts(self._part(k.AS_TIN, part)).take(texts) for part in (0, 1))
            types = pc.if_else(is_odd, odd_types, types.dictionary_decode())
            tins = pc.if_else(is_odd, odd_tins, tins)
        npis = arrays["npis"][: columns.npi_count]
        values = arrow.numbers(npis, npis == k.BLANK_NPI if columns.blanks else None)
        lists = pa.ListArray.from_arrays(arrow.numbers(arrow.offsets(arrays["group_npis_end"][:count])), values)
        return [self._numbers("group_owner", count), types, tins, lists]

    def _references(self, count: int) -> list[pa.Array]:
        return [
            self._numbers("reference_no", count),
            self._numbers("reference_key", count),
            self._encoded("reference_location", count, k.AS_TEXT),
            self._encoded("reference_networks", count, k.AS_NAMES),
            self._numbers("reference_groups", count),
        ]

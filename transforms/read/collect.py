"""What reading one document collects, whichever engine reads: rows in spools, header, counts, quirks.

The rows are normalised, never multiplied out: a rate element's prices, its inline provider groups and the references
that it cites stay three lists that share a ``rate_id``; joining them is the month's work, out of Python.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transforms.errors import BadFileError
from transforms.limits import Limits
from transforms.read import arrow_columns as arrow
from transforms.read.reference_keys import CitedKeys, Int64s, ReferenceKeys
from transforms.read.spool import ROW_BYTES, OpenTemporary, Spool

VALUES_OF_A_ROW = 4  # so many numbers or texts take the memory of a plain small row
MAX_HEADER_FIELDS = 100
MAX_HEADER_TEXT = 2_000
MAX_ROOT_KEYS = 1_000
SINGLE_VALUE = "a single value where an array belongs"  # quirks
NULL_OBJECT = "null where an object belongs"
MAX_KEY_TEXT = 200  # the schema's longest root key has 25

_TEXTS = pa.list_(pa.string())
_NPIS = ("npis", pa.list_(pa.int64()))
_GROUP = [
    ("tin_type", pa.string()),
    ("tin", pa.string()),
    ("business_name", pa.string()),
    ("group_size", pa.int64()),
    _NPIS,
]
ITEMS = pa.schema(
    [
        ("arrangement", pa.string()),
        ("billing_code", pa.string()),
        ("billing_code_type", pa.string()),
        ("first_rate", pa.int64()),  # rate_id of its first rate
        ("rates_end", pa.int64()),  # behind that of its last one
        ("item_offset", pa.int64()),  # the byte of its brace
    ]
)
PRICES = pa.schema(
    [
        ("rate_id", pa.int64()),
        ("negotiated_type", pa.string()),
        ("negotiated_rate", pa.float64()),
        ("billing_class", pa.string()),
        ("setting", pa.string()),
        ("service_codes", _TEXTS),
        ("modifiers", _TEXTS),
        ("expiration_date", pa.date32()),
        ("date_not_read", pa.bool_()),  # whether there is an expiration date that can't be read
    ]
)
CITATIONS = pa.schema([("rate_id", pa.int64()), ("key", pa.int64())])  # key: number of a reference key
GROUPS = pa.schema([("rate_id", pa.int64()), *_GROUP])  # the inline provider groups
REFERENCES = pa.schema(
    [
        ("reference_no", pa.int64()),
        ("key", pa.int64()),
        ("location", pa.string()),
        ("network_names", _TEXTS),
        ("n_groups", pa.int64()),
        ("reference_offset", pa.int64()),
    ]
)
REFERENCE_GROUPS = pa.schema([("reference_no", pa.int64()), *_GROUP])


def weight_of(*lists: tuple[object, ...]) -> int:
    """What a row weighs in a spool that holds these lists, of numbers or of texts, in plain small rows."""
    weight = 1
    for values in lists:
        weight += len(values) // VALUES_OF_A_ROW
        if values and isinstance(values[0], str):
            weight += sum(map(len, values)) // ROW_BYTES  # type: ignore[arg-type]
    return weight


def is_among(values: Int64s, ascending: Int64s) -> NDArray[np.bool_]:
    """Which of the values are in the other array."""
    if not len(ascending):
        return np.zeros(len(values), np.bool_)
    places = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    found: NDArray[np.bool_] = ascending[places] == values
    return found


def _filtered(batch: pa.RecordBatch, kept: NDArray[np.bool_]) -> pa.RecordBatch:
    """Those rows; no copy where they are all, as most batches are."""
    return batch if kept.all() else batch.filter(arrow.flags(kept))


class Marks(NamedTuple):
    """Where the rows of matched prices end at some point."""

    next_rate_id: int
    sizes: tuple[int, ...]  # items, prices, citations, groups


@dataclass
class Collected:
    """One document's matched prices, cited provider groups, header and account; the spools have the schemas above.

    Bytes are counted from the first one that the reader sees, behind a byte order mark.
    """

    open_temporary: OpenTemporary
    header: dict[str, str] = field(default_factory=dict)
    root_keys: list[str] = field(default_factory=list)
    quirks: Counter[str] = field(default_factory=Counter)
    items_seen: int = 0
    items_matched: int = 0
    references_seen: int = 0
    next_rate_id: int = 0
    next_reference_no: int = 0
    limits: Limits = field(default_factory=Limits)
    refused: dict[str, BadFileError] = field(default_factory=dict)  # references that crossed a limit, by key
    keys: ReferenceKeys = field(default_factory=ReferenceKeys)

    def __post_init__(self) -> None:
        self._noted_keys: set[str] = set()  # those in root_keys
        self._cited: CitedKeys | None = None  # of the rows that stand now
        self.items, self.prices, self.citations, self.groups, self.references, self.reference_groups = self._spools = [
            Spool(self.open_temporary, schema)
            for schema in (ITEMS, PRICES, CITATIONS, GROUPS, REFERENCES, REFERENCE_GROUPS)
        ]
        self._matched = self._spools[:4]

    @property
    def where(self) -> str:
        """How far the reading is, for reasons."""
        if self.items_seen:
            return f"in_network[{self.items_seen}]"
        return f"provider_references[{self.references_seen}]" if self.references_seen else "the document"

    def marks(self) -> Marks:
        """The marks now."""
        return Marks(self.next_rate_id, tuple(map(len, self._matched)))

    def truncate_to(self, marks: Marks) -> None:
        """Drop what was collected since: the item is unwanted, or a duplicate key replaced it."""
        self._cited = None
        self.next_rate_id = marks.next_rate_id
        for spool, size in zip(self._matched, marks.sizes, strict=True):
            spool.truncate(size)

    def clear_items(self) -> None:
        """A second ``in_network`` at the root replaces the first."""
        self.truncate_to(Marks(self.next_rate_id, (0, 0, 0, 0)))
        self.items_seen = self.items_matched = 0

    def clear_references(self) -> None:
        """A second ``provider_references`` at the root replaces the first."""
        self.references.truncate(0)
        self.reference_groups.truncate(0)
        self.references_seen = 0
        self.refused.clear()

    def cited_keys(self) -> CitedKeys:
        """Keys of the references that the matched prices cite; not to be asked for within ``in_network``.

        Gathered once, until a second ``in_network`` replaces the rows: a document may ask again and again.
        """
        if self._cited is None:
            columns = (batch.column("key") for batch in self.citations.encoded_batches())
            self._cited = CitedKeys(map(arrow.numpy_of, columns), self.keys)
        return self._cited

    def check_cited(self) -> None:
        """``BadFileError`` when a matched price cites a reference that crossed a limit."""
        cited = self.cited_keys() if self.refused else ()
        for key, error in self.refused.items():
            if key in cited:
                raise error

    def cited_references(self) -> Iterator[pa.RecordBatch]:
        """Rows of ``references`` that a matched price cites."""
        cited = self.cited_keys().numbers
        for batch in self.references.batches():
            yield _filtered(batch, is_among(arrow.numpy_of(batch.column("key")), cited))

    def cited_reference_groups(self) -> Iterator[pa.RecordBatch]:
        """Rows of ``reference_groups`` of the cited references, with the key of each behind its number."""
        kept = [
            (arrow.numpy_of(batch.column("reference_no")), batch.column("key")) for batch in self.cited_references()
        ]
        if not kept:
            return
        numbers = np.concatenate([number for number, _ in kept])  # ascending
        keys = pa.concat_arrays([key for _, key in kept])
        for batch in self.reference_groups.batches():
            of_groups = arrow.numpy_of(batch.column("reference_no"))
            known = is_among(of_groups, numbers)
            places = np.searchsorted(numbers, of_groups[known])
            yield _filtered(batch, known).add_column(1, "key", keys.take(arrow.numbers(places)))

    def note_root_key(self, key: str) -> None:
        """Root keys in file order, for the account."""
        if len(key) > MAX_KEY_TEXT:
            self.quirks["a root key too long to be noted"] += 1
        elif key in self._noted_keys:
            self.quirks["duplicate root key"] += 1
        elif len(self.root_keys) < MAX_ROOT_KEYS:
            self._noted_keys.add(key)
            self.root_keys.append(key)

    def note_header(self, key: str, text: str | None) -> None:
        """A scalar at the root; the last of a repeated key counts."""
        if text is None:
            self.header.pop(key, None)
        elif len(key) <= MAX_KEY_TEXT and (key in self.header or len(self.header) < MAX_HEADER_FIELDS):
            self.header[key] = text[:MAX_HEADER_TEXT]

    def close(self) -> None:
        """Close the spools' temporary files."""
        for spool in self._spools:
            spool.close()

"""What reading one document collects, whichever engine reads: rows in spools, header, counts, quirks.

The rows are normalised, never multiplied out: a rate element's prices, its inline provider groups and the references
that it cites stay three lists that share a ``rate_id``; joining them is the month's work, out of Python.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from transforms.errors import BadFileError
from transforms.limits import Limits
from transforms.spool import OpenTemporary, Spool

MAX_HEADER_FIELDS = 100
MAX_HEADER_TEXT = 2_000
MAX_ROOT_KEYS = 1_000
MAX_KEY_TEXT = 200  # the schema's longest root key has 25


@dataclass(frozen=True)
class Marks:
    """Where the spools of matched prices stood at some point."""

    items: int
    prices: int
    citations: int
    groups: int


@dataclass
class Collected:
    """One document's matched prices, cited provider groups, header and account.

    Rows of the spools:
        items: (arrangement, billing_code, billing_code_type, first rate_id, rate_id past the last)
        prices: (rate_id, negotiated_type, negotiated_rate, billing_class, setting, service_codes, modifiers,
            expiration_date, whether there is an expiration date that can't be read)
        citations: (rate_id, reference key or None)
        groups: (rate_id, tin_type, tin, npis), the inline provider groups
        references: (reference_no, reference key, location, network_names, number of groups)
        reference_groups: (reference_no, tin_type, tin, npis)
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
    refused: dict[str, BadFileError] = field(default_factory=dict)  # references that are no good should they be cited

    def __post_init__(self) -> None:
        self.items, self.prices, self.citations, self.groups, self.references, self.reference_groups = (
            Spool(self.open_temporary) for _ in range(6)
        )

    @property
    def where(self) -> str:
        """How far the reading is, for reasons."""
        if self.items_seen:
            return f"in_network[{self.items_seen}]"
        return f"provider_references[{self.references_seen}]" if self.references_seen else "the document"

    def marks(self) -> Marks:
        """Where the spools of prices stand now."""
        return Marks(len(self.items), len(self.prices), len(self.citations), len(self.groups))

    def back_to(self, marks: Marks) -> None:
        """Forget what was collected since: the item turned out unwanted, or a duplicate key replaced it."""
        self.items.truncate(marks.items)
        self.prices.truncate(marks.prices)
        self.citations.truncate(marks.citations)
        self.groups.truncate(marks.groups)

    def forget_items(self) -> None:
        """A second ``in_network`` at the root replaces the first."""
        self.back_to(Marks(0, 0, 0, 0))
        self.items_seen = self.items_matched = 0

    def forget_references(self) -> None:
        """A second ``provider_references`` at the root replaces the first."""
        self.references.truncate(0)
        self.reference_groups.truncate(0)
        self.references_seen = 0
        self.refused.clear()

    def cited_keys(self) -> set[str]:
        """Keys of the references that the matched prices cite."""
        return {key for _, key in self.citations if isinstance(key, str)}

    def check_cited(self) -> None:
        """``BadFileError`` when a matched price cites a reference that crossed a limit."""
        for key in self.refused and self.cited_keys():
            if key in self.refused:
                raise self.refused[key]

    def cited_references(self) -> Iterator[tuple[object, ...]]:
        """Rows of ``references`` that a matched price cites."""
        cited = self.cited_keys()
        return (row for row in self.references if row[1] in cited)

    def cited_reference_groups(self) -> Iterator[tuple[object, ...]]:
        """(reference_no, reference key, tin_type, tin, npis) of the cited references."""
        keys = {row[0]: row[1] for row in self.cited_references()}
        return ((no, keys[no], *rest) for no, *rest in self.reference_groups if no in keys)

    def note_root_key(self, key: str) -> None:
        """Root keys in file order, for the account."""
        if len(key) > MAX_KEY_TEXT:
            self.quirks["a root key too long to be noted"] += 1
        elif key in self.root_keys:
            self.quirks["duplicate root key"] += 1
        elif len(self.root_keys) < MAX_ROOT_KEYS:
            self.root_keys.append(key)

    def note_header(self, key: str, text: str | None) -> None:
        """A scalar at the root; the last of a repeated key stands."""
        if text is None:
            self.header.pop(key, None)
        elif len(key) <= MAX_KEY_TEXT and (key in self.header or len(self.header) < MAX_HEADER_FIELDS):
            self.header[key] = text[:MAX_HEADER_TEXT]

    def close(self) -> None:
        """Give the spools' disk back."""
        for spool in (self.items, self.prices, self.citations, self.groups, self.references, self.reference_groups):
            spool.close()

"""What decoded parts of an index list, in any key order and in all shapes of FIELD-NOTES.

Any object may be a reporting structure, at any depth. Its key ``in_network_files`` lists files. The arrays ``files``
and ``blobs`` of the root hold one object for each file: a payer's own index.
Memory: what one decoded part lists.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from schemas.mrf import (
    CONTENTS_KEYS,
    ENTRIES_KEYS,
    ENTRY_KEYS,
    LISTED_KEY,
    NETWORK_KEYS,
    OWN_PLANS_KEY,
    PLANS_KEY,
    PRICES_KEYS,
    UPDATED_KEY,
)
from transforms.contents.index_values import (
    NO_PLANS,
    Found,
    IndexDate,
    Plans,
    StructureEnd,
    entry_of,
    files_of,
    networks_of,
    plans_of,
)
from transforms.contents.names import NO_NAMES, Names
from transforms.errors import BadFileError
from transforms.limits import Limits

IN_NETWORK = "an in-network file, not a table of contents; name it under files"
NOTHING_KNOWN = (
    "no table of contents and no other index: it has no reporting_structure, in_network_files, files or blobs"
)

PLANS_KEYS = (PLANS_KEY, OWN_PLANS_KEY)


class Kind(Enum):
    """What the children of an open object or array are."""

    MEMBERS = "members of an object that may be a structure"
    STRUCTURES = "elements of an array, which may be structures"
    FILES = "elements of in_network_files"
    PLANS = "elements of reporting_plans"


@dataclass(slots=True)
class Structure:
    """An object that is open, which may turn out to be a reporting structure."""

    plans: Plans = NO_PLANS
    network_name: Names = NO_NAMES
    network_names: Names = NO_NAMES
    lists_files: bool = False
    entry: dict[str, Any] | None = None  # of an entry of a payer's own index: its members


@dataclass(frozen=True, slots=True)
class OpenElement:
    """An object or array that is read in several parts; ``structure``: the object itself, or the one it belongs to."""

    kind: Kind
    structure: Structure = field(default_factory=Structure)
    of_entries: bool = False  # STRUCTURES: each is an entry of a payer's own index


class IndexGrammar:
    """The grammar of indexes, over parts that are decoded. ``strict``: other documents than indexes are errors."""

    def __init__(self, limits: Limits, *, strict: bool) -> None:
        self.limits = limits
        self.strict = strict
        self.is_index = False

    def open(self, outer: OpenElement, key: str | None, *, is_object: bool, depth: int) -> OpenElement | None:
        """The element for a child that is too long to decode at once; None for one that is never that long.

        A repeated key replaces the earlier value, except for files. ``depth``: the number of objects around it.
        """
        structure = outer.structure
        of_entry = structure.entry is not None and key in ENTRY_KEYS
        if outer.kind in (Kind.FILES, Kind.PLANS) or key in NETWORK_KEYS or of_entry:
            return None
        if key == UPDATED_KEY and depth == 1:
            return None
        if key is not None:
            self._note_key(key, depth)
        if key == LISTED_KEY:
            structure.lists_files = True
            return None if is_object else OpenElement(Kind.FILES, structure)
        if key in PLANS_KEYS:
            structure.plans = NO_PLANS
            return None if is_object else OpenElement(Kind.PLANS, structure)
        entries = self._lists_entries(key, depth)
        if is_object:
            return OpenElement(Kind.MEMBERS, Structure(entry={} if outer.of_entries or entries else None))
        return OpenElement(Kind.STRUCTURES, structure, of_entries=entries)

    def read(self, opened: OpenElement, children: Any, depth: int) -> tuple[list[Found], int]:
        """What some complete children list, and the number of lists of files among them.

        Args:
            children: decoded, as an object or array of them.
            depth: the number of objects around them.
        """
        if opened.kind is Kind.FILES:
            return [files_of(children, self.limits)], 0
        if opened.kind is Kind.PLANS:
            opened.structure.plans = opened.structure.plans.plus(plans_of(children))
            return [], 0
        return self._structures(opened, children, depth)

    def end(self, opened: OpenElement) -> list[Found]:
        """What is known at the end of an object or array."""
        structure = opened.structure
        if opened.kind is not Kind.MEMBERS or not (structure.lists_files or structure.entry is not None):
            return []
        end = StructureEnd(structure.plans, structure.network_name.plus(structure.network_names))
        return [end] if structure.entry is None else [[entry_of(structure.entry)], end]

    def _structures(self, opened: OpenElement, children: Any, depth: int) -> tuple[list[Found], int]:
        """What members or elements list, nested ones in place, and the number of lists of files among them."""
        found: list[Found] = []
        lists = 0
        stack = [(_pairs(children), opened)]
        while stack:
            pairs, inside = stack[-1]
            structure = inside.structure
            for key, value in pairs:
                if key is not None:
                    self._note_key(key, depth)
                if key == LISTED_KEY:
                    lists += 1
                    structure.lists_files = True
                    found.append(files_of(value, self.limits))
                elif key in PLANS_KEYS:
                    structure.plans = plans_of(value)
                elif key in NETWORK_KEYS:
                    setattr(structure, key, networks_of(value, self.limits))
                elif key == UPDATED_KEY and depth == 1:
                    found.append(IndexDate(value if isinstance(value, str) else None))
                elif structure.entry is not None and key in ENTRY_KEYS:
                    structure.entry[key] = None if isinstance(value, dict | list) else value
                elif isinstance(value, dict):
                    entries = inside.of_entries or self._lists_entries(key, depth)
                    depth += 1
                    stack.append((_pairs(value), OpenElement(Kind.MEMBERS, Structure(entry={} if entries else None))))
                    break
                elif isinstance(value, list):
                    entries = self._lists_entries(key, depth)
                    lists += entries
                    stack.append((_pairs(value), OpenElement(Kind.STRUCTURES, structure, entries)))
                    break
            else:
                stack.pop()
                if stack and inside.kind is Kind.MEMBERS:
                    depth -= 1
                    found += self.end(inside)
        return found, lists

    def _lists_entries(self, key: str | None, depth: int) -> bool:
        """Whether the array or object under a key holds entries of a payer's own index."""
        lists = depth == 1 and key in ENTRIES_KEYS
        self.is_index = self.is_index or lists
        return lists

    def _note_key(self, key: str, depth: int) -> None:
        """A key of the object that is the ``depth``th of those open."""
        self.is_index = self.is_index or key in CONTENTS_KEYS
        if depth == 1 and self.strict and key in PRICES_KEYS:
            raise BadFileError(IN_NETWORK)


def _pairs(children: Any) -> Iterator[tuple[str | None, Any]]:
    return iter(children.items()) if isinstance(children, dict) else ((None, each) for each in children)

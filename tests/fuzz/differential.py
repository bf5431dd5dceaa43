"""One document, read by the scanner under many cuts and compared with ijson, strict ``json.loads`` and the plain rows.

An execution is one scan of a document under one choice of block edges, compared with the reference. For each
document: ``json.loads`` says whether it is JSON at all, always; ijson reads it in full, always; the plain reading
(``tests.plain_reading``) builds its rows on each ``PLAIN_EVERY``-th document and on every one that is new in kind.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.mrf import SECTIONS
from tests.collected_rows import keyed_rows
from tests.fuzz.explain import is_explained, is_reading_of, refusal_is_explained
from tests.fuzz.plain_rows import differs
from tests.fuzz.reading import CODES, Read, read_by_ijson, read_by_scan, without_bom
from tests.offsets import element_at
from tests.plain_extract import TIC_KEYS, matches, plain_extract
from tests.plain_json import UnreadableError, as_id, plain_json

Cuts = tuple[int, ...]


@dataclass(frozen=True)
class Difference:
    """What one document showed: in which way, and under which cuts."""

    kind: str
    detail: str
    cuts: Cuts = ()
    poison: int = 0


@dataclass(frozen=True)
class Verdict:
    """What a document was like."""

    executions: int
    sound: bool
    explained: int
    difference: Difference | None
    reference: Read

    def kind(self) -> object:
        """Documents of one kind take like ways through the readers, as far as their results tell."""
        read = self.reference
        if read.collected is None:
            return re.sub(r"[0-9]+", "", read.reason[:60]), bool(self.explained)
        found = read.collected
        sizes = (found.items, found.prices, found.citations, found.groups, found.references, found.reference_groups)
        least = tuple(min(len(spool), 2) for spool in sizes)
        return least, tuple(sorted(found.quirks)), read.again, bool(self.explained), min(found.items_seen, 4)


def is_sound(document: bytes) -> bool:
    """Strict JSON."""
    try:
        plain_json(document)
    except UnreadableError:
        return False
    return True


def compare(document: bytes, cuts: Iterable[Cuts], *, plain: bool, long: bool = False) -> Verdict:
    """Everything about one document; stops at the first difference."""
    sound = is_sound(document)
    stripped = without_bom(document)
    full = read_by_ijson(stripped)
    difference = _reference_difference(document, stripped, sound, full)
    if difference is None and plain and sound and full.collected is not None:
        difference = _plain_difference(document, full) or _offset_difference(stripped, full)
    executions = explained = 0
    if difference is None:
        known: list[Read] = []  # explained readings of a broken document
        for number, places in enumerate(cuts):
            scanned = read_by_scan(stripped, places, number)
            executions += 1
            if scanned.reading == full.reading:
                continue
            if any(scanned.reading == other.reading for other in known):
                explained += 1
            elif _is_explained(stripped, sound, full, scanned, long):
                explained += 1
                known.append(scanned)
            else:
                difference = Difference("scan", _between(full, scanned), places, number)
                break
    return Verdict(executions, sound, explained, difference, full)


def _reference_difference(document: bytes, stripped: bytes, sound: bool, full: Read) -> Difference | None:
    if sound == (full.reading is not None):
        return None
    if not sound:
        return Difference("ijson", "ijson reads what is no JSON")
    if refusal_is_explained(stripped):
        return None
    return Difference("ijson", f"ijson refuses sound JSON: {full.reason}")


def _plain_difference(document: bytes, full: Read) -> Difference | None:
    assert full.collected is not None
    keys = full.collected.root_keys
    sections = [SECTIONS[key] for key in keys if key in SECTIONS]
    if not TIC_KEYS & set(keys) or len(sections) != len(set(sections)):
        return None  # a section under two names: which one falls back on which can't be told while reading on
    difference = differs(full.collected, plain_extract(document, CODES))
    return Difference("plain", difference) if difference else None


def _offset_difference(stripped: bytes, full: Read) -> Difference | None:
    """Other elements at the offsets than those that were read."""
    assert full.collected is not None
    assert full.reading is not None
    items = [place for place in full.reading.offsets[0] if not matches(element_at(stripped, place), CODES)]
    references = [
        row
        for row in keyed_rows(full.collected, full.collected.references)
        if as_id(element_at(stripped, row[-1]).get("provider_group_id")) != as_id(row[1])
    ]
    if not items and not references:
        return None
    return Difference("offset", f"no wanted items at {items}, other references than {references}")


def _is_explained(stripped: bytes, sound: bool, full: Read, scanned: Read, long: bool) -> bool:
    if sound and full.reading is None:
        return is_reading_of(stripped, scanned)
    if sound and scanned.reading is None:
        return refusal_is_explained(stripped)
    return not sound and scanned.reading is not None and is_explained(stripped, scanned, long=long)


def _between(full: Read, scanned: Read) -> str:
    if full.reading is None:
        return f"scan reads what is refused: {full.reason}; {scanned.reading}"
    if scanned.reading is None:
        return f"scan refuses: {scanned.reason}"
    parts = zip(full.reading._fields, full.reading, scanned.reading, strict=True)
    return "; ".join(f"{name}: ijson {one}, scan {other}" for name, one, other in parts if one != other)

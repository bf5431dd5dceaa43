"""What the readers make of one document, in a form that compares fast."""

import io
import os
from collections import Counter
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, cast
from unittest.mock import patch

from tests.collected_rows import keyed_rows, spool_rows
from tests.fuzz.blocks import CutBlocks
from transforms.errors import BadFileError, FullReadingNeededError
from transforms.limits import Limits
from transforms.read import read_ijson
from transforms.read.collect import Collected
from transforms.scan import read_scan, scan_section

DEFAULT = Limits()
CODES = frozenset({"97026", "97028"})
BOM = b"\xef\xbb\xbf"
Scan = Callable[[Collected, bool], None]  # reads into these; skips what is unwanted
ROOT_QUIRKS = ("duplicate root key", "provider_groups at the root")


class Reading(NamedTuple):
    """All that later steps see. References are numbered anew: the ijson reader also numbers those it forgets.

    ``offsets``: where the items begin, then the references.
    """

    header: dict[str, str]
    root_keys: list[str]
    counts: tuple[int, int, int]
    rows: tuple[list[Any], ...]
    root_quirks: list[tuple[str, int]]
    offsets: tuple[list[int], list[int]]


class Read(NamedTuple):
    """A reading; None when the document was refused, for this reason. ``again``: only a second, fuller pass did it."""

    reading: Reading | None
    collected: Collected | None
    again: bool
    reason: str


class SectionAhead(scan_section.Section):
    """Decodes its first elements already without a scan, not only once many are wanted."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.decodes_ahead = self.can_decode_ahead


class _InMemory(io.BufferedRandom):
    """A file without a disk, given back with the last that holds it: readings that fail close nothing."""

    def __init__(self) -> None:
        super().__init__(io.FileIO(os.memfd_create("spool"), "r+b"))

    def __del__(self) -> None:
        self.close()


def open_temporary() -> BinaryIO:
    """In memory: opening files on disk would take most of the time."""
    return cast("BinaryIO", _InMemory())


def without_bom(document: bytes) -> bytes:
    """As ``transforms.read.containers`` hands a document to the readers."""
    return document[len(BOM) :] if document.startswith(BOM) else document


def read_by_ijson(document: bytes, limits: Limits = DEFAULT) -> Read:
    def read(collected: Collected, skip: bool) -> None:
        read_ijson.read_document(io.BytesIO(document), CODES, collected, skip=skip)

    return _read(read, limits)


def read_by_scan(document: bytes, cuts: tuple[int, ...], poison: int) -> Read:
    return _read(scan_of(document, cuts, poison), DEFAULT)


def scan_of(document: bytes, cuts: tuple[int, ...], poison: int) -> Scan:
    """Reads the document, cut there."""
    section = SectionAhead if len(cuts) % 2 == 0 else scan_section.Section

    def read(collected: Collected, skip: bool) -> None:
        with patch.object(read_scan, "Section", section):
            blocks = CutBlocks(document, cuts, poison)
            read_scan.read_blocks(blocks, CODES, collected, skip=skip, overlap=poison % 2 == 1)

    return read


def collect(read: Scan, limits: Limits = DEFAULT) -> tuple[Collected, bool]:
    """What was collected, and whether only a second, fuller pass did it.

    Raises:
        BadFileError: the document is refused.
    """
    for skip in (True, False):
        collected = Collected(open_temporary, limits=limits)
        try:
            read(collected, skip)
        except FullReadingNeededError:
            if not skip:
                raise
        else:
            return collected, not skip
    raise AssertionError("a full reading needs no fuller one")


def _read(read: Scan, limits: Limits) -> Read:
    again = False

    def noted(collected: Collected, skip: bool) -> None:
        nonlocal again
        again = not skip
        read(collected, skip)

    try:
        collected, again = collect(noted, limits)
    except BadFileError as error:
        return Read(None, None, again, str(error))
    return Read(reading_of(collected), collected, again, "")


def reading_of(found: Collected) -> Reading:
    references: list[Any] = []
    reference_groups: list[Any] = []
    items = spool_rows(found.items)
    if len(found.references):
        cited = found.cited_keys()
        kept = [row for row in keyed_rows(found, found.references) if row[1] in cited]
        numbers = {row[0]: number for number, row in enumerate(kept)}
        references = [row[1:] for row in kept]  # with their offsets
        groups = spool_rows(found.reference_groups)
        reference_groups = [(numbers[row[0]], row[1:]) for row in groups if row[0] in numbers]
    return Reading(
        found.header,
        found.root_keys,
        (found.items_seen, found.items_matched, found.references_seen),
        (
            [row[:-1] for row in items],
            spool_rows(found.prices),
            keyed_rows(found, found.citations),
            spool_rows(found.groups),
            [row[:-1] for row in references],
            reference_groups,
        ),
        root_quirks(found.quirks),
        ([row[-1] for row in items], [row[-1] for row in references]),
    )


def root_quirks(quirks: Counter[str]) -> list[tuple[str, int]]:
    """Those that both readers count alike: neither skips anything at the root."""
    if not quirks:
        return []
    return sorted((name, count) for name, count in quirks.items() if name in ROOT_QUIRKS or " under the name " in name)

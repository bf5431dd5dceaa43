"""Every block edge of a document, in compiled code: the scanning kernel cut at each byte, against itself uncut.

The whole reader is compared with ijson and ``json.loads`` under a few block edges of each document
(``tests.fuzz.differential``); that costs Python a third of a millisecond each. Here only the kernel goes through a
section, and what is around it (bytes moved in front of the next block, places shifted) is done as ``_Section`` does it:
two microseconds, so each document is cut at every byte, and then at pairs of bytes. What is found: elements that a cut
loses, adds, moves or judges otherwise.
An element may be left to Python under some cuts, and be known as unwanted under others: then it is read in full.
"""

import ctypes
import io
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import ClassVar, NamedTuple, cast

import numpy as np

import hatch_build
from tests.collected_rows import keyed_rows
from tests.fuzz.blocks import POISONS, CutBlocks
from tests.fuzz.reading import CODES, open_temporary
from transforms.errors import BadFileError, FullReadingNeededError
from transforms.read import read_ijson
from transforms.read.collect import Collected
from transforms.read.reference_keys import Int64s
from transforms.scan.blocks import HEAD_BYTES, memory_of
from transforms.scan.read_scan import Reading
from transforms.scan.reference_index import _hashes
from transforms.scan.scan_columns import Decoder
from transforms.scan.scan_kernel import kernel as k
from transforms.scan.scan_kernel.library import levels

MOST_BYTES = 32_000  # longer documents would take most of the time
PAIRS = 200
SOURCE = Path(__file__).with_suffix(".c")

MOST_ROWS = 4_000
MOST_DOUBTS = 500


class Row(ctypes.Structure):
    """``index_row`` of the kernel."""

    _fields_: ClassVar = [(name, ctypes.c_int64) for name in ("hash", "start", "end")]


class Result(ctypes.Structure):
    """``scan_result`` of kernel_cuts.c: what a scan says in front of its rows."""

    _fields_: ClassVar = [
        *((name, ctypes.c_int64) for name in ("event", "place", "seen", "nulls", "others", "count")),
        ("rows", Row * MOST_ROWS),
    ]

    def facts(self) -> list[int]:
        """All of it, as numbers."""
        rows = [(row.hash, row.start, row.end) for row in self.rows[: self.count]]
        return [self.event, self.place, self.seen, self.nulls, self.others, *(value for row in rows for value in row)]


class Plan(ctypes.Structure):
    """``scan_plan`` of kernel_cuts.c."""

    _fields_: ClassVar = [
        *((name, ctypes.c_int64) for name in ("data", "size", "sound", "first", "kind", "single", "table", "poisons")),
        *((name, ctypes.c_int64) for name in ("poison_count", "buffers", "room", "uncut", "cut", "seed", "pairs")),
        *((name, ctypes.c_int64) for name in ("at_first", "at_second", "doubt_count")),
        ("doubts", Row * MOST_DOUBTS),
    ]


@cache
def _compiled() -> Callable[[int], int]:
    """``cut_everywhere``, compiled with the kernel that this processor would use."""
    level = levels()[-1]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "kernel_cuts.so")
        command = [*hatch_build.command_of(level), "-shared", str(SOURCE), "-o", str(target)]
        subprocess.run(command, check=True)
        function = ctypes.CDLL(str(target)).cut_everywhere
    function.argtypes, function.restype = [ctypes.c_int64], ctypes.c_int64
    return cast("Callable[[int], int]", function)


class Section(NamedTuple):
    """Where a root array's elements begin in a document, and as what the kernel reads them."""

    first: int
    kind: int
    single: bool
    table: Int64s


class Cut(NamedTuple):
    """Where blocks ended when the kernel found something else, and what it found; or an element judged wrongly."""

    section: Section
    places: tuple[int, int]
    uncut: list[int]
    cut: list[int]

    def __str__(self) -> str:
        first, kind = self.section.first, self.section.kind
        return f"section of kind {kind} at {first}, {self.places}: {self.uncut[:40]}; {self.cut[:40]}"


class _Recording(Reading):
    """Notes the sections that it meets."""

    sections: list[Section]

    def walk_section_elements(self, first: int, kind: int, table: Int64s) -> None:
        """See ``Reading``."""
        if first in b"{[":
            self.sections.append(Section(self.pos + int(first == ord("[")), kind, first == ord("{"), table))
        super().walk_section_elements(first, kind, table)


def sections_of(document: bytes) -> list[Section]:
    """Those that the scanner walks, up to what it refuses."""
    collected = Collected(open_temporary)
    decoder = Decoder(CODES, collected)
    reading = _Recording(CutBlocks(document, (), 0), CODES, collected, skip=True, decoder=decoder)
    reading.sections = []
    with suppress(BadFileError, FullReadingNeededError):
        reading.read()
    return reading.sections


def is_judged(element: bytes, section: Section, value: int) -> bool:
    """Whether an element that only some cuts leave to Python is what the others say: of this id's hash, or unwanted."""
    collected = Collected(open_temporary)
    name = b"in_network" if section.kind == k.ITEMS else b"provider_references"
    try:
        document = io.BytesIO(b'{"%b":[%b]}' % (name, element))
        read_ijson.read_document(document, CODES, collected, skip=False)
    except BadFileError:
        return True  # beyond a limit
    if section.kind == k.ITEMS:
        return collected.items_matched == 0
    keys = [cast("str", row[1]) for row in keyed_rows(collected, collected.references) if row[1] is not None]
    hashes = _hashes(keys, k.hash_texts)
    if section.kind == k.REFERENCES_INDEXED:
        expected = [] if value == k.NO_ID else [value]
        return bool(hashes.tolist() == expected)
    return not any(k.is_in_table(section.table.ctypes.data, value) for value in hashes.tolist())


class KernelCuts:
    """Reused memory for one document after the other."""

    def __init__(self) -> None:
        room = (HEAD_BYTES + MOST_BYTES + k.PADDING) // 64 * 64 + 64
        self._document, data = memory_of(MOST_BYTES + k.PADDING)
        self._buffers, buffers = memory_of(2 * room)
        self._poisons = np.frombuffer(b"".join(POISONS), np.uint8)
        self._uncut, self._cut = Result(), Result()
        self._plan = Plan(
            data=data,
            buffers=buffers,
            room=room,
            poisons=self._poisons.ctypes.data,
            poison_count=len(POISONS),
            uncut=ctypes.addressof(self._uncut),
            cut=ctypes.addressof(self._cut),
        )
        self._cut_everywhere = _compiled()

    def check(self, document: bytes, seed: int, *, sound: bool, pairs: int = PAIRS) -> tuple[int, Cut | None]:
        """How many scans, and the first that found something else than the uncut one.

        Args:
            document: without a byte order mark.
            sound: strict JSON.
        """
        scans = 0
        if len(document) > MOST_BYTES:
            return 0, None
        self._document[: len(document)] = document
        for section in sections_of(document):
            done, cut = self._cut_section(section, len(document), seed, sound, pairs)
            scans += done
            if cut is None:
                cut = self._misjudged(document, section)
            if cut is not None:
                return scans, cut
        return scans, None

    def _cut_section(self, section: Section, size: int, seed: int, sound: bool, pairs: int) -> tuple[int, Cut | None]:
        if size - section.first < 2:
            return 0, None
        plan = self._plan
        plan.size, plan.sound, plan.seed, plan.pairs = size, int(sound), seed, pairs
        plan.first, plan.kind, plan.single = section.first, section.kind, int(section.single)
        plan.table = section.table.ctypes.data
        plan.doubt_count = 0
        done = self._cut_everywhere(ctypes.addressof(plan))
        if done >= 0:
            return done, None
        return -done, Cut(section, (plan.at_first, plan.at_second), self._uncut.facts(), self._cut.facts())

    def _misjudged(self, document: bytes, section: Section) -> Cut | None:
        """The first of the doubtful elements that is not what the cuts that are sure of it say."""
        before = section.first if section.kind == k.REFERENCES_INDEXED else 0
        for row in self._plan.doubts[: self._plan.doubt_count]:
            start, end = before + row.start, before + row.end
            if not is_judged(document[start:end], section, row.hash):
                return Cut(section, (start, end), [], [])
        return None

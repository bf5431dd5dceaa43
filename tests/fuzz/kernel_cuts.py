"""Every block edge of a document, in compiled code: the scanning kernel cut at each byte, against itself uncut.

The whole reader is compared with ijson and ``json.loads`` under a few block edges of each document
(``tests.fuzz.differential``); that costs Python a third of a millisecond each. Here only the kernel goes through a
section, and what is around it (bytes moved in front of the next block, places shifted) is done as ``_Section`` does it:
two microseconds, so each document is cut at every byte, and then at pairs of bytes. What is found: elements that a cut
loses, adds, moves or judges otherwise.
An element may be left to Python under some cuts, and be known as unwanted under others: then it is read in full.
"""

import io
from contextlib import suppress
from typing import NamedTuple, cast

import numpy as np
from numba import njit

from tests.fuzz.blocks import POISONS, CutBlocks
from tests.fuzz.reading import CODES, open_temporary
from transforms import read_ijson
from transforms import scan_kernels as k
from transforms.blocks import HEAD_BYTES, memory_of
from transforms.collect import Collected
from transforms.errors import BadFileError, FullReadingNeededError
from transforms.read_scan import Reading
from transforms.reference_index import Int64s, _hash_keys

MOST_BYTES = 32_000  # longer documents would take most of the time
MOST_ROWS = 4_000
MOST_DOUBTS = 500
PAIRS = 200
DEEP = 1 << 40  # depth is counted in steps of 64 bytes, so a limit would depend on the cuts
_BEHIND_ALL = 1 << 60

# Slots of a plan, all that a scan needs to know
(
    DATA, SIZE, SOUND, FIRST, KIND, SINGLE, TABLE, POISON, POISON_COUNT, BUFFERS, ROOM, STATE, ROWS, UNCUT, CUT,
    DOUBTS, PAIR_COUNT, SEED, AT_FIRST, AT_SECOND, UNCUT_COUNT, CUT_COUNT, PLAN,
) = range(23)  # fmt: skip
# What a scan says in front of its rows of (hash or 0, start, end); where it refuses, only the event
EVENT, PLACE, SEEN, NULLS, OTHERS, FACTS = range(6)


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
    reading = _Recording(CutBlocks(document, (), 0), CODES, Collected(open_temporary), skip=True)
    reading.sections = []
    with suppress(BadFileError, FullReadingNeededError):
        reading.read()
    return reading.sections


@njit(nogil=True)
def _copy(source: int, target: int, count: int) -> None:
    """Bytes, eight at a time: up to seven too many, which what is copied next writes over."""
    for i in range((count + 7) // 8):
        k.store_slot(target + 8 * i, 0, np.int64(k.word_at(source, 8 * i)))


@njit(nogil=True)
def _begin(plan: int) -> None:
    """The kernel's state as ``walk_section_elements`` leaves it."""
    state = k.load_slot(plan, STATE)
    single = k.load_slot(plan, SINGLE)
    for slot in range(k.SLOTS):
        k.store_slot(state, slot, 0)
    k.store_slot(state, k.DEEPEST, DEEP)
    k.store_slot(state, k.SECTION, k.load_slot(plan, KIND))
    k.store_slot(state, k.START, k.NOWHERE)
    k.store_slot(state, k.SINGLE, single)
    k.store_slot(state, k.STATE, k.ELEMENT_NEXT if single else k.ELEMENT_OR_END)
    k.store_slot(state, k.INDEX_ROWS, MOST_ROWS)
    k.store_slot(state, k.SPOOLED, -k.load_slot(plan, FIRST))
    k.store_slot(state, k.POS, k.load_slot(plan, FIRST))


@njit(nogil=True)
def _scan(plan: int, first: int, second: int, poison: int, out: int) -> int:
    """One section under up to two cuts: how many numbers stand in ``out``."""
    _begin(plan)
    data, size, kind = k.load_slot(plan, DATA), k.load_slot(plan, SIZE), k.load_slot(plan, KIND)
    state, rows, table = k.load_slot(plan, STATE), k.load_slot(plan, ROWS), k.load_slot(plan, TABLE)
    base = 0  # in the document, of what ``address`` points to
    end = first  # of the block in hand, in the document
    turn = 0
    address = k.load_slot(plan, BUFFERS) + HEAD_BYTES
    _copy(data, address, end)
    _copy(poison, address + end, k.PADDING)
    count = FACTS
    while True:
        event = k.next_event(address, end - base, state, table, rows)
        pos = k.load_slot(state, k.POS)
        if event == k.BAD or event == k.INDEX_FULL:  # noqa: PLR1714 compiled
            break
        if event != k.NEED_MORE or kind != k.REFERENCES_INDEXED:
            count = _take(state, rows, kind, base, out, count)
        if event == k.ELEMENT:
            count = _put(out, count, 0, k.load_slot(state, k.START) + base, pos + base)
            k.store_slot(state, k.START, k.NOWHERE)
            continue
        if event == k.SECTION_END or end == size:
            break
        left = end - base - pos
        turn ^= 1
        following = k.load_slot(plan, BUFFERS) + turn * k.load_slot(plan, ROOM) + HEAD_BYTES
        _copy(address + pos, following - left, left)
        begin, end = end, size if end >= second else second
        _copy(data + begin, following, end - begin)
        _copy(poison, following + end - begin, k.PADDING)
        base += pos
        address = following - left
        k.store_slot(state, k.SPOOLED, k.load_slot(state, k.SPOOLED) + pos)
        if k.load_slot(state, k.START) != k.NOWHERE:
            k.store_slot(state, k.START, k.load_slot(state, k.START) - pos)
        k.store_slot(state, k.POS, 0)
    k.store_slot(out, EVENT, event)
    k.store_slot(out, PLACE, pos + base)
    k.store_slot(out, SEEN, k.load_slot(state, k.SEEN))
    k.store_slot(out, NULLS, k.load_slot(state, k.NULLS))
    k.store_slot(out, OTHERS, k.load_slot(state, k.OTHERS))
    return count if event == k.SECTION_END else 1


@njit(nogil=True)
def _put(out: int, count: int, value: int, start: int, end: int) -> int:
    """One more row."""
    k.store_slot(out, count, value)
    k.store_slot(out, count + 1, start)
    k.store_slot(out, count + 2, end)
    return count + 3


@njit(nogil=True)
def _take(state: int, rows: int, kind: int, base: int, out: int, count: int) -> int:
    """The index's rows, as places in the document; of references, in their section, as they stand."""
    indexed = kind == k.REFERENCES_INDEXED
    for row in range(k.load_slot(state, k.INDEXED)):
        value = k.load_slot(rows, 3 * row) if indexed else 0
        before = 0 if indexed else base
        count = _put(
            out, count, value, k.load_slot(rows, 3 * row + 1) + before, k.load_slot(rows, 3 * row + 2) + before
        )
    k.store_slot(state, k.INDEXED, 0)
    return count


@njit(nogil=True)
def _agree(plan: int, ones: int, others: int) -> bool:
    """Whether two scans found the same; elements that one of them leaves to Python are noted as doubts.

    Where blocks end decides what of a broken document is looked at, so there only a crash would be a find.
    """
    if k.load_slot(plan, SOUND) == 0:
        return True
    one, other = k.load_slot(plan, UNCUT), k.load_slot(plan, CUT)
    if ones < FACTS or others < FACTS:
        return ones == others and k.load_slot(one, 0) == k.load_slot(other, 0)
    same = True
    for fact in (EVENT, PLACE, NULLS, OTHERS):
        same = same and k.load_slot(one, fact) == k.load_slot(other, fact)
    indexed = k.load_slot(plan, KIND) == k.REFERENCES_INDEXED
    passed = k.load_slot(one, SEEN) - k.load_slot(other, SEEN)
    same = same and 3 * passed == (0 if indexed else others - ones)
    i = j = FACTS
    while same and (i < ones or j < others):
        here = k.load_slot(one, i + 1) if i < ones else _BEHIND_ALL
        there = k.load_slot(other, j + 1) if j < others else _BEHIND_ALL
        if here == there:
            value, judged = k.load_slot(one, i), k.load_slot(other, j)
            same = same and k.load_slot(one, i + 2) == k.load_slot(other, j + 2)
            if value != judged:
                same = same and k.ODD_ID in (value, judged)
                _doubt(plan, value if judged == k.ODD_ID else judged, here, k.load_slot(one, i + 2))
            i += 3
            j += 3
        elif here < there:
            same = not indexed
            _doubt(plan, 0, here, k.load_slot(one, i + 2))
            i += 3
        else:
            same = not indexed
            _doubt(plan, 0, there, k.load_slot(other, j + 2))
            j += 3
    return same


@njit(nogil=True)
def _doubt(plan: int, value: int, start: int, end: int) -> None:
    """Note an element, once."""
    doubts = k.load_slot(plan, DOUBTS)
    count = k.load_slot(doubts, 0)
    for i in range(count):
        if k.load_slot(doubts, 1 + 3 * i) == value and k.load_slot(doubts, 2 + 3 * i) == start:
            return
    if count < MOST_DOUBTS:
        _put(doubts, 1 + 3 * count, value, start, end)
        k.store_slot(doubts, 0, count + 1)


@njit(nogil=True)
def cut_everywhere(plan: int) -> int:
    """Cut at every byte, then at so many pairs; the number of scans, or minus that where the last one differs."""
    size, first, pairs = k.load_slot(plan, SIZE), k.load_slot(plan, FIRST), k.load_slot(plan, PAIR_COUNT)
    poisons, poison_count = k.load_slot(plan, POISON), k.load_slot(plan, POISON_COUNT)
    uncut = _scan(plan, size, size, poisons, k.load_slot(plan, UNCUT))
    noise = np.uint64(k.load_slot(plan, SEED)) | np.uint64(1)
    done = 0
    for turn in range(first + 1, size + pairs):
        noise ^= noise << np.uint64(13)
        noise ^= noise >> np.uint64(7)
        noise ^= noise << np.uint64(17)
        number = np.int64(noise >> np.uint64(2))
        place, second = turn, size
        if turn >= size:
            place = first + 1 + number % (size - first - 1)
            second = min(size, place + 1 + (number >> 20) % 130)
        poison = poisons + k.PADDING * ((number >> 40) % poison_count)
        cut = _scan(plan, place, second, poison, k.load_slot(plan, CUT))
        done += 1
        if not _agree(plan, uncut, cut):
            k.store_slot(plan, AT_FIRST, place)
            k.store_slot(plan, AT_SECOND, second)
            k.store_slot(plan, UNCUT_COUNT, uncut)
            k.store_slot(plan, CUT_COUNT, cut)
            return -done
    return done


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
    keys = [cast("str", row[1]) for row in collected.references if row[1] is not None]
    hashes = _hash_keys(keys)
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
        poisons = np.frombuffer(b"".join(POISONS), np.uint8)
        state, rows = np.zeros(k.SLOTS, np.int64), np.zeros(3 * MOST_ROWS, np.int64)
        self._uncut, self._cut = (np.zeros(FACTS + 3 * MOST_ROWS, np.int64) for _ in range(2))
        self._doubts = np.zeros(1 + 3 * MOST_DOUBTS, np.int64)
        self._plan = np.zeros(PLAN, np.int64)
        self._kept = (poisons, state, rows)
        for slot, value in (
            *((DATA, data), (BUFFERS, buffers), (ROOM, room), (POISON_COUNT, len(POISONS))),
            *((POISON, poisons.ctypes.data), (STATE, state.ctypes.data), (ROWS, rows.ctypes.data)),
            *((UNCUT, self._uncut.ctypes.data), (CUT, self._cut.ctypes.data), (DOUBTS, self._doubts.ctypes.data)),
        ):
            self._plan[slot] = value
        self.check(b'{"in_network":[ ]}', 1, sound=True)  # compiles, which takes longer than a hang may

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
        for slot, value in (
            *((SIZE, size), (SOUND, int(sound)), (FIRST, section.first), (KIND, section.kind)),
            *((SINGLE, int(section.single)), (TABLE, section.table.ctypes.data), (SEED, seed), (PAIR_COUNT, pairs)),
        ):
            plan[slot] = value
        self._doubts[0] = 0
        done = cut_everywhere(plan.ctypes.data)
        if done >= 0:
            return done, None
        places = (int(plan[AT_FIRST]), int(plan[AT_SECOND]))
        uncut, cut = self._uncut[: plan[UNCUT_COUNT]].tolist(), self._cut[: plan[CUT_COUNT]].tolist()
        return -done, Cut(section, places, uncut, cut)

    def _misjudged(self, document: bytes, section: Section) -> Cut | None:
        """The first of the doubtful elements that is not what the cuts that are sure of it say."""
        before = section.first if section.kind == k.REFERENCES_INDEXED else 0
        for value, start, end in self._doubts[1 : 1 + 3 * self._doubts[0]].reshape(-1, 3).tolist():
            if not is_judged(document[before + start : before + end], section, value):
                return Cut(section, (before + start, before + end), [], [])
        return None

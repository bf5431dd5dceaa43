"""One process that compares rows: assembles documents, reads them, and keeps what it finds, with few elements left."""

import gc
import os
from collections import Counter
from collections.abc import Callable
from random import Random
from time import monotonic, process_time

from tests.fuzz.assemble import Assembler, Document
from tests.fuzz.differential import Difference
from tests.fuzz.limits import HangError, small_limits, start_watch, stop_watch, watch_for_hangs
from tests.fuzz.reading import read_by_ijson, read_by_scan
from tests.fuzz.rows import Reading, choose_edges, compared
from tests.fuzz.worker import SharedPlace, save
from transforms.scan.scan_kernel.library import levels

DOCUMENTS = 32  # of one assembler's parts and templates
IJSON_EVERY = 20
SMALL_EVERY = 200
COLLECT_EVERY = 50
MOST_FINDS = 20
BISECT_SECONDS = 60.0
HANG_SECONDS = 60.0  # for thousands of elements


class RowFuzzer:
    """The way from one document to the next."""

    def __init__(self, seed: int, place: SharedPlace | None = None) -> None:
        self.random = Random(seed)
        self.place = place
        self.counts: Counter[str] = Counter()

    def one(self) -> None:
        """Assemble, read, compare."""
        started = process_time()
        number = self.counts["documents"]
        if number % DOCUMENTS == 0:
            self.assembler = Assembler(self.random.getrandbits(60))
        document = self.assembler.document()
        data, _ = document.joined()
        small = self.random.randrange(SMALL_EVERY) == 0
        how = Reading(levels()[number % len(levels())], choose_edges(self.random, len(data)), number)
        if self.place is not None:
            self.place.note(data)
        try:
            with small_limits(small):
                self.compare(document, how, small)
        finally:
            stop_watch()
        if self.random.randrange(IJSON_EVERY) == 0 and len(data) < 1 << 20:
            self.compare_with_ijson(data, how)
        self.counts["documents"] += 1
        self.counts["milliseconds"] += round((process_time() - started) * 1000)
        if self.place is not None:
            self.place.count(self.counts)

    def compare(self, document: Document, how: Reading, small: bool) -> None:
        """The scanner's rows with the plain reading's."""
        try:
            start_watch(HANG_SECONDS)
            verdict = compared(document, how)
        except HangError as error:
            self.counts["hangs"] += 1
            self.save_find(document.joined()[0], Difference("hang", str(error)), small)
            return
        stop_watch()
        for name in ("elements", "decoded", "rows", "explained"):
            self.counts[name] += getattr(verdict, name)
        if verdict.difference:
            self.counts["differences"] += 1
            if self.counts["differences"] <= MOST_FINDS:
                least = with_fewest(document, lambda less: bool(compared(less, how).difference))
                detail = f"{how.level}: {compared(least, how).difference or verdict.difference}"
                self.save_find(least.joined()[0], Difference("rows", detail, how.edges, how.poison), small)

    def compare_with_ijson(self, data: bytes, how: Reading) -> None:
        """What the scanner reads with what ijson does."""
        if read_by_ijson(data).reading != read_by_scan(data, how.edges, how.poison).reading:
            self.counts["differences"] += 1
            self.save_find(data, Difference("ijson", "other rows than ijson's", how.edges, how.poison), False)
        self.counts["plain"] += 1

    def save_find(self, data: bytes, difference: Difference, small: bool) -> None:
        """Save a find."""
        save(data, difference, small, "assembled")


def with_fewest(document: Document, shows: Callable[[Document], bool]) -> Document:
    """The document with as few elements as still show it, in about a minute."""
    until = monotonic() + BISECT_SECONDS
    for number, section in enumerate(document.sections):
        elements = section.elements
        size = len(elements)
        while size and monotonic() < until:
            at = 0
            while at < len(elements) and monotonic() < until:
                fewer = elements[:at] + elements[at + size :]
                if shows(document.with_elements(number, fewer)):
                    elements = fewer
                else:
                    at += size
            size //= 2
        document = document.with_elements(number, elements)
    return document


def work_rows(seed: int, place: SharedPlace | None, until: float) -> Counter[str]:
    """Compare until then; what was counted."""
    gc.disable()
    watch_for_hangs()
    fuzzer = RowFuzzer(seed, place)
    parent = os.getppid()
    while monotonic() < until and os.getppid() == parent:
        fuzzer.one()
        if fuzzer.counts["documents"] % COLLECT_EVERY == 0:
            gc.collect()
    gc.enable()
    return fuzzer.counts

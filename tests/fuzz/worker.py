"""One process of the differential fuzzing: mutates, compares, and keeps what it finds.

The document in hand stands in a shared file, so that whoever watches can save it when the process dies or hangs in
compiled code.
"""

import gc
import hashlib
import mmap
import os
import resource
import struct
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from time import monotonic

from tests.fuzz.cuts import Cuts, choose_cuts
from tests.fuzz.differential import Difference, Verdict, compare
from tests.fuzz.kernel_cuts import Cut, KernelCuts
from tests.fuzz.limits import HangError, small_limits, start_watch, stop_watch, watch_for_hangs
from tests.fuzz.minimise import minimise
from tests.fuzz.mutate import Mutator
from tests.fuzz.reading import without_bom
from tests.fuzz.seeds import all_seeds, generated_seed
from tests.fuzz.spans import Text, parse
from tests.fuzz.statistics import FINDS, say

GENERATED = 300
POOL = 2_000
PLAIN_EVERY = 8
KERNEL_EVERY = 12
PER_ROUND = 200  # documents between changes of limits, and reports
COLLECT_EVERY = 5  # rounds
RENEW_EVERY = 40
LONG_OFTEN = 0.08
SHORTEST_OF = 8
RECURSION = 4_000  # so that the plain reading's is not the limit that shows
MEMORY_BYTES = 2 << 30
MAX_SHARED = 16 << 20
COUNTED = (
    *("documents", "executions", "kernel", "sound", "explained", "plain", "differences", "hangs", "milliseconds"),
    *("elements", "decoded", "rows"),
)
COUNTS = struct.Struct(f"<{len(COUNTED)}q")


class SharedPlace:
    """A file in which a process says what it has counted and which document it has in hand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists() or path.stat().st_size != MAX_SHARED:
            path.write_bytes(bytes(MAX_SHARED))
        with path.open("r+b") as file:
            self.bytes = mmap.mmap(file.fileno(), MAX_SHARED)

    def note(self, document: bytes) -> None:
        """The document now in hand."""
        taken = document[: MAX_SHARED - COUNTS.size - 8]
        struct.pack_into("<q", self.bytes, COUNTS.size, len(taken))
        self.bytes[COUNTS.size + 8 : COUNTS.size + 8 + len(taken)] = taken

    def document(self) -> bytes:
        (size,) = struct.unpack_from("<q", self.bytes, COUNTS.size)
        return self.bytes[COUNTS.size + 8 : COUNTS.size + 8 + size]

    def count(self, counts: Counter[str]) -> None:
        COUNTS.pack_into(self.bytes, 0, *(int(counts[name]) for name in COUNTED))

    def counts(self) -> Counter[str]:
        return Counter(dict(zip(COUNTED, COUNTS.unpack_from(self.bytes, 0), strict=True)))


class Fuzzer:
    """The pool of texts and the way from one document to the next."""

    def __init__(self, seed: int, place: SharedPlace | None) -> None:
        self.random = Random(seed)
        self.place = place
        self.counts: Counter[str] = Counter()
        self.texts = [parse(data) for data in all_seeds(self.random, GENERATED)]
        self.fixed = len(self.texts)
        self.kernel_cuts = KernelCuts()
        self.mutator = Mutator(self.random, self.choose)
        self.known: set[object] = set()
        self.found: Counter[str] = Counter()
        self.rounds = 0

    def choose(self) -> Text:
        """A text; mostly the shortest of a few: small documents are read ten times as often, and show as much."""
        few = 1 if self.random.random() < LONG_OFTEN else SHORTEST_OF
        return min((self.random.choice(self.texts) for _ in range(few)), key=lambda text: len(text.data))

    def round(self, until: float) -> None:
        """Some documents under one choice of limits."""
        started = monotonic()
        small = self.random.random() < 0.06
        with small_limits(small):
            for _ in range(PER_ROUND):
                self.one(small)
                if monotonic() > until:
                    break
        self.counts["milliseconds"] += round((monotonic() - started) * 1000)
        if self.place is not None:
            self.place.count(self.counts)
        self.rounds += 1
        if self.rounds % COLLECT_EVERY == 0:
            gc.collect()
        self.check_memory()

    def check_memory(self) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if peak > MEMORY_BYTES:
            raise MemoryError(f"{peak:,} bytes of memory (limit {MEMORY_BYTES:,})")

    def one(self, small: bool) -> None:
        """Mutate, read, compare."""
        document = self.mutator.mutate(self.choose())
        if self.place is not None:
            self.place.note(document)
        cuts = choose_cuts(self.random, len(without_bom(document)))
        plain = self.random.randrange(PLAIN_EVERY) == 0
        self.counts["documents"] += 1
        start_watch()
        try:
            verdict = compare(document, cuts, plain=plain, long=small)
            cut = self.cut_everywhere(document, verdict) if verdict.difference is None and not small else None
        except HangError as error:
            self.counts["hangs"] += 1
            self.keep(document, Difference("hang", str(error)), small)
            return
        except Exception as error:  # noqa: BLE001 any other exception is a find
            self.counts["differences"] += 1
            stop_watch()
            self.keep(document, Difference("error", f"{type(error).__name__}: {error}"), small)
            return
        finally:
            stop_watch()
        self.counts["executions"] += verdict.executions
        self.counts["explained"] += verdict.explained
        self.counts["sound"] += verdict.sound
        self.counts["plain"] += plain and verdict.sound
        if verdict.difference is not None:
            self.counts["differences"] += 1
            self.keep(document, verdict.difference, small)
        if cut is not None:
            self.counts["differences"] += 1
            self.keep(document, Difference("kernel", str(cut), cut.places), small)
        self.renew(document, verdict.kind())

    def cut_everywhere(self, document: bytes, verdict: Verdict) -> Cut | None:
        """At every byte, some of the documents: the kernel alone."""
        if self.random.randrange(KERNEL_EVERY):
            return None
        stripped, seed = without_bom(document), self.random.getrandbits(60)
        scans, cut = self.kernel_cuts.check(stripped, seed, sound=verdict.sound)
        self.counts["kernel"] += scans
        return cut

    def renew(self, document: bytes, kind: object) -> None:
        """Keep what is new in kind to mutate it further; now and then a newly generated text."""
        new = None
        if kind not in self.known and len(document) < 8_000:
            self.known.add(kind)
            new = document
        elif self.random.randrange(RENEW_EVERY) == 0:
            new = generated_seed(self.random)
        if new is None:
            return
        if len(self.texts) < POOL:
            self.texts.append(parse(new))
        else:
            self.texts[self.random.randrange(self.fixed, POOL)] = parse(new)

    def keep(self, document: bytes, difference: Difference, small: bool) -> None:
        """Save a find, minimised; only a few of each kind."""
        name = f"{difference.kind}: {difference.detail[:40]}"
        self.found[name] += 1
        if self.found[name] > 3 or len(self.found) > 50:
            return
        save(document, difference, small, "long" if small else "plain")
        if difference.kind not in ("hang", "kernel"):
            cuts = [difference.cuts] if difference.cuts else [(), *choose_cuts(Random(0), len(document), 40)]
            small_document = minimise(document, shows(difference.kind, cuts, small))
            save(small_document, difference, small, "minimised")


def shows(kind: str, cuts: list[Cuts], small: bool) -> Callable[[bytes], bool]:
    """Whether a document still shows a find of this kind, cut anywhere."""

    def check(document: bytes) -> bool:
        size = len(without_bom(document))
        places = [tuple(place for place in some if 0 < place < size) for some in cuts]
        if size < 400:
            places += [(place,) for place in range(1, size)]
        else:
            places += choose_cuts(Random(size), size, 60)
        try:
            verdict = compare(document, places, plain=True, long=small)
        except Exception:  # noqa: BLE001 the find itself, perhaps
            return kind == "error"
        return verdict.difference is not None and verdict.difference.kind == kind

    return check


def save(document: bytes, difference: Difference, small: bool, how: str) -> Path:
    """The document as a file, and beside it what was found."""
    FINDS.mkdir(parents=True, exist_ok=True)
    name = f"{difference.kind}-{hashlib.sha256(document).hexdigest()[:12]}"
    path = FINDS / f"{name}{'-small' if small else ''}.json"
    path.write_bytes(document)
    path.with_suffix(".txt").write_text(f"{how}\n{difference.kind}\n{difference.cuts}\n{difference.detail}\n")
    say(f"FOUND ({how}) {path}: {difference.kind}: {difference.detail[:300]}")
    return path


def work(seed: int, place: SharedPlace | None, until: float) -> Counter[str]:
    """Fuzz until then; what was counted."""
    sys.setrecursionlimit(RECURSION)
    gc.disable()
    watch_for_hangs()
    fuzzer = Fuzzer(seed, place)
    parent = os.getppid()
    while monotonic() < until and os.getppid() == parent:
        fuzzer.round(until)
    gc.enable()
    return fuzzer.counts

"""Files in parallel on the machine's cores: worker processes that end with us, and the progress they report."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path

from flows.download.sources import Source
from flows.extract.cores import cores
from flows.extract.extract_source import Engine, Outcome, extract, find_unchanged
from flows.extract.payer_listing import Reach, renewing
from flows.extract.progress import Counters, add, make_counters, shown
from flows.extract.worker_pools import Pools
from flows.settings.fetching import Fetching
from flows.storage.layout import Layout
from flows.storage.threads import map_in_threads
from transforms.limits import Limits

PARALLEL_FROM_BYTES = 4_000_000  # below this, starting a second process costs more than it gains
ASKED_AT_ONCE = 16
OOM_SCORE = Path("/proc/self/oom_score_adj")  # -1000 to 1000: of what is ended first where memory runs out

ExtractOne = Callable[[Source], Outcome]
ExtractMany = Callable[[Sequence[Source], ExtractOne, int], list[Outcome]]
ReadElsewhere = Callable[[Sequence[Source], Layout, "Reading"], list[Outcome]]  # largest first; outcomes likewise


@dataclass(frozen=True)
class Reading:
    """How the sources of a run are read."""

    wanted: frozenset[str]
    workers: int = 0  # 0: as many as there are cores
    engine: Engine | None = None
    fetching: Fetching | None = None
    limits: Limits | None = None
    force: bool = False

    def reach(self, layout: Layout) -> Reach:
        """How the indexes are read that list these sources."""
        return Reach(self.fetching, layout, self.limits, self.engine)


def extract_many(
    sources: Sequence[Source],
    layout: Layout,
    reading: Reading,
    spread: ExtractMany = map_in_threads,
    elsewhere: ReadElsewhere | None = None,
) -> list[Outcome]:
    """Extract every source that is not what it was, in worker processes; outcomes in source order.

    Args:
        spread: waits for the worker processes of this machine.
        elsewhere: reads on other machines instead.
    """
    found = {} if reading.force else find_unchanged_many(sources, layout, reading)
    rest = sorted((source for source in sources if source not in found), key=lambda source: -source.size)
    read = elsewhere or partial(read_here, spread=spread)
    found |= {outcome.source: outcome for outcome in read(rest, layout, reading)} if rest else {}
    return [found[source] for source in sources]


def find_unchanged_many(sources: Sequence[Source], layout: Layout, reading: Reading) -> dict[Source, Outcome]:
    """Those that are what they were; asked in threads, for worker processes would take longer to start than to ask."""
    ask = partial(
        find_unchanged,
        wanted=reading.wanted,
        layout=layout,
        engine=reading.engine,
        fetching=reading.fetching,
        limits=reading.limits,
    )
    answers = map_in_threads(sources, ask, ASKED_AT_ONCE)
    return {answer.source: answer for answer in answers if answer is not None}


def read_here(
    sources: Sequence[Source], layout: Layout, reading: Reading, spread: ExtractMany = map_in_threads
) -> list[Outcome]:
    """Extract sources in this order, with ``spread`` deciding who waits for whom."""
    total = sum(source.size for source in sources)
    counters = make_counters()
    workers = max(1, min(reading.workers or cores(), len(sources)))
    if total < PARALLEL_FROM_BYTES and not any(source.is_url for source in sources):
        workers = 1
    with shown(counters, len(sources), total), readers(workers, layout, reading, counters) as extract_one:
        return spread(sources, extract_one, workers)


@contextmanager
def readers(workers: int, layout: Layout, reading: Reading, counters: Counters) -> Iterator[ExtractOne]:
    """So many worker processes, for as many threads to read with; a single one is this process itself."""
    overlap = workers < cores()  # else every core has a file of its own
    extract_one = partial(_extract_counted, layout=layout, reading=reading, overlap=overlap)
    with _processes(workers, counters) as pool:
        yield partial(_extract_in, pool, extract_one)


@contextmanager
def _processes(workers: int, counters: Counters) -> Iterator[Pools | None]:
    """Worker processes, or None where this process does the work itself.

    On Ctrl-C what has not begun is dropped and what runs is told to stop.
    """
    if workers == 1:
        _work_with(counters)
        yield None
        return
    with Pools(workers, partial(_work_with, counters)) as pools:
        yield pools


def _extract_in(pools: Pools | None, extract_one: ExtractOne, source: Source) -> Outcome:
    try:
        return extract_one(source) if pools is None else pools.run(extract_one, source)
    except BrokenProcessPool:
        reason = "the worker process that read it was killed, twice (out of memory?); run again on a larger machine"
    except MemoryError:
        reason = "reading it takes more memory than this process may have, also alone; run again on a larger machine"
    return Outcome(source, "quarantined", reason=reason)


_counters: Counters | None = None


def _work_with(counters: Counters) -> None:
    """Set up this process as a worker."""
    global _counters  # noqa: PLW0603 a process has one set of counters
    _counters = counters
    join_parent()


def join_parent() -> None:
    """Set up a worker process: it ends when the one that started it says so or is gone, and before it for memory."""
    parent = parent_process()
    if parent is not None:
        with suppress(OSError):  # no Linux
            OOM_SCORE.write_text("500")  # the other one is left to say what happened
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    """A worker whose parent was killed would read on, and then wait for work for ever."""
    parent.join()
    os._exit(1)


def _extract_counted(source: Source, *, layout: Layout, reading: Reading, overlap: bool) -> Outcome:
    counters = _counters
    assert counters is not None
    outcome = extract(
        source,
        reading.wanted,
        layout,
        partial(add, counters),
        engine=reading.engine,
        overlap=overlap,
        fetching=reading.fetching,
        limits=reading.limits,
        force=reading.force,
        renew=renewing(reading.reach(layout)),
    )
    with counters[3].get_lock():
        counters[3].value += 1
    return outcome

"""Files in parallel on the machine's cores, in worker processes that report their progress."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from math import ceil

from flows.download.sources import Source
from flows.extract.extract_source import extract, find_unchanged
from flows.extract.outcome import Outcome, log_outcome
from flows.extract.progress import Counters, add, make_counters, shown
from flows.extract.worker_processes import WorkerProcesses, cores, join_parent
from flows.settings.values import ReadSettings
from flows.storage.layout import Layout
from flows.storage.threads import map_in_threads

PARALLEL_FROM_BYTES = 4_000_000  # below this, starting a second process costs more than it gains
ASKED_AT_ONCE = 16
# An orchestrator's task costs 50 ms on both its sides, which a small file is not worth: files go in batches.
MOST_FILES = 200
MOST_BYTES = 2_000_000_000  # a larger file is a task of its own
PARTS = 8  # of the remaining work, per worker: later batches are shorter, so workers finish together

ExtractOne = Callable[[Source], Outcome]
ExtractMany = Callable[[Sequence[Source], ExtractOne, int], list[Outcome]]
ReadElsewhere = Callable[[Sequence[Source], Layout, ReadSettings], list[Outcome]]  # largest first; outcomes likewise


def extract_many(
    sources: Sequence[Source],
    layout: Layout,
    settings: ReadSettings,
    spread: ExtractMany = map_in_threads,
    elsewhere: ReadElsewhere | None = None,
) -> list[Outcome]:
    """Outcomes in source order; only changed sources are read, in worker processes.

    Args:
        spread: waits for the worker processes of this machine.
        elsewhere: reads on other machines instead.
    """
    found = {} if settings.force else find_unchanged_many(sources, layout, settings)
    rest = sorted((source for source in sources if source not in found), key=lambda source: -source.size)
    read = elsewhere or partial(read_here, spread=spread)
    found |= {outcome.source: outcome for outcome in read(rest, layout, settings)} if rest else {}
    return [found[source] for source in sources]


def find_unchanged_many(sources: Sequence[Source], layout: Layout, settings: ReadSettings) -> dict[Source, Outcome]:
    """Outcomes of the unchanged sources; asked in threads, since worker processes take longer to start than to ask."""
    answers = map_in_threads(sources, partial(find_unchanged, layout=layout, settings=settings), ASKED_AT_ONCE)
    return {answer.source: answer for answer in answers if answer is not None}


def read_here(
    sources: Sequence[Source], layout: Layout, settings: ReadSettings, spread: ExtractMany = map_in_threads
) -> list[Outcome]:
    """Outcomes of sources read in this order, on this machine."""
    total = sum(source.size for source in sources)
    workers = max(1, min(settings.workers or cores(), len(sources)))
    if total < PARALLEL_FROM_BYTES and not any(source.is_url for source in sources):
        workers = 1
    counters = make_counters(shared=workers > 1)
    overlap = workers < cores()  # else every core has a file of its own
    extract_one = partial(_extract_counted, layout=layout, settings=settings, overlap=overlap)
    with shown(counters, len(sources), total), _processes(workers, counters) as processes:
        return spread(sources, partial(_extract_in, processes, extract_one), workers)


@contextmanager
def _processes(workers: int, counters: Counters) -> Iterator[WorkerProcesses | None]:
    """So many worker processes; None for a single one, which is this process itself."""
    if workers == 1:
        _set_up(counters)
        yield None
        return
    with WorkerProcesses(workers, partial(_set_up, counters)) as processes:
        yield processes


def _extract_in(processes: WorkerProcesses | None, extract_one: ExtractOne, source: Source) -> Outcome:
    outcome = _extract_or_refuse(processes, extract_one, source)
    log_outcome(outcome)
    return outcome


def _extract_or_refuse(processes: WorkerProcesses | None, extract_one: ExtractOne, source: Source) -> Outcome:
    try:
        return extract_one(source) if processes is None else processes.run(extract_one, source)
    except BrokenProcessPool:
        reason = "the worker process that read it was killed, twice (out of memory?); run again on a larger machine"
    except MemoryError:
        reason = "reading it takes more memory than this process may have, also alone; run again on a larger machine"
    return Outcome(source, "quarantined", reason=reason)


_counters: "Counters | None" = None


def _set_up(counters: Counters) -> None:
    """Make this process a worker."""
    global _counters  # noqa: PLW0603 a process has one set of counters
    _counters = counters
    join_parent()


def _extract_counted(source: Source, *, layout: Layout, settings: ReadSettings, overlap: bool) -> Outcome:
    assert _counters is not None
    outcome = extract(source, layout, settings, partial(add, _counters), overlap=overlap)
    add(_counters, 0, 0, 0, 1)
    return outcome


def batch_sources(sources: Sequence[Source], workers: int) -> list[list[Source]]:
    """Consecutive sources, up to ``MOST_FILES`` and ``MOST_BYTES`` together, and fewer towards the end.

    A source of unknown size (a URL) counts as a file without bytes.
    """
    parts = 1 if workers == 1 else workers * PARTS
    sizes = [source.size for source in sources]
    bytes_left = sum(sizes)
    batches: list[list[Source]] = []
    start = 0
    while start < len(sources):
        most_files = min(MOST_FILES, ceil((len(sources) - start) / parts))
        most_bytes = min(MOST_BYTES, ceil(bytes_left / parts))
        end, batch_bytes = start + 1, sizes[start]
        while end < start + most_files and batch_bytes + sizes[end] <= most_bytes:
            batch_bytes += sizes[end]
            end += 1
        batches.append(list(sources[start:end]))
        start, bytes_left = end, bytes_left - batch_bytes
    return batches

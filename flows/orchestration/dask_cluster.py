"""Files read on an existing Dask cluster: what travels to a worker and back, and what happens when a worker is lost.

Dask decides which worker reads what, and gives what a lost worker had to the others. Output and cache are shared by all
machines; nothing but file names, sizes and settings travels. An extract is renamed into place under its content's name,
so a batch may run twice. One file at a time in each of a worker's threads: start workers with ``--nthreads 1``.
"""

import logging
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from flows.download.sources import Source
from flows.extract.batches import batch_sources
from flows.extract.extract_source import ACCOUNT, extract
from flows.extract.outcome import Outcome
from flows.extract.progress import add, make_counters, shown
from flows.extract.readers import reading_version
from flows.extract.workers import ReadElsewhere, find_unchanged_many
from flows.settings.addresses import is_object_url
from flows.settings.fetching import Cluster, Fetching, HostLimits, ReadSettings
from flows.storage.layout import Layout
from flows.storage.object_sync import ensure_local
from transforms.errors import OutageError, UsageError

LOG = logging.getLogger(__name__)
ROUNDS = 3  # in which a file may lose its worker; then it is the file's fault
CONNECT_SECONDS = 60.0  # to the scheduler, and for its first worker
ALONE_SECONDS = 600.0  # without any worker, before the run ends
SEEN_SECONDS = 90.0  # until what another machine wrote is seen here: network file systems look again once a minute
LOOK_SECONDS = 0.1
COUNT_SECONDS = 30.0  # between two looks whether there are workers
EXTRA = "install it with `pip install 'tic-rates[dask]'` here and on the workers"
SHARED = "output (or TIC_RATES_CACHE) must lie on a file system that all machines share, or in object storage"

OnOutcomes = Callable[[list[Outcome]], object]


@dataclass(frozen=True)
class Batch:
    """Files for one worker, and all it has to know. Sources may carry signatures and headers: never log one."""

    sources: tuple[Source, ...]
    sizes: tuple[int, ...]  # as seen here
    layout: Layout
    settings: ReadSettings


@dataclass(frozen=True)
class Answer:
    """What a worker made of a batch; ``unseen``: a file that is not there as it is here."""

    outcomes: tuple[Outcome, ...]
    machine: str
    unseen: str | None = None


@dataclass(frozen=True)
class Lost:
    """A batch without an answer: its worker is lost."""

    reason: str


def read_elsewhere(cluster: Cluster) -> ReadElsewhere | None:
    """How files are read on the cluster; None: here."""
    return partial(read_on_dask, cluster=cluster) if cluster.dask else None


def read_on_dask(
    sources: Sequence[Source],
    layout: Layout,
    settings: ReadSettings,
    *,
    cluster: Cluster,
    on_outcomes: OnOutcomes = lambda _: None,
) -> list[Outcome]:
    """Outcomes in the order of sources, which are sent in this order.

    A batch whose worker is lost is sent again, file by file, but for what that worker had finished. A file that loses
    ``ROUNDS`` workers is quarantined.

    Args: on_outcomes: gets the outcomes of each batch as they come.

    Raises:
        OutageError: no scheduler, or no workers.
        UsageError: workers that don't see the files that are here.
    """
    started = time.monotonic()
    settings = replace(settings, fetching=share(settings.fetching, cluster.machines))
    found: dict[Source, Outcome] = {}
    lost: dict[Source, Lost] = {}
    counters = make_counters()

    def count(outcomes: list[Outcome]) -> None:
        found.update((outcome.source, outcome) for outcome in outcomes)
        for outcome in outcomes:
            add(counters, outcome.bytes or 0, outcome.account.bytes_json, outcome.account.items_matched, 1)
        on_outcomes(outcomes)

    address = str(cluster.dask)
    with shown(counters, len(sources), sum(source.size for source in sources)), connect(address) as client:
        threads = sum(client.nthreads().values())
        LOG.info("%d file(s) go to %s, %d at a time", len(sources), address, threads)
        waiting = batch_sources(sources, max(threads, 2))  # more workers may come
        for _ in range(ROUNDS):
            batches = [_batch(chosen, layout, settings) for chosen in waiting]
            for place, answer in answers(address, client, batches):
                if isinstance(answer, Lost):
                    LOG.warning("%d file(s) lost their worker: %s", len(waiting[place]), answer.reason)
                    lost.update(dict.fromkeys(waiting[place], answer))
                else:
                    count(_arrived(answer, waiting[place], layout))
            count(_finished_by_lost_workers([source for source in sources if source not in found], layout, settings))
            waiting = [[source] for source in sources if source not in found]
            if not waiting:
                break
        count([_quarantine(source, lost[source]) for (source,) in waiting])
    seconds, megabytes = time.monotonic() - started, sum(outcome.account.bytes_json for outcome in found.values()) / 1e6
    LOG.info("%d file(s) read elsewhere in %.1f s: %.0f MB/s", len(sources), seconds, megabytes / max(seconds, 1e-9))
    return [found[source] for source in sources]


def _finished_by_lost_workers(rest: Sequence[Source], layout: Layout, settings: ReadSettings) -> list[Outcome]:
    if not rest or settings.force:
        return []
    return [replace(outcome, unchanged=False) for outcome in find_unchanged_many(rest, layout, settings).values()]


def _quarantine(source: Source, lost: Lost) -> Outcome:
    what = f"{ROUNDS} workers that read it were lost, the last one: {lost.reason}"
    return Outcome(source, "quarantined", reason=f"{what}; give workers more memory, or run again")


def _batch(sources: Sequence[Source], layout: Layout, settings: ReadSettings) -> Batch:
    """Paths are made absolute: workers have another working directory."""
    sent = tuple(
        source if source.is_url else replace(source, location=_absolute(source.location)) for source in sources
    )
    absolute = Layout.at(_absolute(layout.location), (layout.cache_location and _absolute(layout.cache_location)) or "")
    return Batch(sent, tuple(source.size for source in sources), absolute, settings)


def _absolute(place: Path | str) -> str:
    return str(place if is_object_url(place) else Path(place).absolute())


def _arrived(answer: Answer, sources: Sequence[Source], layout: Layout) -> list[Outcome]:
    """The outcomes as if the files had been read here.

    Raises:
        UsageError: the worker didn't see a file, or what it wrote is not here.
    """
    if answer.unseen is not None:
        where = f"{answer.unseen} is not the same file on {answer.machine}"
        raise UsageError(f"{where}; sources must lie where all machines see them under the same path")
    return [
        replace(outcome, source=source, extract=_here(outcome, answer.machine, layout))
        for source, outcome in zip(sources, answer.outcomes, strict=True)
    ]


def _here(outcome: Outcome, machine: str, layout: Layout) -> Path | None:
    if outcome.extract is None:
        return None
    path = layout.extracts / outcome.extract.name
    if not path.name.endswith(reading_version()):
        raise UsageError(f"{machine} runs another version of tic-rates; install this one there")
    deadline = time.monotonic() + SEEN_SECONDS
    while not ensure_local(layout, path / ACCOUNT):
        if time.monotonic() > deadline:
            raise UsageError(f"{path} was written on {machine} and is not here; {SHARED}")
        time.sleep(LOOK_SECONDS)
        for folder in (path, path.parent):
            list(folder.glob("*"))  # makes a network file system look again
    return path


def share(fetching: Fetching, machines: int) -> Fetching:
    """One machine's part of what hosts are asked for; a connection at least."""

    def part(limits: HostLimits) -> HostLimits:
        often = limits.requests_per_second
        return HostLimits(max(1, limits.connections // machines), often and often / machines)

    if machines == 1:
        return fetching
    hosts = tuple((host, part(limits)) for host, limits in fetching.hosts)
    return replace(fetching, limits=part(fetching.limits), hosts=hosts)


def read_one_by_one(batch: Batch) -> Answer:
    """In a worker: the answer for a batch, one file after the other, in this thread."""
    machine = socket.gethostname()
    for source, size in zip(batch.sources, batch.sizes, strict=True):
        if source.size != size:
            return Answer((), machine, source.name)
    batch.layout.prepare()
    outcomes = (extract(source, batch.layout, batch.settings, overlap=False) for source in batch.sources)
    return Answer(tuple(outcomes), machine)


@contextmanager
def connect(address: str) -> Iterator[Any]:
    """A ``distributed.Client`` with a worker at least.

    Raises:
        OutageError: no scheduler there, or no worker.
    """
    try:
        from distributed import Client
        from distributed.comm.core import CommClosedError
    except ModuleNotFoundError as error:
        raise UsageError(f"{error}; {EXTRA}") from None
    with ExitStack() as stack:
        try:
            client = stack.enter_context(Client(address, timeout=CONNECT_SECONDS, set_as_default=False))
        except ValueError as error:
            raise UsageError(f"{address!r} is no address of a Dask scheduler ({error}); correct it") from None
        except OSError as error:
            raise OutageError(
                f"no Dask scheduler at {address} ({type(error).__name__}: {error}); start one with `dask scheduler`, "
                "or correct the address"
            ) from None
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            how = f"start one: `dask worker {address} --nthreads 1`"
            raise OutageError(f"no worker at {address}; {how}") from None
        try:
            yield client
        except CommClosedError as error:
            what = f"the Dask scheduler at {address} does not answer"
            raise OutageError(f"{what} ({error}); start it again") from None


def answers(address: str, client: Any, batches: Sequence[Batch]) -> Iterator[tuple[int, Answer | Lost]]:
    """What came of each batch, with its number, as they come."""
    from distributed import as_completed

    numbers = {
        client.submit(read_one_by_one, batch, priority=-number, pure=False): number
        for number, batch in enumerate(batches)
    }
    completed = as_completed(numbers, loop=client.loop, raise_errors=False)
    watch = Watch(address, client)
    while not completed.is_empty():
        done = completed.next_batch(block=False)
        if not done:
            watch.check()
            time.sleep(LOOK_SECONDS)
        for future in done:
            yield numbers[future], _answer(future)
    watch.check(last=True)


def _answer(future: Any) -> Answer | Lost:
    """What came of it; an error of ours is raised."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    if future.cancelled() or future.status == "lost":
        return Lost("the connection to the scheduler was lost")
    try:
        answer: Answer = future.result()
    except KilledWorker as error:
        return Lost(f"Dask lost {error.allowed_failures + 1} workers over it")
    except (FutureCancelledError, CancelledError):
        return Lost("the scheduler dropped it")
    return answer


class Watch:
    """Which workers there are; a lost one is logged, since Dask gives its files to the others without a word."""

    def __init__(self, address: str, client: Any) -> None:
        self._address, self._client = address, client
        self._looked = self._seen = time.monotonic()
        self._workers = self._connected()

    def _connected(self) -> set[str]:
        return set(self._client.scheduler_info(n_workers=-1)["workers"])

    def check(self, *, last: bool = False) -> None:
        """Raise OutageError when there has been no worker for long; ``last``: look now, and only log who was lost."""
        now = time.monotonic()
        if now - self._looked < COUNT_SECONDS and not last:
            return
        self._looked = now
        workers = self._connected()
        for lost in sorted(self._workers - workers):
            LOG.warning("lost the Dask worker at %s; the others read its files", lost)
        self._workers = workers
        if workers or last:
            self._seen = now
        elif now - self._seen > ALONE_SECONDS:
            raise OutageError(
                f"no worker at {self._address} for {ALONE_SECONDS / 60:.0f} minutes; what was read is kept"
            )
        else:
            LOG.warning("no worker at %s; waiting for one", self._address)

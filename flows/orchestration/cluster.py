"""Files read on other machines: what travels to a worker and back, and who redoes what a lost worker had in hand.

Free of Dask and Prefect: ``flows.orchestration.dask_workers`` sends the batches. Output and cache are shared by all
machines; nothing but file names, sizes and settings travels. An extract is renamed into place under its content's
name, so reading a file twice does no harm: workers may be lost at any time, and a batch may run twice.
"""

import logging
import socket
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from flows.download.sources import Source
from flows.extract.extract_source import ACCOUNT, extract
from flows.extract.outcome import Outcome
from flows.extract.progress import add, make_counters, shown
from flows.extract.readers import reading_version
from flows.extract.workers import find_unchanged_many
from flows.settings.addresses import is_object_url
from flows.settings.fetching import Cluster, Fetching, HostLimits, ReadSettings
from flows.storage.layout import Layout
from flows.storage.object_sync import ensure_local
from transforms.errors import OutageError, UsageError

LOG = logging.getLogger(__name__)
ROUNDS = 3  # in which a file may lose its worker; then it is the file's fault
ALONE_SECONDS = 600.0  # with no worker at all, before we give up
SEEN_SECONDS = 90.0  # until what another machine wrote is seen here: network file systems look again once a minute
LOOK_SECONDS = 0.5
SHARED = "output (or TIC_RATES_CACHE) must lie on a file system that all machines share, or in object storage"


class ClusterError(UsageError, ConnectionError):
    """The other machines are not as they should be."""


class ClusterOutageError(OutageError, ConnectionError):
    """The other machines are not there, or they fail; later it may go better."""


@dataclass(frozen=True)
class Batch:
    """Files for one worker, and all it has to know. Sources may carry signatures and headers: never log one."""

    sources: tuple[Source, ...]
    sizes: tuple[int, ...]  # as seen here
    output: str
    cache: str
    settings: ReadSettings


@dataclass(frozen=True)
class Answer:
    """What a worker made of a batch; ``unseen``: a file that is not there as it is here."""

    outcomes: tuple[Outcome, ...]
    machine: str
    unseen: str | None = None


@dataclass(frozen=True)
class Lost:
    """A batch without an answer: its worker is gone. ``failed``: it is not, but something of its own went wrong."""

    reason: str
    failed: bool = False


Answers = Generator[tuple[int, Answer | Lost], None, None]  # with the numbers of their batches, in any order
Run = Callable[[Sequence[Batch]], Answers]
Tell = Callable[[list[Outcome]], object]


@dataclass(frozen=True)
class Engine:
    """How batches reach other machines."""

    cut: Callable[[Sequence[Source]], list[list[Source]]]
    run: Run


def read_elsewhere(
    sources: Sequence[Source],
    layout: Layout,
    settings: ReadSettings,
    *,
    cluster: Cluster,
    engine: Engine,
    tell: Tell | None = None,
) -> list[Outcome]:
    """Outcomes in the order of sources, which are sent largest first as they come.

    A batch whose worker is lost is sent again, file by file, but for what that worker had finished. A file that loses
    ``ROUNDS`` workers is quarantined.

    Args:
        engine: how batches are sent.
        tell: is given the outcomes of each batch as they come.

    Raises:
        ClusterOutageError: no workers, or workers that fail.
        ClusterError: workers that don't see the files that are here.
    """
    started = time.monotonic()
    settings = replace(settings, fetching=share(settings.fetching, cluster.machines))
    found: dict[Source, Outcome] = {}
    todo = engine.cut(sources)
    counters = make_counters()
    with shown(counters, len(sources), sum(source.size for source in sources)):

        def take(outcomes: list[Outcome]) -> None:
            found.update((outcome.source, outcome) for outcome in outcomes)
            for outcome in outcomes:
                add(counters, outcome.bytes or 0, outcome.account.bytes_json, outcome.account.items_matched)
            counters[3].value += len(outcomes)
            if tell is not None:
                tell(outcomes)

        losses: dict[Source, Lost] = {}
        for _ in range(ROUNDS):
            batches = [_batch(chosen, layout, settings) for chosen in todo]
            with closing(engine.run(batches)) as answers:
                for place, answer in answers:
                    if isinstance(answer, Lost):
                        LOG.warning("%d file(s) lost their worker: %s", len(todo[place]), answer.reason)
                        losses.update(dict.fromkeys(todo[place], answer))
                    else:
                        take(_arrived(answer, batches[place], todo[place], layout))
            todo = _left(sources, found, layout, settings, take)
            if not todo:
                break
        take([_given_up(source, losses[source]) for (source,) in todo])
    seconds, megabytes = time.monotonic() - started, sum(outcome.account.bytes_json for outcome in found.values()) / 1e6
    LOG.info("%d file(s) read elsewhere in %.1f s: %.0f MB/s", len(sources), seconds, megabytes / max(seconds, 1e-9))
    return [found[source] for source in sources]


def _left(
    sources: Sequence[Source],
    found: dict[Source, Outcome],
    layout: Layout,
    settings: ReadSettings,
    take: Callable[[list[Outcome]], None],
) -> list[list[Source]]:
    """What nobody has answered for, each by itself; what lost workers had finished is taken."""
    rest = [source for source in sources if source not in found]
    if rest and not settings.force:
        finished = find_unchanged_many(rest, layout, settings)
        take([replace(outcome, unchanged=False) for outcome in finished.values()])
    return [[source] for source in rest if source not in found]


def _given_up(source: Source, lost: Lost) -> Outcome:
    """Quarantined, where it is the file that costs workers.

    Raises:
        ClusterOutageError: the workers are there, and fail.
    """
    if lost.failed:
        what = f"workers failed {ROUNDS} times at {source.name}: {lost.reason}"
        raise ClusterOutageError(f"{what}; what was read is kept")
    what = f"{ROUNDS} workers that read it were lost, the last one: {lost.reason}"
    return Outcome(source, "quarantined", reason=f"{what}; give workers more memory, or run again")


def _batch(sources: Sequence[Source], layout: Layout, settings: ReadSettings) -> Batch:
    """Paths are made absolute: workers stand elsewhere."""
    sent = tuple(
        source if source.is_url else replace(source, location=str(Path(source.location).absolute()))
        for source in sources
    )
    sizes = tuple(source.size for source in sources)
    return Batch(sent, sizes, *places(layout), settings)


def places(layout: Layout) -> tuple[str, str]:
    """Output and cache as another machine finds them; the cache is blank where it goes with the output."""
    output, cache = (
        str(place) if is_object_url(place) or not place else str(Path(place).absolute())
        for place in (layout.location, layout.cache_location or "")
    )
    return output, cache


def layout_of(output: str, cache: str) -> Layout:
    """The inverse, in a worker: its own environment does not matter, and other runs may use the same process."""
    return Layout.at(output, cache)


def _arrived(answer: Answer, batch: Batch, sources: Sequence[Source], layout: Layout) -> list[Outcome]:
    """The outcomes as if they had been read here.

    Raises:
        ClusterError: the worker didn't see a file, or what it wrote is not here.
    """
    if answer.unseen is not None:
        where = f"{answer.unseen} is not the same file on {answer.machine}"
        raise ClusterError(f"{where}; sources must lie where all machines see them under the same path")
    return [
        replace(outcome, source=source, extract=_here(outcome, answer.machine, layout))
        for source, outcome in zip(sources, answer.outcomes, strict=True)
    ]


def _here(outcome: Outcome, machine: str, layout: Layout) -> Path | None:
    if outcome.extract is None:
        return None
    path = layout.extracts / outcome.extract.name
    if not path.name.endswith(reading_version()):
        raise ClusterError(f"{machine} runs another version of tic-rates; install this one there")
    if not wait_until_seen(layout, path / ACCOUNT):
        raise ClusterError(f"{path} was written on {machine} and is not here; {SHARED}")
    return path


def wait_until_seen(layout: Layout, path: Path) -> bool:
    """Whether what another machine wrote is here; a network file system may take a minute to look."""
    deadline = time.monotonic() + SEEN_SECONDS
    while not ensure_local(layout, path):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
        for folder in path.parents[:2]:
            list(folder.glob("*"))  # makes it look again
    return True


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
    """In a worker that has one core for us: one file after the other, in this thread."""
    machine = socket.gethostname()
    unseen = _unseen(batch)
    if unseen is not None:
        return Answer((), machine, unseen.name)
    layout = layout_of(batch.output, batch.cache)
    layout.prepare()
    return Answer(tuple(extract(source, layout, batch.settings, overlap=False) for source in batch.sources), machine)


def _unseen(batch: Batch) -> Source | None:
    """A file that has another size here, or none."""
    return next((each for each, size in zip(batch.sources, batch.sizes, strict=True) if each.size != size), None)

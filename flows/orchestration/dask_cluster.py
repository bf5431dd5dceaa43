"""Files read and payers' tables built on an existing Dask cluster: what travels to a worker and back.

Workers need nothing in common with this machine but the sources. A worker that sees this machine's cache writes there;
any other one works in a folder of its own, and what it made comes back and is renamed into place in the cache, under
the name of its content, so a job may run twice. Memory: a batch's extracts or a payer's inputs and tables, in a worker
and on their way, and here those of as many payers as the cluster has threads. One job at a time in each of a worker's
threads: start workers with ``--nthreads 1``.
"""

import logging
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flows.download.sources import Source
from flows.extract.extract_source import extract
from flows.extract.ledger import Entry, fingerprint, recall, remember
from flows.extract.outcome import Outcome, log_outcome
from flows.extract.progress import add, make_counters, shown
from flows.extract.readers import reading_version
from flows.extract.stored_tables import ACCOUNT
from flows.extract.workers import batch_sources, find_unchanged_many
from flows.orchestration.dask_client import (
    LOOK_SECONDS,
    Lost,
    Workplace,
    answers,
    connect,
    machines_of,
    own_layout,
    worker_folder,
)
from flows.settings.addresses import is_object_url
from flows.settings.values import Cluster, Fetching, HostLimits, ReadSettings
from flows.storage.atomic_files import put_files, read_files, unfinished_file
from flows.storage.layout import Layout
from flows.storage.object_sync import ensure_local
from flows.storage.resource_errors import explain_resource_errors
from flows.tables.month_inputs import MonthInputs
from flows.tables.payer_builds import FIGURES, PayerBuild, PayerInputs, cached_build
from flows.tables.payer_jobs import PayerJob, build_job, building_version, make_job
from transforms.errors import UsageError

LOG = logging.getLogger(__name__)
ROUNDS = 3  # in which a file or payer may lose its worker; then it is the file's fault, or the payer is built here
SEEN_SECONDS = 90.0  # until what another machine wrote is seen here: network file systems look again once a minute

OnOutcomes = Callable[[list[Outcome]], object]


@dataclass(frozen=True)
class Batch:
    """Files for one worker, and all it has to know. Sources may carry signatures and headers: never log one."""

    sources: tuple[Source, ...]
    sizes: tuple[int, ...]  # as seen here
    settings: ReadSettings
    machines: int = 1  # of the configuration


@dataclass(frozen=True)
class Answer:
    """What a worker made of a batch; ``unseen``: a file that is not there as it is here.

    returned: from a worker that does not see the cache, by the names of extracts, their files.
    entries: of the sources, as it read them.
    """

    outcomes: tuple[Outcome, ...]
    machine: str
    version: str
    unseen: str | None = None
    returned: dict[str, dict[str, bytes]] | None = field(default=None, repr=False)
    entries: tuple[Entry | None, ...] = ()


@dataclass(frozen=True)
class Built:
    """What a worker made of a payer's job. ``needs_files``: nothing, since it does not see the cache.

    returned: from a worker that does not see the cache, the files of the build.
    """

    machine: str
    version: str
    needs_files: bool = False
    returned: dict[str, bytes] | None = field(default=None, repr=False)


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
    found: dict[Source, Outcome] = {}
    lost: dict[Source, Lost] = {}
    counters = make_counters()

    def count(outcomes: list[Outcome]) -> None:
        found.update((outcome.source, outcome) for outcome in outcomes)
        for outcome in outcomes:
            log_outcome(outcome)
            add(counters, outcome.bytes or 0, outcome.account.bytes_json, outcome.account.items_matched, 1)
        on_outcomes(outcomes)

    address = str(cluster.dask)
    total = sum(source.size for source in sources)
    with shown(counters, len(sources), total), _workers(address, layout) as (client, threads, workplace):
        LOG.info("%d file(s) go to %s, %d at a time", len(sources), address, threads)
        waiting = batch_sources(sources, max(threads, 2))  # more workers may come
        before = {source: fingerprint(source) for source in sources}
        for _ in range(ROUNDS):
            jobs = ((chosen, workplace.of(_batch(chosen, settings, cluster))) for chosen in waiting)
            for chosen, answer in answers(address, client, read_one_by_one, partial(next, jobs, None), len(waiting)):
                if isinstance(answer, Lost):
                    LOG.warning("%d file(s) lost their worker: %s", len(chosen), answer.reason)
                    lost.update(dict.fromkeys(chosen, answer))
                    continue
                arrived = _arrived(answer, chosen, layout, before)
                if not found:
                    _log_cache("extracts", shared=answer.returned is None)
                count(arrived)
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


@contextmanager
def _workers(address: str, layout: Layout) -> Iterator[tuple[Any, int, Workplace[None]]]:
    """The client, the cluster's threads, and where results go."""
    with connect(address) as client, unfinished_file(layout.extracts) as marker:
        absolute = Layout.at(
            _absolute(layout.location), (layout.cache_location and _absolute(layout.cache_location)) or ""
        )
        yield client, sum(client.nthreads().values()), Workplace(None, absolute, marker.absolute(), machines_of(client))


def _batch(sources: Sequence[Source], settings: ReadSettings, cluster: Cluster) -> Batch:
    """Paths are made absolute: workers have another working directory."""
    sent = tuple(
        source if source.is_url else replace(source, location=_absolute(source.location)) for source in sources
    )
    return Batch(sent, tuple(source.size for source in sources), settings, cluster.machines)


def _absolute(place: Path | str) -> str:
    return str(place if is_object_url(place) else Path(place).absolute())


def _arrived(
    answer: Answer, sources: Sequence[Source], layout: Layout, before: Mapping[Source, str | None]
) -> list[Outcome]:
    """The outcomes as if the files had been read here. Args: before: fingerprints, when the sources were sent.

    Raises:
        UsageError: the worker didn't see a file, or what it wrote is not here.
    """
    _require_version(answer.machine, answer.version, reading_version())
    if answer.unseen is not None:
        where = f"{answer.unseen} is not the same file on {answer.machine}"
        raise UsageError(f"{where}; sources must lie where all machines see them under the same path")
    with explain_resource_errors("writing extracts into the cache", layout.extracts):
        for name, files in (answer.returned or {}).items():
            put_files(files, layout.extracts / name)
        for source, entry in zip(sources, answer.entries, strict=False):  # none of a worker that sees the cache
            if entry is not None and fingerprint(source) == before[source]:
                remember(source, layout, entry.sha256, entry.bytes, entry.validators)
    return [
        replace(outcome, source=source, extract=_here(outcome, answer.machine, layout))
        for source, outcome in zip(sources, answer.outcomes, strict=True)
    ]


def _require_version(machine: str, found: str, ours: str) -> None:
    if found != ours:
        raise UsageError(f"{machine} runs another version of tic-rates or its libraries; install this one there")


def _here(outcome: Outcome, machine: str, layout: Layout) -> Path | None:
    if outcome.extract is None:
        return None
    path = layout.extracts / outcome.extract.name
    _wait_until_seen(layout, path / ACCOUNT, machine)
    return path


def _wait_until_seen(layout: Layout, path: Path, machine: str) -> None:
    """Wait for what another machine wrote into the shared cache."""
    deadline = time.monotonic() + SEEN_SECONDS
    while not ensure_local(layout, path):
        if time.monotonic() > deadline:
            raise UsageError(f"{path} was written on {machine} and is not here; check the file system that they share")
        time.sleep(LOOK_SECONDS)
        for folder in (path.parent, path.parent.parent):
            list(folder.glob("*"))  # makes a network file system look again


def share(fetching: Fetching, machines: int) -> Fetching:
    """One machine's part of what hosts are asked for; a connection at least."""

    def part(limits: HostLimits) -> HostLimits:
        often = limits.requests_per_second
        return HostLimits(max(1, limits.connections // machines), often and often / machines)

    if machines == 1:
        return fetching
    hosts = tuple((host, part(limits)) for host, limits in fetching.hosts)
    return replace(fetching, limits=part(fetching.limits), hosts=hosts)


def read_one_by_one(place: Workplace[Batch]) -> Answer:
    """In a worker: the answer for a batch, one file after the other, in this thread."""
    machine, version, batch = socket.gethostname(), reading_version(), place.job
    for source, size in zip(batch.sources, batch.sizes, strict=True):
        if source.size != size:
            return Answer((), machine, version, source.name)
    # locks that count a host's connections are in the cache: without a common one each machine has its part
    machines = batch.machines if place.marker.exists() else max(batch.machines, place.machines)
    settings = replace(batch.settings, fetching=share(batch.settings.fetching, machines))
    shared = place.is_shared
    with nullcontext(place.layout) if shared else own_layout() as layout:
        layout.prepare()
        outcomes = tuple(extract(source, layout, settings, overlap=False) for source in batch.sources)
        if shared:
            return Answer(outcomes, machine, version)
        extracts = {outcome.extract for outcome in outcomes if outcome.extract is not None}
        returned = {folder.name: read_files(folder) for folder in extracts}
        entries = tuple(recall(source, layout) for source in batch.sources)
        return Answer(outcomes, machine, version, returned=returned, entries=entries)


def build_on_dask(inputs: MonthInputs, payers: Sequence[PayerInputs], *, cluster: Cluster) -> list[PayerBuild]:
    """Builds of these payers in this machine's cache, the payer with the most prices first.

    A payer that loses ``ROUNDS`` workers is not among them.

    Raises:
        OutageError: no scheduler, or no workers.
        UsageError: a worker of another version.
    """

    address, started = str(cluster.dask), time.monotonic()
    layout, sources = inputs.layout, inputs.sources
    prices = {own.payer: sum(sources[no].account.prices for no in set(own.documents["source_no"])) for own in payers}
    waiting = deque(sorted(payers, key=lambda own: (-prices[own.payer], own.payer)))
    builds, lost = [], Counter[str]()
    with _workers(address, layout) as (client, threads, workplace):
        with_files = not _sees_cache(address, client, workplace)
        _log_cache("payers' tables", shared=not with_files)

        def next_job() -> tuple[PayerInputs, Workplace[PayerJob]] | None:
            if not waiting:
                return None
            own = waiting.popleft()
            return own, workplace.of(make_job(inputs, own, with_files=with_files))

        for own, answer in answers(address, client, build_on_worker, next_job, threads + 1):
            if isinstance(answer, Lost):
                LOG.warning("%s lost its worker: %s", own.payer, answer.reason)
                lost[own.payer] += 1
                waiting.extend([own] if lost[own.payer] < ROUNDS else [])
                continue
            _require_version(answer.machine, answer.version, building_version())
            if answer.needs_files:
                with_files = True
                waiting.appendleft(own)
                continue
            builds.append(_built(answer, own, layout))
    LOG.info("%d payer(s) built elsewhere in %.1f s", len(builds), time.monotonic() - started)
    return builds


def _built(answer: Built, own: PayerInputs, layout: Layout) -> PayerBuild:
    """A payer's build, in the cache."""

    folder = layout.payer_builds / own.key
    if answer.returned is not None:
        with explain_resource_errors(f"writing the tables of {own.payer} into the cache", layout.payer_builds):
            put_files(answer.returned, folder)
    _wait_until_seen(layout, folder / FIGURES, answer.machine)
    built = cached_build(layout, own.payer, own.key)
    assert built is not None, f"no build of {own.payer} under {layout.payer_builds}"
    return built


def _sees_cache(address: str, client: Any, workplace: Workplace[None]) -> bool:
    """Whether a worker sees this machine's cache."""
    [(_, found)] = answers(address, client, is_shared, partial(next, iter([(None, workplace)]), None), 1)
    return found is True


def _log_cache(what: str, *, shared: bool) -> None:
    if shared:
        LOG.info("the workers share the cache: %s stay there", what)
    else:
        LOG.info("the workers do not see this machine's cache: %s come back through Dask", what)


def is_shared(place: Workplace[None]) -> bool:
    """In a worker: whether it sees the client's cache."""
    return place.is_shared


def build_on_worker(place: Workplace[PayerJob]) -> Built:
    """In a worker: the answer for a payer."""

    machine, version = socket.gethostname(), building_version()
    shared, job = place.is_shared, place.job
    if job.version != version:
        return Built(machine, version)
    if not shared and job.files is None:
        return Built(machine, version, needs_files=True)
    what = f"building the tables of {job.inputs.payer} on {machine}"
    place_of_results = nullcontext(place.layout) if shared else own_layout()
    with place_of_results as layout, TemporaryDirectory(prefix="tic-rates-", dir=worker_folder()) as scratch:
        with explain_resource_errors(what, layout.payer_builds):
            built = build_job(replace(job, files=None) if shared else job, layout, Path(scratch))
        return Built(machine, version, returned=None if shared else read_files(built.folder))

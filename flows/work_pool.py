"""Batches as flow runs of a Prefect work pool: any machine with a worker of that pool takes part.

A batch is a file in the shared cache, its run knows the file's name, and the answer is a file beside it. Runs that
crash, are cancelled, or are not heard of any more come back as lost.
"""

import asyncio
import logging
import os
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from flows.environment import CLIENT, WORKER

os.environ.update(CLIENT | os.environ)  # before Prefect is imported: it reads its settings once

import httpx
from prefect import flow, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, State, WorkerStatus
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Cancelling, Completed
from prefect.types.entrypoint import EntrypointType

from flows.batches import batch_sources
from flows.cluster import (
    ALONE_SECONDS,
    SHARED,
    Answer,
    Answers,
    Batch,
    ClusterError,
    Engine,
    Lost,
    layout_of,
    places,
    read_with_processes,
    wait_until_seen,
)
from flows.layout import Layout, write_atomically
from flows.mirror import forget, keep, renew
from flows.sources import Source, without_secrets

LOG = logging.getLogger(__name__)
DEPLOYMENT = "tic-rates-read/read"
TAG = "tic-rates"
CORES = 8  # of a worker's machine, as a guess: a run takes seconds to start, so its batch is larger
BATCHES_PER_WORKER = 2
RUNS_PER_WORKER = 2  # one at work, one waiting: a worker looks for new runs every ten seconds
ASK_SECONDS = 2.0
PENDING_SECONDS = 600.0  # between being taken by a worker and running
ASKED_AT_ONCE = 200  # the server's most
Kind = TypeVar("Kind")
Other = TypeVar("Other")


@flow(name="tic-rates-read", flow_run_name="read {batch}", validate_parameters=False)
def read_files(output: str, cache: str, batch: str) -> State[Any]:
    """Read one batch, for the run that handed it over.

    Args:
        output: the output folder, shared by all machines.
        cache: the cache folder, likewise; blank: it is in the output folder.
        batch: the batch's name in the cache.
    """
    layout = layout_of(output, cache)
    folder = layout.batches
    given = _read(layout, folder / f"{batch}.json", Batch)
    if given is None:
        return Completed(message="nobody waits for it any more")
    get_run_logger().info("%d file(s), %s bytes", len(given.sources), f"{sum(given.sizes):,}")
    answer = read_with_processes(given)
    _write(layout, folder / f"{batch}.answer.json", answer)
    return Completed(message=f"{len(answer.outcomes)} of {len(given.sources)} file(s) on {answer.machine}")


def pool_engine(pool: str, layout: Layout) -> Engine:
    """Batches by way of a work pool.

    Raises:
        ClusterError: no server to ask.
    """
    if not PREFECT_API_URL.value():
        raise ClusterError(
            f"work pool {pool!r} is on no server; set PREFECT_API_URL, such as http://host.example.com:4200/api"
        )
    return Engine(partial(_cut, pool), partial(_run, _Pool(pool), layout))


def _cut(pool: str, sources: Sequence[Source]) -> list[list[Source]]:
    workers = _Pool(pool).workers()
    LOG.info("%d file(s) go to work pool %s, %d worker(s)", len(sources), pool, workers)
    return batch_sources(sources, max(workers, 2), per_worker=BATCHES_PER_WORKER, cores=CORES)


@dataclass
class _Sent:
    """Where the batches of one round are."""

    layout: Layout
    waiting: list[int]
    names: dict[int, str] = field(default_factory=dict)
    running: dict[Any, int] = field(default_factory=dict)  # flow run's id, batch's number
    pending: dict[Any, float] = field(default_factory=dict)  # flow run's id, since when


def _run(pool: "_Pool", layout: Layout, batches: Sequence[Batch]) -> Answers:
    """As many runs at a time as keep the pool's workers busy, the first batches first."""
    pool.prepare()
    sent = _Sent(layout, list(range(len(batches)))[::-1])
    prefix = uuid.uuid4().hex[:12]
    try:
        while sent.waiting or sent.running:
            at_once = max(pool.workers(), 1) * RUNS_PER_WORKER
            while sent.waiting and len(sent.running) < at_once:
                number = sent.waiting[-1]
                sent.names[number] = name = f"{prefix}-{number + 1:05d}"
                _write(layout, layout.batches / f"{name}.json", batches[number])
                run = pool.submit(name, layout)
                if run is None:
                    break  # the same again in a moment: its name makes it the same run
                sent.running[run] = sent.waiting.pop()
            time.sleep(ASK_SECONDS)
            yield from _ended(pool, sent)
    finally:
        pool.cancel(list(sent.running))
        for name in sent.names.values():
            for path in (layout.batches / f"{name}.json", layout.batches / f"{name}.answer.json"):
                forget(layout, path)


_HOW = "start one on each machine: `prefect worker start --pool NAME --limit 1`"


def _ended(pool: "_Pool", sent: _Sent) -> Answers:
    for run in pool.states(list(sent.running)):
        state = run.state
        if state is None:
            continue
        since = sent.pending.setdefault(run.id, time.monotonic()) if state.is_pending() else None
        if since is None:
            sent.pending.pop(run.id, None)
        elif time.monotonic() - since > PENDING_SECONDS:
            pool.cancel([run.id])
            yield sent.running.pop(run.id), Lost(f"its run did not begin within {PENDING_SECONDS / 60:.0f} minutes")
            continue
        if state.is_final():
            number = sent.running.pop(run.id)
            yield number, _answer(state, sent.layout, f"{sent.names[number]}.answer.json")


def _answer(state: State[Any], layout: Layout, name: str) -> Answer | Lost:
    path = layout.batches / name
    if not state.is_completed():
        return Lost(without_secrets(f"{state.name}: {state.message or 'no reason given'}"), failed=state.is_failed())
    if not wait_until_seen(layout, path):
        raise ClusterError(f"{state.message}, and its answer is not here, in {path.parent}; {SHARED}")
    answer = _read(layout, path, Answer)
    assert answer is not None
    return answer


def _write(layout: Layout, path: Path, value: object) -> None:
    """For us alone: addresses may be signed."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, msgspec.json.encode(value, enc_hook=str))
    keep(layout, path)


def _read(layout: Layout, path: Path, kind: type[Kind]) -> Kind | None:
    if not renew(layout, path):
        return None
    return msgspec.json.decode(path.read_bytes(), type=kind, dec_hook=lambda wanted, text: wanted(text))


class _Pool:
    """What we ask Prefect's server for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._workers = 0
        self._heard = time.monotonic()

    def prepare(self) -> None:
        """Pool, deployment, and the watch for runs that fall silent; a deployment that is there stays as it is."""
        asyncio.run(_prepare(self.name))

    def workers(self) -> int:
        """Those that are heard of; as before, while the server does not answer.

        Raises:
            ClusterError: nobody has been heard of for long.
        """

        def count() -> int:
            with get_client(sync_client=True) as client:
                try:
                    found = client.read_workers_for_work_pool(self.name)
                except ObjectNotFound:
                    return 0
                return sum(worker.status == WorkerStatus.ONLINE for worker in found)

        counted = _asked(count, None)
        self._workers = self._workers if counted is None else counted
        if counted:
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard > ALONE_SECONDS:
            raise ClusterError(f"no worker in work pool {self.name!r} for {ALONE_SECONDS / 60:.0f} minutes; {_HOW}")
        return self._workers

    def submit(self, batch: str, layout: Layout) -> Any:
        """The id of a new flow run; None while the server does not answer."""

        output, cache = places(layout)

        def start() -> Any:
            run: Any = run_deployment(
                DEPLOYMENT,
                parameters={"output": output, "cache": cache, "batch": batch},
                timeout=0,
                flow_run_name=f"read {batch}",
                idempotency_key=batch,
                tags=[TAG],
            )
            return run.id

        return _asked(start, None)

    def states(self, runs: Sequence[Any]) -> list[FlowRun]:
        """The runs as they are; none while the server does not answer."""

        def ask() -> list[FlowRun]:
            found: list[FlowRun] = []
            with get_client(sync_client=True) as client:
                for start in range(0, len(runs), ASKED_AT_ONCE):
                    chosen = FlowRunFilter(id=FlowRunFilterId(any_=list(runs[start : start + ASKED_AT_ONCE])))
                    found += client.read_flow_runs(flow_run_filter=chosen)
            return found

        return _asked(ask, [])

    def cancel(self, runs: Sequence[Any]) -> None:
        """Nobody waits for them any more."""

        def end() -> None:
            with get_client(sync_client=True) as client:
                for run in runs:
                    state = client.read_flow_run(run).state
                    running = state is not None and (state.is_running() or state.is_pending())
                    client.set_flow_run_state(run, Cancelling() if running else Cancelled())

        if runs:
            _asked(end, None)


def _asked(ask: Callable[[], Kind], otherwise: Other) -> Kind | Other:
    """An answer; a server that is restarted meanwhile is no reason to stop."""
    try:
        return ask()
    except (httpx.TransportError, httpx.HTTPStatusError) as error:
        LOG.warning("the Prefect server does not answer: %s", type(error).__name__)
        return otherwise


async def _prepare(pool: str) -> None:
    from flows.registration import make_pool, watch_heartbeats

    await make_pool(pool)
    await watch_heartbeats()
    async with get_client() as client:
        try:
            if (await client.read_deployment_by_name(DEPLOYMENT)).work_pool_name == pool:
                return
        except ObjectNotFound:
            pass
    deployment = await read_files.ato_deployment(
        name="read",
        work_pool_name=pool,
        job_variables={"env": WORKER},
        tags=[TAG],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    await deployment.aapply()

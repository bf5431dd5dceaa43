"""Batches for the workers of a Prefect work pool: any machine with a worker of that pool takes part.

Batches are offered in the shared cache (``flows.rounds``). Each worker gets a flow run, which takes one batch after
another: starting a run takes seconds. What a run had taken that crashed, was cancelled or fell silent, is lost.
"""

import asyncio
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from flows.environment import CLIENT, WORKER

os.environ.update(CLIENT | os.environ)  # before Prefect is imported: it reads its settings once

import httpx
from prefect import flow, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State, WorkerStatus
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
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
    read_in_turn,
)
from flows.layout import Layout
from flows.rounds import Round
from flows.sources import Source, without_secrets

LOG = logging.getLogger(__name__)
DEPLOYMENT = "tic-rates-read/read"
TAG = "tic-rates"
CORES = 8  # of a worker's machine, as a guess: each of them takes batches
LOOK_SECONDS = 1.0  # between two looks for answers
ASK_SECONDS = 5.0  # between two questions to the server, which cost it and us a tenth of a second
IN_VAIN = 3  # runs, one after the other
PENDING_SECONDS = 600.0  # between being taken by a worker and running
ASKED_AT_ONCE = 200  # the server's most
Kind = TypeVar("Kind")
Other = TypeVar("Other")


@flow(name="tic-rates-read", validate_parameters=False)
def read_files(output: str, cache: str, batches: str) -> State[Any]:
    """Read one batch after another, for the run that offers them, until there is none.

    Args:
        output: the output folder, shared by all machines.
        cache: the cache folder, likewise; blank: it is in the output folder.
        batches: the name of the round that they belong to, in the cache.
    """
    offered = Round(layout_of(output, cache), batches)
    take = partial(offered.take, str(flow_run.id))
    first = take()
    if first is None:
        return Completed(message=f"nothing is left to read in {offered.folder}")
    log = get_run_logger()
    done: list[int] = []

    def give(number: int, answer: Answer) -> None:
        offered.answer(number, answer)
        done.append(len(answer.outcomes))
        log.info("batch %d: %d file(s)", number + 1, done[-1])

    read_in_turn(first, take, give)
    return Completed(message=f"{sum(done)} file(s) in {len(done)} batch(es) on {socket.gethostname()}")


def pool_engine(pool: str, layout: Layout) -> Engine:
    """Batches by way of a work pool.

    Raises:
        ClusterError: no server to ask.
    """
    if not PREFECT_API_URL.value():
        raise ClusterError(
            f"work pool {pool!r} is on no server; set PREFECT_API_URL, such as http://host.example.com:4200/api"
        )
    return Engine(partial(_cut, pool), partial(run_round, Pool(pool), layout))


def _cut(pool: str, sources: Sequence[Source]) -> list[list[Source]]:
    workers = Pool(pool).workers()
    LOG.info("%d file(s) go to work pool %s, %d worker(s)", len(sources), pool, workers)
    return batch_sources(sources, max(workers, 2) * CORES)


def run_round(pool: "Pool", layout: Layout, batches: Sequence[Batch]) -> Answers:
    """Offer the batches, and keep a run at every worker of the pool as long as there are any."""
    pool.prepare()
    offered = Round(layout, uuid.uuid4().hex[:12])
    going_on = _GoingOn(pool, offered, set(range(len(batches))))
    try:
        offered.offer(batches)
        asked = float("-inf")
        while going_on.waiting:
            if time.monotonic() - asked >= ASK_SECONDS:
                yield from going_on.ends()
                going_on.start_runs()
                asked = time.monotonic()
            time.sleep(LOOK_SECONDS)
            yield from going_on.answers()
        going_on.runs -= going_on.begun  # they find nothing more, and end
    finally:
        pool.cancel(list(going_on.runs))
        offered.close()


@dataclass
class _GoingOn:
    """A round as it goes on.

    waiting: the batches without an answer. runs: not ended. begun: those that have been at work. pending: since when
    they have been with a worker that did not begin.
    """

    pool: "Pool"
    offered: Round
    waiting: set[int]
    runs: set[Any] = field(default_factory=set)
    begun: set[Any] = field(default_factory=set)
    pending: dict[Any, float] = field(default_factory=dict)
    started: int = 0
    in_vain: int = 0  # runs since the last answer that ended without having taken a batch, though there was one

    @property
    def free(self) -> set[int]:
        """The batches that nobody took."""
        return self.waiting - self.offered.taken()

    def start_runs(self) -> None:
        """One for each worker, but no more than there is to take."""
        if self.runs and self.in_vain >= IN_VAIN:
            return  # somewhere runs only fail; who is at work goes on
        without_run = max(self.pool.workers(), 1) - len(self.runs)
        if without_run <= 0:
            return
        to_come = len(self.runs - self.begun)
        for _ in range(min(without_run, len(self.free) - to_come)):
            run = self.pool.submit(self.offered.name, self.started, self.offered.layout)
            if run is None:
                break  # the same again in a moment: its number makes it the same run
            self.runs.add(run)
            self.started += 1

    def answers(self) -> Answers:
        """What has come since."""
        for number in sorted(self.waiting & self.offered.answered()):
            answer = self.offered.answer_to(number)
            if answer is not None:
                self.in_vain = 0
                yield self.settled(number, answer)

    def ends(self) -> Answers:
        """What the runs that have ended leave behind."""
        for run, state in self.pool.states(list(self.runs)).items():
            if state is None or state.is_final():
                self.runs.remove(run)
                yield from self.answers()
                yield from self.left_by(run, state or Cancelled(message="somebody deleted the run"))
            elif state.is_running():
                self.begun.add(run)
            elif not state.is_pending():
                self.pending.pop(run, None)
            elif time.monotonic() - self.pending.setdefault(run, time.monotonic()) > PENDING_SECONDS:
                self.runs.remove(run)
                self.pool.cancel([run])
                yield from self.ended_in_vain(Lost(f"no run began within {PENDING_SECONDS / 60:.0f} minutes"))

    def left_by(self, run: Any, state: State[Any]) -> Answers:
        """The batches that a run took, and gave no answer to."""
        why = "its run ended without an answer" if state.is_completed() else f"{state.name}: {state.message}"
        lost = Lost(without_secrets(why), failed=state.is_failed())
        left = self.offered.taken_by(str(run)) & self.waiting
        for number in sorted(left):
            yield self.settled(number, (self.offered.answer_to(number) if state.is_completed() else None) or lost)
        if not left and self.free:
            yield from self.ended_in_vain(lost, seen_nothing=state.is_completed())

    def ended_in_vain(self, lost: Lost, *, seen_nothing: bool = False) -> Answers:
        """A run took nothing; when that goes on, and nobody is at work, nobody will."""
        self.in_vain += 1
        if self.in_vain < IN_VAIN or self.runs & self.begun:
            return
        if seen_nothing:
            raise ClusterError(f"the workers don't see what is offered in {self.offered.folder}; {SHARED}")
        for number in sorted(self.free):
            yield self.settled(number, lost)

    def settled(self, number: int, came_to: Answer | Lost) -> tuple[int, Answer | Lost]:
        """Nobody reads this batch any more in this round."""
        self.waiting.remove(number)
        self.offered.done_with(number)
        return number, came_to


_HOW = "start one on each machine: `prefect worker start --pool NAME --limit 1`"


class Pool:
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

    def submit(self, batches: str, number: int, layout: Layout) -> Any:
        """The id of a new flow run, the same for the same number; None while the server does not answer."""

        output, cache = places(layout)

        def start() -> Any:
            run: Any = run_deployment(
                DEPLOYMENT,
                parameters={"output": output, "cache": cache, "batches": batches},
                timeout=0,
                flow_run_name=f"read {batches}-{number + 1}",
                idempotency_key=f"{batches}-{number}",
                tags=[TAG],
            )
            return run.id

        return _asked(start, None)

    def states(self, runs: Sequence[Any]) -> dict[Any, State[Any] | None]:
        """The runs' states, None of those that are gone; of no run while the server does not answer."""

        def ask() -> dict[Any, State[Any] | None]:
            found = dict.fromkeys(runs)
            with get_client(sync_client=True) as client:
                for start in range(0, len(runs), ASKED_AT_ONCE):
                    chosen = FlowRunFilter(id=FlowRunFilterId(any_=list(runs[start : start + ASKED_AT_ONCE])))
                    found |= {run.id: run.state for run in client.read_flow_runs(flow_run_filter=chosen)}
            return found

        return _asked(ask, {}) if runs else {}

    def cancel(self, runs: Sequence[Any]) -> None:
        """Nobody waits for them any more."""

        def end() -> None:
            with get_client(sync_client=True) as client:
                for run, state in self.states(runs).items():
                    if state is not None and not state.is_final():
                        at_work = state.is_running() or state.is_pending()
                        client.set_flow_run_state(run, Cancelling() if at_work else Cancelled())

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
    job_variables: dict[str, Any] = {"env": WORKER}
    async with get_client() as client:
        try:
            there = await client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            pass
        else:
            if there.work_pool_name == pool and "batches" in (there.parameter_openapi_schema or {}).get(
                "properties", {}
            ):
                return
            job_variables = dict(there.job_variables) or job_variables
    deployment = await read_files.ato_deployment(
        name="read",
        work_pool_name=pool,
        job_variables=job_variables,
        tags=[TAG],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    await deployment.aapply()

"""The run as a Prefect flow: the same steps as tasks, on the embedded server unless PREFECT_API_URL says otherwise.

Imported only when asked for: Prefect takes seconds to start. Flow parameters and run names carry no signed URL.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from flows.settings.environment import CLIENT

os.environ.update(CLIENT | os.environ)  # before Prefect is imported: it reads its settings once

import httpx
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectConcurrentFuture, PrefectFuture
from prefect.settings import PREFECT_API_URL
from prefect.task_runners import ThreadPoolTaskRunner

from flows.download.sources import Source
from flows.extract.batches import batch_sources
from flows.extract.extract_source import Outcome
from flows.extract.workers import ExtractOne, Reading
from flows.orchestration import dask_workers
from flows.orchestration.cluster import Answer, Batch, ClusterError, Engine, read_elsewhere, read_one_by_one
from flows.orchestration.dask_workers import CONNECT_SECONDS, EXTRA
from flows.orchestration.run import RunRequest, RunResult, Steps, run
from flows.settings.fetching import Cluster
from flows.storage.layout import Layout, month_name
from flows.storage.threads import LOOK_UP_SECONDS
from transforms.errors import OutageError

HERE = Cluster()
OnProgress = Callable[[int, int], None]  # files done, files in all


def run_flow(request: RunRequest, cluster: Cluster = HERE) -> RunResult:
    """``flows.orchestration.run.run`` as a Prefect flow run."""

    @flow(
        name="tic-rates-month",
        flow_run_name="{month}",
        task_runner=ThreadPoolTaskRunner(),  # type: ignore[arg-type]
        validate_parameters=False,
    )
    def month_flow(month: str, sources: list[str], codes: list[str]) -> RunResult:
        return run(request, make_steps(cluster))

    with _naming_the_server():
        return month_flow(month_name(request.month), [source.name for source in request.sources], list(request.codes))


@contextmanager
def _naming_the_server() -> Iterator[None]:
    """Prefect's errors of a server that does not answer, as ``OutageError``; none of ours is of these kinds."""
    try:
        yield
    except (httpx.TransportError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "Failed to reach API" not in str(error):
            raise
        raise OutageError(
            f"the Prefect server at {PREFECT_API_URL.value()} does not answer ({type(error).__name__}); start it, or "
            "correct PREFECT_API_URL"
        ) from None


def make_steps(cluster: Cluster = HERE) -> Steps:
    """The steps as tasks of the flow run that is going on.

    The flow's task runner must not limit its threads: ``_spread`` does.
    """
    return Steps(_spread, _step, partial(_read_elsewhere, cluster) if cluster.dask else None)


_listener: ContextVar[OnProgress | None] = ContextVar("_listener", default=None)


@contextmanager
def telling(on_progress: OnProgress) -> Iterator[None]:
    """Who is told, batch by batch, how many files are done."""
    token = _listener.set(on_progress)
    try:
        yield
    finally:
        _listener.reset(token)


@task(name="extract", task_run_name="{name}", persist_result=False, cache_policy=NO_CACHE)
def _extract(name: str, sources: list[Source], extract_one: ExtractOne) -> list[Outcome]:
    return [extract_one(source) for source in sources]


def _spread(sources: Sequence[Source], extract_one: ExtractOne, workers: int) -> list[Outcome]:
    """A task per batch; outcomes in the order of sources."""
    batches = batch_sources(sources, workers)
    named = [(_batch_name(number, batch), batch) for number, batch in enumerate(batches, start=1)]
    tell = _counting(len(sources))
    if workers > 1:
        outcomes = _submit(named, extract_one, workers, tell)
    else:
        # in this thread: signals stop it
        outcomes = [tell(_extract(name, batch, extract_one)) for name, batch in named]
    return [outcome for batch_outcomes in outcomes for outcome in batch_outcomes]


def _submit(
    named: Sequence[tuple[str, list[Source]]],
    extract_one: ExtractOne,
    workers: int,
    tell: Callable[[list[Outcome]], list[Outcome]],
) -> list[list[Outcome]]:
    """As many tasks at a time as there are workers, so that a task shown as running is.

    Waits in short pieces: a signal that the system hands to another thread does not end a wait.
    """
    done: list[list[Outcome]] = [[] for _ in named]
    waiting = list(enumerate(named))[::-1]
    running: dict[int, PrefectConcurrentFuture[list[Outcome]]] = {}
    while waiting or running:
        while waiting and len(running) < workers:
            number, (name, batch) = waiting.pop()
            running[number] = _submitted(_extract.submit(name, batch, extract_one))
        wait([future.wrapped_future for future in running.values()], LOOK_UP_SECONDS, FIRST_COMPLETED)
        for number in [number for number, future in running.items() if future.wrapped_future.done()]:
            done[number] = tell(running.pop(number).result())
    return done


def _submitted(future: PrefectFuture[list[Outcome]]) -> PrefectConcurrentFuture[list[Outcome]]:
    assert isinstance(future, PrefectConcurrentFuture), "our flows run their tasks in threads"
    return future


@task(name="extract", task_run_name="{name}", persist_result=False, cache_policy=NO_CACHE)
def _extract_there(name: str, batch: Batch) -> Answer:
    return read_one_by_one(batch)


def _read_elsewhere(cluster: Cluster, sources: Sequence[Source], layout: Layout, reading: Reading) -> list[Outcome]:
    """As ``flows.orchestration.dask_workers.elsewhere``, with what is sent in the page of the run."""
    send = _engine(cluster)
    return read_elsewhere(sources, layout, reading, cluster=cluster, engine=send, tell=_counting(len(sources)))


def _engine(cluster: Cluster) -> Engine:
    """Tasks on Dask's workers, where they can tell a server how they fare: the embedded one is ours alone."""
    address = str(cluster.dask)
    if PREFECT_API_URL.value():
        return dask_workers.engine(address, _task_runner, _submit_there)
    return dask_workers.plain_engine(address)


@contextmanager
def _task_runner(address: str) -> Iterator[Any]:
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ModuleNotFoundError as error:
        raise ClusterError(f"{error}; {EXTRA}") from None
    with DaskTaskRunner(address=address, client_kwargs={"timeout": CONNECT_SECONDS}) as runner:
        yield runner.client


def _submit_there(client: Any, priority: int, batch: Batch) -> Any:
    """As prefect-dask's own ``submit``, with a priority: the largest files first."""
    name = _batch_name(1 - priority, batch.sources)
    arguments = {"name": name, "batch": batch}
    return client.submit(_extract_there, parameters=arguments, return_type="state", priority=priority, pure=False)


def _batch_name(number: int, batch: Sequence[Source]) -> str:
    return batch[0].name if len(batch) == 1 else f"batch {number}: {len(batch)} files"


def _counting(total: int) -> Callable[[list[Outcome]], list[Outcome]]:
    """Passes a batch's outcomes on, having told the listener how far we are."""
    listener, done = _listener.get(), 0

    def tell(outcomes: list[Outcome]) -> list[Outcome]:
        nonlocal done
        done += len(outcomes)
        if listener is not None:
            listener(done, total)
        return outcomes

    return tell


def _step(name: str, step: Callable[[], object]) -> None:
    task(name=name, persist_result=False, cache_policy=NO_CACHE)(step)()

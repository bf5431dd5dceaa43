"""Batches on an existing Dask cluster: as tasks of the flow run that is going on, through prefect-dask, or plainly.

Dask decides who works on what, hands what a dead worker had to the others, and gives up on a batch that has cost it
several workers. One file at a time in each of a worker's threads: start workers with ``--nthreads 1``.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from flows.download.sources import Source
from flows.extract.batches import batch_sources
from flows.extract.workers import ReadElsewhere
from flows.orchestration.cluster import (
    ALONE_SECONDS,
    Answer,
    Answers,
    Batch,
    ClusterError,
    ClusterOutageError,
    Engine,
    Lost,
    read_elsewhere,
    read_one_by_one,
)
from flows.settings.fetching import Cluster

LOG = logging.getLogger(__name__)
CONNECT_SECONDS = 60.0  # to the scheduler, and for its first worker
LOOK_SECONDS = 0.1
COUNT_SECONDS = 30.0  # between two looks whether there are workers
EXTRA = "install it with `pip install 'tic-rates[dask]'` here and on the workers"

Connect = Callable[[str], Any]  # a context that gives a distributed.Client
Submit = Callable[[Any, int, Batch], Any]  # client, priority, batch: a distributed.Future


def elsewhere(cluster: Cluster) -> ReadElsewhere | None:
    """How a plain command reads on the cluster; None: here. Prefect's flows have tasks instead (``make_steps``)."""
    if not cluster.dask:
        return None
    return partial(read_elsewhere, cluster=cluster, engine=plain_engine(cluster.dask))


def plain_engine(address: str) -> Engine:
    """Batches as plain calls: who doesn't ask for Prefect doesn't wait for it."""
    return engine(address, _connect, _submit)


def engine(address: str, connect: Connect, submit: Submit) -> Engine:
    """Batches sent by ``submit`` over ``connect``."""
    return Engine(partial(_cut, address, connect), partial(_run, address, connect, submit))


def _submit(client: Any, priority: int, batch: Batch) -> Any:
    return client.submit(read_one_by_one, batch, priority=priority, pure=False)


@contextmanager
def _connect(address: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ClusterError(f"{error}; {EXTRA}") from None
    with Client(address, timeout=CONNECT_SECONDS, set_as_default=False) as client:
        yield client


@contextmanager
def _connected(address: str, connect: Connect) -> Iterator[Any]:
    """A client with a worker at least."""
    with ExitStack() as stack:
        try:
            client = stack.enter_context(connect(address))
        except ValueError as error:
            raise ClusterError(f"{address!r} is no address of a Dask scheduler ({error}); correct it") from None
        except OSError as error:
            raise ClusterOutageError(
                f"no Dask scheduler at {address} ({type(error).__name__}: {error}); start one with `dask scheduler`, "
                "or correct the address"
            ) from None
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            how = f"start one: `dask worker {address} --nthreads 1`"
            raise ClusterOutageError(f"no worker at {address}; {how}") from None
        from distributed.comm.core import CommClosedError

        try:
            yield client
        except CommClosedError as error:
            what = f"the Dask scheduler at {address} does not answer"
            raise ClusterOutageError(f"{what} ({error}); start it again") from None


def _cut(address: str, connect: Connect, sources: Sequence[Source]) -> list[list[Source]]:
    """For the threads there are now; for two at least, since more may come."""
    with _connected(address, connect) as client:
        threads = sum(client.nthreads().values())
    LOG.info("%d file(s) go to %s, %d at a time", len(sources), address, threads)
    return batch_sources(sources, max(threads, 2))


def _run(address: str, connect: Connect, submit: Submit, batches: Sequence[Batch]) -> Answers:
    with _connected(address, connect) as client:
        from distributed import as_completed

        numbers = {submit(client, -number, batch): number for number, batch in enumerate(batches)}
        completed = as_completed(numbers, loop=client.loop, raise_errors=False)
        watch = _Watch(address, client)
        while not completed.is_empty():
            done = completed.next_batch(block=False)
            if not done:
                watch.check()
                time.sleep(LOOK_SECONDS)
            for future in done:
                yield numbers[future], _answer(future)
        watch.check(last=True)


def _answer(future: Any) -> Answer | Lost:
    """What came of it; an error of ours goes through."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    if future.cancelled() or future.status == "lost":
        return Lost("the connection to the scheduler was lost")
    try:
        answer: Any = future.result()
        return _result_of(answer)
    except KilledWorker as error:
        return Lost(f"Dask lost {error.allowed_failures + 1} workers over it")
    except (FutureCancelledError, CancelledError):
        return Lost("the scheduler dropped it")


def _result_of(answer: Any) -> Answer:
    """The answer itself, or that of a Prefect task run's final state."""
    if isinstance(answer, Answer):
        return answer
    result: Answer = answer.result(_sync=True)
    return result


class _Watch:
    """Which workers there are; a lost one is logged, since Dask gives its files to the others without a word."""

    def __init__(self, address: str, client: Any) -> None:
        self._address, self._client = address, client
        self._looked = self._seen = time.monotonic()
        self._workers = self._connected()

    def _connected(self) -> set[str]:
        return set(self._client.scheduler_info(n_workers=-1)["workers"])

    def check(self, *, last: bool = False) -> None:
        """Raise when there has been no worker for long; ``last``: look now, and only log who was lost."""
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
            raise ClusterOutageError(
                f"no worker at {self._address} for {ALONE_SECONDS / 60:.0f} minutes; what was read is kept"
            )
        else:
            LOG.warning("no worker at %s; waiting for one", self._address)

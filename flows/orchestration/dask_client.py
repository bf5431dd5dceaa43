"""Work sent to an existing Dask cluster: what came of each piece, and what happens when a worker is lost.

Dask decides which worker does what, and gives what a lost worker had to the others.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from flows.storage.layout import Layout
from transforms.errors import OutageError, UsageError

LOG = logging.getLogger(__name__)
CONNECT_SECONDS = 60.0  # to the scheduler, and for its first worker
ALONE_SECONDS = 600.0  # without any worker, before the run ends
LOOK_SECONDS = 0.1
COUNT_SECONDS = 30.0  # between two looks whether there are workers
EXTRA = "install it with `pip install 'tic-rates[dask]'` here and on the workers"
LARGE_JOB = {"distributed.admin.large-graph-warning-threshold": "1 TB"}  # one payer's inputs are no mistake

Name = TypeVar("Name")
Job = TypeVar("Job")
Other = TypeVar("Other")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Lost:
    """A job without an answer: its worker is lost."""

    reason: str


@dataclass(frozen=True)
class Workplace(Generic[Job]):
    """A job with the place of its results.

    marker: a file in the client's cache, of a name that no other has: who sees it sees that cache.
    machines: of the cluster, as the client sees them.
    """

    job: Job
    layout: Layout
    marker: Path
    machines: int = 1

    @property
    def is_shared(self) -> bool:
        """Whether this machine sees the client's cache."""
        return self.layout.stored(self.layout.extracts) is not None or self.marker.exists()

    def of(self, job: Other) -> "Workplace[Other]":
        """Another job in the same place."""
        return Workplace(job, self.layout, self.marker, self.machines)


def worker_folder() -> Path:
    """In a worker: Dask's folder of this worker, which Dask removes after a kill, too."""
    from distributed import get_worker

    return Path(get_worker().local_directory)


@contextmanager
def own_layout() -> Iterator[Layout]:
    """A layout in a folder that is removed at the end; workers in the same local directory share locks of hosts."""
    folder = worker_folder()
    with TemporaryDirectory(prefix="tic-rates-", dir=folder) as name:
        layout = Layout(Path(name))
        layout.prepare()
        hosts = folder.parent / "tic-rates-hosts"
        hosts.mkdir(exist_ok=True)
        layout.hosts.symlink_to(hosts, target_is_directory=True)
        yield layout


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
            raise UsageError(f"{address!r} is not the address of a Dask scheduler ({error}); correct it") from None
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


def workers_of(client: Any) -> set[str]:
    """Addresses of the connected workers.

    Not by ``scheduler_info``: the client renews that in the background, and then it has no workers for a moment.
    """
    return set(client.nthreads())


def machines_of(client: Any) -> int:
    """How many machines have workers."""
    return max(1, len({urlsplit(address).hostname for address in workers_of(client)}))


def answers(
    address: str,
    client: Any,
    work: Callable[[Job], Answer],
    next_job: Callable[[], tuple[Name, Job] | None],
    at_once: int,
) -> Iterator[tuple[Name, Answer | Lost]]:
    """What came of each job, as they come.

    Args:
        next_job: the next one and its name; None: there is none now.
        at_once: jobs that are sent and not answered, at most.
    """
    from dask import config
    from distributed import as_completed

    sent: dict[Any, Name] = {}
    completed = as_completed(loop=client.loop, raise_errors=False)
    watch, number = Watch(address, client), 0
    while True:
        while len(sent) < at_once and (job := next_job()) is not None:
            with config.set(LARGE_JOB):
                future = client.submit(work, job[1], priority=-number, pure=False)
            sent[future], number = job[0], number + 1
            completed.add(future)
        if not sent:
            break
        done = completed.next_batch(block=False)
        if not done:
            watch.check()
            time.sleep(LOOK_SECONDS)
        for future in done:
            yield sent.pop(future), _answer(future)
    watch.check(last=True)


def _answer(future: Any) -> Any:
    """What came of it; an error of ours is raised."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    if future.cancelled() or future.status == "lost":
        return Lost("the connection to the scheduler was lost")
    try:
        return future.result()
    except KilledWorker as error:
        return Lost(f"Dask lost {error.allowed_failures + 1} workers over it")
    except (FutureCancelledError, CancelledError):
        return Lost("the scheduler dropped it")
    except MemoryError:
        return Lost("its memory did not suffice")


class Watch:
    """Whether there are workers. A lost one is logged, since Dask gives its work to the others without a word.

    The scheduler sends an event for each worker that leaves, in order with what comes of the jobs. So a worker that
    joined after the last look and is lost before the next one is named, too.
    """

    def __init__(self, address: str, client: Any) -> None:
        self._address, self._client = address, client
        self._looked = self._seen = time.monotonic()
        self._lost: deque[str] = deque()
        client.subscribe_topic("all", self._on_event)

    def _on_event(self, event: tuple[float, Any]) -> None:
        """In the client's own thread, which has no Prefect run to log for: so this only notes the lost worker."""
        _, message = event
        if isinstance(message, dict) and message.get("action") == "remove-worker":
            self._lost.append(message["worker"])

    def check(self, *, last: bool = False) -> None:
        """Log the lost workers; raise OutageError when there has been no worker for long, but not at the last look."""
        while self._lost:
            LOG.warning("lost the Dask worker at %s; the others do its work", self._lost.popleft())
        now = time.monotonic()
        if last or now - self._looked < COUNT_SECONDS:
            return
        self._looked = now
        if workers_of(self._client):
            self._seen = now
        elif now - self._seen > ALONE_SECONDS:
            raise OutageError(
                f"no worker at {self._address} for {ALONE_SECONDS / 60:.0f} minutes; what was read is kept"
            )
        else:
            LOG.warning("no worker at %s; waiting for one", self._address)

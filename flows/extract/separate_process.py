"""Large work in a process of its own: where memory runs out, that process is ended, and this one is left to say so.

A library that can't have the memory it asks for ends its process at once, and so does the system where a container is
full. No error can be caught there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from flows.extract.worker_pools import Pools
from flows.extract.workers import join_parent
from flows.storage.threads import Threads, wait_for_result

Answer = TypeVar("Answer")


class Apart:
    """Does work here, or in a process that is started when the first large one comes."""

    def __init__(self, threads: Threads, pools: Pools) -> None:
        self._threads = threads
        self._pools = pools

    def run(self, work: Callable[..., Answer], *args: object, large: bool) -> Answer:
        """What the work returns.

        Raises:
            BrokenProcessPool: the other process was killed, twice.
        """
        if not large:
            return work(*args)
        return wait_for_result(self._threads.submit(self._pools.run, work, *args))


@contextmanager
def apart() -> Iterator[Apart]:
    """The process ends with the body, at once where the body ends with an error."""
    with Threads(1) as threads, Pools(1, join_parent) as pools:
        yield Apart(threads, pools)

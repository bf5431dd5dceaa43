"""Worker process pools that survive the death of a worker: the lost work is repeated, one piece at a time.

When the system kills a worker (mostly out of memory), its whole pool is lost, and the pool does not say which work
caused it. So each lost piece is repeated alone. Work that dies alone is too large by itself and is reported.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from threading import Condition
from types import TracebackType
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Pools:
    """A pool of worker processes, renewed when it breaks. ``run`` is called from threads, one call each.

    As a context they end with the body: when they have nothing left to do, at once where the body ends with an error.
    """

    def __init__(self, workers: int, set_up: Callable[[], None]) -> None:
        self._workers = workers
        self._set_up = set_up
        self._turns = _Turns()
        self._changing = Condition()
        self._shared = self._start(workers)
        self._alone: ProcessPoolExecutor | None = None
        self._terminated = False

    def __enter__(self) -> "Pools":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            try:
                self.shutdown()
            except BaseException:
                self.terminate()
                raise
        else:
            self.terminate()

    def run(self, work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
        """The result of work in a worker process.

        Raises:
            BrokenProcessPool: its process was killed while it ran beside others, and again when it ran alone.
            MemoryError: there was not enough of it beside others, nor alone.
        """
        while True:
            with self._turns.shared():
                pool = self._shared
                try:
                    future = pool.submit(work, *args, **kwargs)
                except BrokenProcessPool:  # before this work was begun
                    self._renew(pool)
                    continue
                try:
                    return future.result()
                except BrokenProcessPool:
                    self._renew(pool)
                    break
                except MemoryError:  # its process lives on
                    break
        with self._turns.alone():
            return self._run_alone(work, *args, **kwargs)

    def shutdown(self) -> None:
        """End the workers when they have nothing left to do."""
        self._shared.shutdown()

    def terminate(self) -> None:
        """End the workers now; what they do is lost."""
        with self._changing:
            self._terminated = True
            pools = [pool for pool in (self._shared, self._alone) if pool is not None]
        for pool in pools:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, workers: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(workers, get_context("spawn"), self._set_up)

    def _renew(self, broken: ProcessPoolExecutor) -> None:
        """A fresh pool in the place of a broken one, whichever thread comes first.

        Raises:
            BrokenProcessPool: it was broken by ``terminate``.
        """
        with self._changing:
            if self._terminated:
                raise BrokenProcessPool("terminated")
            if self._shared is broken:
                broken.shutdown(wait=False)
                self._shared = self._start(self._workers)

    def _run_alone(self, work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
        with self._changing:
            if self._terminated:
                raise BrokenProcessPool("terminated")
            self._alone = pool = self._start(1)
            future = pool.submit(work, *args, **kwargs)
        try:
            return future.result()
        finally:
            pool.shutdown(wait=False)
            with self._changing:
                self._alone = None


class _Turns:
    """Shared and exclusive turns; a waiting exclusive turn goes first."""

    def __init__(self) -> None:
        self._condition = Condition()
        self._running = 0
        self._waiting_alone = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """A shared turn; waits while an exclusive one runs or waits."""
        with self._condition:
            self._condition.wait_for(lambda: not self._waiting_alone)
            self._running += 1
        try:
            yield
        finally:
            with self._condition:
                self._running -= 1
                self._condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """The exclusive turn."""
        with self._condition:
            self._waiting_alone += 1
            self._condition.wait_for(lambda: not self._running)
            self._running += 1
        try:
            yield
        finally:
            with self._condition:
                self._running -= 1
                self._waiting_alone -= 1
                self._condition.notify_all()

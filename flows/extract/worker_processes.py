"""Worker processes that end with the one that started them. When one is killed, its work is repeated once, alone.

Where memory runs out, the system kills a process, and libraries end their own; no error can be caught there. So large
work runs in a process of its own, and this process is left to report what happened. Each worker is an executor of its
own: a killed one takes no other work with it. Work that dies without other work beside it is too large by itself.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from math import ceil
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import LifoQueue
from typing import ParamSpec, TypeVar

from flows.storage.log_lines import set_up_logging
from flows.storage.threads import Threads, wait_for_result

OOM_SCORE = Path("/proc/self/oom_score_adj")  # -1000 to 1000: the highest is killed first where memory runs out
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # "MICROSECONDS PERIOD", or "max PERIOD"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def cores() -> int:
    """Cores that this process may run on, and that its container's share of time fills; one at least."""
    usable = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # no container, or one that says "max"
        quota, period = map(int, QUOTA.read_text().split())
        usable = min(usable, ceil(quota / period))
    return max(usable, 1)


def join_parent() -> None:
    """Set up a worker process: its parent decides when it ends, and it is killed before its parent for memory."""
    parent = parent_process()
    if parent is not None:
        set_up_logging(logging.WARNING)
        with suppress(OSError):  # no Linux
            OOM_SCORE.write_text("500")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    """A worker whose parent was killed would read on, and then wait for work for ever."""
    parent.join()
    os._exit(1)


class WorkerProcesses:
    """So many worker processes, each started when there is work for it. ``run`` is called from threads.

    As a context they end with the body: when they have nothing left to do, at once where the body ends with an error.
    """

    def __init__(self, count: int, set_up: Callable[[], None] = join_parent) -> None:
        self._set_up = set_up
        self._executors: list[ProcessPoolExecutor | None] = [None] * count
        self._idle: LifoQueue[int] = LifoQueue()  # places in that list; the last used process comes first
        for place in range(count):
            self._idle.put(place)
        self._waiting = threading.Lock()
        self._submitting = threading.Lock()
        self._terminated = False

    def __enter__(self) -> "WorkerProcesses":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_raised: object) -> None:
        try:
            if kind is None:
                for executor in filter(None, self._executors):
                    executor.shutdown()
        finally:
            self.terminate()

    def run(self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """The result of work in a worker process.

        Raises:
            BrokenProcessPool: its process was killed while it ran beside others, and again when it ran alone.
            MemoryError: there was not enough of it beside others, nor alone.
        """
        try:
            with self._idle_ones(1) as place:
                return self._run_in(place, work, *args, **kwargs)
        except (BrokenProcessPool, MemoryError):
            with self._idle_ones(len(self._executors)) as place:
                return self._run_in(place, work, *args, **kwargs)

    def terminate(self) -> None:
        """End the workers now; what they do is lost."""
        with self._submitting:
            self._terminated = True
        for executor in filter(None, self._executors):
            for process in list((executor._processes or {}).values()):
                process.terminate()
            executor.shutdown(wait=True, cancel_futures=True)

    def _new_executor(self, place: int) -> ProcessPoolExecutor:
        executor = self._executors[place] = ProcessPoolExecutor(1, get_context("spawn"), self._set_up)
        return executor

    @contextmanager
    def _idle_ones(self, count: int) -> Iterator[int]:
        """The first of so many idle workers; nothing else runs in them meanwhile."""
        with self._waiting:  # one caller at a time: who waits for all of them gets each that becomes idle
            places = [self._idle.get() for _ in range(count)]
        try:
            yield places[0]
        finally:
            for place in places:
                self._idle.put(place)

    def _run_in(
        self, place: int, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        with self._submitting:
            if self._terminated:
                raise BrokenProcessPool("terminated")
            executor = self._executors[place] or self._new_executor(place)
            try:
                future = executor.submit(work, *args, **kwargs)
            except BrokenProcessPool:  # the process was killed earlier
                future = self._new_executor(place).submit(work, *args, **kwargs)
        return future.result()


class SeparateProcess:
    """Runs work here, or in a process that is started when the first large work comes."""

    def __init__(self, threads: Threads, processes: WorkerProcesses) -> None:
        self._threads = threads
        self._processes = processes

    def run(self, work: Callable[..., Result], *args: object, large: bool) -> Result:
        """What the work returns.

        Raises:
            BrokenProcessPool: the other process was killed, twice.
        """
        if not large:
            return work(*args)
        return wait_for_result(self._threads.submit(self._processes.run, work, *args))


@contextmanager
def separate_process() -> Iterator[SeparateProcess]:
    """The process ends with the body, at once where the body ends with an error."""
    with Threads(1) as threads, WorkerProcesses(1) as processes:
        yield SeparateProcess(threads, processes)

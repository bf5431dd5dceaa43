"""Work in daemon threads, so that a signal's exception can end the wait for it; and signals, deferred for a moment.

Python runs signal handlers in its main thread, between two of its instructions. So the main thread waits in short
periods, even if the system delivers a signal to another thread, and a library's call that ignores signals runs in
another thread. The threads are daemons: neither a block's end nor the process's end waits for a server that never
answers.
"""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")
_Task = tuple[Future[Any], Callable[[], Any]]

POLL_SECONDS = 0.1
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Threads:
    """At most so many threads, started as there is work. As a context they are closed with the body."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._started = 0
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()

    def __enter__(self) -> "Threads":
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel the tasks that have not started, without waiting for those that run."""
        with suppress(Empty):
            while True:
                task = self._tasks.get_nowait()
                if task is not None:
                    task[0].cancel()
        for _ in range(self._started):
            self._tasks.put(None)

    def submit(
        self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """The future of a call, for ``wait_for_result``."""
        future: Future[Result] = Future()
        self._tasks.put((future, lambda: work(*args, **kwargs)))
        if self._started < self._at_once:
            threading.Thread(target=_run_tasks, args=(self._tasks,), daemon=True).start()
            self._started += 1
        return future


def _run_tasks(tasks: "SimpleQueue[_Task | None]") -> None:
    block_interrupts()
    while (task := tasks.get()) is not None:
        future, work = task
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 raised again by ``wait_for_result``
                future.set_exception(error)
        del task, future, work


def map_in_threads(items: Iterable[Item], work: Callable[[Item], Result], at_once: int) -> list[Result]:
    """Results in the order of the items; the first error in that order is raised. One at once runs in this thread."""
    if at_once == 1:
        return [work(item) for item in items]
    with Threads(at_once) as threads:
        futures = [threads.submit(work, item) for item in items]
        return [wait_for_result(future) for future in futures]


def interruptible(work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """The result of a library's or the resolver's call that ignores signals while it waits."""
    if threading.current_thread() is not threading.main_thread():
        return work(*args, **kwargs)
    with Threads(1) as threads:
        return wait_for_result(threads.submit(work, *args, **kwargs))


def wait_for_result(future: Future[Result]) -> Result:
    """A future's result."""
    while not wait([future], POLL_SECONDS).done:
        pass
    return future.result()


def block_interrupts() -> None:
    """Processes started from this thread ignore Ctrl-C until they are set up."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


@contextmanager
def deferred_signals() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP take effect after the body: for a few renames that belong together.

    Their handlers are replaced. A mask would not help: the system delivers a signal to any thread that does not mask
    it, and the handler then runs in the main thread all the same. In other threads no handler runs.
    """
    received: list[int] = []
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            stack.callback(lambda: signal.raise_signal(received[0]) if received else None)
            for number in STOPPING:
                handler = signal.getsignal(number)
                if handler not in (None, signal.SIG_IGN):  # None: not set by Python
                    signal.signal(number, lambda number, _frame: received.append(number))
                    stack.callback(signal.signal, number, handler)
        yield

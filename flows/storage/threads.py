"""Work in threads that a signal's exception can leave: the one place where threads that do work are started.

Python runs signal handlers in its main thread, between two of its instructions. So the main thread waits in short
pieces, also where the system hands a signal to another thread, and a library's call that hears no signal while it waits
is made in another thread. The threads are daemons: neither the end of a block nor that of the process waits for those
that wait for a server that never answers.
"""

import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

Given = TypeVar("Given")
Answer = TypeVar("Answer")
Arguments = ParamSpec("Arguments")

LOOK_UP_SECONDS = 0.1


class Threads:
    """So many threads at most, started as there is work. As a context they are closed with the body."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._started = 0
        self._tasks: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()

    def __enter__(self) -> "Threads":
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop what has not begun; nothing is waited for."""
        with suppress(Empty):
            while True:
                task = self._tasks.get_nowait()
                if task is not None:
                    task[0].cancel()
        for _ in range(self._started):
            self._tasks.put(None)

    def submit(
        self, work: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Answer]:
        """The work's future; ``wait_for_result`` waits for it."""
        future: Future[Answer] = Future()
        self._tasks.put((future, lambda: work(*args, **kwargs)))
        if self._started < self._at_once:
            threading.Thread(target=_serve, args=(self._tasks,), daemon=True).start()
            self._started += 1
        return future


def _serve(tasks: "SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]") -> None:
    block_interrupts()
    while (task := tasks.get()) is not None:
        future, work = task
        if future.set_running_or_notify_cancel():
            try:
                answer = work()
            except BaseException as error:  # noqa: BLE001 raised again where the result is asked for
                future.set_exception(error)
            else:
                future.set_result(answer)
        del task, future, work


def map_in_threads(given: Iterable[Given], work: Callable[[Given], Answer], at_once: int) -> list[Answer]:
    """Answers in the order of what was given; the first error in that order is raised. One at once is this thread."""
    if at_once == 1:
        return [work(each) for each in given]
    with Threads(at_once) as threads:
        futures = [threads.submit(work, each) for each in given]
        return [wait_for_result(future) for future in futures]


def interruptible(work: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
    """What the work returns, for calls that hear no signal while they wait: those of a library, or of the resolver."""
    if threading.current_thread() is not threading.main_thread():
        return work(*args, **kwargs)
    with Threads(1) as threads:
        return wait_for_result(threads.submit(work, *args, **kwargs))


def wait_for_result(future: Future[Answer]) -> Answer:
    """A future's result."""
    while not wait([future], LOOK_UP_SECONDS).done:
        pass
    return future.result()


def block_interrupts() -> None:
    """Processes started from this thread are born deaf to Ctrl-C: it must not meet them before they are set up."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

"""Work for a second thread, one piece after the other."""

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Generic, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class OneThread(Generic[Result]):
    """A thread that starts with the first piece of work. ``close`` it: it waits for work until then."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: SimpleQueue[tuple[Future[Result], Callable[[], Result]] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def submit(
        self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """The future of a call."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        future: Future[Result] = Future()
        self._work.put((future, lambda: work(*args, **kwargs)))
        return future

    def close(self) -> None:
        """Wait until all work has ended."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (piece := self._work.get()) is not None:
            future, work = piece
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 raised again by the future's ``result``
                future.set_exception(error)
            else:
                future.set_result(result)
            del piece, future, work

"""A reader beside what is published, for the tests of publishing here and in object storage."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def looping(read: Callable[[], None]) -> Iterator[list[BaseException | int]]:
    """A thread that reads again and again; what went wrong, then how often it read."""
    found: list[BaseException | int] = []
    stop = threading.Event()

    def loop() -> None:
        times = 0
        while not stop.is_set():
            try:
                read()
            except BaseException as error:  # noqa: BLE001 handed to the test
                found.append(error)
                return
            times += 1
        found.append(times)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()

"""Politeness to one host over all worker processes: so many connections, so many requests a second.

Turns are kernel locks on files in the cache: a process that dies, however it dies, gives its turn back.
"""

import fcntl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from flows.download.retry import Wait
from flows.settings.fetching import HostLimits

LOOK_SECONDS = 0.05  # between looks for a free turn: the kernel can't wait for any one of several locks


@contextmanager
def turn(hosts: Path, host: str, limits: HostLimits, wait: Wait) -> Iterator[None]:
    """One of the host's connections while the body runs; begins when its next request is due."""
    folder = hosts / (quote(host, safe="") or "unnamed")
    folder.mkdir(parents=True, exist_ok=True)
    connections = max(limits.connections, 1)
    with _among_our_threads(folder, connections):
        while (slot := _take_slot(folder, connections)) is None:
            wait(LOOK_SECONDS)
        with slot:
            if limits.requests_per_second:
                due = _book_request(folder / "next", limits)
                if due > 0:
                    wait(due)
            yield


@cache
def _among_our_threads(folder: Path, connections: int) -> threading.BoundedSemaphore:
    """Threads of one process wake each other: only what other processes hold is looked for."""
    return threading.BoundedSemaphore(connections)


def _take_slot(folder: Path, slots: int) -> TextIO | None:
    """An open file that holds a lock until it is closed; None where all are taken."""
    for number in range(slots):
        file = (folder / f"{number}.lock").open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
        else:
            return file
    return None


def _book_request(path: Path, limits: HostLimits) -> float:
    """The seconds until the next request is due; the one after it is booked behind it."""
    assert limits.requests_per_second
    apart = 1.0 / limits.requests_per_second
    with path.open("a+", errors="replace") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        now = time.time()
        booked = min(_number(file.read()), now + apart * limits.connections)  # a clock set back must not stop us
        due = max(now, booked)
        file.truncate(0)
        file.write(repr(due + apart))
    return due - now


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0  # a new file, or one that a killed process left empty

"""Limits of connections and requests per second to one host, shared by all worker processes.

A connection is a kernel lock on a file in the cache, so a killed process frees its connections.
"""

import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from flows.settings.values import HostLimits

Wait = Callable[[float], None]  # for so many seconds: ``time.sleep`` outside of tests
POLL_SECONDS = 0.05  # the kernel can't wait for any one of several locks


@contextmanager
def host_connection(hosts: Path, host: str, limits: HostLimits, wait: Wait) -> Iterator[None]:
    """One of the host's connections while the body runs, which starts when the next request is due."""
    folder = hosts / (quote(host, safe="") or "unnamed")
    folder.mkdir(parents=True, exist_ok=True)
    connections = max(limits.connections, 1)
    with _connections_of_process(folder, connections):
        while (lock := _lock_connection(folder, connections)) is None:
            wait(POLL_SECONDS)
        with lock:
            due = _seconds_until_due(folder / "next", limits) if limits.requests_per_second else 0.0
            if due > 0:
                wait(due)
            yield


@cache
def _connections_of_process(folder: Path, connections: int) -> threading.BoundedSemaphore:
    """Threads of one process wake each other; only the locks of other processes are polled."""
    return threading.BoundedSemaphore(connections)


def _lock_connection(folder: Path, connections: int) -> TextIO | None:
    """An open file that holds a lock until it is closed; None if all connections are in use."""
    for number in range(connections):
        file = (folder / f"{number}.lock").open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
        else:
            return file
    return None


def _seconds_until_due(path: Path, limits: HostLimits) -> float:
    """The seconds until the next request is due; the file then states when the one after it is."""
    assert limits.requests_per_second
    interval = 1.0 / limits.requests_per_second
    with path.open("a+", errors="replace") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        now, stated = time.time(), 0.0
        with suppress(ValueError):  # a new file, or one that a killed process left empty
            stated = float(file.read())
        due = max(now, min(stated, now + interval * limits.connections))  # the clock may have been set back
        file.truncate(0)
        file.write(repr(due + interval))
    return due - now

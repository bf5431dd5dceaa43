"""Progress over processes: counters that workers add to, and one line on stderr where that is a terminal."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized
from typing import Any

Counters = tuple["Synchronized[int]", "Synchronized[int]", "Synchronized[int]", "Synchronized[int]"]
REFRESH_SECONDS = 0.5


def make_counters() -> Counters:
    """raw bytes, JSON bytes, items matched, files done: shared with worker processes."""
    context: Any = get_context("spawn")
    return tuple(context.Value("q", 0) for _ in range(4))


def add(counters: Counters, raw: int, inflated: int, matched: int) -> None:
    """Called in the workers after every block."""
    for counter, amount in zip(counters, (raw, inflated, matched), strict=False):
        with counter.get_lock():
            counter.value += amount


@contextmanager
def shown(counters: Counters, files: int, total_bytes: int) -> Iterator[None]:
    """Show progress while the body runs; quiet when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_show, args=(counters, files, total_bytes, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def _show(counters: Counters, files: int, total_bytes: int, stop: threading.Event) -> None:
    started = time.monotonic()
    while not stop.wait(REFRESH_SECONDS):
        raw, inflated, matched, done = (counter.value for counter in counters)
        line = describe(raw, inflated, matched, done, files, total_bytes, time.monotonic() - started)
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()


def describe(raw: int, inflated: int, matched: int, done: int, files: int, total_bytes: int, seconds: float) -> str:
    """``12.3 MB of 45.6 MB, 301 MB/s of JSON, 3/40 files, 12 matches, ETA 0:42``."""
    size = f" of {total_bytes / 1e6:,.1f} MB" if total_bytes else ""
    left = (total_bytes - raw) * seconds / raw if raw and total_bytes > raw else None
    eta = f", ETA {int(left // 60)}:{int(left % 60):02d}" if left is not None else ""
    speed = inflated / 1e6 / seconds if seconds else 0.0
    return f"{raw / 1e6:,.1f} MB{size}, {speed:,.0f} MB/s of JSON, {done}/{files} files, {matched:,} matches{eta}"

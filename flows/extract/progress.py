"""Progress over processes: counters that workers add to, and one line on stderr where that is a terminal."""

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.sharedctypes import SynchronizedArray
from typing import IO, TYPE_CHECKING, TypeAlias

from flows.storage.log_lines import is_json

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress

Counters: TypeAlias = "SynchronizedArray[int]"


def make_counters(*, shared: bool = True) -> Counters:
    """raw bytes, JSON bytes, items matched, files done.

    Args: shared: with worker processes: their lock costs a process that removes it afterwards.
    """
    context = get_context("spawn")
    lock = context.RLock() if shared else threading.RLock()
    return context.Array("q", 4, lock=lock)  # type: ignore[arg-type] # any lock will do


def add(counters: Counters, *amounts: int) -> None:
    """Add to the counters in their order; workers call it after every block."""
    with counters.get_lock():
        for number, amount in enumerate(amounts):
            counters[number] += amount


@contextmanager
def shown(counters: Counters, files: int, total_bytes: int) -> Iterator[None]:
    """Show progress while the body runs; nothing where stderr is not a terminal, or has JSON lines."""
    if not sys.stderr.isatty() or is_json():
        yield
        return
    with make_line(counters, files, total_bytes, sys.stderr):
        yield


def make_line(counters: Counters, files: int, total_bytes: int, stream: IO[str]) -> "Progress":
    """The progress line on a terminal: bytes, MB/s of JSON, files, matches, time left; it reads the counters itself."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    class Line(Progress):
        def get_renderables(self) -> Iterable["RenderableType"]:
            raw, inflated, matched, done = counters[:]
            for task in self.tasks:
                speed = inflated / 1e6 / (task.elapsed or 1.0)
                what = f"{speed:,.0f} MB/s of JSON, {done}/{files} files, {matched:,} matches"
                self.update(task.id, completed=raw, description=what)
            return super().get_renderables()

    columns = (DownloadColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    line = Line(
        *columns,
        console=Console(file=stream),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        refresh_per_second=2,
    )
    line.add_task("", total=total_bytes or None)
    return line

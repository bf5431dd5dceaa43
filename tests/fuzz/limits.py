"""The scanner with its limits as they are, or so small that everything is too long to hold."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from transforms.scan import byte_spool, reference_index, scan_section

HANG_SECONDS = 5.0


class HangError(Exception):
    """A document kept the processor busy for too long."""


@contextmanager
def small_limits(small: bool) -> Iterator[None]:
    """Items are streamed or wait on disk, references are spooled."""
    if not small:
        yield
        return
    places = (
        (scan_section, "MAX_DECODED_BYTES", 100),
        (scan_section, "MAX_HELD_BYTES", 60),
        (byte_spool, "LIMIT_BYTES", 0),
        (reference_index, "INDEX_BYTES", 0),
    )
    before = [getattr(module, name) for module, name, _ in places]
    for module, name, value in places:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(places, before, strict=True):
            setattr(module, name, value)


def watch_for_hangs() -> None:
    """From now on, ``start_watch`` gives what follows so much processor time."""

    def hang(_number: int, _frame: FrameType | None) -> None:
        raise HangError("no end in the processor time that a document has")

    signal.signal(signal.SIGVTALRM, hang)


def start_watch(seconds: float = HANG_SECONDS) -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)


def stop_watch() -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)

"""Errors of a machine that ran out of a resource, distinguished from bad sources and bugs, with the next step.

A full disk must not quarantine a file. Libraries wrap the system's errors in their own, so the chain of causes is
searched, and the number in the text of polars. The texts themselves may quote an address and are not shown.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from transforms.errors import OutOfResourcesError, TicRatesError, UsageError, causes

TABLES_UNCHANGED = "the last good tables are unchanged"
_EXHAUSTED = {
    errno.ENOSPC: ("no space left on the disk", "make room"),
    errno.EDQUOT: ("the disk quota is used up", "make room, or have it raised"),
    errno.EFBIG: ("a file may not grow further", "raise the limit of a file's size (ulimit -f)"),
    errno.EMFILE: ("this process may open no more files", "raise their number (ulimit -n)"),
    errno.ENFILE: ("the machine may open no more files", "end the processes that hold so many"),
    errno.EAGAIN: (
        "no more processes or threads can be started",
        "raise their number (ulimit -u, pids.max), or the memory (ulimit -v)",
    ),
    errno.ENOMEM: ("out of memory", "provide more, or run with fewer --workers"),
}
_FAILED = {errno.EIO: ("the disk failed to read or write", "check it")}
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
_NUMBER = re.compile(r"\(os error (\d+)\)")
_TEXTS = {  # of errors that carry no number
    "can't start new thread": errno.EAGAIN,
    "failed to map segment from shared object": errno.ENOMEM,
    "cannot allocate memory": errno.ENOMEM,
    "ThreadPoolBuildError": errno.EAGAIN,
}


@contextmanager
def explain_resource_errors(doing: str, place: Path, unchanged: str = TABLES_UNCHANGED) -> Iterator[None]:
    """Raise errors of the body that come from a lack of resources as errors that name the work and the place.

    Args:
        doing: as in "while ...". place: where the body writes. unchanged: what is as it was before.

    Raises:
        OutOfResourcesError: the machine ran out of a resource.
        UsageError: the place can't be written: read-only, no permission, or not a folder.
    """
    try:
        yield
    except TicRatesError:
        raise
    except BaseException as error:
        number = _find_number(error, (*_EXHAUSTED, *_FAILED, *_REFUSED))
        if number is None:
            raise
        if number not in _REFUSED:
            raise _exhausted(number, error, doing, place, unchanged) from error
        name = _filename(error) or f"under {place}"
        reason = f"{os.strerror(number)}; {unchanged}"
        raise UsageError(f"can't write {name}: {reason}: make it writable, or give another --output") from error


def raise_if_exhausted(error: BaseException, doing: str, place: Path) -> None:
    """Before a source is quarantined: ``OutOfResourcesError`` if the error comes from a lack of resources."""
    number = _find_number(error, tuple(_EXHAUSTED))
    if number is not None:
        raise _exhausted(number, error, doing, place, TABLES_UNCHANGED) from error


def _find_number(error: BaseException, wanted: tuple[int, ...]) -> int | None:
    """The system's number of an error or of one of its causes; None if it is none of those wanted."""
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        return None  # a signal that came while another error was handled
    numbers = (_number_of(cause) for cause in causes(error))
    return next((number for number in numbers if number in wanted), None)


def _number_of(error: BaseException) -> int | None:
    if isinstance(error, (MemoryError, BrokenProcessPool)):  # the latter: its process was killed
        return errno.ENOMEM
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    text = str(error)
    stated = _NUMBER.search(text)
    if stated:
        return int(stated[1])
    return next((number for part, number in _TEXTS.items() if part in text), None)


def _exhausted(number: int, error: BaseException, doing: str, place: Path, unchanged: str) -> OutOfResourcesError:
    what, advice = (_EXHAUSTED | _FAILED)[number]
    if any(isinstance(cause, BrokenProcessPool) for cause in causes(error)):
        what = f"{what}, it seems: the process that did it was killed"
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, *_FAILED):
        place = Path(_filename(error) or place)
        what = f"{what} at {place}{_free_space(place)}"
    return OutOfResourcesError(
        f"{what}, while {doing} ({os.strerror(number)}); {unchanged}: {advice}, then run the same command again, "
        "which resumes"
    )


def _filename(error: BaseException) -> str | None:
    names = (cause.filename for cause in causes(error) if isinstance(cause, OSError))
    return next((name for name in names if isinstance(name, str) and name), None)


def _free_space(place: Path) -> str:
    """The free space there; empty if it can't be determined."""
    try:
        free = shutil.disk_usage(place if place.exists() else place.parent).free
        return f" ({free / 1e6:,.1f} MB free after clean-up)"
    except OSError:
        return ""

"""Errors of a machine that ran out of a resource, kept apart from bad sources and bugs: each states what to do next.

A full disk must not quarantine a file. Libraries wrap the system's errors in their own, so the chain of causes is
searched, and for polars the number in the text. The texts themselves may quote an address and are not shown.
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

TABLES_STAND = "the last good tables stand"
_SHORT = {
    errno.ENOSPC: ("no space left on the disk", "make room"),
    errno.EDQUOT: ("the disk quota is used up", "make room, or have it raised"),
    errno.EFBIG: ("a file may not grow further", "raise the limit of a file's size (ulimit -f)"),
    errno.EMFILE: ("this process may open no more files", "raise their number (ulimit -n)"),
    errno.ENFILE: ("the machine has no more open files to give", "end what holds so many"),
    errno.EAGAIN: (
        "no more processes or threads can be started",
        "raise their number (ulimit -u, pids.max), or the memory (ulimit -v)",
    ),
    errno.ENOMEM: ("out of memory", "give it more, or run with fewer --workers"),
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
def explain_resource_errors(doing: str, place: Path, stands: str = TABLES_STAND) -> Iterator[None]:
    """What the machine can't give comes out of the body as an error that says what was done, and where.

    Args:
        doing: as in "while ...". place: where the body writes. stands: what is as it was.

    Raises:
        OutOfResourcesError: it ran out of something.
        UsageError: the place can't be written: read-only, no permission, or not a folder.
    """
    try:
        yield
    except BaseException as error:
        told = _told(error, doing, place, stands)
        if told is None:
            raise
        raise told from error


def raise_if_exhausted(error: BaseException, doing: str, place: Path) -> None:
    """Where a source is about to be blamed: ``OutOfResourcesError`` if the machine is to blame."""
    number = _number(error, _SHORT)
    if number is not None:
        raise _exhausted(number, error, doing, place, TABLES_STAND) from error


def _told(error: BaseException, doing: str, place: Path, stands: str) -> TicRatesError | None:
    if isinstance(error, TicRatesError):
        return None
    number = _number(error, (*_SHORT, *_FAILED, *_REFUSED))
    if number is None:
        return None
    if number in _REFUSED:
        return _refused(number, error, place, stands)
    return _exhausted(number, error, doing, place, stands)


def _number(error: BaseException, wanted: "tuple[int, ...] | dict[int, tuple[str, str]]") -> int | None:
    """The system's number of an error, or of what caused it; None where it is none of those wanted."""
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        return None  # a signal that came while another error was dealt with
    for cause in causes(error):
        number = _number_of(cause)
        if number in wanted:
            return number
    return None


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


def _exhausted(number: int, error: BaseException, doing: str, place: Path, stands: str) -> OutOfResourcesError:
    what, advice = (_SHORT | _FAILED)[number]
    if any(isinstance(cause, BrokenProcessPool) for cause in causes(error)):
        what = f"{what}, it seems: the process that did it was killed"
    place = Path(_filename(error) or place)
    where = f" at {place}{_room(place)}" if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, *_FAILED) else ""
    return OutOfResourcesError(
        f"{what}{where}, while {doing} ({os.strerror(number)}); {stands}: {advice}, "
        "then run the same command again; what is done is kept"
    )


def _refused(number: int, error: BaseException, place: Path, stands: str) -> UsageError:
    named = _filename(error) or f"under {place}"
    why = os.strerror(number)
    return UsageError(f"can't write {named}: {why}; {stands}: make it writable, or give another --output")


def _filename(error: BaseException) -> str | None:
    names = (cause.filename for cause in causes(error) if isinstance(cause, OSError))
    return next((name for name in names if isinstance(name, str) and name), None)


def _room(place: Path) -> str:
    """What is left there; nothing where that can't be asked."""
    try:
        free = shutil.disk_usage(place if place.exists() else place.parent).free
        return f" ({free / 1e6:,.1f} MB free once tidied up)"
    except OSError:
        return ""

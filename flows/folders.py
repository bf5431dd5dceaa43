"""Whole folders put under a name at once, whoever else reads or writes there."""

import ctypes
import errno
import os
from pathlib import Path

from flows.layout import scratch

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def put_in_place(new: Path, target: Path, *, replaces: bool) -> None:
    """The target is the new folder; what another process made there of the same stands, unless this one replaces it.

    There is no moment without a target for those who read it. What is left under the new name is to be removed.
    """
    try:
        if replaces:
            exchange_folders(new, target)
        else:
            new.rename(target)
    except OSError:
        if not target.exists():
            raise


def exchange_folders(new: Path, target: Path) -> None:
    """The target is the new folder from one instant to the next; what it was, if anything, is where the new one was."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        new.rename(target)
    elif not _exchange(new, target):
        old = scratch(target.parent)
        target.rename(old)  # a file system without exchange: readers may miss the folder between these two renames
        try:
            new.rename(target)
        except BaseException:
            old.rename(target)
            raise
        old.rename(new)


def _exchange(one: Path, other: Path) -> bool:
    """renameat2(RENAME_EXCHANGE); False where the system or the file system has none."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))

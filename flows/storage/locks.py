"""Kernel locks (flock) on files and folders: a lock ends with its process, however that ends.

So a lock shows whether a process still uses a file, also to other containers and machines whose file system shares its
locks. If it may not share them (network file systems), a file is abandoned after days without a byte written.
"""

import ctypes
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ABANDONED_SECONDS = 2 * 86_400.0  # without a byte written, where locks may not be shared
# ext4, xfs, btrfs, tmpfs, ramfs, overlay, zfs, f2fs, bcachefs: one kernel keeps the locks of all their users
_LOCAL = {0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x858458F6, 0x794C7630, 0x2FC12FC1, 0xF2F52010, 0xCA451A4E}


@contextmanager
def locked(path: Path, on_wait: Callable[[], None] | None = None, *, shared: bool = False) -> Iterator[None]:
    """One process at a time runs the body.

    Args:
        on_wait: called if another process holds the lock.
        shared: several processes with a shared lock run the body at a time; none of them while ``locked_if_free`` does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with path.open("a+") as lock:  # a network file system shares only locks of files that are open for reading
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
            fcntl.flock(lock, kind)
        yield


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of ``locked``; False where the file system has no locks."""
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is no such file, or no lock
        return False
    return False


@contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Whether no other process holds the lock; while the body runs, no other process can have it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def lock_path(path: Path) -> int | None:
    """A descriptor that locks a file or folder until it is closed; None if the path was removed before."""
    try:
        return lock_opened(_open(path), path)
    except FileNotFoundError:
        return None


def lock_opened(descriptor: int, path: Path) -> int | None:
    """This descriptor of a path, which locks it from now on; closed, and None, if the path was removed before."""
    with suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    os.close(descriptor)
    return None


@contextmanager
def lock_abandoned(path: Path) -> Iterator[bool]:
    """Whether no process uses the path; while the body runs, no process can lock it."""
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    except OSError:  # a file system without locks
        yield _is_old(path)
    else:
        yield _is_local(descriptor) or _is_old(path)
    finally:
        os.close(descriptor)


def is_abandoned(path: Path) -> bool:
    """Whether no process uses a temporary file or folder any more."""
    with lock_abandoned(path) as abandoned:
        return abandoned


def _is_old(path: Path) -> bool:
    newest = max(each.stat().st_mtime for each in (path, *path.rglob("*")))
    return time.time() - newest > ABANDONED_SECONDS


def _is_local(descriptor: int) -> bool:
    """Whether the file system is local, so that all processes that write there share its locks."""
    fstatfs = getattr(ctypes.CDLL(None), "fstatfs", None)
    found = ctypes.create_string_buffer(512)  # struct statfs; its first field is the kind, a long
    if fstatfs is None or fstatfs(descriptor, found) != 0:
        return False
    return ctypes.c_long.from_buffer(found).value & 0xFFFFFFFF in _LOCAL


def _open(path: Path) -> int:
    """Folders can be opened for reading only; network file systems lock only files that are opened for writing."""
    return os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)

"""Temporary files and folders beside their targets: renamed when they are whole, swept when their process was killed.

Each is locked by the kernel (flock) from its creation until its context ends, so a sweep tells living work from
leftovers in every container and on every machine for which the file system keeps its locks. A lock ends with its
process, however that ends. Where locks may not be shared (network file systems), a leftover is what nobody has written
to for days.
"""

import ctypes
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOST_SECONDS = 2 * 86_400.0  # without a byte, where locks may not be shared
_PREFIX = ".tmp-"
# ext4, xfs, btrfs, tmpfs, ramfs, overlay, zfs, f2fs, bcachefs: one kernel keeps the locks of all who use them
_LOCAL = {0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x858458F6, 0x794C7630, 0x2FC12FC1, 0xF2F52010, 0xCA451A4E}

_held: set[int] = set()  # the descriptors of this process's locks


@contextmanager
def unfinished_folder(parent: Path) -> Iterator[Path]:
    """A new folder, to be renamed to its name; what stands under the temporary name at the end is removed."""
    with _unfinished(parent, Path.mkdir) as path:
        yield path


@contextmanager
def unfinished_file(parent: Path) -> Iterator[Path]:
    """A new empty file, to be opened again and written, then renamed; one that was not renamed is removed."""
    with _unfinished(parent, lambda path: path.touch(exist_ok=False)) as path:
        yield path


@contextmanager
def _unfinished(parent: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    parent.mkdir(parents=True, exist_ok=True)
    lock = None
    while lock is None:
        path = parent / f"{_PREFIX}{uuid.uuid4().hex}"
        make(path)
        lock = _lock(path)
    try:
        yield path
    finally:
        _remove(path)
        _unlock(lock)


@contextmanager
def set_aside(path: Path) -> Iterator[Path]:
    """A file or folder under a temporary name beside its own, safe from sweeps; the caller renames or removes it."""
    lock = _lock(path)
    if lock is None:
        raise FileNotFoundError(f"{path} is gone")
    try:
        yield path.rename(path.with_name(f"{_PREFIX}{uuid.uuid4().hex}"))
    finally:
        _unlock(lock)


def remove_at_once(folder: Path) -> None:
    """Remove a folder that others may be reading or removing: it is gone from its name first."""
    with suppress(FileNotFoundError):
        _remove(folder.rename(folder.with_name(f"{_PREFIX}{uuid.uuid4().hex}")))


def sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder."""
    for leftover in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError), _tried(leftover) as left:  # OSError: finished meanwhile, or another user's
            if left:
                _remove(leftover)


def is_left(path: Path) -> bool:
    """Whether no process uses a temporary file or folder any more."""
    with _tried(path) as left:
        return left


@contextmanager
def _tried(path: Path) -> Iterator[bool]:
    """Whether it is left behind. During the body no process can lock it; a process that just made one makes another."""
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    except OSError:  # a file system without locks
        yield _is_still(path)
    else:
        yield _keeps_locks(descriptor) or _is_still(path)
    finally:
        os.close(descriptor)


def _is_still(path: Path) -> bool:
    """Whether nothing in it was written for ``LOST_SECONDS``."""
    newest = max(each.stat().st_mtime for each in (path, *path.rglob("*")))
    return time.time() - newest > LOST_SECONDS


def _keeps_locks(descriptor: int) -> bool:
    """Whether the file system is local, so that every process that may write there meets the same locks."""
    fstatfs = getattr(ctypes.CDLL(None), "fstatfs", None)
    found = ctypes.create_string_buffer(512)  # struct statfs, which begins with the kind as a long
    if fstatfs is None or fstatfs(descriptor, found) != 0:
        return False
    return ctypes.c_long.from_buffer(found).value & 0xFFFFFFFF in _LOCAL


def _lock(path: Path) -> int | None:
    """A descriptor that holds the lock; None where a sweep removed the path before it was locked."""
    try:
        descriptor = _open(path)
    except FileNotFoundError:
        return None
    _held.add(descriptor)
    with suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    _unlock(descriptor)
    return None


def _open(path: Path) -> int:
    """Folders can be opened for reading only; network file systems lock only files that are opened for writing."""
    return os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)


def _unlock(descriptor: int) -> None:
    if descriptor in _held:  # not in a forked child, which has closed its copies
        _held.discard(descriptor)
        os.close(descriptor)


def _forget_locks() -> None:
    """A forked child closes its copies: it holds no lock of its parent beyond the parent's end, and releases none."""
    while _held:
        os.close(_held.pop())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


os.register_at_fork(after_in_child=_forget_locks)

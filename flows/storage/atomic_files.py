"""Files and folders that appear whole under their names: written beside them under a temporary name, then renamed.

Temporary names are locked while their process works; ``remove_abandoned`` removes those of killed processes.
"""

import ctypes
import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from flows.storage.locks import is_abandoned, lock_abandoned, lock_opened, lock_path
from flows.storage.threads import deferred_signals
from transforms.errors import UsageError

_PREFIX = ".tmp-"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def unfinished_folder(parent: Path) -> Iterator[Path]:
    """A new folder, to be renamed; it is removed at the end unless it was."""
    with _unfinished(parent, _make_folder) as (path, _):
        yield path


@contextmanager
def unfinished_file(parent: Path) -> Iterator[Path]:
    """A new empty file, to be opened and written, then renamed; it is removed at the end unless it was."""
    with _unfinished(parent, _make_file) as (path, _):
        yield path


@contextmanager
def _unfinished(parent: Path, make: Callable[[Path], int | None]) -> Iterator[tuple[Path, int]]:
    """What is made, and its descriptor, which locks it."""
    lock = None
    while lock is None:  # ``remove_abandoned`` may be faster than the lock
        path = _temporary_name(parent)
        try:
            lock = make(path)
        except FileNotFoundError:
            parent.mkdir(parents=True, exist_ok=True)
    try:
        yield path, lock
    finally:
        _remove(path)
        os.close(lock)


def _make_folder(path: Path) -> int | None:
    path.mkdir()
    return lock_path(path)


def _make_file(path: Path) -> int | None:
    return lock_opened(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), path)


def _temporary_name(parent: Path) -> Path:
    return parent / f"{_PREFIX}{uuid.uuid4().hex}"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes left in a folder."""
    for leftover in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError), lock_abandoned(leftover) as abandoned:  # OSError: renamed meanwhile, or not ours
            if abandoned:
                _remove(leftover)


def find_abandoned(folder: Path) -> list[Path]:
    """What ``remove_abandoned`` would remove now."""
    found = []
    for leftover in sorted(folder.glob(f"{_PREFIX}*")):
        with suppress(OSError):
            if is_abandoned(leftover):
                found.append(leftover)
    return found


def remove_folder(folder: Path) -> None:
    """Remove a folder that others may read or remove: it leaves its name first."""
    with suppress(FileNotFoundError):
        _remove(folder.rename(_temporary_name(folder.parent)))


def open_temporary(folder: Path | None = None) -> BinaryIO:
    """A nameless file, on the disk of ``folder`` if one is given: it ends with the process.

    Raises:
        UsageError: no folder is given, and no folder for temporary files can be written.
    """
    try:
        return cast("BinaryIO", tempfile.TemporaryFile(dir=folder))
    except FileNotFoundError as error:
        if folder is not None:
            raise
        raise UsageError(f"{error.strerror or error}; set TMPDIR to a folder that can be written") from error


def temporary_folder() -> Path:
    """The folder of nameless files if no other is given; if none can be written, the one that TMPDIR names."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return Path(os.environ.get("TMPDIR", "/tmp"))


def write_atomically(path: Path, data: bytes | Iterable[bytes], *, durable: bool = True) -> None:
    """Write a file; readers see the old content or the new, never a part.

    Args:
        data: as a whole or in pieces.
        durable: wait until it is on the disk; else the file may be empty after a loss of power.
    """
    with written_beside(path, data, durable=durable) as beside:
        beside.replace(path)


@contextmanager
def written_beside(path: Path, data: bytes | Iterable[bytes], *, durable: bool = True) -> Iterator[Path]:
    """A written file beside the target, to be renamed to it; it is removed at the end unless it was."""
    with _unfinished(path.parent, _make_file) as (beside, descriptor):
        with open(descriptor, "wb", closefd=False) as file:
            file.writelines((data,) if isinstance(data, bytes) else data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        yield beside


def put_in_place(new: Path, target: Path) -> None:
    """Make the target the new folder, unless another process puts the same there at this moment.

    Readers of what is there never miss it. The caller removes what is left under the new name.
    """
    try:
        exchange_folders(new, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def read_files(folder: Path) -> dict[str, bytes]:
    """The files of a folder, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def put_files(files: Mapping[str, bytes], target: Path) -> None:
    """Make the target a folder of these files, by name; it appears whole."""
    with unfinished_folder(target.parent) as temporary:
        for name, data in files.items():
            (temporary / name).write_bytes(data)
        put_in_place(temporary, target)


def exchange_folders(new: Path, target: Path) -> None:
    """Exchange two folders in one instant; the target need not exist."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        new.rename(target)
    elif not _exchange(new, target):
        # A file system without exchange: readers may miss the folder between these two renames
        with deferred_signals():
            old = target.rename(target.with_name(f".old-{uuid.uuid4().hex}"))  # a name that is never removed
            try:
                new.rename(target)
            except BaseException:
                old.rename(target)
                raise
            old.rename(new)


def _exchange(one: Path, other: Path) -> bool:
    """renameat2(RENAME_EXCHANGE); False if the system or the file system has none."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))

"""Folders that appear whole under their names while others read or write, and state later whether they are complete."""

import ctypes
import errno
import os
from pathlib import Path
from typing import TypeVar

import msgspec

from flows.storage.layout import Layout
from flows.storage.object_sync import ensure_local
from flows.storage.records import read_record
from flows.storage.signals import deferred_signals
from flows.storage.temporary_files import set_aside

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class Sealed(msgspec.Struct, kw_only=True):
    """What a folder of tables says of itself. ``tables``: how long each of them is."""

    tables: dict[str, int] = {}


Stated = TypeVar("Stated", bound=Sealed)


def seal(folder: Path, name: str, stated: Sealed) -> None:
    """Write what a folder says of itself, beside its tables."""
    stated.tables = {path.name: path.stat().st_size for path in sorted(folder.glob("*.parquet"))}
    (folder / name).write_bytes(msgspec.json.encode(stated))


def unsealed(layout: Layout, folder: Path, name: str, kind: type[Stated]) -> Stated | None:
    """What a folder in the cache says of itself, brought from the store if need be.

    None where it is not there, can't be decoded, or has lost bytes, as folders do whose machine lost its power: what
    was renamed may stand, and what was written not. In object storage tables are brought later.
    """
    stated = read_record(folder / name, kind) if ensure_local(layout, folder / name) else None
    if stated is None:
        return None
    elsewhere = layout.stored(folder) is not None
    sizes = ((_size(f"{folder}/{table}"), size) for table, size in stated.tables.items())
    return stated if all(here == size or (here is None and elsewhere) for here, size in sizes) else None


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116 for each table of each file of a night
    except FileNotFoundError:
        return None


def put_in_place(new: Path, target: Path) -> None:
    """The target is the new folder; who reads what another process made there of the same never misses it.

    What is left under the new name is to be removed.
    """
    try:
        exchange_folders(new, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another process put the same there in this moment
            raise


def exchange_folders(new: Path, target: Path) -> None:
    """The target is the new folder from one instant to the next; what it was, if anything, is where the new one was."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        new.rename(target)
    elif not _exchange(new, target):
        with deferred_signals(), set_aside(target) as old:
            # a file system without exchange: readers may miss the folder between these two renames
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

"""Local copies of objects: downloaded when they are needed, uploaded when they are complete.

For local layouts this only looks at the disk. A file named by its content's digest never changes (``ensure_local``);
any other file is downloaded again (``refresh``). Several processes may do either at once: a file appears whole.
"""

import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from flows.storage.atomic_files import unfinished_file, write_atomically
from flows.storage.layout import Layout
from flows.storage.object_store import PIECE_BYTES, ObjectMeta, Objects, StoreError
from flows.storage.threads import map_in_threads
from transforms.errors import BadFileError, UsageError

AT_ONCE = 16


def ensure_local(layout: Layout, path: Path) -> bool:
    """Whether a file that never changes is local; downloads it from the store if needed."""
    if path.exists():
        return True
    stored = layout.stored(path)
    return stored is not None and download_object(*stored, path)


def require_files(layout: Layout, paths: Sequence[Path]) -> None:
    """Download the files of the cache that are not here from the store.

    Raises:
        UsageError: one is missing.
    """
    wanted = [path for path in paths if not path.exists()]
    local = map_in_threads(wanted, partial(ensure_local, layout), AT_ONCE)
    absent = [path for path, is_local in zip(wanted, local, strict=True) if not is_local]
    if absent:
        raise UsageError(f"{absent[0]}: missing from the cache, with {len(absent) - 1} more; run again with --force")


def refresh(layout: Layout, path: Path) -> bool:
    """Whether a small file exists; its local copy is then the same as in the store."""
    stored = layout.stored(path)
    if stored is None:
        return path.exists()
    data = stored[0].get(stored[1])
    if data is None:
        path.unlink(missing_ok=True)
    elif not path.exists() or path.read_bytes() != data:
        write_atomically(path, data)
    return data is not None


def refresh_folder(layout: Layout, folder: Path, *unneeded: Path) -> None:
    """Make a folder the same as in the store: changed files are downloaded, files that the store lacks are deleted.

    Args: unneeded: files that are not downloaded; local copies of them stay.
    """
    stored = layout.stored(folder)
    if stored is None:
        return
    objects, key = stored
    there = {folder / meta.key.removeprefix(f"{key}/"): meta for meta in objects.list(key)}
    for path in folder.rglob("*"):
        if path.is_file() and path not in there and not path.name.startswith("."):
            path.unlink()
    changed = [path for path in there if path not in unneeded and not _is_current(path, there[path])]
    map_in_threads(changed, lambda path: download_object(objects, there[path].key, path), AT_ONCE)


def upload(layout: Layout, *paths: Path, dated: bool = False) -> None:
    """Upload files to the store, the last one after all others.

    Args:
        dated: set their local times to the store's, so that they have the same identity on every machine.
    """
    stored = [(path, place) for path in paths if (place := layout.stored(path)) is not None]
    for some in (stored[:-1], stored[-1:]):
        map_in_threads(some, lambda each: each[1][0].put(each[1][1], each[0]), AT_ONCE)
    for path, (objects, key) in stored if dated else ():
        meta = objects.head(key)
        if meta is not None:
            _set_time(path, meta)


def delete_files(layout: Layout, *paths: Path) -> None:
    """Delete files, locally and in the store."""
    for path in paths:
        path.unlink(missing_ok=True)
        place = layout.stored(path)
        if place is not None:
            place[0].delete([place[1]])


def download_object(objects: Objects, key: str, path: Path) -> bool:
    """Whether the object exists; downloads it to a file with the object's time."""
    meta = objects.head(key)
    if meta is None:
        return False
    with unfinished_file(path.parent) as temporary:
        try:
            with temporary.open("wb") as file, objects.open(meta) as reader:
                shutil.copyfileobj(reader, file, PIECE_BYTES)
        except BadFileError as error:  # the store failed, not a source
            raise StoreError(str(error)) from error
        _set_time(temporary, meta)
        temporary.replace(path)
    return True


def _is_current(path: Path, meta: ObjectMeta) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (meta.size, _nanoseconds(meta))


def _set_time(path: Path, meta: ObjectMeta) -> None:
    os.utime(path, ns=(_nanoseconds(meta), _nanoseconds(meta)))


def _nanoseconds(meta: ObjectMeta) -> int:
    return int(meta.modified.timestamp()) * 1_000_000_000  # some answers state fractions, others none

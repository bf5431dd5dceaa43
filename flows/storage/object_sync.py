"""Files under a layout that stand for objects: downloaded when they are needed, uploaded when they are complete.

For local layouts this only looks at the disk. A file named for its content never changes (``ensure_local``);
any other file is downloaded again (``refresh``). Several processes may do either at once: a file appears whole.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from flows.storage.atomic_files import unfinished_file, write_atomically
from flows.storage.layout import Layout
from flows.storage.object_store import Found, Objects, StoreError, copy_to
from flows.storage.threads import map_in_threads
from transforms.errors import BadFileError

AT_ONCE = 16


def ensure_local(layout: Layout, path: Path) -> bool:
    """Whether a file that never changes is local; downloads it from the store if needed."""
    if path.exists():
        return True
    stored = layout.stored(path)
    return stored is not None and download_object(*stored, path) is not None


def missing_files(layout: Layout, paths: Iterable[Path]) -> list[Path]:
    """The files that are neither local nor in the store; downloads the others (``ensure_local``)."""
    absent = [path for path in paths if not path.exists()]
    if not absent or layout.stored(absent[0]) is None:
        return absent
    found = map_in_threads(absent, lambda path: ensure_local(layout, path), AT_ONCE)
    return [path for path, here in zip(absent, found, strict=True) if not here]


def refresh(layout: Layout, path: Path) -> bool:
    """Whether a small file exists; the local copy is then as in the store."""
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
    """Make a folder as in the store: every file downloaded (``refresh``), files that left the store deleted.

    Args: unneeded: files that are not downloaded; local copies of them stay.
    """
    stored = layout.stored(folder)
    if stored is None:
        return
    objects, key = stored
    there = {folder / found.key.removeprefix(f"{key}/"): found for found in objects.list(key)}
    for path in folder.rglob("*"):
        if path.is_file() and path not in there and not path.name.startswith("."):
            path.unlink()
    changed = [path for path in there if path not in unneeded and not _is(path, there[path])]
    map_in_threads(changed, lambda path: download_object(objects, there[path].key, path), AT_ONCE)


def upload(layout: Layout, *paths: Path, dated: bool = False) -> None:
    """Upload files to the store, the last one after all others.

    Args:
        dated: set their local times to the store's, so that they have the same identity on every machine.
    """
    stored = [(path, place) for path in paths if (place := layout.stored(path)) is not None]
    if not stored:
        return
    *rest, last = stored
    map_in_threads(rest, lambda each: each[1][0].put(each[1][1], each[0]), AT_ONCE)
    last[1][0].put(last[1][1], last[0])
    for path, (objects, key) in stored if dated else ():
        found = objects.head(key)
        if found is not None:
            _date(path, found)


def delete_files(layout: Layout, *paths: Path) -> None:
    """Delete files, locally and in the store."""
    for path in paths:
        path.unlink(missing_ok=True)
    stored = [place for path in paths if (place := layout.stored(path)) is not None]
    if stored:
        stored[0][0].delete([key for _, key in stored])


def download_object(objects: Objects, key: str, path: Path, found: Found | None = None) -> Found | None:
    """The object, downloaded to a file with the object's time; None if it does not exist."""
    found = found or objects.head(key)
    if found is None:
        return None
    with unfinished_file(path.parent) as temporary:
        try:
            with temporary.open("wb") as file:
                copy_to(objects, found, file)
        except BadFileError as error:  # the store failed, not a source
            raise StoreError(str(error)) from error
        _date(temporary, found)
        temporary.replace(path)
    return found


def _is(path: Path, found: Found) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (found.size, _nanoseconds(found))


def _date(path: Path, found: Found) -> None:
    os.utime(path, ns=(_nanoseconds(found), _nanoseconds(found)))


def _nanoseconds(found: Found) -> int:
    return int(found.modified.timestamp()) * 1_000_000_000  # some answers state fractions, others none

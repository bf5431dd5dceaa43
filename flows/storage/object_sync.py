"""Files under a layout that stand for objects: brought when they are wanted, sent when they are done.

For local layouts all of this is a look at the disk. What carries its content's name never changes (``have``); the rest
is asked for anew (``renew``). Several processes may do either at once: a file appears whole.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from flows.storage.layout import Layout, write_atomically
from flows.storage.object_store import Found, Objects, StoreError, copy_to
from flows.storage.temporary_files import unfinished_file
from flows.storage.threads import in_threads
from transforms.errors import BadFileError

AT_ONCE = 16


def have(layout: Layout, path: Path) -> bool:
    """Whether a file that never changes is here, brought from the store if need be."""
    if path.exists():
        return True
    stored = layout.stored(path)
    return stored is not None and bring(*stored, path) is not None


def have_all(layout: Layout, paths: Iterable[Path]) -> list[Path]:
    """``have`` for many; those that are nowhere."""
    absent = [path for path in paths if not path.exists()]
    if not absent or layout.stored(absent[0]) is None:
        return absent
    found = in_threads(absent, lambda path: have(layout, path), AT_ONCE)
    return [path for path, here in zip(absent, found, strict=True) if not here]


def renew(layout: Layout, path: Path) -> bool:
    """Whether there is such a small file; here it is then as the store has it now."""
    stored = layout.stored(path)
    if stored is None:
        return path.exists()
    data = stored[0].get(stored[1])
    if data is None:
        path.unlink(missing_ok=True)
    elif not path.exists() or path.read_bytes() != data:
        write_atomically(path, data)
    return data is not None


def renew_folder(layout: Layout, folder: Path, *unneeded: Path) -> None:
    """``renew`` for every file of a folder; what is in the store no more goes here too.

    Args: unneeded: files that are not brought now; what is here of them stays.
    """
    stored = layout.stored(folder)
    if stored is None:
        return
    objects, key = stored
    there = {folder / found.key.removeprefix(f"{key}/"): found for found in objects.list(key)}
    for path in folder.rglob("*"):
        if path.is_file() and path not in there and not path.name.startswith("."):
            path.unlink()
    wanted = [path for path in there if path not in unneeded]
    in_threads(wanted, lambda path: _is(path, there[path]) or bring(objects, there[path].key, path), AT_ONCE)


def keep(layout: Layout, *paths: Path, dated: bool = False) -> None:
    """Send files to the store, the last one when all others are there.

    Args:
        dated: give them the time that the store gives them, so that they are the same files on every machine.
    """
    stored = [(path, place) for path in paths if (place := layout.stored(path)) is not None]
    if not stored:
        return
    *rest, last = stored
    in_threads(rest, lambda each: each[1][0].put(each[1][1], each[0]), AT_ONCE)
    last[1][0].put(last[1][1], last[0])
    for path, (objects, key) in stored if dated else ():
        found = objects.head(key)
        if found is not None:
            _date(path, found)


def forget(layout: Layout, *paths: Path) -> None:
    """Delete files, here and in the store."""
    for path in paths:
        path.unlink(missing_ok=True)
    stored = [place for path in paths if (place := layout.stored(path)) is not None]
    if stored:
        stored[0][0].delete([key for _, key in stored])


def bring(objects: Objects, key: str, path: Path, found: Found | None = None) -> Found | None:
    """An object as a file, of the object's time; None where there is none."""
    found = found or objects.head(key)
    if found is None:
        return None
    with unfinished_file(path.parent) as temporary:
        try:
            with temporary.open("wb") as file:
                copy_to(objects, found, file)
        except BadFileError as error:  # no source's fault
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

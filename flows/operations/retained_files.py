"""Files of an output or cache, local or in object storage: their sizes, their times, and their removal."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flows.storage.atomic_files import remove_folder
from flows.storage.layout import Layout
from flows.storage.object_store import ObjectMeta

Inode = tuple[int, int]


@dataclass(frozen=True)
class File:
    """One file or object. modified: seconds since 1970. inode, links: a local file may have several names."""

    path: Path
    size: int
    modified: float
    inode: Inode | None = None
    links: int = 1

    @classmethod
    def stored(cls, path: Path, meta: ObjectMeta) -> "File":
        """An object, under its path in the layout."""
        return cls(path, meta.size, meta.modified.timestamp())


def walk_files(layout: Layout, folder: Path) -> Iterator[File]:
    """The files under a folder of the layout, where they are published or cached: on the disk or in the store."""
    stored = layout.stored(folder)
    if stored is not None:
        objects, prefix = stored
        yield from (File.stored(folder / each.key.removeprefix(f"{prefix}/"), each) for each in objects.list(prefix))
        return
    inside = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    for path in inside if folder.is_dir() else [folder]:
        with suppress(FileNotFoundError):  # another process removed it
            status = path.lstat()
            yield File(path, status.st_size, status.st_mtime, (status.st_dev, status.st_ino), status.st_nlink)


def list_files(layout: Layout, folder: Path) -> list[File]:
    """The same, in order of their paths."""
    return sorted(walk_files(layout, folder), key=lambda file: file.path)


def freed_bytes(files: Iterable[File], names: Counter[Inode]) -> int:
    """The bytes that are free when these files go, too; a file whose bytes have another name frees nothing.

    Args: names: how many names of each local file go, of those counted so far.
    """
    total = 0
    for file in files:
        if file.inode is not None:
            names[file.inode] += 1
        if file.inode is None or names[file.inode] == file.links:
            total += file.size
    return total


def remove_entry(layout: Layout, path: Path, files: Iterable[File]) -> None:
    """Remove a cache entry: a folder or a file, whose local copy goes with the stored one."""
    stored = layout.stored(path)
    if stored is not None:
        objects, key = stored
        objects.delete(f"{key}{str(file.path).removeprefix(str(path))}" for file in files)
    if path.is_dir():
        remove_folder(path)
    else:
        path.unlink(missing_ok=True)

"""Entries of the cache: small JSON records, and folders of tables that state how long each table is."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from flows.storage.layout import Layout
from flows.storage.object_sync import ensure_local

Record = TypeVar("Record")


class CacheEntry(msgspec.Struct, kw_only=True):
    """The record of a folder of tables. ``tables``: their names and bytes."""

    tables: dict[str, int] = {}


Entry = TypeVar("Entry", bound=CacheEntry)


def decode_record(data: bytes, kind: type[Record]) -> Record | None:
    """The record; None if it was cut, damaged, or written by a version with other fields."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_record(path: Path, kind: type[Record]) -> Record | None:
    """The record in a file; None if no record there can be decoded."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return None
    return decode_record(data, kind)


def note_use(path: Path) -> None:
    """Mark a cached file as used now: its time says so to ``tic-rates prune``. Object storage has no such marks."""
    with suppress(OSError):  # removed meanwhile, or another user's
        os.utime(path)


def write_cache_entry(folder: Path, name: str, entry: CacheEntry) -> None:
    """Write a folder's record beside its tables, with their sizes."""
    with os.scandir(folder) as files:
        entry.tables = dict(
            sorted((file.name, file.stat().st_size) for file in files if file.name.endswith(".parquet"))
        )
    (folder / name).write_bytes(msgspec.json.encode(entry))


def read_cache_entry(layout: Layout, folder: Path, name: str, kind: type[Entry]) -> Entry | None:
    """A folder's record, downloaded if needed; None if it can't be decoded or a table lost bytes.

    After a loss of power a renamed folder may hold files without their content. Tables in object storage are
    downloaded later.
    """
    entry = read_record(folder / name, kind) if ensure_local(layout, folder / name) else None
    if entry is None:
        return None
    stored = layout.stored(folder) is not None
    sizes = ((_size(f"{folder}/{table}"), size) for table, size in entry.tables.items())
    note_use(folder / name)
    return entry if all(found == size or (found is None and stored) for found, size in sizes) else None


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116 for each table of each file of a night
    except FileNotFoundError:
        return None

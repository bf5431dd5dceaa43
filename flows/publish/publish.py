"""Putting a built month in front of readers: whole folders exchanged by rename, then the manifest.

A month's tables are all new or all old, whatever fails and whatever signal comes. A SIGKILL among the renames leaves
each table old or new, which the manifest tells; the next command on the output does the rest of the renames, which a
journal in ``.staging`` names. In object storage files are replaced one by one
(``flows.publish.object_publication``); its local copy follows.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from flows.download.sources import sha256_of
from flows.publish.datapackage import describe_package
from flows.publish.manifest import check_cache, fill_manifest, full_manifest, now, read_manifest
from flows.publish.object_publication import ATTEMPTS, finish_publication, named_files, publish
from flows.publish.older_outputs import older_months, upgrade_output
from flows.storage.atomic_files import exchange_folders, write_atomically, written_beside
from flows.storage.layout import Layout, month_name
from flows.storage.locks import is_abandoned, locked
from flows.storage.object_store import Objects
from flows.storage.object_sync import AT_ONCE, download_object, refresh
from flows.storage.threads import deferred_signals, map_in_threads
from transforms.errors import TicRatesError, UsageError

LOG = logging.getLogger(__name__)
Change = Callable[[dict[str, Any]], None]  # of the manifest
TABLES = ("rates", "providers", "summaries", "network_summaries", "quality", "coverage")
MANIFEST_LOCK = "manifest.lock"
JOURNAL = "publishing.json"
PACKAGE = "datapackage.json"


class PublicationConflictError(TicRatesError):
    """Another run published the month first. The run starts again; what it read is in the cache."""


def prepare_output(layout: Layout) -> None:
    """Make the folders, finish a killed publication, and download the manifest of an output in object storage.

    Raises:
        UsageError: it can't be written to, or a later version of tic-rates wrote it or the cache.
    """
    read_manifest(layout)
    layout.prepare()
    if layout.store is not None:
        layout.store.put(".state/writable", b"")
    check_cache(layout)
    fetch_published(layout)
    publish_package(layout)


def publish_month(layout: Layout, month: date, built: Path, note: Change) -> None:
    """Replace the month's folder of every table by the one built, and ``note`` it in the manifest.

    All files are written first. Renames follow, with signals deferred; where one fails, the earlier ones are undone.
    The old tables end up where the new ones were built. Until the month's new entry is written, the manifest lists the
    month under ``publishing``: see ``output/README.md``.
    """
    if layout.store is None:
        _publish_here(layout, month, built, note)
    else:
        _publish_there(layout, month, built, note)
    for folder in (layout.month(table, month) for table in TABLES):
        for each in (folder, folder.parent):
            if each.exists() and not any(each.iterdir()):  # the month has no such table, such as ``coverage``
                each.rmdir()
    publish_package(layout)


def _publish_there(layout: Layout, month: date, built: Path, note: Change) -> None:
    folders = [layout.month(table, month).relative_to(layout.root).as_posix() for table in TABLES]
    files = dict(zip(folders, (built / table for table in TABLES), strict=True))
    _publish_stored(layout, note, files)
    for table in TABLES:
        (built / table).mkdir(parents=True, exist_ok=True)
        layout.month(table, month).parent.mkdir(parents=True, exist_ok=True)
        exchange_folders(built / table, layout.month(table, month))


def publish_package(layout: Layout) -> None:
    """Bring ``datapackage.json`` up to date with the published files."""
    path = layout.root / PACKAGE
    if layout.store is None:
        files = [file.relative_to(layout.root).as_posix() for file in layout.root.glob("*/period=*/**/*.parquet")]
        published = sha256_of(path)
    else:
        manifest = full_manifest(layout)
        files = list(named_files(manifest, *TABLES, "practices"))
        published = named_files(manifest, PACKAGE).get(PACKAGE, {}).get("sha256")
    package = describe_package(files)
    if hashlib.sha256(package).hexdigest() == published or not (files or published):
        return
    write_atomically(path, package)
    if layout.store is not None:
        _publish_stored(layout, lambda _: None, {PACKAGE: path})


def _publish_here(layout: Layout, month: date, built: Path, note: Change) -> None:
    moves = [(built / table, layout.month(table, month)) for table in TABLES]
    for new, target in moves:
        new.mkdir(parents=True, exist_ok=True)
        sync_folder(new)
        target.parent.mkdir(parents=True, exist_ok=True)
    with manifest_lock(layout), ExitStack() as leftovers:
        marked, undone = (
            leftovers.enter_context(written_beside(layout.manifest, _changed(layout, change)))
            for change in (partial(_mark, month=month), partial(_touch, month=month))
        )
        noted = built / layout.manifest.name
        write_atomically(noted, _changed(layout, note))
        journal = _write_journal(layout, built, month)
        done: list[tuple[Path, Path]] = []
        with deferred_signals():
            try:
                marked.replace(layout.manifest)
                for new, target in moves:
                    exchange_folders(new, target)
                    done.append((new, target))
                noted.replace(layout.manifest)
            except BaseException:
                for new, target in reversed(done):
                    _put_back(new, target)
                undone.replace(layout.manifest)
                journal.unlink()
                raise
            journal.unlink()


@contextmanager
def manifest_lock(layout: Layout) -> Iterator[None]:
    """One process at a time changes the manifest or publishes. A killed publication is finished first."""
    with locked(layout.staging / MANIFEST_LOCK):
        _finish_killed(layout)
        yield


def _write_journal(layout: Layout, built: Path, month: date) -> Path:
    """Write down what is published, and the inodes of the new folders, which a rename does not change."""
    inodes = {table: (built / table).stat().st_ino for table in TABLES}
    stated = {"month": month.isoformat(), "built": built.name, "inodes": inodes}
    write_atomically(layout.staging / JOURNAL, json.dumps(stated).encode())
    return layout.staging / JOURNAL


def _finish_killed(layout: Layout) -> None:
    """Do the renames that are left of a publication whose process was killed, the manifest last."""
    journal = layout.staging / JOURNAL
    if not journal.exists():
        return
    stated = json.loads(journal.read_bytes())
    built, month = layout.staging / stated["built"], date.fromisoformat(stated["month"])
    if built.exists() and not is_abandoned(built):  # locks are not shared here, and another machine may be at it
        return
    with deferred_signals():
        for table, inode in stated["inodes"].items():
            new = built / table
            if new.exists() and new.stat().st_ino == inode:
                exchange_folders(new, layout.month(table, month))
        noted = built / layout.manifest.name
        if noted.exists():
            noted.replace(layout.manifest)
        journal.unlink()
    LOG.warning("%s: finished its publication, which was killed", month_name(month))


def _put_back(new: Path, target: Path) -> None:
    """Undo ``exchange_folders``."""
    if new.exists():
        exchange_folders(new, target)
    else:
        target.rename(new)


def _mark(manifest: dict[str, Any], month: date) -> None:
    manifest["publishing"].append(month_name(month))


def _touch(manifest: dict[str, Any], month: date) -> None:
    """Change the publication time, by which readers notice that tables were exchanged."""
    entry = manifest["months"].get(month_name(month))
    if entry is not None:
        entry["published_at"] = now()


def _changed(layout: Layout, change: Change) -> bytes:
    """The manifest as it will be."""
    manifest = full_manifest(layout)
    change(manifest)
    return json.dumps(manifest, indent=1, sort_keys=True, default=str).encode() + b"\n"


def publish_folder(layout: Layout, *paths: Path) -> None:
    """Upload a folder such as the report, or files, to an output in object storage, as one publication."""
    if layout.store is not None:
        _publish_stored(layout, lambda _: None, {path.relative_to(layout.root).as_posix(): path for path in paths})


def _publish_stored(layout: Layout, change: Change, folders: dict[str, Path]) -> None:
    assert layout.store is not None
    files = {name: place for name, place in folders.items() if place.is_file()} | {
        f"{name}/{path.relative_to(folder).as_posix()}": path
        for name, folder in folders.items()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    write_atomically(layout.manifest, publish(layout.store, lambda m: change(fill_manifest(m)), files, folders))


def fetch_published(layout: Layout, *folders: str) -> None:
    """Download the manifest and the files that it names in these folders, for an output in object storage.

    A killed publication is finished first, in a local output too; tables of an earlier version are rewritten there.

    Raises:
        UsageError: other runs published too often while this one read, or another version of tic-rates published.
    """
    if layout.store is None:
        read_manifest(layout)
        if (layout.staging / JOURNAL).exists() or older_months(layout):
            with manifest_lock(layout):  # which finishes it
                upgrade_output(layout)
        return
    for _ in range(ATTEMPTS):
        finish_publication(layout.store)
        refresh(layout, layout.manifest)
        manifest = full_manifest(layout)
        if any("/month=" in path for path in named_files(manifest, *TABLES)):  # a store has no rename
            how = "publish its months again under another address, with `tic-rates backfill`"
            raise UsageError(f"{layout.location}: published by an earlier version, with folders named month=; {how}")
        files = {layout.root / path: file["sha256"] for path, file in named_files(manifest, *folders).items()}
        if _bring_files(layout.store, layout, files, folders):
            return
    raise UsageError(f"{layout.location}: other runs published {ATTEMPTS} times while this one read; run again")


def _bring_files(objects: Objects, layout: Layout, files: Mapping[Path, str], folders: Iterable[str]) -> bool:
    """Whether the folders have exactly these files now; False where the store has others."""
    for folder in folders:
        for path in (layout.root / folder).rglob("*"):
            if path.is_file() and path not in files:
                path.unlink(missing_ok=True)

    def is_current(path: Path) -> bool:
        key = path.relative_to(layout.root).as_posix()
        return sha256_of(path) == files[path] or (
            download_object(objects, key, path) and sha256_of(path) == files[path]
        )

    return all(map_in_threads(files, is_current, AT_ONCE))


def change_manifest(layout: Layout, change: Change) -> None:
    """Change the manifest atomically, one run at a time."""
    if layout.store is not None:
        _publish_stored(layout, change, {})
        return
    with manifest_lock(layout):
        write_atomically(layout.manifest, _changed(layout, change))


def sync_folder(folder: Path) -> None:
    """Everything in the folder reaches the disk before its name does."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

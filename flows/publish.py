"""Putting a built month in front of readers: whole folders exchanged by rename, then the manifest.

A month's tables are all new or all old, whatever fails; a kill among the renames leaves each old or new, which the
manifest tells. The next run sweeps what is left over.
"""

import ctypes
import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from flows.layout import Layout, locked, month_name, scratch, write_beside

TABLES = ("rates", "providers", "summaries", "quality")
MANIFEST_LOCK = "manifest.lock"
Change = Callable[[dict[str, Any]], None]
KEPT_SECONDS = 24 * 3600
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def publish_month(layout: Layout, month: date, built: Path, note: Change) -> None:
    """Replace the month's folder of every table by the one built, and ``note`` it in the manifest.

    What takes room on the disk is written first. What follows are renames; where one fails, or we are told to stop,
    those done are undone: the month's tables are all new or all old. The old ones end up where the new ones were built.
    The manifest says so from before the first table until the month's new entry: see ``output/README.md``.
    """
    moves = [(built / table, layout.month(table, month)) for table in TABLES]
    for new, target in moves:
        new.mkdir(parents=True, exist_ok=True)
        sync_folder(new)
        target.parent.mkdir(parents=True, exist_ok=True)
    with locked(layout.staging / MANIFEST_LOCK), ExitStack() as leftovers:
        marked, noted, undone = (
            _write_beside(layout, change, leftovers)
            for change in (partial(_mark, month=month), note, partial(_touch, month=month))
        )
        marked.replace(layout.manifest)
        done: list[tuple[Path, Path]] = []
        try:
            for new, target in moves:
                exchange_folders(new, target)
                done.append((new, target))
            noted.replace(layout.manifest)
        except BaseException:
            if noted.exists():
                for new, target in reversed(done):
                    _put_back(new, target)
                undone.replace(layout.manifest)
            raise


def _put_back(new: Path, target: Path) -> None:
    """Undo ``exchange_folders``."""
    if new.exists():
        exchange_folders(new, target)
    else:
        target.rename(new)


def _mark(manifest: dict[str, Any], month: date) -> None:
    manifest["publishing"].append(month_name(month))


def _touch(manifest: dict[str, Any], month: date) -> None:
    """Whoever reads beside us is to notice that tables came and went."""
    entry = manifest["months"].get(month_name(month))
    if entry is not None:
        entry["published_at"] = now()


def now() -> str:
    """As the manifest writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _write_beside(layout: Layout, change: Change, leftovers: ExitStack) -> Path:
    """The manifest as it will be, beside it; gone with ``leftovers`` unless it was renamed."""
    manifest = _read(layout)
    change(manifest)
    beside = write_beside(layout.manifest, json.dumps(manifest, indent=1, sort_keys=True, default=str).encode() + b"\n")
    leftovers.callback(beside.unlink, missing_ok=True)
    return beside


def _read(layout: Layout) -> dict[str, Any]:
    empty: dict[str, Any] = {"format": 1, "months": {}, "failures": {}, "publishing": []}
    if not layout.manifest.exists():
        return empty
    manifest: dict[str, Any] = json.loads(layout.manifest.read_bytes())
    return empty | manifest


def record(layout: Layout, change: Change) -> None:
    """Change the manifest, atomically; runs of other months wait for their turn."""
    with locked(layout.staging / MANIFEST_LOCK), ExitStack() as leftovers:
        _write_beside(layout, change, leftovers).replace(layout.manifest)


def published(layout: Layout, month: date) -> dict[str, Any]:
    """The manifest's entry of a month; empty when it was never published."""
    months = _read(layout)["months"]
    entry: dict[str, Any] = months.get(month_name(month), {})
    return entry


def published_before(layout: Layout, month: date) -> tuple[str, dict[str, Any]]:
    """Name and entry of the last published month before this one; empty when there is none."""
    earlier = sorted(name for name in _read(layout)["months"] if name < month_name(month))
    return (earlier[-1], _read(layout)["months"][earlier[-1]]) if earlier else ("", {})


def drop_unused_builds(layout: Layout) -> None:
    """Forget payers' builds that no published month stands on, a day after they were made."""
    months = _read(layout)["months"].values()
    used = {payer["build"] for entry in months for payer in entry.get("payers", {}).values()}
    for folder in layout.payer_builds.iterdir():
        if folder.name not in used and not folder.name.startswith(".") and _age_seconds(folder) > KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _age_seconds(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:  # another run dropped it
        return 0.0


def exchange_folders(new: Path, target: Path) -> None:
    """The target is the new folder from one instant to the next; what it was, if anything, is where the new one was."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        new.rename(target)
    elif not _exchange(new, target):
        old = scratch(target.parent)
        target.rename(old)  # a file system without exchange: readers may miss the folder between these two renames
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


def sync_folder(folder: Path) -> None:
    """Everything in the folder reaches the disk before its name does."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Putting a built month in front of readers: whole folders exchanged by rename, then the manifest.

A kill at any point leaves each table either old or new; the next run sweeps what is left over.
"""

import ctypes
import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from flows.layout import Layout, month_name, scratch, write_atomically
from transforms.errors import UsageError

TABLES = ("rates", "providers", "summaries", "quality")
KEPT_SECONDS = 24 * 3600
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def publish_month(layout: Layout, month: date, built: Path) -> None:
    """Replace the month's folder of every table by the one built."""
    try:
        for table in TABLES:
            new = built / table
            new.mkdir(parents=True, exist_ok=True)
            sync_folder(new)
            replace_folder(new, layout.month(table, month))
    except OSError as error:
        raise UsageError(f"can't publish under {layout.root}: {error.strerror}; the last good tables stand") from error


def _read(layout: Layout) -> dict[str, Any]:
    empty: dict[str, Any] = {"format": 1, "months": {}, "failures": {}}
    if not layout.manifest.exists():
        return empty
    manifest: dict[str, Any] = json.loads(layout.manifest.read_bytes())
    return empty | manifest


def record(layout: Layout, change: Callable[[dict[str, object]], None]) -> None:
    """Change the manifest, atomically; runs of other months wait for their turn."""
    with (layout.staging / "manifest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        manifest = _read(layout)
        change(manifest)
        write_atomically(layout.manifest, json.dumps(manifest, indent=1, sort_keys=True, default=str).encode() + b"\n")


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


def replace_folder(new: Path, target: Path) -> None:
    """The target is the new folder from one instant to the next; the old one is deleted after."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        new.rename(target)
        return
    if _exchange(new, target):
        shutil.rmtree(new)
        return
    old = scratch(target.parent)
    target.rename(old)  # a file system without exchange: readers may miss the folder between these two renames
    new.rename(target)
    shutil.rmtree(old)


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

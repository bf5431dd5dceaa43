"""Retention: payers' builds that no published month needs are removed."""

import time
from datetime import timedelta
from pathlib import Path

from flows.publish.manifest import read_manifest
from flows.storage.atomic_files import remove_folder
from flows.storage.layout import Layout

UNUSED_SECONDS = 24 * 3600
SHARED_UNUSED_SECONDS = 100 * UNUSED_SECONDS  # in a cache that is elsewhere, and may serve other outputs


def remove_unused_builds(layout: Layout) -> None:
    """Remove payers' builds that no published month needs, a day after their last use (shared: later)."""
    longest = SHARED_UNUSED_SECONDS if layout.cache_location else UNUSED_SECONDS
    months = read_manifest(layout).get("months", {}).values()
    used = {payer["build"] for entry in months for payer in entry.get("payers", {}).values()}
    for folder in layout.payer_builds.iterdir():
        if folder.name not in used and not folder.name.startswith(".") and _age_seconds(folder) > longest:
            remove_folder(folder)
    if layout.store is not None and not layout.cache_location:
        _remove_stored_builds(layout, used)


def _remove_stored_builds(layout: Layout, used: set[str]) -> None:
    """The same in the store, by its clock. A cache that is elsewhere may serve other outputs too: it stays."""
    stored = layout.stored(layout.payer_builds)
    assert stored is not None
    objects, prefix = stored
    found = list(objects.list(prefix))
    if found:
        since = max(each.modified for each in found) - timedelta(seconds=UNUSED_SECONDS)
        builds = {each.key: each.key.removeprefix(f"{prefix}/").partition("/")[0] for each in found}
        young = {builds[each.key] for each in found if each.modified >= since}
        objects.delete(key for key, build in builds.items() if build not in used | young)


def _age_seconds(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:  # another run removed it
        return 0.0

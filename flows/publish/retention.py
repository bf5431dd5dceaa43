"""Retention: published months, payers' builds and leftovers that are not needed any more, and their removal.

A month is removed as a publication without tables: readers see all of its tables or none, and the next command finishes
a removal that was killed. The manifest keeps what the gates compare later months with.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from flows.publish.manifest import now, read_manifest
from flows.publish.publish import TABLES, manifest_lock, publish_month
from flows.storage.atomic_files import remove_abandoned, remove_folder, unfinished_folder
from flows.storage.layout import Layout, month_of_name
from flows.storage.locks import locked, locked_if_free
from flows.storage.resource_errors import explain_resource_errors
from flows.tables.payer_builds import FIGURES
from transforms.errors import UsageError

LOG = logging.getLogger(__name__)
UNUSED_SECONDS = 24 * 3600
SHARED_UNUSED_SECONDS = 100 * UNUSED_SECONDS  # in a cache that is elsewhere, and may serve other outputs
IN_USE = "in_use.lock"
_NOTED = ("failures", "awaited", "stale")  # what the manifest says of months besides their entries
_COMPARED = ("rows", "rows_eligible", "medians_usd", "groups", "reporting_entities")  # of a payer, by the gates


@contextmanager
def output_in_use(layout: Layout) -> Iterator[None]:
    """While the body runs, `tic-rates prune` refuses to start; the body waits for one that is at work."""

    def log_waiting() -> None:
        LOG.warning("%s: tic-rates prune is at work; waiting for it", layout.location)

    with ExitStack() as held:
        with explain_resource_errors("locking the output", layout.staging):
            for folder in (layout.staging, layout.cache):
                held.enter_context(locked(folder / IN_USE, log_waiting, shared=True))
        yield


@contextmanager
def published_in_use(layout: Layout) -> Iterator[None]:
    """As ``output_in_use``, for what reads an output: nothing is created where nothing is published."""
    with output_in_use(layout) if layout.manifest.exists() else nullcontext():
        yield


@contextmanager
def output_unused(layout: Layout) -> Iterator[None]:
    """While the body runs, no run of this machine uses the output or its cache: it waits.

    Raises:
        UsageError: a run uses one of them now.
    """
    with ExitStack() as held:
        for folder, name in ((layout.staging, layout.location), (layout.cache, layout.name_of(layout.cache))):
            if not held.enter_context(locked_if_free(folder / IN_USE)):
                raise UsageError(
                    f"{name}: a run uses it now, so nothing was removed; prune again when the run has ended"
                )
        yield


@dataclass(frozen=True)
class MonthChoice:
    """Names of the published months that stay and that go. needed: months that stay beyond the number, and why."""

    kept: tuple[str, ...]
    removed: tuple[str, ...]
    needed: Mapping[str, str] = field(default_factory=dict)


def choose_months(manifest: Mapping[str, Any], keep: int | None) -> MonthChoice:
    """The newest published months stay, and those that have the last rows of a payer that is absent in one of them.

    A payer is absent where it is withheld, or awaited, and the month has no earlier rows of it.

    Args: keep: how many; None: all.
    """
    months: Mapping[str, Mapping[str, Any]] = manifest.get("months", {})
    names = sorted(months)
    newest = names if keep is None else names[-keep:]
    needed: dict[str, str] = {}
    for name in newest:
        states = {"withheld": months[name].get("withheld", {}), "awaited": manifest.get("awaited", {}).get(name, {})}
        for state, absent in states.items():
            for payer in sorted(absent):
                last = max((each for each in names if each <= name and _has_rows(months[each], payer)), default=name)
                if last not in newest:
                    needed.setdefault(last, f"the last rows of {payer}, {state} in {name}")
    kept = sorted({*newest, *needed})
    return MonthChoice(tuple(kept), tuple(name for name in names if name not in kept), needed)


def _has_rows(entry: Mapping[str, Any], payer: str) -> bool:
    """Whether a month has rows of a payer, or of a block of the configuration with that name."""
    payers: Mapping[str, Mapping[str, Any]] = entry.get("payers", {})
    return payer in payers or any(payer in each.get("groups", ()) for each in payers.values())


def remove_month(layout: Layout, name: str) -> None:
    """Remove a month's tables and its entry in the manifest."""
    with unfinished_folder(layout.staging) as nothing:
        publish_month(layout, month_of_name(name), nothing, partial(_note_pruned, name=name))


def _note_pruned(manifest: dict[str, Any], name: str) -> None:
    """Replace the month's entry by what later months are compared with. ``pruning``: until all else is done, too."""
    entry = manifest["months"].pop(name, None)
    if entry is not None:
        payers = {}
        for payer, figures in entry.get("payers", {}).items():  # files matter only where no configured block is behind
            keys = _COMPARED if figures.get("groups") else (*_COMPARED, "source_ids")
            payers[payer] = {key: figures[key] for key in keys if key in figures}
        compared = {key: entry[key] for key in ("published_at", "software", "coverage") if key in entry}
        manifest["pruned"][name] = {"pruned_at": now(), "payers": payers, **compared}
    for key in _NOTED:
        manifest.get(key, {}).pop(name, None)
    manifest["publishing"] = [other for other in manifest["publishing"] if other != name]
    manifest["pruning"] = True


def leftover_folders(layout: Layout) -> list[Path]:
    """The folders in which killed runs leave temporary files, but for the staging folder."""
    built = (layout.cache / "nppes", layout.reference, layout.utilization, *layout.coverage.glob("*"))
    cached = (layout.extracts, layout.ledger, layout.listings, layout.remote, layout.payer_builds)
    return [*cached, *built, layout.root, *(layout.root / table for table in TABLES)]


def remove_all_abandoned(layout: Layout) -> None:
    """Remove what killed runs left behind."""
    for folder in leftover_folders(layout):
        remove_abandoned(folder)
    with manifest_lock(layout):  # finishes what a killed run was publishing, before leftovers are removed
        remove_abandoned(layout.staging)


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
    """Since the last use of a build; of one without its record, since it was written."""
    record = folder / FIGURES
    try:
        return time.time() - (record if record.exists() else folder).stat().st_mtime
    except OSError:  # another run removed it
        return 0.0

"""`tic-rates prune`: months beyond a number, cache entries that no run used for days, and leftovers of killed runs.

A plan lists every file that goes; what is said to be freed is the same whether the plan is carried out or not. It never
has the newest published month, the last rows of a payer that is withheld or awaited, reference data or Delta tables.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.operations.retained_files import File, Usage, freed_bytes, list_files, remove_entry
from flows.operations.unused_entries import unused_entries
from flows.publish.manifest import parse_manifest, read_manifest
from flows.publish.object_publication import MANIFEST, abandoned_uploads
from flows.publish.older_outputs import older_months
from flows.publish.publish import (
    JOURNAL,
    TABLES,
    change_manifest,
    fetch_published,
    publish_folder,
    publish_package,
)
from flows.publish.retention import (
    MonthChoice,
    choose_months,
    leftover_folders,
    output_unused,
    remove_all_abandoned,
    remove_month,
)
from flows.storage.atomic_files import find_abandoned, remove_folder
from flows.storage.layout import Layout, month_of_name
from flows.storage.object_sync import delete_files
from flows.storage.resource_errors import explain_resource_errors
from transforms.errors import UsageError


@dataclass(frozen=True)
class Plan:
    """What goes: months, and by kind, the files of each entry of the output and of the cache."""

    months: MonthChoice
    published: Mapping[str, Mapping[str, list[File]]]
    cached: Mapping[str, Mapping[Path, list[File]]]

    @property
    def freed(self) -> dict[str, dict[str, int]]:
        """By kind: how many entries and files, and the bytes that are free without them."""
        usage = Usage()
        kinds: dict[str, list[list[File]]] = {kind: [*found.values()] for kind, found in self.published.items()}
        kinds |= {kind: [*found.values()] for kind, found in self.cached.items()}
        return {
            kind: {
                "entries": len(entries),
                "files": sum(map(len, entries)),
                "bytes": freed_bytes((file for files in entries for file in files), usage),
            }
            for kind, entries in kinds.items()
        }


def prune(
    layout: Layout, keep_months: int | None = None, cache_days: int | None = None, *, dry_run: bool = False
) -> dict[str, Any]:
    """What went, or with ``dry_run`` would go, and how many bytes.

    Args:
        keep_months: the number of newest published months that stay; None: all.
        cache_days: a cache entry stays that was used in so many days; None: all.

    Raises:
        UsageError: there is no such output, or a run uses it now.
    """
    started = time.perf_counter()
    if layout.store is None and not layout.root.is_dir():
        raise UsageError(f"{layout.location}: no such output; give the --output of your runs")
    if dry_run:
        plan = make_plan(layout, _manifest_as_it_is(layout), keep_months, cache_days)
        freed, report = plan.freed, None
    else:
        with explain_resource_errors("pruning", layout.root, "tables that stay are complete"), output_unused(layout):
            fetch_published(layout)  # which finishes a killed publication
            plan = make_plan(layout, read_manifest(layout), keep_months, cache_days)
            freed = plan.freed
            _carry_out(layout, plan)
        report = _finish(layout)
    return {
        "output": layout.location,
        "dry_run": dry_run,
        "keep_months": keep_months,
        "cache_days": cache_days,
        "months_kept": list(plan.months.kept),
        "months_needed": dict(plan.months.needed),
        "months_removed": list(plan.months.removed),
        "kinds": freed,
        "bytes": sum(kind["bytes"] for kind in freed.values()),
        "untouched": _untouched(layout),
        "report": report,
        "seconds": round(time.perf_counter() - started, 3),
    }


def _manifest_as_it_is(layout: Layout) -> dict[str, Any]:
    """The manifest, without a change to the output.

    Raises:
        UsageError: another command has to finish or rewrite the output first.
    """
    if layout.store is not None:
        return parse_manifest(layout.store.get(MANIFEST), layout)
    if (layout.staging / JOURNAL).exists() or older_months(layout):
        what = "a killed publication is not finished, or tables are an earlier version's"
        raise UsageError(f"{layout.location}: {what}; `tic-rates report` or any run sees to it, then ask again")
    return read_manifest(layout)


def make_plan(layout: Layout, manifest: Mapping[str, Any], keep_months: int | None, cache_days: int | None) -> Plan:
    """What goes, of an output with this manifest."""
    months = choose_months(manifest, keep_months)
    gone = {*months.removed, *(name for name in manifest.get("pruned", {}) if name not in manifest.get("months", {}))}
    month_files = {name: _files_of(layout, TABLES, name) for name in months.removed}
    practices = {name: _files_of(layout, ("practices",), name) for name in sorted(gone)}
    pages = {name: list_files(layout, layout.root / "report" / "practices" / name) for name in sorted(gone)}
    published: dict[str, dict[str, list[File]]] = {
        "months": month_files,
        "practices": {name: files for name, files in practices.items() if files},
        "report_pages": {name: files for name, files in pages.items() if files},
        "run_records": {file.path.stem: [file] for file in list_files(layout, layout.runs) if file.path.stem in gone},
        "leftovers": dict(_leftovers(layout)),
    }
    newest = manifest.get("months", {}).get(months.kept[-1], {}) if months.kept else {}
    cached = {} if cache_days is None else unused_entries(layout, newest, cache_days)
    builds = _builds_of(layout, manifest, months) | cached.get("builds", {})
    return Plan(months, published, cached | {"builds": builds})


def _builds_of(layout: Layout, manifest: Mapping[str, Any], months: MonthChoice) -> dict[Path, list[File]]:
    """Payers' builds that only months which go need. A shared cache may have them for other outputs."""
    if layout.cache_location is not None:
        return {}

    def keys(names: Iterable[str]) -> set[str]:
        return {payer["build"] for name in names for payer in manifest["months"][name].get("payers", {}).values()}

    unneeded = (layout.payer_builds / key for key in sorted(keys(months.removed) - keys(months.kept)))
    return {path: files for path in unneeded if (files := list_files(layout, path))}


def _files_of(layout: Layout, tables: Iterable[str], name: str) -> list[File]:
    return [file for table in tables for file in list_files(layout, layout.month(table, month_of_name(name)))]


def _leftovers(layout: Layout) -> Iterator[tuple[str, list[File]]]:
    """Temporary files of killed runs on this machine, and uploads that were never published."""
    for folder in (*leftover_folders(layout), layout.staging):
        for path in find_abandoned(folder):
            yield str(path), list_files(Layout(path.parent), path)
    if layout.store is not None:
        for each in abandoned_uploads(layout.store):
            yield each.key, [File.stored(layout.root / each.key, each)]


def _carry_out(layout: Layout, plan: Plan) -> None:
    remove_all_abandoned(layout)
    if layout.store is not None:
        layout.store.delete([each.key for each in abandoned_uploads(layout.store)])
    for name in plan.months.removed:
        remove_month(layout, name)
    for name in plan.published["practices"]:
        folder = layout.month("practices", month_of_name(name))
        remove_folder(folder)
        publish_folder(layout, folder)
    delete_files(layout, *(file.path for files in plan.published["run_records"].values() for file in files))
    for entries in plan.cached.values():
        for path, files in entries.items():
            remove_entry(layout, path, files)


def _finish(layout: Layout) -> str | None:
    """The report, rebuilt from the months that stay, where there was one and months went; the manifest says so then."""
    from flows.report.report import build_report

    publish_package(layout)
    if not read_manifest(layout).get("pruning"):
        return None
    report = None
    if list_files(layout, layout.root / "report"):
        report = str(build_report(layout)["report"])
    change_manifest(layout, lambda manifest: manifest.pop("pruning", None))
    return report


def _untouched(layout: Layout) -> dict[str, str]:
    """Folders of the output that stay whatever is asked, and why."""
    explanations = {
        "reference": "reference data that you built",
        "delta": "Delta tables: the next run with Delta removes the rows of months that went; VACUUM frees their files",
        "demo": "files of the demo",
    }
    found = {name: why for name, why in explanations.items() if list_files(layout, layout.root / name)}
    if layout.cache_location is not None:
        found["cache"] = "shared with other outputs: an entry goes when no run of any of them used it for so many days"
    return found

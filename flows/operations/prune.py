"""`tic-rates prune`: months beyond a number, cache entries that no run used for days, and leftovers of killed runs.

A plan lists every file that goes; what is said to be freed is the same whether the plan is carried out or not. It never
has the newest published month, the last rows of a payer that is withheld or awaited, reference data or Delta tables.

Cache entries: a run marks what it uses by the file's time. What the newest published month is made of stays, and so do
the remote references that an extract cites which stays: their hosts may not have them any more. Object storage has no
marks: there an entry's age counts from when it was written, and remote references and the ledger of sources stay.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from flows.download.sources import Source
from flows.extract.ledger import ledger_path, stated_content
from flows.extract.provider_references import cited_digests
from flows.extract.readers import reading_version
from flows.extract.stored_tables import ACCOUNT
from flows.operations.retained_files import File, Inode, freed_bytes, list_files, remove_entry
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
from flows.tables.payer_builds import FIGURES
from transforms.errors import UsageError

LOG = logging.getLogger(__name__)
DAY_SECONDS = 86_400
SHA256_DIGITS = 64
Entries = dict[Path, list[File]]  # files of each entry, by its path


@dataclass(frozen=True)
class Plan:
    """What goes: months, and by kind, the files of each entry of the output and of the cache."""

    months: MonthChoice
    published: Mapping[str, Mapping[str, list[File]]]
    cached: Mapping[str, Mapping[Path, list[File]]]

    @property
    def freed(self) -> dict[str, dict[str, int]]:
        """By kind: how many entries and files, and the bytes that are free without them."""
        names: Counter[Inode] = Counter()
        kinds: dict[str, list[list[File]]] = {kind: [*found.values()] for kind, found in self.published.items()}
        kinds |= {kind: [*found.values()] for kind, found in self.cached.items()}
        return {
            kind: {
                "entries": len(entries),
                "files": sum(map(len, entries)),
                "bytes": freed_bytes((file for files in entries for file in files), names),
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


LOG = logging.getLogger(__name__)


def unused_entries(layout: Layout, newest: Mapping[str, Any], days: int) -> dict[str, Entries]:
    """By kind, the entries that no run used for so many days.

    Args: newest: the manifest's entry of the newest published month, whose entries stay.
    """
    since = time.time() - days * DAY_SECONDS
    contents = {file["source_id"] for file in newest.get("files", ())}
    builds = {payer["build"] for payer in newest.get("payers", {}).values()}
    lookup = (newest.get("nppes") or {}).get("lookup")

    def is_read(path: Path) -> bool:
        return path.name[:SHA256_DIGITS] in contents and path.name.endswith(reading_version())

    extracts = _entries(layout, layout.extracts)
    unused = _unused(extracts, since, is_read, ACCOUNT)
    lookups = _entries(layout, layout.cache / "nppes")
    found = {
        "extracts": unused,
        "builds": _unused(_entries(layout, layout.payer_builds), since, lambda path: path.name in builds, FIGURES),
        "listings": _unused(_entries(layout, layout.listings), since),
        "lookups": _unused(lookups, since, lambda path: path.name == lookup or _is_hashed_since(layout, path, since)),
    }
    if layout.stored(layout.remote) is None:
        found |= _unused_references(layout, extracts.keys() - unused.keys(), since)
    return found


def _entries(layout: Layout, folder: Path) -> Entries:
    """The entries in a folder of the cache, but for temporary ones."""
    found: Entries = {}
    for file in list_files(layout, folder):
        name = file.path.relative_to(folder).parts[:1]
        if name and not name[0].startswith("."):
            found.setdefault(folder / name[0], []).append(file)
    return found


def _unused(
    entries: Entries, since: float, stays: Callable[[Path], bool] = lambda _: False, record: str = ""
) -> Entries:
    """Those not used since then. Args: record: the name of the file whose time says when an entry was last used."""
    return {
        path: files
        for path, files in entries.items()
        if not stays(path)
        and max([file.modified for file in files if file.path.name == record] or [each.modified for each in files])
        < since
    }


def _is_hashed_since(layout: Layout, path: Path, since: float) -> bool:
    """Whether a run asked for the digest of a lookup since then."""
    record = ledger_path(Source(str(path)).digest, layout)
    return record.exists() and record.stat().st_mtime >= since


def _unused_references(layout: Layout, extracts: Iterable[Path], since: float) -> dict[str, Entries]:
    """Remote references and the ledger's records, but for those that these extracts cite."""
    cited = {digest for folder in extracts for digest in _cited(layout, folder)}
    contents = {stated_content(ledger_path(digest, layout)) for digest in cited}
    sources, remote = _entries(layout, layout.ledger), _entries(layout, layout.remote)
    return {
        "sources": _unused(sources, since, lambda path: path.stem in cited),
        "remote_references": _unused(remote, since, lambda path: path.name[:SHA256_DIGITS] in contents),
    }


def _cited(layout: Layout, folder: Path) -> set[str]:
    try:
        return cited_digests(layout, folder)
    except (pl.exceptions.PolarsError, OSError, UsageError) as error:  # the next run reads the source again
        LOG.warning("%s: a damaged extract: %s", folder, str(error).splitlines()[0])
        return set()

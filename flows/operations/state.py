"""The state of an output: one reading of the manifest and of the runs' records, for `status`, metrics and events.

It reads small files alone, writes nothing, and needs neither polars nor Prefect.
"""

import csv
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from flows.operations.events import next_step
from flows.operations.retained_files import walk_files
from flows.operations.run_records import FAILED, RUNNING, STOPPED, RunRecord, read_records
from flows.publish.manifest import fill_manifest, now, parse_manifest
from flows.settings.values import Nightly
from flows.storage.layout import Layout, month_of_name
from flows.storage.locks import is_locked
from flows.storage.redaction import redact_text
from transforms.errors import BadFileError, NothingUsableError

NCCI = ("ncci_ptp", "mue")
_YEAR = re.compile(r"\d{4}/")  # a folder of a fee schedule that was built
UNPUBLISHED = "no month is published here"


@dataclass(frozen=True)
class Finding:
    """One thing that an operator is to know. ``counts``: it makes the exit code 3."""

    month: str
    what: str  # a key of ``flows.operations.events.STEPS``
    subject: str | None  # payer or source
    reason: str
    next: str
    counts: bool = True


@dataclass(frozen=True)
class MonthState:
    """One month: its last publication, its last run, and who is missing. Times are UTC."""

    month: str
    entry: Mapping[str, Any]  # of the manifest; empty: never published
    run: RunRecord | None
    published_at: str | None  # when its tables were last exchanged; None: never
    rows: Mapping[str, int]  # of each published table
    sources: Mapping[str, int]  # files by status: of the last run that stated them, else of the publication
    quarantined: Mapping[str, str]  # sources that were not used, and why
    withheld: Mapping[str, str]  # payers that failed a gate, and why
    awaited: Mapping[str, tuple[str, str]]  # payers, since when and why
    stale: Mapping[str, str]  # payers and their newest last_updated_on
    late: bool
    failed: str | None  # why the last run published nothing; None where it did not fail
    running: bool  # a run works on it now
    interrupted: bool  # a run was killed

    def as_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return {
            "month": self.month,
            "published_at": self.published_at,
            "software": self.entry.get("software"),
            "methodology": self.entry.get("methodology"),
            "rows": dict(self.rows),
            "rows_eligible": self.entry.get("rows_eligible"),
            "sources": dict(self.sources),
            "quarantined": [{"source": name, "reason": reason} for name, reason in self.quarantined.items()],
            "withheld": [{"payer": payer, "reason": reason} for payer, reason in self.withheld.items()],
            "awaited": [{"payer": name, "since": day, "reason": why} for name, (day, why) in self.awaited.items()],
            "late": self.late,
            "stale": [{"payer": payer, "last_updated_on": day} for payer, day in self.stale.items()],
            "failed": self.failed,
            "running": self.running,
            "interrupted": self.interrupted,
            "last_run": None if self.run is None else vars(self.run),
        }


@dataclass(frozen=True)
class OutputState:
    """The months of an output, oldest first.

    config: of the configuration that keeps it, for the next steps. recent: the months whose troubles count.
    """

    output: str
    months: tuple[MonthState, ...]
    references: Mapping[str, Any]
    config: Path | None = None
    recent: frozenset[str] = frozenset()
    checked_at: str = field(default_factory=now)
    software: str = field(default_factory=lambda: version("tic-rates"))

    @property
    def published(self) -> list[MonthState]:
        """The months that have tables."""
        return [month for month in self.months if month.published_at is not None]

    @property
    def findings(self) -> list[Finding]:
        """What needs attention or is to be known, the newest month first."""
        found = [each for month in reversed(self.months) for each in self._findings_of(month)]
        if not self.published:
            found.append(Finding("", "unpublished", None, UNPUBLISHED, next_step("unpublished", "")))
        return found

    @property
    def exit_code(self) -> int:
        """0 well, 3 something counts, 4 nothing is published."""
        if not self.published:
            return NothingUsableError.exit_code
        return BadFileError.exit_code if any(each.counts for each in self.findings) else 0

    def _findings_of(self, month: MonthState) -> Iterator[Finding]:
        recent = month.month in self.recent

        def found(what: str, subject: str | None, reason: str, *, counts: bool = True) -> Finding:
            return Finding(month.month, what, subject, reason, next_step(what, month.month, self.config), counts)

        if month.failed is not None:
            yield found("failed", None, month.failed)
        if month.interrupted:
            yield found("interrupted", None, "its last run was killed or stopped before its end")
        for payer, reason in month.withheld.items():
            yield found("withheld", payer, reason)
        for payer, (since, reason) in month.awaited.items():
            what = "late" if month.late else "awaited"
            yield found(what, payer, f"since {since}: {reason}", counts=month.late and recent)
        for payer, day in month.stale.items():
            yield found("stale", payer, f"last updated on {day}", counts=recent)
        for source, reason in month.quarantined.items():
            yield found("quarantined", source, reason, counts=recent)
        for what, reason in ({} if month.run is None else month.run.left_out).items():
            yield found(what, None, reason, counts=recent)

    def as_json(self) -> dict[str, Any]:
        """The result line of `tic-rates status`."""
        return {
            "output": self.output,
            "checked_at": self.checked_at,
            "software": self.software,
            "months": [month.as_json() for month in self.months],
            "findings": [asdict(each) for each in self.findings],
            "reference": dict(self.references),
            "exit_code": self.exit_code,
        }


def read_state(layout: Layout, today: date, nightly: Nightly | None = None, config: Path | None = None) -> OutputState:
    """The state of an output, local or in object storage; without months where nothing was published.

    Args:
        today: decides whether an awaited payer is late.
        nightly: the settings of nights: those of the configuration, else the defaults.

    Raises:
        UsageError: the manifest can't be decoded.
    """
    nightly = nightly or Nightly()
    if layout.store is None:
        content = layout.manifest.read_bytes() if layout.manifest.exists() else None
    else:
        content = layout.store.get(layout.manifest.name)
    manifest, records = fill_manifest(parse_manifest(content, layout)), read_records(layout)
    parts = ("months", "failures", "awaited", "stale")
    known = sorted({*records}.union(*(manifest.get(part, {}) for part in parts)))
    months = tuple(_month(name, manifest, records.get(name), layout, today, nightly) for name in known)
    recent = frozenset(known[-1 - nightly.months_back :])
    output = str(layout.location if layout.store else layout.root.absolute())
    return OutputState(output, months, _references(layout, months), config, recent)


def _month(
    name: str, manifest: Mapping[str, Any], run: RunRecord | None, layout: Layout, today: date, nightly: Nightly
) -> MonthState:
    month, entry, failure = month_of_name(name), manifest["months"].get(name, {}), manifest["failures"].get(name)
    failed = run.reason if run is not None and run.status == FAILED else None
    if failed is None and failure is not None and (run is None or run.finished_at is None):
        failed = f"none of {len(failure['quarantined'])} source(s) could be used"
    unused = ((failed and failure) or entry).get("quarantined", ())
    awaited = {
        payer: (each["since"], redact_text(each["reason"]))
        for payer, each in sorted(manifest.get("awaited", {}).get(name, {}).items())
    }
    at_work = run is not None and run.status == RUNNING
    ours = run is not None and run.host == socket.gethostname()
    locked = at_work and is_locked(layout.month_lock(month))
    is_current = (month.year, month.month) == (today.year, today.month)
    return MonthState(
        name,
        entry,
        run,
        published_at=entry.get("published_at"),
        rows=entry.get("rows", {}),
        sources=(run and run.sources) or entry.get("sources", {}),
        quarantined={each["source"]: each["reason"] for each in unused},
        withheld=entry.get("withheld", {}),
        awaited=awaited,
        stale=dict(sorted(manifest.get("stale", {}).get(name, {}).items())),
        failed=failed,
        late=bool(awaited) and ((run is not None and run.late) or (is_current and nightly.is_late(month, today))),
        running=locked or (at_work and not ours),
        interrupted=(at_work and ours and not locked) or (run is not None and run.status == STOPPED),
    )


def _references(layout: Layout, months: Iterable[MonthState]) -> dict[str, Any]:
    """The editions of reference data: those of the newest publication, and those built under ``reference/``."""
    used: Mapping[str, Any] = next((month.entry for month in reversed([*months]) if month.entry), {})
    nppes, utilization = used.get("nppes") or {}, used.get("utilization") or {}
    built = [file.path.relative_to(layout.reference).as_posix() for file in walk_files(layout, layout.reference)]
    editions: dict[str, list[str]] = {}
    for each in used.get("coverage") or ():
        editions.setdefault(each["kind"], []).append(each["edition"])
    for path in built:
        folder, _, kind = path.rpartition("/")[0].partition("/")
        if folder == "coverage" and kind:
            editions.setdefault(kind, []).append(path.rpartition("/")[2].removesuffix(".parquet"))
    newest = {kind: max(dates) for kind, dates in sorted(editions.items())}
    return {
        "nppes": nppes.get("made_from"),
        "nppes_rows": nppes.get("rows"),
        "medicare_year": used.get("medicare_year"),
        "medicare_years": sorted({*_packaged_years(), *(int(path[:4]) for path in built if _YEAR.match(path))}),
        "localities": used.get("localities"),
        "utilization": utilization.get("year"),
        "coverage": {kind: day for kind, day in newest.items() if kind not in NCCI},
        "ncci": {kind: day for kind, day in newest.items() if kind in NCCI},
    }


def _packaged_years() -> set[int]:
    table = files("schemas").joinpath("reference", "medicare_conversion_factors.csv")
    return {int(row["year"]) for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines())}


def cache_size(layout: Layout) -> dict[str, Any]:
    """Place, bytes and files of the cache; walks it, one directory entry at a time."""
    total = count = 0
    for file in walk_files(layout, layout.cache):
        total, count = total + file.size, count + 1
    return {"place": layout.name_of(layout.cache), "bytes": total, "files": count}

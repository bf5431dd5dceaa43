"""What a month or a backfill came to: for people, as the machine-readable line, and as the result of a flow run."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from textwrap import shorten
from typing import Any, cast

from flows.extract.outcome import UnresolvedReferences
from flows.operations.events import Event, next_step, post_events
from flows.publish.awaited import AwaitedPayer, StalePayer
from flows.publish.delta import DeltaCommits
from flows.settings.addresses import Location
from flows.settings.values import Config
from flows.storage.layout import month_name, month_of_name
from flows.storage.redaction import redact_text
from transforms.errors import BadFileError, NothingUsableError, TicRatesError

CHANGES = "change(s) of coverage rules"
# Kinds of ``MonthReport.left_out`` that make the exit code 3; the first one of them names the event's next step
MISSING = ("withheld", "quarantined", "late", "references", "delta", "coverage")
_WORDS = {"late": "not there", "awaited": "awaited", "delta": "tables:", "coverage": "not fetched:"}
CHANGES_NAMED = 5  # in a line; the artifact and the result line have more
CHANGE_CHARS = 200


@dataclass
class MonthReport:
    """What one month came to.

    status: published, unchanged (nothing to do), not_published (no payer's files are there yet), or failed (``reason``
    says why).
    """

    month: date
    status: str
    sources: Counter[str] = field(default_factory=Counter)  # by what became of them
    quarantined: list[tuple[str, str]] = field(default_factory=list)  # source, reason
    withheld: list[tuple[str, str]] = field(default_factory=list)  # payer, the gate's reason
    references: UnresolvedReferences = field(default_factory=UnresolvedReferences)
    undated: list[tuple[str, str]] = field(default_factory=list)  # block none of whose files is of the month, and why
    awaited: list[AwaitedPayer] = field(default_factory=list)
    late: bool = False  # the day is past by which all payers are expected, and some are awaited
    stale: list[StalePayer] = field(default_factory=list)
    delta: DeltaCommits | None = None  # None: not asked for, or there was nothing to publish
    coverage_changes: list[dict[str, Any]] = field(default_factory=list)  # of editions of coverage rules that are new
    references_failed: list[tuple[str, str]] = field(default_factory=list)  # files of coverage rules, and why
    reason: str | None = None
    tables: dict[str, int] = field(default_factory=dict)  # rows of each
    rows_eligible: int = 0
    bytes_json: int = 0
    with_nppes: bool = False
    output: Location | None = None
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """Published rate rows."""
        return self.tables.get("rates", 0)

    @property
    def months(self) -> "list[MonthReport]":
        """Itself, as ``BackfillReport.months``."""
        return [self]

    @property
    def delta_failed(self) -> str | None:
        """Why a commit to the Delta tables failed, and what repeats it."""
        return None if self.delta is None else self.delta.failed

    @property
    def left_out(self) -> dict[str, list[tuple[str, str]]]:
        """What is missing, late or to be known, by a key of ``flows.operations.events.STEPS``: names and reasons."""
        found = {
            "withheld": self.withheld,
            "quarantined": self.quarantined,
            "late" if self.late else "awaited": [
                (each.payer, f"since {each.since}: {each.reason}") for each in self.awaited
            ],
            "references": [(host, f"{count:,} given up") for host, count in sorted(self.references.given_up.items())],
            "delta": [("delta", self.delta_failed)] if self.delta_failed else [],
            "coverage": self.references_failed,
            "stale": [(each.payer, f"last updated on {each.last_updated_on}") for each in self.stale],
            "changed": changed_rules(self),
        }
        return {what: names for what, names in found.items() if names}

    @property
    def exit_code(self) -> int:
        """0 all well, 3 something left out, late or not committed to the Delta tables, 4 nothing usable."""
        if self.status == "failed":
            return NothingUsableError.exit_code
        return BadFileError.exit_code if self.left_out.keys() & MISSING else 0

    def as_json(self) -> dict[str, Any]:
        """The result line of CONTRACT section 2."""
        return {
            "month": month_name(self.month),
            "status": self.status,
            "sources": dict(self.sources),
            "rows": self.rows,
            "rows_eligible": self.rows_eligible,
            "tables": self.tables,
            "quarantined": [{"source": name, "reason": reason} for name, reason in self.quarantined],
            "withheld": [{"payer": payer, "reason": reason} for payer, reason in self.withheld],
            "references": self.references.as_json(),
            "undated": [{"payer": payer, "reason": reason} for payer, reason in self.undated],
            "awaited": [
                {"payer": each.payer, "since": each.since.isoformat(), "reason": each.reason} for each in self.awaited
            ],
            "late": self.late,
            "stale": [
                {"payer": each.payer, "last_updated_on": each.last_updated_on.isoformat()} for each in self.stale
            ],
            "delta": None if self.delta is None else self.delta.as_json(),
            "coverage_changes": [each | {"edition": str(each["edition"])} for each in self.coverage_changes],
            "references_failed": [{"source": name, "reason": reason} for name, reason in self.references_failed],
            "with_nppes": self.with_nppes,
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
            "bytes_json": self.bytes_json,
            "output": str(self.output),
            "exit_code": self.exit_code,
        }


def failed_month(month: date, error: BaseException, reason: str | None = None) -> MonthReport:
    """The report of a month that ended with an error, which says which payers are awaited."""
    details: Any = error.details if isinstance(error, NothingUsableError) else {}
    awaited = [
        AwaitedPayer(each["payer"], date.fromisoformat(each["since"]), each["reason"])
        for each in details.get("awaited", ())
    ]
    return MonthReport(month, "failed", awaited=awaited, late=bool(awaited), reason=reason or str(error))


def quarantined_by(error: BaseException) -> list[tuple[str, str]]:
    """The sources and reasons that an error of ``require_usable`` holds."""
    if not isinstance(error, NothingUsableError):
        return []
    entries = cast("list[dict[str, str]]", error.details.get("quarantined", []))
    return [(entry["source"], entry["reason"]) for entry in entries]


@dataclass
class BackfillReport:
    """What each month came to, in the order asked for."""

    months: list[MonthReport]

    @property
    def exit_code(self) -> int:
        """The gravest: 4 when a month failed and none has tables, 3 when anything was left out anywhere."""
        codes = [month.exit_code for month in self.months]
        useful = any(month.status in ("published", "unchanged") for month in self.months)
        if NothingUsableError.exit_code in codes and not useful:
            return NothingUsableError.exit_code
        return BadFileError.exit_code if any(codes) else 0

    def as_json(self) -> dict[str, Any]:
        """The result line of CONTRACT section 2."""
        return {"months": [month.as_json() for month in self.months], "exit_code": self.exit_code}


@dataclass
class NightReport(BackfillReport):
    """What each month of a night came to, this month last."""

    def as_json(self) -> dict[str, Any]:
        """The result line of CONTRACT section 2: this month's, and those of all months."""
        return self.months[-1].as_json() | super().as_json()


def describe(report: MonthReport) -> str:
    """One month in one line."""
    parts = [f"{month_name(report.month)} {report.status}", *([redact_text(report.reason)] if report.reason else [])]
    if report.quarantined:
        parts.append(f"{len(report.quarantined):,} of {report.sources.total():,} source(s) quarantined")
    parts += details_of(report)
    parts += [_describe_changes(report)] if report.coverage_changes else []
    return ", ".join(parts)


def details_of(report: MonthReport) -> list[str]:
    """A line for each thing left out, but for quarantined files, and for documents that changed."""
    lines = [str(report.references)] if report.references.count else []
    found = report.left_out | {"undated": report.undated}
    for what in ("withheld", "undated", "late", "awaited", "stale", "delta", "coverage"):
        lines += [f"{name} {_WORDS.get(what, f'{what}:')} {redact_text(why)}" for name, why in found.get(what, ())]
    return lines


def _describe_changes(report: MonthReport) -> str:
    """Their number and the first of them, shortened."""
    named = [shorten(f"{document}, {what}", CHANGE_CHARS) for document, what in changed_rules(report)[:CHANGES_NAMED]]
    more = len(report.coverage_changes) - len(named)
    return f"{len(report.coverage_changes):,} {CHANGES}: {'; '.join(named)}{f'; {more:,} more' if more else ''}"


def changed_rules(report: MonthReport) -> list[tuple[str, str]]:
    """Each document of coverage rules that a new edition changed, and how."""
    return [
        (
            f"{each['kind']} {each['document_id']}, {each['authority']}, {', '.join(each['geographies'])}",
            f"{each['edition']}, {', '.join(each['billing_codes'])}: {'; '.join(each['changes'])}",
        )
        for each in report.coverage_changes
    ]


def events_of(report: MonthReport, config: Path | None, run: str | None = None) -> list[Event]:
    """The events of a month, the gravest first; none where nothing was published, left out or changed.

    A payer that is stale is an event once, when it becomes so.
    """
    month, text = month_name(report.month), describe(report)

    def event(status: str, step: str, subjects: Iterable[str] = (), reason: str = text) -> Event:
        output = None if report.output is None else str(report.output)
        return Event(month, status, reason, next_step(step, month, config), run, sorted(subjects), output)

    if report.status == "failed":
        return [event("failed", "failed", (name for name, _ in report.quarantined), report.reason or text)]
    found = []
    names = {what: {name for name, _ in each} for what, each in report.left_out.items()}
    if "withheld" in names:
        found.append(event("withheld", "withheld", names["withheld"]))
    missing = {what: names[what] for what in MISSING[1:] if what in names}
    if missing:
        found.append(event("partial", next(iter(missing)), set().union(*missing.values())))
    if report.status == "published" and not found:
        found.append(event("published", "published"))
    stale = [each.payer for each in report.stale if each.is_new]
    if stale:
        found.append(event("stale", "stale", stale))
    if report.coverage_changes:
        found.append(event("changed", "changed", {each["document_id"] for each in report.coverage_changes}))
    return found


def notify_months(config: Config, reports: Sequence[MonthReport], run: str | None = None) -> list[Event]:
    """The events of these months, after they were posted to the webhook."""
    events = [event for report in reports for event in events_of(report, config.path, run)]
    post_events(config.webhook, events, config.events)
    return events


@contextmanager
def failure_notified(config: Config, month: str) -> Iterator[None]:
    """An error of the body is an event, too; it is raised on."""
    try:
        yield
    except TicRatesError as error:
        report = failed_month(month_of_name(month), error)
        report.quarantined, report.output = quarantined_by(error), config.output
        notify_months(config, [report])
        raise

"""The record of each month's last run: when it ran, how it ended and why. The manifest has what is published.

``.state/runs/YYYY-MM.json`` in the output, local or in object storage. A night without changes writes it, too.
"""

import json
import logging
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from typing import Any

from flows.publish.manifest import now
from flows.storage.atomic_files import write_atomically
from flows.storage.layout import Layout, month_name
from flows.storage.log_lines import log_event, logged_with
from flows.storage.redaction import redact_text
from transforms.errors import TicRatesError

LOG = logging.getLogger(__name__)
RUNNING, STOPPED, FAILED = "running", "stopped", "failed"
BUG = 1


@dataclass(frozen=True)
class RunRecord:
    """The last run of a month. Times are UTC, ISO 8601.

    status: running, published, unchanged, not_published, failed, or stopped by a signal. sources: files by status.
    left_out: what else made the exit code 3, and why: references, delta, coverage.
    late: the expected day is past, and payers are awaited. succeeded_at: the end of the last run that did not fail.
    """

    month: str
    status: str
    started_at: str
    host: str
    finished_at: str | None = None
    seconds: float = 0.0
    exit_code: int | None = None
    reason: str | None = None
    late: bool = False
    sources: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    succeeded_at: str | None = None

    @classmethod
    def parse(cls, content: bytes) -> "RunRecord | None":
        """The record with this content, also of a later version with more keys; None if it can't be read."""
        try:
            stated = json.loads(content)
            return cls(**{each.name: stated[each.name] for each in fields(cls) if each.name in stated})
        except (ValueError, TypeError):
            return None


def read_records(layout: Layout) -> dict[str, RunRecord]:
    """The record of each month that has one."""
    stored = layout.stored(layout.runs)
    if stored is None:
        contents = [path.read_bytes() for path in sorted(layout.runs.glob("*.json"))]
    else:
        objects, folder = stored
        contents = [objects.get(found.key) or b"" for found in objects.list(folder)]
    return {record.month: record for record in map(RunRecord.parse, contents) if record is not None}


def _left_out(line: Mapping[str, Any]) -> dict[str, str]:
    """What the manifest does not say: reference hosts that failed, the Delta tables, coverage rules not fetched."""
    hosts, delta = line["references"]["given_up"], (line["delta"] or {}).get("failed")
    found = {
        "references": ", ".join(f"{count:,} because {host} failed" for host, count in sorted(hosts.items())),
        "delta": delta or "",
        "coverage": "; ".join(f"{each['source']}: {each['reason']}" for each in line["references_failed"]),
    }
    return {what: redact_text(why) for what, why in found.items() if why}


@contextmanager
def recorded_run(layout: Layout, month: date) -> Iterator["RecordedRun"]:
    """The record of a run, which is written when it starts, and at the end of the body, however that ends."""
    run = RecordedRun(layout, month)
    with logged_with(month=month_name(month)):
        try:
            yield run
        except BaseException as error:
            run.note_error(error)
            raise


class RecordedRun:
    """Writes the record of a run."""

    def __init__(self, layout: Layout, month: date) -> None:
        self._layout, self._month = layout, month
        self._started = time.perf_counter()
        self._record: RunRecord | None = None

    def start(self) -> None:
        """The run has its turn: no other one works on the month."""
        before = read_records(self._layout).get(month_name(self._month))
        succeeded = None if before is None else before.succeeded_at
        name, host = month_name(self._month), socket.gethostname()
        self._put(RunRecord(name, RUNNING, now(), host, succeeded_at=succeeded))
        output = str(self._layout.location)
        log_event(LOG, "run_started", "%s: the run begins, output %s", name, output, output=output)

    def finish(self, line: Mapping[str, Any]) -> None:
        """Note what the month came to.

        Args: line: the month's result line (CONTRACT section 2).
        """
        said = {"reason": line["reason"], "sources": line["sources"], "late": line["late"], "left_out": _left_out(line)}
        self._end(line["status"], line["exit_code"], **said)

    def note_error(self, error: BaseException) -> None:
        """Note how the run ended that this error ends; nothing where it had not started, or has a record already."""
        if self._record is None or self._record.finished_at is not None:
            return
        if isinstance(error, TicRatesError):
            details = getattr(error, "details", None) or {}
            self._end(FAILED, error.exit_code, reason=str(error), late=bool(details.get("late")))
        elif isinstance(error, Exception):
            self._end(FAILED, BUG, reason=f"{type(error).__name__}: {error}")
        else:
            self._end(STOPPED, None, reason="stopped by a signal; the same command resumes")

    def _end(self, status: str, exit_code: int | None, **more: Any) -> None:
        assert self._record is not None, "start() comes first"
        ended = now()
        reason = more.pop("reason", None)
        succeeded = self._record.succeeded_at if status in (FAILED, STOPPED) else ended
        known = asdict(self._record) | {
            "status": status,
            "exit_code": exit_code,
            "finished_at": ended,
            "seconds": round(time.perf_counter() - self._started, 3),
            "reason": None if reason is None else redact_text(reason),
            "succeeded_at": succeeded,
        }
        record = RunRecord(**known | more)
        self._put(record)
        line = ("%s: the run ended as %s after %.1f s", record.month, status, record.seconds)
        named = {name: known[name] for name in ("status", "exit_code", "seconds", "reason")}
        log_event(LOG, "run_finished", *line, output=str(self._layout.location), **named)

    def _put(self, record: RunRecord) -> None:
        """Write the record. A run does not fail because it can't be written."""
        self._record = record
        content = json.dumps(asdict(record), indent=1, sort_keys=True).encode() + b"\n"
        path = self._layout.runs / f"{record.month}.json"
        stored = self._layout.stored(path)
        try:
            if stored is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, content, durable=False)
            else:
                stored[0].put(stored[1], content)
        except (OSError, TicRatesError) as error:
            LOG.warning("%s: the record of the run can't be written: %s", path, redact_text(str(error)))

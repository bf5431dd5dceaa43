"""Events of a month, for a webhook and for Prefect: what happened, why, and what to do next (as `status` says it).

A payload of a later version may have more keys; those of ``Event`` keep their meaning within a version.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flows.publish.manifest import now
from flows.storage.log_lines import log_event
from flows.storage.redaction import redact_text, redact_to_host

LOG = logging.getLogger(__name__)
PAYLOAD_VERSION = 1
TIMEOUT_SECONDS = 10.0
PREFECT_PREFIX = "tic-rates."
FIELDS = {
    "month": "YYYY-MM; of a run of several months that crashed, the first to the last",
    "status": "what happened",
    "reason": "in one line, without secrets",
    "next": "what to do",
    "run": "the name of the run in Prefect, or null",
    "subjects": "the payers, files or documents that it is about",
    "output": "where the tables are, or null",
    "time": "when, UTC",
    "version": f"of the message: {PAYLOAD_VERSION}",
}
# What an operator does next, for each thing that needs attention
STEPS = {
    "published": "nothing to do",
    "failed": "do what the reason says, then run {repeat}; the last good tables stand",
    "crashed": "read the run's log, then run {repeat}: what was read is kept",
    "interrupted": "run {repeat}: it resumes",
    "withheld": (
        "compare the payer's rows in `quality/` and `rates/` with the month before; if the new figures are right, run "
        "{accept}; if a file can't be read, correct its source"
    ),
    "late": (
        "look at the address in the reason on the payer's page; correct it in {config}, or raise `expect_by_day` under "
        "[nightly]; each night asks again"
    ),
    "awaited": "nothing to do: each night asks again",
    "stale": "look for newer files on the payer's page, and correct its addresses in {config}",
    "quarantined": "do what the reason says (`tic-rates inspect SOURCE` shows more), then run {repeat}",
    "references": "run {repeat} later: the host of the provider references failed",
    "delta": "do what the reason says; {repeat} repeats the commit",
    "coverage": "do what the reason says; the next night fetches the file again",
    "changed": "read `coverage` of the month; `tic-rates reference coverage --changes` lists all changes",
    "unpublished": "run `tic-rates nightly` or `tic-rates run` with this --output",
}


def next_step(what: str, month: str, config: Path | str | None = None) -> str:
    """The next step, with the commands for a month of a configuration, or of a run of named sources."""
    if config is None:
        repeat = accept = "the same command again"
    else:
        repeat = f"`tic-rates nightly --config {config} --month {month}`"
        accept = f"`tic-rates nightly --config {config} --month {month} --no-gates`"
    return STEPS[what].format(repeat=repeat, accept=accept, config=config or "the configuration")


@dataclass(frozen=True)
class Event:
    """One event. status: a key of ``flows.settings.values.EVENTS``; ``FIELDS`` describes the others."""

    month: str
    status: str
    reason: str
    next: str
    run: str | None = None
    subjects: Sequence[str] = ()
    output: str | None = None
    time: str = field(default_factory=now)
    version: int = PAYLOAD_VERSION

    def as_json(self) -> dict[str, Any]:
        """The payload, without secrets."""
        return asdict(self) | {
            "reason": redact_text(self.reason),
            "subjects": [redact_text(subject) for subject in self.subjects],
        }


def post_events(webhook: str | None, events: Sequence[Event], wanted: Collection[str]) -> int:
    """How many events the webhook accepted; all are logged. One that does not answer is logged, and fails nothing.

    Args:
        webhook: None: nothing is posted. It may carry a token and is never printed whole.
        wanted: the events that the configuration asks for.
    """
    for event in events:
        line = ("%s %s; next: %s", event.month, event.status, event.next)
        named: dict[str, Any] = {"status": event.status, "subjects": event.subjects, "next": event.next}
        log_event(LOG, "month_event", *line, month=event.month, **named)
    if webhook is None:
        return 0
    return sum(_post(webhook, event) for event in events if event.status in wanted)


def _post(webhook: str, event: Event) -> bool:
    import httpx  # a run without a webhook does not wait for it

    from flows.download.http_client import silence_request_logs

    silence_request_logs()
    try:
        httpx.post(webhook, json=event.as_json(), timeout=TIMEOUT_SECONDS).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        answer = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
        host = redact_to_host(webhook)
        LOG.warning("the webhook at %s did not accept the event %s of %s: %s", host, event.status, event.month, answer)
        return False
    return True

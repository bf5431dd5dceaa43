"""What months came to, as events: to the log and the webhook of the configuration, and to Prefect where it runs."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flows.operations.events import Event, post_events
from flows.operations.next_steps import next_step
from flows.orchestration.month_report import MonthReport, describe, failed_month, quarantined_by
from flows.settings.values import Config
from flows.storage.layout import month_name, month_of_name
from transforms.errors import TicRatesError


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
    if report.withheld:
        found.append(event("withheld", "withheld", (payer for payer, _ in report.withheld)))
    left_out = _left_out(report)
    if left_out:
        found.append(event("partial", next(iter(left_out)), {name for names in left_out.values() for name in names}))
    if report.status == "published" and not found:
        found.append(event("published", "published"))
    stale = [each.payer for each in report.stale if each.is_new]
    if stale:
        found.append(event("stale", "stale", stale))
    if report.coverage_changes:
        found.append(event("changed", "changed", {each["document_id"] for each in report.coverage_changes}))
    return found


def _left_out(report: MonthReport) -> dict[str, list[str]]:
    """What is missing besides withheld payers, by its next step."""
    parts = {
        "quarantined": [name for name, _ in report.quarantined],
        "late": [each.payer for each in report.awaited if report.late],
        "references": list(report.references.given_up),
        "delta": ["delta"] if report.delta_failed else [],
        "coverage": [name for name, _ in report.references_failed],
    }
    return {what: names for what, names in parts.items() if names}


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

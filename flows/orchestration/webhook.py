"""Failed and incomplete months to the webhook of the configuration. A webhook that does not answer is logged."""

import logging

import httpx

from flows.download.network import silence_request_logs
from flows.orchestration.month_report import MonthReport, describe
from flows.storage.layout import month_name
from flows.storage.redaction import redact_text, redact_to_host

LOG = logging.getLogger(__name__)
TIMEOUT_SECONDS = 10.0


def notify_webhook(webhook: str | None, *, month: str, status: str, reason: str | None, run: str | None = None) -> bool:
    """Whether the webhook accepted ``{month, status, reason, run}``, posted as JSON.

    Args:
        webhook: None: nothing is posted. It may carry a token and is never printed whole.
        status: ``failed``, ``crashed``, ``incomplete`` where something was quarantined or withheld, or ``changed``
            where a new edition changed coverage rules.
        run: the orchestrator's name of the run, if there is one.
    """
    if webhook is None:
        return False
    message = {"month": month, "status": status, "reason": redact_text(reason or ""), "run": run}
    silence_request_logs()
    try:
        httpx.post(webhook, json=message, timeout=TIMEOUT_SECONDS).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        answer = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
        LOG.warning("the webhook at %s did not accept the status of %s: %s", redact_to_host(webhook), month, answer)
        return False
    return True


def notify_month(webhook: str | None, report: MonthReport) -> bool:
    """Whether the webhook accepted that the month failed, left something out or has changed coverage rules."""
    if report.exit_code == 0 and not report.coverage_changes:
        return False
    status = "failed" if report.status == "failed" else "incomplete" if report.exit_code else "changed"
    reason = report.reason or describe(report)
    return notify_webhook(webhook, month=month_name(report.month), status=status, reason=reason)

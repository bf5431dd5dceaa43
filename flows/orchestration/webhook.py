"""Telling a webhook that a month failed or left something out. A webhook that does not answer is logged."""

import logging
from collections.abc import Mapping

import httpx

from flows.download.network import silence_request_logs
from flows.orchestration.nightly import MonthReport, describe
from flows.storage.layout import month_name
from flows.storage.redaction import redact_text, redact_to_host

LOG = logging.getLogger(__name__)
PATIENCE_SECONDS = 10.0


def tell_failure(webhook: str | None, *, month: str, status: str, reason: str | None, run: str | None = None) -> bool:
    """POST ``{month, status, reason, run}`` as JSON; whether it was taken.

    Args:
        webhook: where to; None: nowhere. It may carry a token and is never printed whole.
        status: ``failed``, ``crashed``, or ``incomplete`` where something was quarantined or withheld.
        run: the orchestrator's name of the run, if there is one.
    """
    if webhook is None:
        return False
    return _post(webhook, {"month": month, "status": status, "reason": redact_text(reason or ""), "run": run})


def tell_month(webhook: str | None, report: MonthReport) -> bool:
    """POST that a month failed or left something out; whether the webhook answered that it has it."""
    if report.exit_code == 0:
        return False
    status, month = "failed" if report.status == "failed" else "incomplete", month_name(report.month)
    return tell_failure(webhook, month=month, status=status, reason=report.reason or describe(report))


def _post(webhook: str, message: Mapping[str, str | None]) -> bool:
    silence_request_logs()
    try:
        httpx.post(webhook, json=dict(message), timeout=PATIENCE_SECONDS).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        said = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
        LOG.warning(
            "the webhook at %s did not accept what %s came to: %s", redact_to_host(webhook), message["month"], said
        )
        return False
    return True

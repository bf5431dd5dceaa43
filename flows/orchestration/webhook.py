"""Telling a webhook that a month failed. A webhook that does not answer is logged, and fails nothing."""

import logging
from collections.abc import Mapping

import httpx

from flows.download.network import hush_logs
from flows.storage.redaction import redact_text, redact_to_host

LOG = logging.getLogger(__name__)
PATIENCE_SECONDS = 10.0


def tell_failure(webhook: str | None, *, month: str, status: str, reason: str | None, run: str | None = None) -> bool:
    """POST ``{month, status, reason, run}`` as JSON; whether it was taken.

    Args:
        webhook: where to; None: nowhere. It may carry a token and is never printed whole.
        status: ``failed`` or ``crashed``.
        run: the orchestrator's name of the run, if there is one.
    """
    if webhook is None:
        return False
    return _post(webhook, {"month": month, "status": status, "reason": redact_text(reason or ""), "run": run})


def _post(webhook: str, message: Mapping[str, str | None]) -> bool:
    hush_logs()
    try:
        httpx.post(webhook, json=dict(message), timeout=PATIENCE_SECONDS).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        said = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
        LOG.warning(
            "the webhook at %s did not take the failure of %s: %s", redact_to_host(webhook), message["month"], said
        )
        return False
    return True

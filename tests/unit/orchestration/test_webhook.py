"""The webhook: told what failed without secrets; whatever it does, nothing fails because of it."""

import json
import logging
import socket
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from flows.orchestration.month_report import MonthReport
from flows.orchestration.webhook import notify_month, notify_webhook
from flows.storage.redaction import redact_text

TOLD: list[dict[str, Any]] = []


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        TOLD.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(500 if "broken" in self.path else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_failure_is_posted_as_json(address: str) -> None:
    assert notify_webhook(address, month="2025-06", status="failed", reason="no source", run="nightly 2025-06")
    expected = {"month": "2025-06", "status": "failed", "reason": "no source", "run": "nightly 2025-06"}
    assert TOLD.pop() == expected


def test_signatures_and_credentials_do_not_travel(address: str) -> None:
    reason = "403 for https://me:pass@mrf.example.com/a.json?X-Amz-Signature=5ecre7, fetch https://b.example/c#5ecre7"
    notify_webhook(address, month="2025-06", status="crashed", reason=reason)
    assert TOLD.pop()["reason"] == "403 for https://mrf.example.com/a.json fetch https://b.example/c"


def test_a_month_that_withheld_a_payer_is_told_and_a_whole_one_is_not(address: str) -> None:
    month = date(2025, 6, 1)
    assert not notify_month(address, MonthReport(month, "published"))
    assert notify_month(address, MonthReport(month, "published", withheld=[("Cigna", "few")]))
    assert TOLD.pop() == {
        "month": "2025-06",
        "status": "incomplete",
        "reason": "2025-06 published, Cigna withheld: few",
        "run": None,
    }


def test_changes_of_coverage_rules_are_told(address: str) -> None:
    change = {
        "edition": date(2025, 6, 20),
        "kind": "mue",
        "authority": "CMS",
        "document_id": "97026",
        "billing_codes": ["97026"],
        "geographies": ["US"],
        "changes": ["unit_limit: 1 -> 2"],
    }
    report = MonthReport(date(2025, 6, 1), "published", coverage_changes=[change] * 7)
    assert notify_month(address, report)
    told = TOLD.pop()
    assert told["status"] == "changed"
    one = "mue 97026, CMS, US, 2025-06-20, 97026: unit_limit: 1 -> 2"
    assert told["reason"] == f"2025-06 published, 7 change(s) of coverage rules: {'; '.join([one] * 5)}; 2 more"


def test_no_webhook_is_told_nothing() -> None:
    assert not notify_webhook(None, month="2025-06", status="failed", reason=None)


@pytest.mark.parametrize("path", ["broken/5ecre7", "nobody/5ecre7", "no address/5ecre7"])
def test_a_webhook_that_does_not_take_it_is_logged_and_that_is_all(
    path: str, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    webhook = {"b": f"{address}/{path}", "n": f"{nobody}/{path}"}[path[0]] if " " not in path else f"http://[{path}"
    with caplog.at_level(logging.WARNING):
        assert not notify_webhook(webhook, month="2025-06", status="failed", reason="x")
    assert "did not accept the status of 2025-06" in caplog.text
    assert "5ecre7" not in caplog.text


def test_text_without_addresses_is_left_as_it_is() -> None:
    assert redact_text("byte 12: a ? b # c @ d") == "byte 12: a ? b # c @ d"

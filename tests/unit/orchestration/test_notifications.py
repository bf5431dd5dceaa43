"""Events and the webhook: what happened without secrets; whatever the webhook does, nothing fails because of it."""

import json
import logging
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from flows.operations.events import PAYLOAD_VERSION, Event, post_events
from flows.orchestration.month_report import MonthReport, events_of, notify_months
from flows.publish.awaited import AwaitedPayer, StalePayer
from flows.settings.values import EVENTS, Config
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


MONTH = date(2025, 6, 1)
CONFIG = Config(Path("tic-rates.toml"), ())
WITHHELD = [("Cigna", "few")]
AWAITED = AwaitedPayer("Acme", date(2025, 6, 2), "404")


def post(webhook: str | None, status: str = "failed", reason: str = "no source") -> int:
    return post_events(webhook, [Event("2025-06", status, reason, "do", "nightly 2025-06", ["a"])], tuple(EVENTS))


def test_an_event_is_posted_as_json_with_what_to_do_next(address: str) -> None:
    assert post(address) == 1
    told = TOLD.pop()
    assert datetime.fromisoformat(told.pop("time")).tzinfo is not None
    assert told == {
        "version": PAYLOAD_VERSION,
        "month": "2025-06",
        "status": "failed",
        "reason": "no source",
        "next": "do",
        "run": "nightly 2025-06",
        "subjects": ["a"],
        "output": None,
    }


def test_signatures_and_credentials_do_not_travel(address: str) -> None:
    reason = "403 for https://me:pass@mrf.example.com/a.json?X-Amz-Signature=5ecre7, fetch https://b.example/c#5ecre7"
    post(address, reason=reason)
    assert TOLD.pop()["reason"] == "403 for https://mrf.example.com/a.json fetch https://b.example/c"


@pytest.mark.parametrize(
    ("report", "statuses"),
    [
        (MonthReport(MONTH, "published"), ["published"]),
        (MonthReport(MONTH, "unchanged"), []),
        (MonthReport(MONTH, "not_published", awaited=[AWAITED]), []),
        (MonthReport(MONTH, "published", awaited=[AWAITED]), ["published"]),
        (MonthReport(MONTH, "unchanged", awaited=[AWAITED], late=True), ["partial"]),
        (MonthReport(MONTH, "published", quarantined=[("a.json", "cut")]), ["partial"]),
        (MonthReport(MONTH, "published", withheld=WITHHELD), ["withheld"]),
        (MonthReport(MONTH, "published", withheld=WITHHELD, quarantined=[("a", "cut")]), ["withheld", "partial"]),
        (MonthReport(MONTH, "failed", reason="none"), ["failed"]),
        (MonthReport(MONTH, "published", stale=[StalePayer("Acme", MONTH)]), ["published", "stale"]),
        (MonthReport(MONTH, "unchanged", stale=[StalePayer("Acme", MONTH, is_new=False)]), []),
    ],
)
def test_the_events_of_a_month(report: MonthReport, statuses: list[str]) -> None:
    events = events_of(report, CONFIG.path)
    assert [event.status for event in events] == statuses
    assert all(event.status in EVENTS and event.next for event in events)


def test_a_month_that_withheld_a_payer_says_which_and_how_to_accept_it(address: str) -> None:
    config = replace(CONFIG, webhook=address)
    notify_months(config, [MonthReport(MONTH, "published", withheld=[("Cigna", "few")])])
    told = TOLD.pop()
    assert (told["status"], told["reason"], told["subjects"]) == (
        "withheld",
        "2025-06 published, Cigna withheld: few",
        ["Cigna"],
    )
    assert "`tic-rates nightly --config tic-rates.toml --month 2025-06 --no-gates`" in told["next"]


def test_events_that_the_configuration_does_not_name_are_not_sent(address: str) -> None:
    notify_months(replace(CONFIG, webhook=address, events=("failed",)), [MonthReport(MONTH, "published")])
    assert TOLD == []


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
    report = MonthReport(date(2025, 6, 1), "unchanged", coverage_changes=[change] * 7)
    notify_months(replace(CONFIG, webhook=address), [report])
    told = TOLD.pop()
    assert (told["status"], told["subjects"]) == ("changed", ["97026"])
    one = "mue 97026, CMS, US, 2025-06-20, 97026: unit_limit: 1 -> 2"
    assert told["reason"] == f"2025-06 unchanged, 7 change(s) of coverage rules: {'; '.join([one] * 5)}; 2 more"


def test_no_webhook_is_told_nothing() -> None:
    assert post(None) == 0


@pytest.mark.parametrize("path", ["broken/5ecre7", "nobody/5ecre7", "no address/5ecre7"])
def test_a_webhook_that_does_not_take_it_is_logged_and_that_is_all(
    path: str, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    webhook = {"b": f"{address}/{path}", "n": f"{nobody}/{path}"}[path[0]] if " " not in path else f"http://[{path}"
    with caplog.at_level(logging.WARNING):
        assert post(webhook) == 0
    assert "did not accept the event failed of 2025-06" in caplog.text
    assert "5ecre7" not in caplog.text


def test_text_without_addresses_is_left_as_it_is() -> None:
    assert redact_text("byte 12: a ? b # c @ d") == "byte 12: a ? b # c @ d"

"""The flows without a server: what is tried again, what is told, how files become tasks."""

from collections import Counter
from concurrent.futures import Future
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.futures import PrefectConcurrentFuture
from prefect.states import Crashed, Failed

from flows.download.sources import Source
from flows.extract.extract_source import Outcome
from flows.orchestration import deployments, orchestrate
from flows.orchestration.deployments import (
    MonthFailedError,
    can_heal,
    describe,
    name_run,
    nightly,
    parse_month,
    tell_webhook,
)
from flows.orchestration.nightly import MonthReport
from transforms.errors import BadFileError, NothingUsableError, UsageError

MONTH = date(2025, 6, 1)


@pytest.mark.parametrize(
    ("error", "heals"),
    [
        (OSError(28, "No space left on device"), True),
        (ConnectionResetError(), True),
        (httpx.ConnectTimeout("later"), True),
        (MonthFailedError("OSError: ...", passing=True), True),
        (MonthFailedError("KeyError: ...", passing=False), False),
        (FileNotFoundError("tic-rates.toml"), False),
        (PermissionError("output"), False),
        (UsageError("no such payer"), False),
        (NothingUsableError("every source was quarantined"), False),
        (BadFileError("cut"), False),
        (KeyError("a bug"), False),
    ],
)
def test_only_what_can_heal_is_tried_again(error: Exception, heals: bool) -> None:
    assert can_heal(error) is heals


def test_an_error_loses_its_addresses_secrets_and_keeps_whether_it_heals() -> None:
    def work() -> None:
        raise httpx.ConnectError("no way to https://mrf.example.com/a.json?Signature=5ecre7")

    with pytest.raises(MonthFailedError) as raised:
        deployments._work.fn("2025-06", work)
    assert str(raised.value) == "ConnectError: no way to https://mrf.example.com/a.json"
    assert raised.value.passing


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the webhook was told."""
    calls: list[dict[str, Any]] = []
    config = SimpleNamespace(webhook="https://hooks.example.com", timezone="UTC")
    monkeypatch.setattr(deployments, "load_config", lambda _: config)
    monkeypatch.setattr(deployments, "tell_failure", lambda webhook, **message: calls.append({"to": webhook} | message))
    return calls


def tell(state: State[Any], **parameters: Any) -> None:
    tell_webhook(nightly, FlowRun(flow_id=uuid4(), parameters={"config": "t.toml"} | parameters), state)


def test_a_failure_is_told_with_month_reason_and_run(told: list[dict[str, Any]]) -> None:
    tell(Failed(message="no month"), month="2025-06", payers=["Cigna"])
    assert told == [
        {
            "to": "https://hooks.example.com",
            "month": "2025-06",
            "status": "failed",
            "reason": "no month",
            "run": "nightly 2025-06, Cigna",
        }
    ]


def test_a_crash_of_a_backfill_names_all_its_months(told: list[dict[str, Any]]) -> None:
    tell(Crashed(message="killed"), first="2025-01", last="2025-03")
    assert (told[0]["status"], told[0]["month"]) == ("crashed", "2025-01 to 2025-03")


def test_a_run_that_was_asked_to_stop_is_no_failure(told: list[dict[str, Any]]) -> None:
    tell(Crashed(message="Flow run was aborted by a termination signal."), month="2025-06")
    assert told == []


def test_a_configuration_that_cannot_be_read_hides_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(deployments, "tell_failure", pytest.fail)
    tell(Failed(message="x"), config=str(tmp_path / "absent.toml"), month="2025-06")


def test_a_run_is_named_by_months_and_payers() -> None:
    assert name_run({"config": "x", "month": "2025-06", "payers": None}) == "nightly 2025-06, all payers"
    assert (
        name_run({"first": "2025-01", "last": "2025-06", "payers": ["A", "B"]}) == "backfill 2025-01 to 2025-06, A, B"
    )


def test_a_month_that_is_none_is_wrong_usage() -> None:
    assert parse_month("2025-06") == MONTH
    with pytest.raises(UsageError, match="write it as 2025-06"):
        parse_month("June")


def test_a_month_is_described_in_a_line() -> None:
    report = MonthReport(MONTH, "published", Counter(matched=4, quarantined=1), [("a.json", "cut")], [("Cigna", "few")])
    assert describe(report) == "2025-06 published, 1 of 5 source(s) quarantined, Cigna withheld: few"
    assert describe(MonthReport(MONTH, "failed", reason="none")) == "2025-06 failed, none"


@pytest.mark.parametrize(("code", "report"), [(0, "unchanged"), (3, "published"), (4, "failed")])
def test_a_finished_month_completes_and_one_without_anything_usable_fails(
    code: int, report: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployments, "get_run_logger", lambda: SimpleNamespace(error=lambda *_: None))
    state = deployments._state([MonthReport(MONTH, report)], code)
    assert state.is_failed() is (code == 4)
    assert state.message == f"2025-06 {report}"


class Extract:
    """In the place of the task: does its work at once, and counts."""

    def __init__(self) -> None:
        self.tasks = 0

    def __call__(self, _name: str, sources: list[Source], extract_one: Any) -> list[Outcome]:
        self.tasks += 1
        return [extract_one(source) for source in sources]

    def submit(self, *arguments: Any) -> PrefectConcurrentFuture[list[Outcome]]:
        done: Future[Any] = Future()
        outcomes = self(*arguments)
        done.set_result(SimpleNamespace(result=lambda **_: outcomes))
        future = PrefectConcurrentFuture[list[Outcome]](uuid4(), done)
        future.result = lambda *_, **__: outcomes  # type: ignore[method-assign]
        return future


@pytest.mark.parametrize("workers", [1, 2])
def test_twenty_thousand_small_files_are_some_hundred_tasks_with_outcomes_in_order(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract, heard = Extract(), []
    monkeypatch.setattr(orchestrate, "_extract", extract)
    sources = [Source(f"https://mrf.example.com/{number}.json") for number in range(20_000)]
    with orchestrate.telling(lambda done, total: heard.append((done, total))):
        outcomes = orchestrate.make_steps().spread(sources, lambda source: Outcome(source, "no_match"), workers)
    assert [outcome.source for outcome in outcomes] == sources
    assert 100 <= extract.tasks < 200
    assert heard[0] == (200, 20_000)
    assert heard[-1] == (20_000, 20_000)

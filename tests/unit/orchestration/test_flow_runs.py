"""What the flows share, without a server: what is retried, what is told, names of runs and states, parameters."""

import importlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml  # type: ignore[import-untyped]
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ParameterTypeError
from prefect.flows import Flow
from prefect.results import ResultRecord  # type: ignore[attr-defined]
from prefect.serializers import JSONSerializer
from prefect.server.events.schemas.automations import EventTrigger, Posture
from prefect.server.utilities.user_templates import render_user_template_sync
from prefect.states import Completed, Crashed, Failed

from flows.backfill import backfill
from flows.extract.outcome import UnresolvedReferences
from flows.nightly import nightly
from flows.operations.events import PAYLOAD_VERSION, Event
from flows.orchestration import flow_runs, registration
from flows.orchestration.flow_runs import (
    MonthFailedError,
    MonthsFailedError,
    can_heal,
    failed,
    final_state,
    name_run,
    notify,
    report_of,
)
from flows.orchestration.month_report import BackfillReport, MonthReport, describe
from flows.publish.awaited import AwaitedPayer, StalePayer
from flows.publish.delta import DeltaCommits
from flows.settings.values import Config
from tests.shared_files import REPOSITORY
from transforms.errors import BadFileError, NothingUsableError, OutageError, UsageError

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
        (OutageError("no worker"), True),
        (UsageError("no such payer"), False),
        (NothingUsableError("every source was quarantined"), False),
        (BadFileError("cut"), False),
        (KeyError("a bug"), False),
    ],
)
def test_only_what_can_heal_is_tried_again(error: Exception, heals: bool) -> None:
    assert can_heal(error) is heals


def test_an_error_loses_its_addresses_secrets_and_keeps_whether_it_heals() -> None:
    with pytest.raises(MonthFailedError) as raised:
        failed(httpx.ConnectError("no way to https://mrf.example.com/a.json?Signature=5ecre7"))
    assert str(raised.value) == "ConnectError: no way to https://mrf.example.com/a.json"
    assert raised.value.passing


def test_wrong_usage_is_a_failed_state_without_a_traceback() -> None:
    state = failed(UsageError("the backfill ends in 2025-01, before it begins in 2025-02"))
    assert state.is_failed()
    with pytest.raises(UsageError):
        report_of(state, MonthReport)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the webhook and Prefect's feed were told; both the same."""
    posted: list[dict[str, Any]] = []
    monkeypatch.setattr(flow_runs, "load_config", lambda path: Config(path, (), webhook="https://hooks.example.com"))
    monkeypatch.setattr(flow_runs, "post_events", lambda _, events, __: posted.extend(e.as_json() for e in events))
    monkeypatch.setattr(flow_runs, "send_to_prefect", lambda events, _: sent.extend(e.as_json() for e in events))
    sent: list[dict[str, Any]] = []
    return posted


def tell(state: State[Any], **more: Any) -> None:
    run = {name: more.pop(name) for name in ("tags", "parent_task_run_id") if name in more}
    notify(nightly, FlowRun(flow_id=uuid4(), parameters={"config": "t.toml"} | more, **run), state)


def test_a_failure_is_told_with_month_reason_and_run(told: list[dict[str, Any]]) -> None:
    tell(Failed(message="no month"), month="2025-06", payers=["Cigna"])
    (message,) = told
    assert {name: message[name] for name in ("month", "status", "reason", "run")} == {
        "month": "2025-06",
        "status": "failed",
        "reason": "no month",
        "run": "2025-06, Cigna",
    }
    assert "--config t.toml --month 2025-06" in message["next"]


def test_a_crash_of_a_backfill_names_all_its_months(told: list[dict[str, Any]]) -> None:
    tell(Crashed(message="killed"), first="2025-01", last="2025-03")
    assert (told[0]["status"], told[0]["month"]) == ("crashed", "2025-01 to 2025-03")


def test_a_run_that_was_asked_to_stop_is_no_failure(told: list[dict[str, Any]]) -> None:
    tell(Crashed(message="Flow run was aborted by a termination signal."), month="2025-06")
    assert told == []


def test_each_month_of_a_run_has_its_events(told: list[dict[str, Any]]) -> None:
    tell(final_state(MonthReport(MONTH, "unchanged")), month="2025-06")
    assert told == []
    tell(
        final_state(BackfillReport([WITHHELD, MonthReport(MONTH, "failed", reason="none")])),
        first="2025-06",
        last="2025-06",
    )
    assert [(each["status"], each["reason"]) for each in told] == [
        ("withheld", "2025-06 published, Aetna withheld: few, Cigna withheld: few"),
        ("failed", "none"),
    ]


def test_a_subflow_run_is_part_of_its_parent(told: list[dict[str, Any]]) -> None:
    tell(Failed(message="no month"), month="2025-06", parent_task_run_id=uuid4())
    assert told == []


def test_a_configuration_that_cannot_be_read_is_logged_beside_the_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(flow_runs, "post_events", pytest.fail)
    monkeypatch.setattr(flow_runs, "send_to_prefect", lambda *_: None)
    tell(Failed(message="x"), config=str(tmp_path / "absent.toml"), month="2025-06")
    assert "the webhook is unknown" in caplog.text


def test_a_run_is_named_by_months_and_payers() -> None:
    assert name_run({"config": "x", "month": "2025-06", "payers": None}) == "2025-06, all payers"
    assert (
        name_run({"first": "2025-01", "last": "2025-06", "payers": ["A", "B"]}) == "backfill 2025-01 to 2025-06, A, B"
    )
    assert name_run({"month": "2025-06", "sources": ["a", "b"]}) == "run 2025-06, 2 source(s)"


def test_months_are_checked_by_the_schema_of_the_parameters() -> None:
    schema = backfill.parameters.model_dump()["properties"]
    pattern = schema["first"]["pattern"]
    assert pattern == schema["last"]["pattern"] == r"^\d{4}-(0[1-9]|1[0-2])$"
    assert {"pattern": pattern}.items() <= nightly.parameters.model_dump()["properties"]["month"]["anyOf"][0].items()
    with pytest.raises(ParameterTypeError, match="should match pattern"):
        backfill.validate_parameters({"config": "t.toml", "first": "2025-13", "last": "2025-12"})


@pytest.mark.parametrize(
    "module",
    ["flows.month", *(pytest.param(name, marks=pytest.mark.slow) for name in ("flows.nightly", "flows.backfill"))],
)
def test_importing_a_flow_does_not_change_the_environment(module: str) -> None:
    ours = "{n: v for n, v in os.environ.items() if n.startswith(('PREFECT', 'PYTHON', 'DO_NOT'))}"  # polars sets one
    program = f"import os; before = {ours}; import {module}; assert {ours} == before"
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True, timeout=120)


@pytest.mark.parametrize("entrypoint", ["flows.nightly.nightly", "flows.backfill.backfill"])
def test_prefect_yaml_names_flows_that_are_there_and_pulls_nothing(entrypoint: str) -> None:
    declared = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())
    assert entrypoint in {deployment["entrypoint"] for deployment in declared["deployments"]}
    assert declared["pull"] == []
    module, _, name = entrypoint.rpartition(".")
    assert isinstance(getattr(importlib.import_module(module), name), Flow)


def test_a_month_is_described_in_a_line() -> None:
    report = MonthReport(MONTH, "published", Counter(matched=4, quarantined=1), [("a.json", "cut")], [("Cigna", "few")])
    assert describe(report) == "2025-06 published, 1 of 5 source(s) quarantined, Cigna withheld: few"
    assert describe(MonthReport(MONTH, "failed", reason="none")) == "2025-06 failed, none"
    report = MonthReport(MONTH, "unchanged", awaited=[AWAITED], stale=[STALE])
    expected = "2025-06 unchanged, Aetna awaited since 2025-06-02: 404, Cigna stale: last updated on 2025-01-01"
    assert describe(report) == expected
    assert describe(UNCOMMITTED) == "2025-06 published, delta tables: delta/summaries: not committed: disk full"


WITHHELD = MonthReport(MONTH, "published", withheld=[("Aetna", "few"), ("Cigna", "few")])
QUARANTINED = MonthReport(MONTH, "published", Counter(quarantined=1), [("a.json", "cut")])
AWAITED = AwaitedPayer("Aetna", date(2025, 6, 2), "404")
STALE = StalePayer("Cigna", date(2025, 1, 1))
UNCOMMITTED = MonthReport(MONTH, "published", delta=DeltaCommits(failed="delta/summaries: not committed: disk full"))


@pytest.mark.parametrize(
    ("reports", "failed", "name"),
    [
        ([MonthReport(MONTH, "unchanged")], False, "Completed"),
        ([WITHHELD], False, "Completed with 2 withheld"),
        ([WITHHELD, QUARANTINED], False, "Completed with 2 withheld, 1 quarantined"),
        ([QUARANTINED, MonthReport(MONTH, "failed")], True, "Failed 1 of 2 months, 1 quarantined"),
        ([MonthReport(MONTH, "failed")], True, "Failed"),
        ([UNCOMMITTED], False, "Completed with 1 not in the Delta tables"),
        ([MonthReport(MONTH, "not_published", awaited=[AWAITED])], False, "Completed, 1 awaited"),
        ([MonthReport(MONTH, "published", awaited=[AWAITED], stale=[STALE])], False, "Completed, 1 awaited, 1 stale"),
        ([MonthReport(MONTH, "published", awaited=[AWAITED], late=True)], False, "Completed with 1 not there in time"),
    ],
)
def test_a_state_is_named_by_what_was_left_out(reports: list[MonthReport], failed: bool, name: str) -> None:
    state = final_state(BackfillReport(reports))
    assert state.name == name
    assert state.is_failed() is failed
    assert state.message == "; ".join(map(describe, reports))
    assert report_of(state, BackfillReport) == BackfillReport(reports)
    if failed:  # as the process of a run by a worker ends
        with pytest.raises(MonthsFailedError, match="failed"):
            state.result()


def test_a_report_survives_being_persisted() -> None:
    references = UnresolvedReferences(2, {"mrf.example.com": 2})
    report = MonthReport(
        MONTH, "published", Counter(matched=4), [("a.json", "cut")], [("Cigna", "few")], references, [("Aetna", "none")]
    )
    report.awaited, report.stale = [AWAITED], [STALE]
    report.delta = DeltaCommits(1, {"summaries": 3, "providers": 3})
    report.tables, report.rows_eligible, report.seconds, report.output = {"rates": 7}, 5, 1.5, "s3://bucket/out"
    serializer = JSONSerializer()
    state = final_state(BackfillReport([report]))
    record: ResultRecord[Any] = ResultRecord.deserialize(serializer.dumps(state.data), serializer)  # as a retried run
    assert report_of(Completed(data=record.result), BackfillReport) == BackfillReport([report])


@pytest.mark.parametrize(
    ("state", "parameters", "name", "expected"),
    [
        (Failed(name="Failed"), {}, "2026-11, all payers", ("2026-11", "failed")),
        (Failed(), {"month": "2025-06"}, "2025-06, Cigna", ("2025-06", "failed")),
        (Failed(name="Failed 1 of 3 months"), {"first": "2025-01"}, "backfill", ("2025-01", "failed")),
        (Crashed(), {"first": "2025-01", "last": "2025-03"}, "crafty-crow", ("2025-01", "crashed")),
        (Crashed(), {}, "crafty-crow", ("", "crashed")),
    ],
)
def test_an_automation_sends_the_month_and_status_of_a_run(
    state: State, parameters: dict[str, Any], name: str, expected: tuple[str, str]
) -> None:
    run = FlowRun(flow_id=uuid4(), name=name, parameters=parameters, state=state)
    message = json.loads(render_user_template_sync(registration.PAYLOAD, {"flow_run": run}))
    assert (message["month"], message["status"], message["run"]) == (*expected, name)
    assert message.keys() == {each.name for each in fields(Event)}
    assert message["version"] == PAYLOAD_VERSION


@pytest.mark.parametrize(
    ("state", "notified"),
    [
        ("Failed", True),
        ("Failed 1 of 3 months, 2 quarantined", True),
        ("Crashed", True),
        ("TimedOut", True),
        ("Completed with 1 quarantined", False),
        ("Completed", False),
        ("Completed, 1 awaited", False),
        ("Cancelled", False),
    ],
)
def test_the_server_recognises_every_state_that_ends_a_run(state: str, notified: bool) -> None:
    def expects(names: Iterable[str]) -> bool:
        trigger = EventTrigger(
            posture=Posture.Reactive,
            expect={f"prefect.flow-run.{name}" for name in names},
            threshold=1,
            within=timedelta(0),
        )
        event = f"prefect.flow-run.{state}"
        return trigger.expects(event) and trigger.event_pattern.fullmatch(event) is not None  # it asks both

    assert expects(registration.ENDED)
    assert expects(registration.NOTIFIED) is notified

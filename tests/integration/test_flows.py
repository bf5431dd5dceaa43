"""The flows on a Prefect server of the tests: states, tasks, results, assets, the transaction of a publication."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import State
from prefect.events.filters import EventFilter

from flows.backfill import backfill
from flows.month import month
from flows.nightly import nightly
from flows.orchestration.flow_runs import report_of
from flows.orchestration.month_report import BackfillReport, MonthReport, NightReport
from flows.publish.delta import DeltaCommits
from flows.publish.publish import TABLES
from flows.storage.layout import Layout
from tests.command_line import digests, wait_until
from tests.documents import ANN, BOB, document, group, item, rate
from tests.json_text import json_bytes

pytestmark = pytest.mark.slow

CONFIG = """
[[payer]]
name = "Aetna"
files = ["mrf/*"]
undated = "any"
[gates]
min_files_read = 0.5
min_nppes_share = false
"""


@pytest.fixture(scope="session")
def prefect() -> Iterator[None]:
    """A server for all tests of the session: starting one costs most of ten seconds, importing it some."""
    from prefect.testing.utilities import prefect_test_harness

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        with prefect_test_harness(server_startup_timeout=180):
            yield


@pytest.fixture
def place(prefect: None, tmp_path: Path) -> Path:
    """A configuration, two good files and one that is cut."""
    (tmp_path / "mrf").mkdir()
    for name, npi in (("one", ANN), ("two", BOB)):
        (tmp_path / "mrf" / f"{name}.json").write_bytes(json_bytes(document(item(rate(group(npi))))))
    (tmp_path / "mrf" / "cut.json").write_bytes(json_bytes(document(item(rate(group(ANN)))))[:-9])
    (tmp_path / "tic-rates.toml").write_text(CONFIG)
    return tmp_path


def run_month(place: Path, name: str = "2025-06", **options: Any) -> State[Any]:
    """The final state of the flow."""
    state: Any = month(str(place / "tic-rates.toml"), name, report=False, return_state=True, **options)
    found: State[Any] = state
    return found


def tasks_of(state: State[Any]) -> dict[str, str]:
    """Names and states of a flow run's tasks, once the server has them all."""
    run = state.state_details.flow_run_id
    found: dict[str, str] = {}

    def all_ended() -> bool:
        with get_client(sync_client=True) as client:
            runs = client.read_task_runs(task_run_filter=TaskRunFilter.model_validate({"flow_run_id": {"any_": [run]}}))
        found.update({each.name: each.state_name or "" for each in runs})
        return any(name.startswith("publish") for name in found) and not {"Pending", "Running"} & set(found.values())

    wait_until(all_ended, "the task runs")
    return found


def asset_events(root: Path, run: UUID | None) -> dict[str, str]:
    """The server's events of assets under a folder, for a flow run: their names by the assets' keys."""
    prefix = {"id_prefix": [root.resolve().as_uri()]}
    related = {"id": [f"prefect.flow-run.{run}"]}
    wanted = EventFilter.model_validate(
        {"event": {"prefix": ["prefect.asset."]}, "resource": prefix, "related": related}
    )
    with get_client(sync_client=True) as client:
        return {event.resource.id: event.event for event in client.read_events(wanted, limit=50).events}


def own_events(run: UUID | None) -> list[Any]:
    """The server's events of ours, for a flow run."""
    related = {"id": [f"prefect.flow-run.{run}"]}
    wanted = EventFilter.model_validate({"event": {"prefix": ["tic-rates."]}, "related": related})
    with get_client(sync_client=True) as client:
        return client.read_events(wanted, limit=50).events


def test_a_quarantined_file_is_in_the_states_name_and_every_table_is_a_materialized_asset(place: Path) -> None:
    state = run_month(place)
    assert state.name == "Completed with 1 quarantined"
    report = report_of(state, MonthReport)
    assert (report.status, report.sources) == ("published", {"matched": 2, "quarantined": 1})
    steps = ("list files", "normalise", "summarise", "publish")
    assert tasks_of(state) == dict.fromkeys(
        ["2025-06 batch 1: 3 files", *(f"{step} 2025-06" for step in steps)], "Completed"
    )
    root, run = place / "output", state.state_details.flow_run_id
    wait_until(lambda: len(asset_events(root, run)) == len(TABLES), "the events of the assets")
    wait_until(lambda: own_events(run), "our event")
    (event,) = own_events(run)
    assert (event.event, event.resource.id) == ("tic-rates.partial", "tic-rates.month.2025-06")
    assert event.payload["subjects"] == [str(place / "mrf" / "cut.json")] and event.payload["next"]
    expected = {f"{root.resolve().as_uri()}/{table}": "prefect.asset.materialization.succeeded" for table in TABLES}
    assert asset_events(root, run) == expected


def test_a_failure_after_publishing_rolls_the_transaction_back(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_layout: Layout) -> None:
        raise ValueError("a bug in a later step")

    run_month(place)
    before = digests(place / "output")
    (place / "mrf" / "two.json").unlink()
    monkeypatch.setattr("flows.orchestration.run.remove_unused_builds", fail)
    state = run_month(place)
    assert state.is_failed()
    assert tasks_of(state)["publish 2025-06"] == "RolledBack"
    assert digests(place / "output") == before
    monkeypatch.undo()
    assert run_month(place).is_completed()
    assert digests(place / "output") != before


def test_a_commit_to_the_delta_tables_that_fails_is_in_the_states_name_and_made_by_the_next_run(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (place / "mrf" / "cut.json").unlink()
    monkeypatch.setattr("flows.publish.delta._write", fail)
    state = run_month(place, delta=True)
    assert state.name == "Completed with 1 not in the Delta tables"
    assert tasks_of(state)["delta 2025-06"] == "Failed"
    failed = report_of(state, MonthReport)
    assert (failed.status, failed.exit_code) == ("published", 3)
    assert f"`tic-rates nightly --config {place / 'tic-rates.toml'} --month 2025-06 --delta`" in str(failed.delta)
    monkeypatch.undo()
    state = run_month(place, delta=True)
    done = report_of(state, MonthReport)
    assert (state.name, done.status) == ("Completed", "unchanged")
    assert done.delta == DeltaCommits(2, {"summaries": 0, "providers": 0})


def test_a_night_is_a_subflow_run_for_each_month_and_its_state_says_who_is_awaited(
    place: Path, today: Callable[[str], None]
) -> None:
    config = place / "tic-rates.toml"
    config.write_text(CONFIG.replace("mrf/*", "mrf/{month}/*").replace('undated = "any"', ""))
    (place / "mrf" / "2025-05").mkdir()
    (place / "mrf" / "one.json").rename(place / "mrf" / "2025-05" / "one.json")
    today("2025-06-02T03:00")
    state: Any = nightly(str(config), report=False, return_state=True)
    assert (state.is_completed(), state.name) == (True, "Completed, 1 awaited")
    assert "Aetna awaited since 2025-06-02" in state.message
    report = report_of(state, NightReport)
    assert [(f"{each.month:%Y-%m}", each.status) for each in report.months] == [
        ("2025-05", "published"),
        ("2025-06", "not_published"),
    ]
    parent = FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [state.state_details.flow_run_id]}})
    with get_client(sync_client=True) as client:
        runs = {run.name: run.state_name for run in client.read_flow_runs(flow_run_filter=parent)}
    assert runs == {"2025-05, all payers": "Completed", "2025-06, all payers": "Completed, 1 awaited"}
    today("2025-06-21T03:00")
    state = nightly(str(config), report=False, return_state=True)
    assert (state.is_failed(), state.name) == (True, "Failed 1 of 2 months, 1 not there in time")
    assert "not there since 2025-06-02" in state.message


def test_a_backfill_is_a_subflow_run_for_each_month_and_a_failed_one_runs_again_by_its_parameters(place: Path) -> None:
    config = place / "tic-rates.toml"
    config.write_text(CONFIG.replace("mrf/*", "mrf/{month}/*").replace('undated = "any"', ""))
    (place / "mrf" / "2025-04").mkdir()
    (place / "mrf" / "one.json").rename(place / "mrf" / "2025-04" / "one.json")
    (place / "mrf" / "2025-05").mkdir()
    (place / "mrf" / "cut.json").rename(place / "mrf" / "2025-05" / "cut.json")
    state: Any = backfill(str(config), "2025-04", "2025-05", report=False, return_state=True)
    assert (state.is_failed(), state.name) == (True, "Failed 1 of 2 months")
    report = report_of(state, BackfillReport)
    assert [(each.month, each.status) for each in report.months] == [
        (date(2025, 4, 1), "published"),
        (date(2025, 5, 1), "failed"),
    ]
    (place / "mrf" / "two.json").rename(place / "mrf" / "2025-05" / "two.json")
    again = run_month(place, "2025-05")
    assert again.name == "Completed with 1 quarantined"

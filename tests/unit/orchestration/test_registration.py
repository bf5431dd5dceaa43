"""Which runs are orphans: begun by this machine's earlier workers, without a process; nobody else's."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State

from flows.orchestration import registration

Changed = list[tuple[FlowRun, State[Any]]]


def run_of(worker: str | None) -> FlowRun:
    return FlowRun(flow_id=uuid4(), labels={} if worker is None else {"prefect.worker.name": worker})


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> dict[UUID, str]:
    """What the server holds for running."""
    workers = ("here-serve-1-1", "here-serve-2-1", "here-serve-2-2", "there-serve-1-1", None)
    held = [run_of(worker) for worker in workers]

    async def change(
        _types: Sequence[object], chosen: Callable[[FlowRun], bool], make: Callable[[], State[Any]]
    ) -> Changed:
        return [(run, make()) for run in held if chosen(run)]

    monkeypatch.setattr(registration, "_change", change)
    return {run.id: worker or "" for run, worker in zip(held, workers, strict=True)}


def test_runs_of_this_machines_earlier_workers_without_a_process_are_crashed(runs: dict[UUID, str]) -> None:
    crashed = registration.crash_orphans("here-serve-", "here-serve-2-2", alive=())
    assert [runs[run.id] for run, _ in crashed] == ["here-serve-1-1", "here-serve-2-1"]
    assert all(state.is_crashed() and "what was read is kept" in str(state.message) for _, state in crashed)


def test_a_run_that_lives_on_without_its_worker_is_left_alone(runs: dict[UUID, str]) -> None:
    alive = [str(run) for run in runs]
    assert registration.crash_orphans("here-serve-", None, alive) == []


def test_runs_that_were_stopped_are_due_again_and_no_others(runs: dict[UUID, str]) -> None:
    stopped = next(iter(runs))
    assert [run.id for run in registration.put_back({str(stopped)})] == [stopped]

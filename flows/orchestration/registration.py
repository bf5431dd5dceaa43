"""What a Prefect server must know of us: work pool, nightly with its cron, backfill, and what becomes of dead runs."""

import asyncio
import shlex
import sys
from collections.abc import Callable, Container, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect.automations import Automation, ChangeFlowRunState, EventTrigger, Posture, ResourceSpecification
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter, WorkPoolFilter
from prefect.client.schemas.objects import (
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    FlowRun,
    State,
    StateType,
)
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.flows import Flow
from prefect.schedules import Cron
from prefect.states import Crashed, Scheduled
from prefect.types.entrypoint import EntrypointType

from flows.orchestration.deployments import TAG, backfill, nightly
from flows.settings.config import Config
from flows.settings.environment import HEARTBEAT_SECONDS, HEARTBEATS_MISSED, POOL, WORKER

NIGHTLY, BACKFILL = "tic-rates-nightly/nightly", "tic-rates-backfill/backfill"
SILENT = "tic-rates: silent runs are crashed"
_COMMAND = (
    f"{shlex.quote(sys.executable)} -m prefect.engine"  # said, a run starts in half the time: no process looks first
)
_GONE = "its process is gone: killed, out of memory, or the machine went down; run it again, what was read is kept"
_STOPPED = "stopped with `tic-rates serve`; goes on where it was at the next start"
_AT_WORK = (StateType.RUNNING, StateType.CANCELLING)
_UNFINISHED = (*_AT_WORK, StateType.PENDING, StateType.CRASHED)
_ALIVE = "prefect.flow-run.heartbeat"
_ENDED = "Completed Failed Cancelled Crashed Cancelling AwaitingRetry Scheduled Suspended Paused TimedOut".split()


def register(config: Config, folder: Path) -> None:
    """Both deployments in our work pool; again is as good as once. A schedule that somebody paused stays paused.

    Args:
        folder: where runs are to work.
    """
    asyncio.run(_register(config, folder))


async def _register(config: Config, folder: Path) -> None:
    await make_pool(POOL)
    cron = Cron(config.schedule, timezone=config.timezone, slug="nightly", active=await _is_active())
    await _deploy(nightly, "nightly", config, folder, schedule=cron)
    await _deploy(backfill, "backfill", config, folder)
    await watch_heartbeats()


async def _deploy(flow: Flow[..., Any], name: str, config: Config, folder: Path, **more: Any) -> None:
    """By module path: by file path, ``flows/`` itself would come first on sys.path."""
    deployment = await flow.ato_deployment(
        name=name,
        parameters={"config": str(config.path)},
        work_pool_name=POOL,
        job_variables={"command": _COMMAND, "working_dir": str(folder), "env": WORKER},
        tags=[TAG],
        entrypoint_type=EntrypointType.MODULE_PATH,
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
        **more,
    )
    await deployment.aapply()


async def make_pool(name: str) -> None:
    """A work pool whose workers start processes, unless there is one of that name."""
    async with get_client() as client:
        try:
            await client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        except ObjectAlreadyExists:
            return


async def _is_active() -> bool:
    async with get_client() as client:
        try:
            known = await client.read_deployment_by_name(NIGHTLY)
        except ObjectNotFound:
            return True
    return all(schedule.active for schedule in known.schedules)


async def watch_heartbeats() -> None:
    """A run that is no longer heard of, wherever its worker was, is marked crashed."""
    trigger = EventTrigger(
        posture=Posture.Proactive,
        after={_ALIVE},
        expect={_ALIVE, *(f"prefect.flow-run.{name}" for name in _ENDED)},
        match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
        match_related=ResourceSpecification(
            {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"}
        ),
        for_each={"prefect.resource.id"},
        threshold=1,
        within=timedelta(seconds=HEARTBEAT_SECONDS * HEARTBEATS_MISSED),
    )
    says = f"no sign of life: {_GONE}"
    act = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=says, force=False)
    wanted = Automation(name=SILENT, description=says, trigger=trigger, actions=[act])
    try:
        wanted.id = (await Automation.aread(name=SILENT)).id
    except ValueError:
        await wanted.acreate()
    else:
        await wanted.aupdate()


def crash_orphans(machine: str, worker: str | None, alive: Container[str]) -> list[tuple[FlowRun, State[Any]]]:
    """Runs that this machine's earlier workers began, and whose process is gone: marked crashed, and given back.

    Args:
        machine: what the names of its workers begin with; other machines' runs are not ours to judge.
        worker: the one at work; it marks its own.
        alive: runs that have a process.
    """

    def is_orphan(run: FlowRun) -> bool:
        name = str(run.labels.get("prefect.worker.name", ""))
        return name.startswith(machine) and name != worker and str(run.id) not in alive

    return asyncio.run(_change(_AT_WORK, is_orphan, _crashed))


def put_back(stopped: set[str]) -> list[FlowRun]:
    """Runs that we stopped are due again: the next worker takes them up."""
    return [run for run, _ in asyncio.run(_change(_UNFINISHED, lambda run: str(run.id) in stopped, _due_again))]


def _due_again() -> State[Any]:
    return Scheduled(message=_STOPPED)


def _crashed() -> State[Any]:
    return Crashed(message=_GONE)


async def _change(
    types: Sequence[StateType], chosen: Callable[[FlowRun], bool], make: Callable[[], State[Any]]
) -> list[tuple[FlowRun, State[Any]]]:
    async with get_client() as client:
        runs = await client.read_flow_runs(
            work_pool_filter=WorkPoolFilter.model_validate({"name": {"any_": [POOL]}}),
            flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": list(types)}}}),
            deployment_filter=DeploymentFilter.model_validate({"tags": {"all_": [TAG]}}),
        )
        changed = [(run, make()) for run in runs if chosen(run)]
        for run, state in changed:
            await client.set_flow_run_state(run.id, state, force=True)
        return changed

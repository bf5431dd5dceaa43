"""Both deployments of a configuration, and the automations that mark silent runs and notify of failed ones.

    python -m flows.orchestration.registration tic-rates.toml nightly backfill

makes the automations for deployments that `prefect deploy` made.
"""

import hashlib
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from prefect.automations import (
    Automation,
    CallWebhook,
    ChangeFlowRunState,
    EventTrigger,
    Posture,
    ResourceSpecification,
)
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, FlowRun, StateType
from prefect.deployments.runner import RunnerDeployment
from prefect.events.filters import EventFilter
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow
from prefect.schedules import Cron
from prefect.states import Scheduled
from prefect.types.entrypoint import EntrypointType
from pydantic import SecretStr

from flows.orchestration.flow_runs import STOPPED, TAG, automation_name
from flows.settings.config import load_config
from flows.settings.environment import HEARTBEAT_SECONDS, HEARTBEATS_MISSED
from flows.settings.values import Config

SILENT = "tic-rates: silent runs are crashed"
_SILENT_MESSAGE = (
    "no sign of life: its process was killed, ran out of memory, or the machine went down; run it again, what was read "
    "is kept"
)
_RESTARTED = "stopped with `tic-rates serve`; it goes on where it was"
_UNFINISHED = (StateType.RUNNING, StateType.CANCELLING, StateType.PENDING)
_ALIVE = "prefect.flow-run.heartbeat"
# Names of states. To Prefect a `*` stands for one letter at least: `Failed*` is not `Failed`.
ENDED = (
    *("Completed", "Completed*", "Failed", "Failed*", "Cancelled", "Crashed", "Cancelling", "AwaitingRetry"),
    *("Scheduled", "Suspended", "Paused", "TimedOut"),
)
NOTIFIED = ("Failed", "Failed*", "Crashed", "TimedOut")  # what a run that ends otherwise posts itself
# As flows.operations.events.Event
PAYLOAD = """{% set named_month = flow_run.name.split(", ")[0] if ", " in flow_run.name else "" -%}
{% set state = flow_run.state.type.value -%}
{
 "version": 1,
 "month": {{ (flow_run.parameters.month or flow_run.parameters.first or named_month) | tojson }},
 "status": {{ state | lower | tojson }},
 "reason": {{ (flow_run.state.message or "") | tojson }},
 "next": "do what the reason says, then press Retry on the run's page: what was read is kept",
 "run": {{ flow_run.name | tojson }},
 "subjects": [],
 "output": null,
 "time": {{ flow_run.state.timestamp.isoformat() | tojson }}
}"""


def deployment_name(config: Config) -> str:
    """The name of a configuration's deployments: its folder's, and a digest that tells apart folders of one name."""
    folder = re.sub(r"[^A-Za-z0-9_.-]+", "-", config.path.parent.name).strip("-") or "root"
    return f"{folder}-{hashlib.sha256(str(config.path).encode()).hexdigest()[:6]}"


def declare_deployments(config: Config, nightly: Flow[..., Any], backfill: Flow[..., Any]) -> list[RunnerDeployment]:
    """Both deployments of a configuration; a schedule that the server has as paused stays paused.

    By module path: by file path, Prefect would put ``flows/`` itself first on sys.path.
    """
    name = deployment_name(config)
    cron = Cron(config.schedule, timezone=config.timezone, slug="nightly", active=_is_active(f"{nightly.name}/{name}"))
    shared: dict[str, Any] = {
        "name": name,
        "parameters": {"config": str(config.path)},
        "tags": [TAG],
        "entrypoint_type": EntrypointType.MODULE_PATH,
        "concurrency_limit": ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
    }
    made: Any = [nightly.to_deployment(**shared, schedule=cron), backfill.to_deployment(**shared)]
    deployments: list[RunnerDeployment] = made
    return deployments


def _is_active(name: str) -> bool:
    with get_client(sync_client=True) as client:
        try:
            known = client.read_deployment_by_name(name)
        except ObjectNotFound:
            return True
    return all(schedule.active for schedule in known.schedules)


def make_automations(webhook: str | None, *deployments: str) -> None:
    """Silent runs are marked crashed; failed and crashed runs of the deployments go to the webhook.

    The server does it, so that a crash before our code is loaded, or an unreadable configuration, is notified too.
    """
    watch_heartbeats()
    if webhook is None:
        return
    for name in deployments:
        block = Webhook(url=SecretStr(webhook))  # Prefect keeps it encrypted
        block_id: Any = block.save(f"tic-rates-{re.sub(r'[^a-z0-9]+', '-', name.lower())}", overwrite=True)
        trigger = EventTrigger(
            posture=Posture.Reactive,
            expect={f"prefect.flow-run.{state}" for state in NOTIFIED},
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification({"prefect.resource.role": "deployment", "prefect.resource.name": name}),
            threshold=1,
            within=timedelta(0),
        )
        actions: list[Any] = [CallWebhook(block_document_id=block_id, payload=PAYLOAD)]
        what = f"failed and crashed runs of the deployment {name} go to the webhook"
        _save(Automation(name=automation_name(name), description=what, trigger=trigger, actions=actions))


def watch_heartbeats() -> None:
    """Let the server mark a run as crashed when its process sends no more heartbeats."""
    trigger = EventTrigger(
        posture=Posture.Proactive,
        after={_ALIVE},
        expect={_ALIVE, *(f"prefect.flow-run.{name}" for name in ENDED)},
        match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
        match_related=ResourceSpecification(
            {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"}
        ),
        for_each={"prefect.resource.id"},
        threshold=1,
        within=timedelta(seconds=HEARTBEAT_SECONDS * HEARTBEATS_MISSED),
    )
    act = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=_SILENT_MESSAGE, force=False)
    _save(Automation(name=SILENT, description=_SILENT_MESSAGE, trigger=trigger, actions=[act]))


def _save(wanted: Automation) -> None:
    try:
        known: Any = Automation.read(name=wanted.name)
        wanted.id = known.id
    except ValueError:
        wanted.create()
    else:
        wanted.update()


def restart_unfinished(config: Config, since: datetime) -> tuple[list[FlowRun], list[FlowRun]]:
    """Runs of the configuration's deployments that an earlier `serve` left unfinished, due again; and those left alone.

    A run that started or sent a heartbeat since then is left alone: its process lives, perhaps on another machine.
    """
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate(
                {"state": {"type": {"any_": [*_UNFINISHED, StateType.CRASHED]}}}
            ),
            deployment_filter=DeploymentFilter.model_validate({"name": {"any_": [deployment_name(config)]}}),
        )
        stopped = [run for run in runs if run.state is not None and STOPPED.search(run.state.message or "")]
        unfinished = [run for run in runs if run.state is not None and run.state.type in _UNFINISHED]
        alive = [run for run in unfinished if _is_alive(client, run, since)]
        left = [*stopped, *(run for run in unfinished if run not in alive)]
        for run in left:
            client.set_flow_run_state(run.id, Scheduled(message=_RESTARTED), force=True)
    return left, alive


def _is_alive(client: SyncPrefectClient, run: FlowRun, since: datetime) -> bool:
    """Whether the state of a run was set, or its process sent a heartbeat, since then."""
    if run.state is not None and run.state.timestamp >= since:
        return True
    resource = {"id": [f"prefect.flow-run.{run.id}"]}
    heartbeats = {"occurred": {"since": since}, "event": {"name": [_ALIVE]}, "resource": resource}
    return bool(client.read_events(EventFilter.model_validate(heartbeats), limit=1).events)


if __name__ == "__main__":
    make_automations(load_config(Path(sys.argv[1])).webhook, *sys.argv[2:])

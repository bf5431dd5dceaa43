"""What month, nightly and backfill share as Prefect flows: parameters, states, retries, tags, artifacts, the webhook.

Parameters carry the configuration's path, months, payers' names and flags: never an address, a header or a secret.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated, Any, TypeVar

import httpx
from prefect import get_client, runtime, tags
from prefect.automations import Automation
from prefect.client.schemas.objects import FlowRun, FlowRunPolicy, State
from prefect.exceptions import MissingResult, ObjectNotFound
from prefect.flows import Flow
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field, TypeAdapter

from flows.operations.events import Event, next_step, post_events
from flows.orchestration.artifacts import send_to_prefect
from flows.orchestration.month_report import CHANGES, BackfillReport, MonthReport, NightReport, describe, events_of
from flows.settings.config import load_config
from flows.storage.layout import month_name, this_month
from flows.storage.redaction import redact_text
from transforms.errors import NothingUsableError, OutageError, TicRatesError

Report = TypeVar("Report", MonthReport, BackfillReport, NightReport)
LOG = logging.getLogger(__name__)
TAG = "tic-rates"
STOPPED = re.compile("(termination|interrupt) signal")  # in Prefect's message of a run that was asked to stop
RETRIES, RETRY_SECONDS = 3, 600  # a share that is unmounted, a network that is away: back within the hour, or not

# Words of a run's state for kinds of ``MonthReport.left_out``
_LEFT_OUT = {
    "late": "not there in time",
    "withheld": "withheld",
    "quarantined": "quarantined",
    "delta": "not in the Delta tables",
    "coverage": "coverage rules not fetched",
    "references": "references given up",
}
_NOTED = {"awaited": "awaited", "stale": "stale", "changed": CHANGES}

Month = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$", description="YYYY-MM", examples=["2025-06"])]


class MonthFailedError(TicRatesError):
    """An error of a library, without the addresses that its text held."""

    def __init__(self, message: str, *, passing: bool) -> None:
        super().__init__(message)
        self.passing = passing


class MonthsFailedError(NothingUsableError):
    """Months of a run failed. ``details``: the whole run's report, as data: Prefect takes errors alone for failures."""


def can_heal(error: object) -> bool:
    """Whether trying later may help: the network, the disk; not our own verdicts, and not a bug."""
    if isinstance(error, MonthFailedError):
        return error.passing
    permanent = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
    return isinstance(error, (OSError, OutageError, httpx.TransportError)) and not isinstance(error, permanent)


def name_run(parameters: dict[str, Any]) -> str:
    """What a run does, its months and payers: what tells one run from another in a list."""
    if "sources" in parameters:
        return f"run {parameters['month']}, {len(parameters['sources'])} source(s)"
    payers = ", ".join(parameters.get("payers") or ["all payers"])
    return f"{'backfill ' if 'first' in parameters else ''}{_month_of(parameters)}, {payers}"


def _month_of(parameters: dict[str, Any]) -> str:
    """``2025-06``, or ``2025-01 to 2025-06``."""
    if "first" in parameters:
        return f"{parameters['first']} to {parameters['last']}"
    return str(parameters.get("month") or month_name(month_now(str(parameters.get("config")))))


def month_now(config: str) -> date:
    """This month by the schedule's clock: at the end of a month, time zones differ."""
    try:
        timezone = load_config(Path(config)).timezone
    except (OSError, TicRatesError):
        timezone = "UTC"  # for a name; the run itself says what is wrong with the configuration
    return this_month(timezone)


def automation_name(deployment: str | None) -> str:
    """The name of the automation that sends a deployment's failed runs to the webhook."""
    return f"tic-rates: {deployment} notifies"


def _is_automated(flow_run: FlowRun) -> bool:
    """Whether an automation of the server notifies of the run's deployment."""
    if flow_run.deployment_id is None:
        return False
    try:
        with get_client(sync_client=True) as client:
            found: Any = Automation.read(name=automation_name(client.read_deployment(flow_run.deployment_id).name))
    except (ValueError, httpx.HTTPError, ObjectNotFound):
        return False
    return found is not None


def notify(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:
    """Post what the months of a run came to, or that it failed or crashed, to the webhook, and to Prefect's events.

    A subflow run is part of its parent. Where an automation of the server posts that the run failed, this does not.
    """
    if flow_run.parent_task_run_id or STOPPED.search(state.message or ""):
        return
    config = None
    if "config" in flow_run.parameters:
        try:
            config = load_config(Path(flow_run.parameters["config"]))
        except (OSError, TicRatesError) as error:
            LOG.error("%s: the webhook is unknown, the configuration can't be read: %s", flow_run.name, error)
    events = list(_events_of_run(flow_run, state, None if config is None else config.path))
    send_to_prefect(events, flow_run.id)
    if config is not None:
        automated = not state.is_completed() and _is_automated(flow_run)
        wanted = set(config.events) - ({"failed", "crashed"} if automated else set())
        post_events(config.webhook, events, wanted)


def _events_of_run(flow_run: FlowRun, state: State, config: Path | None) -> Iterator[Event]:
    """The events of each month where the run has a report, else that it failed or crashed."""
    run = name_run(flow_run.parameters)
    reports = _reports_of(state)
    if reports:
        for report in reports:
            yield from events_of(report, config, run)
    elif not state.is_completed():
        status, month = "crashed" if state.is_crashed() else "failed", _month_of(flow_run.parameters)
        yield Event(month, status, state.message or "", next_step(status, month, config), run)


def _reports_of(state: State[Any]) -> list[MonthReport]:
    """The reports in the result of a run, or in the error of a failed one; none where there is no result."""
    finished: Any = state
    try:
        found = finished.result(raise_on_failure=False, _sync=True)
    except MissingResult:
        return []
    if isinstance(found, MonthsFailedError):
        found = found.details
    if not isinstance(found, dict):
        return []
    return TypeAdapter(list[MonthReport]).validate_python(found.get("months", [found]))


def flow_options() -> dict[str, Any]:
    """What every flow is declared with: its name, its small result on disk as JSON, threads for tasks, hooks."""
    hooks = [notify]
    return {
        "flow_run_name": lambda: name_run(runtime.flow_run.parameters),
        "task_runner": ThreadPoolTaskRunner(),
        "persist_result": True,
        "result_serializer": "json",
        "on_completion": hooks,
        "on_failure": hooks,
        "on_crashed": hooks,
    }


def run_here(flow: Flow[..., Any], kind: type[Report], **parameters: Any) -> Report:
    """The report of a flow run in this process.

    Raises:
        OutageError: the Prefect server does not answer.
        Exception: what the run failed with.
    """
    try:
        state: Any = flow(**parameters, return_state=True)
    except (httpx.TransportError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "Failed to reach API" not in str(error):
            raise
        raise OutageError(
            f"the Prefect server at {PREFECT_API_URL.value()} does not answer ({type(error).__name__}); start it, or "
            "correct PREFECT_API_URL"
        ) from None
    return report_of(state, kind)


def report_of(state: State[Any], kind: type[Report]) -> Report:
    """What a run returned; what it failed with is raised."""
    finished: Any = state
    found = finished.result(raise_on_failure=False, _sync=True)
    if isinstance(found, MonthsFailedError) and found.details:
        found = found.details
    if isinstance(found, BaseException):
        raise found
    if found is None:
        raise MonthFailedError(state.message or str(state.name), passing=False)
    return TypeAdapter(kind).validate_python(found)


@contextmanager
def run_of(*months: str) -> Iterator[None]:
    """The run is tagged with its months, every task and subflow run in it as ours; our log lines reach its page."""
    for name in ("flows", "transforms"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
    with get_client(sync_client=True) as client:
        client.update_flow_run(runtime.flow_run.id, tags=sorted({*runtime.flow_run.tags, TAG, *months}))
    with tags(TAG):
        yield


def failed(error: Exception) -> State[Any]:
    """The final state of a run that ended with an error; an error that may heal is raised, to be retried.

    Raises:
        MonthFailedError: an error of a library, without secrets.
    """
    if isinstance(error, TicRatesError):
        if can_heal(error):
            raise error
        no_more_retries()
        return Failed(message=redact_text(str(error)), data=error)
    if not can_heal(error):
        no_more_retries()
    message = redact_text(str(error))
    if message == str(error):
        raise error
    raise MonthFailedError(f"{type(error).__name__}: {message}", passing=can_heal(error)) from None


def no_more_retries() -> None:
    """End the retries of the flow run that is going on: its error stays."""
    if runtime.flow_run.id is None:
        return
    with get_client(sync_client=True) as client:
        client.update_flow_run(runtime.flow_run.id, empirical_policy=FlowRunPolicy(retries=0, retry_delay=0))


def final_state(report: MonthReport | BackfillReport) -> State[Any]:
    """Completed, named by what was left out, awaited or stale; Failed where a month failed.

    Prefect refuses *Retry* of a completed run: a run with a failed month must not be one.

    The report is its result, as a dictionary: of an object that Prefect encodes as JSON, a retried run gets no object
    back. Of a failed run it is in the error.
    """
    data = TypeAdapter(type(report)).dump_python(report, mode="json")
    months = report.months
    message = "; ".join(map(describe, months)) or "no month to do"
    failures = sum(month.status == "failed" for month in months)
    counts: Counter[str] = Counter()
    for month in months:
        counts.update({what: len(names) for what, names in month.left_out.items()})
        counts["references"] += sum(month.references.given_up.values()) - len(month.references.given_up)
    left_out, more = (
        [f"{counts[what]:,} {words}" for what, words in names.items() if counts[what]] for names in (_LEFT_OUT, _NOTED)
    )
    if failures:
        kind = "Failed" if failures == len(months) else f"Failed {failures} of {len(months)} months"
        name = ", ".join([kind, *left_out, *more])
        return Failed(name=name, message=message, data=MonthsFailedError(message, data))
    name = ", ".join([f"Completed with {', '.join(left_out)}" if left_out else "Completed", *more])
    return Completed(name=name, message=message, data=data)

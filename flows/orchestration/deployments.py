"""The nightly and the backfill as Prefect flows, deployed by module path: ``flows.orchestration.deployments:nightly``.

Parameters carry the configuration's path, months, payers' names and flags: never an address, a header or a secret.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from flows.settings.environment import CLIENT

os.environ.update(CLIENT | os.environ)  # before Prefect is imported: it reads its settings once

import httpx
from prefect import flow, get_client, runtime, tags, task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.flows import Flow
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import Task

from flows.orchestration.nightly import BackfillReport, MonthReport, run_backfill, run_month
from flows.orchestration.orchestrate import make_steps, telling
from flows.orchestration.run_page import national_markdown, quarantine_markdown
from flows.orchestration.webhook import tell_failure
from flows.settings.config import Config, load_config
from flows.storage.layout import Layout, month_name, this_month
from flows.storage.redaction import redact_text
from transforms.errors import BadFileError, NothingUsableError, TicRatesError, UsageError

TAG = "tic-rates"
BACKOFF_SECONDS = (60, 600, 3600)  # a share that is unmounted, a network that is away: back within the hour, or not
STOPPED = "termination signal"  # in Prefect's words for a run that was asked to stop: no failure to tell
Work = Callable[[], Any]


class MonthFailedError(TicRatesError):
    """An error of a library, without the addresses that its text held."""

    def __init__(self, message: str, *, passing: bool) -> None:
        super().__init__(message)
        self.passing = passing


def can_heal(error: object) -> bool:
    """Whether trying later may help: the network, the disk. Not our own verdicts, and no bug."""
    if isinstance(error, MonthFailedError):
        return error.passing
    permanent = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
    return isinstance(error, (OSError, httpx.TransportError)) and not isinstance(error, permanent)


def _retry(_task: Task[..., Any], _run: TaskRun, state: State) -> bool:
    return can_heal(state.result(raise_on_failure=False))


@task(
    name="work",
    task_run_name="{name}",
    retries=len(BACKOFF_SECONDS),
    retry_delay_seconds=list(BACKOFF_SECONDS),
    retry_jitter_factor=0.2,
    retry_condition_fn=_retry,
    persist_result=False,
    cache_policy=NO_CACHE,
)
def _work(name: str, work: Work) -> Any:
    """What a run does, with its batches and steps as tasks inside: the part that is tried again."""
    try:
        return work()
    except TicRatesError:
        raise
    except Exception as error:
        message = redact_text(str(error))
        if message == str(error):
            raise
        raise MonthFailedError(f"{type(error).__name__}: {message}", passing=can_heal(error)) from None


def tell_webhook(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:
    """Prefect's hook for runs that failed, and for runs whose process is gone (then it is the worker that calls)."""
    if STOPPED in (state.message or ""):
        return
    try:
        webhook = load_config(Path(flow_run.parameters["config"])).webhook
    except (KeyError, OSError, TicRatesError):
        return  # the run says itself that its configuration can't be read
    status, month = state.type.value.lower(), _months_of(flow_run.parameters)
    tell_failure(webhook, month=month, status=status, reason=state.message, run=name_run(flow_run.parameters))


def _months_of(parameters: dict[str, Any]) -> str:
    """``2025-06``, or ``2025-01 to 2025-06``."""
    if "first" in parameters:
        return f"{parameters['first']} to {parameters['last']}"
    return str(parameters.get("month") or month_name(_this_month(parameters["config"])))


def name_run(parameters: dict[str, Any]) -> str:
    """Month and payers: what tells one run from another in a list."""
    what = "backfill" if "first" in parameters else "nightly"
    return f"{what} {_months_of(parameters)}, {', '.join(parameters.get('payers') or ['all payers'])}"


def _name_this_run() -> str:
    return name_run(runtime.flow_run.parameters)


@flow(
    name="tic-rates-nightly",
    flow_run_name=_name_this_run,
    task_runner=ThreadPoolTaskRunner(),  # type: ignore[arg-type]
    on_failure=[tell_webhook],
    on_crashed=[tell_webhook],
)
def nightly(config: str, month: str | None = None, payers: list[str] | None = None, force: bool = False) -> State[Any]:
    """Publish one month: every payer of the configuration, only files that changed.

    Args:
        config: path of the configuration, on the worker's machine.
        month: YYYY-MM; this month unless said.
        payers: names as in the configuration; all unless said.
        force: do again what is published already.
    """
    settings, day = load_config(Path(config)), parse_month(month) if month else _this_month(config)
    name = month_name(day)

    def work() -> MonthReport:
        return run_month(settings, day, payers=tuple(payers or ()), force=force, steps=make_steps(settings.cluster))

    try:
        with _run_of(name), _progress(f"progress-{name}", f"files of {name}"):
            report = cast(MonthReport, _work(name, work))
    except NothingUsableError as error:
        report = MonthReport(day, "failed", quarantined=_quarantined(error), reason=str(error).splitlines()[0])
    _show(settings, [report])
    return _state([report], report.exit_code)


@flow(
    name="tic-rates-backfill",
    flow_run_name=_name_this_run,
    task_runner=ThreadPoolTaskRunner(),  # type: ignore[arg-type]
    on_failure=[tell_webhook],
    on_crashed=[tell_webhook],
)
def backfill(
    config: str,
    first: str,
    last: str,
    payers: list[str] | None = None,
    force: bool = False,
    newest_first: bool = False,
) -> State[Any]:
    """Publish past months, one after the other; what is published and unchanged is left alone.

    Args:
        config: path of the configuration, on the worker's machine.
        first: YYYY-MM.
        last: YYYY-MM, included.
        payers: names as in the configuration; all unless said.
        force: do again what is published already.
        newest_first: begin with the last month.
    """
    settings, span = load_config(Path(config)), (parse_month(first), parse_month(last))

    def work() -> BackfillReport:
        steps, chosen = make_steps(settings.cluster), tuple(payers or ())
        return run_backfill(settings, *span, payers=chosen, force=force, newest_first=newest_first, steps=steps)

    with _run_of(first, last), _progress("progress-backfill", f"files of the month at work, {first} to {last}"):
        report = cast(BackfillReport, _work(f"{first} to {last}", work))
    _show(settings, report.months)
    return _state(report.months, report.exit_code)


def parse_month(text: str) -> date:
    """The first of a month written as YYYY-MM."""
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        raise UsageError(f"{text!r} is no month; write it as 2025-06") from None


def _this_month(config: str) -> date:
    """Where the schedule's clock stands: at the end of a month, zones differ."""
    try:
        timezone = load_config(Path(config)).timezone
    except (OSError, TicRatesError):
        timezone = "UTC"  # only a name is wanted; the run itself says what is wrong
    return this_month(timezone)


@contextmanager
def _run_of(*months: str) -> Iterator[None]:
    """The run, and every task in it, can be found by month."""
    run_tags = {TAG, *months}
    with get_client(sync_client=True) as client:
        client.update_flow_run(runtime.flow_run.id, tags=sorted({*runtime.flow_run.tags, *run_tags}))
    with tags(*run_tags):
        yield


@contextmanager
def _progress(key: str, what: str) -> Iterator[None]:
    """A bar in the run's page, moved on after each batch of files."""
    artifact = cast("UUID", create_progress_artifact(progress=0.0, key=key, description=what))
    shown = -1

    def show(done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // max(total, 1)
        if percent != shown:
            shown = percent
            description = f"{what}: {done:,} of {total:,}"
            update_progress_artifact(artifact_id=artifact, progress=float(percent), description=description)

    with telling(show):
        yield


def _show(config: Config, reports: Sequence[MonthReport]) -> None:
    """The artifacts: national tables, what was quarantined or withheld, the way to the report."""
    for report in reports:
        name = month_name(report.month)
        pages = {
            "national": national_markdown(config.output, report.month),
            "quarantine": quarantine_markdown(report.month, report.quarantined, report.withheld, str(config.path)),
        }
        for key, page in pages.items():
            if page is not None:
                create_markdown_artifact(page, key=f"{key}-{name}")
    layout = Layout.at(config.output)
    index = layout.root / "report" / "index.html"
    if index.exists():
        where = "in object storage" if layout.store else "on the worker's machine"
        link = layout.name_of(index) if layout.store else index.resolve().as_uri()
        create_link_artifact(link, link_text=f"the report, {where}", key="report")


def _quarantined(error: NothingUsableError) -> list[tuple[str, str]]:
    entries = cast("list[dict[str, str]]", error.details.get("quarantined", []))
    return [(entry["source"], entry["reason"]) for entry in entries]


def _state(reports: Sequence[MonthReport], code: int) -> State[Any]:
    """Completed, and what is missing said; Failed where nothing usable came of it."""
    message = "; ".join(map(describe, reports)) or "no month to do"
    if code in (0, BadFileError.exit_code):
        return Completed(message=message)
    get_run_logger().error("exit code %d: %s", code, message)
    return Failed(message=message)


def describe(report: MonthReport) -> str:
    """One month in one line."""
    said = [f"{month_name(report.month)} {report.status}"]
    if report.reason:
        said.append(redact_text(report.reason))
    if report.quarantined:
        said.append(f"{len(report.quarantined):,} of {report.sources.total():,} source(s) quarantined")
    if report.references.count:
        said.append(str(report.references))
    said += [f"{payer} withheld: {why}" for payer, why in report.withheld]
    said += [f"{payer} undated: {redact_text(why)}" for payer, why in report.undated]
    return ", ".join(said)

"""One month as a Prefect flow, from sources to published tables and report: of a configuration, or of sources named."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.download.open_source import expand
from flows.orchestration import flow_runs
from flows.orchestration.artifacts import progress, show_month
from flows.orchestration.month_report import MonthReport, failed_month, quarantined_by
from flows.orchestration.months import load_settings, run_month
from flows.orchestration.run import RunRequest, run
from flows.orchestration.task_steps import TaskSteps
from flows.settings.addresses import is_object_url
from flows.settings.config import fetching_of
from flows.settings.values import Cluster
from flows.storage.layout import month_name, month_of_name
from transforms.contents.listing import Choice
from transforms.errors import NothingUsableError, UsageError

HERE = Cluster()


@flow(
    name="tic-rates-month",
    retries=flow_runs.RETRIES,
    retry_delay_seconds=flow_runs.RETRY_SECONDS,
    **flow_runs.flow_options(),
)
def month(
    config: str,
    month: flow_runs.Month,
    payers: list[str] | None = None,
    force: bool = False,
    gates: bool = True,
    report: bool = True,
    expected: bool = True,
    delta: bool = False,
) -> State[Any]:
    """Publish one month of a configuration; only files that changed are read.

    Args:
        config: path of the configuration, on the machine of the run.
        month: YYYY-MM.
        payers: names as in the configuration; all unless said.
        force: do again what is published already.
        gates: withhold payers that fail a gate of the configuration.
        report: build the report's pages after publishing.
        expected: a payer that is not there after the configured day is a failure.
        delta: commit to Delta tables, too, also where the configuration does not say so.
    """
    try:
        settings, day = load_settings(config, gates=gates, delta=delta), month_of_name(month)
        with flow_runs.run_of(month), progress(month) as on_progress:
            steps = TaskSteps(day, settings.cluster, on_progress)
            names = tuple(payers or ())
            found = run_month(settings, day, payers=names, force=force, steps=steps, pages=report, expected=expected)
    except Exception as error:  # noqa: BLE001 a state for each of them, without secrets
        if isinstance(error, NothingUsableError):
            show_month(settings, replace(failed_month(day, error), quarantined=quarantined_by(error)))
        return flow_runs.failed(error)
    show_month(settings, found)
    return flow_runs.final_state(found)


def month_updates(
    config: str, payers: list[str] | None, force: bool, gates: bool, delta: bool
) -> Callable[..., MonthReport]:
    """A function that publishes one month as a subflow run, without the report; an error becomes a failed month.

    Raises:
        UsageError: the configuration does not allow any month.
    """

    def update(day: date, expected: bool = True) -> MonthReport:
        state = month(config, month_name(day), payers, force, gates, False, expected, delta, return_state=True)
        try:
            return flow_runs.report_of(state, MonthReport)
        except UsageError:
            raise
        except Exception as error:  # noqa: BLE001 one month that fails doesn't stop the others
            return failed_month(day, error, state.message)

    return update


_REQUEST: ContextVar[RunRequest | None] = ContextVar(
    "_REQUEST", default=None
)  # with signatures, which no parameter has


@flow(name="tic-rates-run", **flow_runs.flow_options())
def run_sources(
    sources: list[str],
    month: flow_runs.Month,
    codes: list[str],
    output: str = "output",
    nppes: str | None = None,
    dask: str | None = None,
    choice: dict[str, Any] | None = None,
    delta: bool = False,
) -> State[Any]:
    """Publish one month of the sources named: `tic-rates run` as a flow.

    Args:
        sources: files, folders, patterns or addresses, without signatures.
        month: YYYY-MM.
        codes: billing codes.
        output: folder or object storage address of the tables.
        nppes: the provider lookup, or CMS's file of it.
        dask: address of a Dask scheduler to read on.
        choice: of the files that indexes list, those wanted: include, exclude, plan_market_types, plan_id_types and
            min_plans, as in a payer's block of the configuration.
        delta: commit to Delta tables, too.
    """
    try:
        request = _REQUEST.get() or replace(
            _request(sources, month, codes, output, nppes), choice=Choice.of(**choice or {}), delta=delta
        )
        with flow_runs.run_of(month), progress(month) as on_progress:
            return flow_runs.final_state(run(request, TaskSteps(request.month, Cluster(dask), on_progress)))
    except Exception as error:  # noqa: BLE001 a state for each of them, without secrets
        return flow_runs.failed(error)


def _request(sources: list[str], month: str, codes: list[str], output: str, nppes: str | None) -> RunRequest:
    places = [value if value is None or is_object_url(value) else Path(value) for value in (output, nppes)]
    where, lookup = places
    assert where is not None
    found = expand(sources)
    return RunRequest(found, month_of_name(month), tuple(codes), where, lookup, fetching=fetching_of())


def run_flow(request: RunRequest, cluster: Cluster = HERE) -> MonthReport:
    """What `tic-rates run` comes to, run as the flow ``run_sources`` in this process."""
    token = _REQUEST.set(request)
    try:
        return flow_runs.run_here(
            run_sources,
            MonthReport,
            sources=[source.name for source in request.sources],
            month=month_name(request.month),
            codes=list(request.codes),
            output=str(request.output),
            nppes=None if request.nppes is None else str(request.nppes),
            dask=cluster.dask,
            choice=request.choice.as_keys(),
            delta=request.delta,
        )
    finally:
        _REQUEST.reset(token)

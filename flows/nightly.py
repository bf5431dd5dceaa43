"""This month and those before it of every payer as a Prefect flow, a subflow run for each; only changes are read."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.month import month as month_flow
from flows.month import month_updates
from flows.orchestration import flow_runs
from flows.orchestration.month_report import MonthReport
from flows.orchestration.months import check_payers, load_settings, run_night
from flows.orchestration.task_steps import TaskSteps
from flows.storage.layout import month_name, this_month
from transforms.errors import TicRatesError


@flow(name="tic-rates-nightly", **flow_runs.flow_options())
def nightly(
    config: str,
    month: flow_runs.Month | None = None,
    payers: list[str] | None = None,
    force: bool = False,
    gates: bool = True,
    report: bool = True,
    delta: bool = False,
) -> State[Any]:
    """Publish this month and the configured number before it, the oldest first; only files that changed are read.

    Args:
        config: path of the configuration, on the machine of the run.
        month: YYYY-MM: this month alone.
        payers: names as in the configuration; all unless said.
        force: do again what is published already.
        gates: withhold payers that fail a gate of the configuration.
        report: build the report's pages after publishing.
        delta: commit to Delta tables, too, also where the configuration does not say so.
    """
    if month is None:
        return _night(config, payers, force, gates, report, delta)
    with flow_runs.run_of(month):
        state = month_flow(config, month, payers, force, gates, report, delta=delta, return_state=True)
    try:
        found = flow_runs.report_of(state, MonthReport)
    except Exception as error:  # noqa: BLE001 the month's run was retried already
        return flow_runs.failed(error)
    return flow_runs.final_state(found)


def _night(config: str, payers: list[str] | None, force: bool, gates: bool, report: bool, delta: bool) -> State[Any]:
    try:
        settings = load_settings(config, gates=gates, delta=delta)
        check_payers(settings, payers or ())
        last = this_month(settings.timezone)
        with flow_runs.run_of(month_name(last)):
            steps = TaskSteps(last, settings.cluster)
            update = month_updates(config, payers, force, gates, delta)
            return flow_runs.final_state(run_night(settings, update, steps=steps, pages=report))
    except TicRatesError as error:
        return flow_runs.failed(error)


def run_flow(config: Path, kind: type[flow_runs.Report], **options: Any) -> flow_runs.Report:
    """What `tic-rates nightly` comes to, run as the flow ``nightly`` in this process.

    Args:
        kind: ``NightReport``, or of one ``month`` among the options, ``MonthReport``.
    """
    return flow_runs.run_here(nightly, kind, config=str(config), **options)

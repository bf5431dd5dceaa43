"""Past months as a Prefect flow: a subflow run for each, with its own state, retries and artifacts."""

from datetime import date
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.month import month_updates
from flows.orchestration import flow_runs
from flows.orchestration.month_report import BackfillReport
from flows.orchestration.months import check_payers, load_settings, run_backfill
from flows.orchestration.task_steps import TaskSteps
from flows.storage.layout import month_name, month_of_name
from transforms.errors import TicRatesError


@flow(name="tic-rates-backfill", **flow_runs.flow_options())
def backfill(
    config: str,
    first: flow_runs.Month,
    last: flow_runs.Month,
    payers: list[str] | None = None,
    force: bool = False,
    newest_first: bool = False,
    gates: bool = True,
    report: bool = True,
    delta: bool = False,
) -> State[Any]:
    """Publish past months, one after the other; a month that is published and unchanged is left alone.

    Args:
        config: path of the configuration, on the machine of the run.
        first: YYYY-MM.
        last: YYYY-MM, included; not before ``first``.
        payers: names as in the configuration; all unless said.
        force: do again what is published already.
        newest_first: begin with the last month.
        gates: withhold payers that fail a gate of the configuration.
        report: build the report's pages after all months.
        delta: commit to Delta tables, too, also where the configuration does not say so.
    """
    try:
        settings, days = load_settings(config, gates=gates, delta=delta), (month_of_name(first), month_of_name(last))
        check_payers(settings, payers or ())
        with flow_runs.run_of(first, last):
            publish = month_updates(config, payers, force, gates, delta)
            steps = TaskSteps(days[1], settings.cluster)
            found = run_backfill(settings, *days, publish, newest_first=newest_first, steps=steps, pages=report)
            return flow_runs.final_state(found)
    except TicRatesError as error:
        return flow_runs.failed(error)


def run_flow(config: Path, first: date, last: date, **options: Any) -> BackfillReport:
    """What `tic-rates backfill` comes to, run as the flow ``backfill`` in this process."""
    months = {"first": month_name(first), "last": month_name(last)}
    return flow_runs.run_here(backfill, BackfillReport, config=str(config), **months, **options)

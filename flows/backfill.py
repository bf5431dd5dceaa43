"""Past months as a Prefect flow: a subflow run for each, with its own state, retries and artifacts."""

from datetime import date
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.month import month as month_flow
from flows.orchestration.flow_runs import (
    Month,
    failed,
    final_state,
    flow_options,
    load_settings,
    parse_month,
    report_of,
    run_here,
    run_of,
)
from flows.orchestration.month_report import BackfillReport, MonthReport
from flows.orchestration.nightly import check_payers, months_to_do
from flows.orchestration.steps import build_pages
from flows.orchestration.task_steps import TaskSteps
from flows.storage.layout import Layout, month_name
from transforms.errors import TicRatesError


@flow(name="tic-rates-backfill", **flow_options())
def backfill(
    config: str,
    first: Month,
    last: Month,
    payers: list[str] | None = None,
    force: bool = False,
    newest_first: bool = False,
    gates: bool = True,
    report: bool = True,
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
    """
    try:
        months = months_to_do(parse_month(first), parse_month(last), newest_first=newest_first)
        settings = load_settings(config, gates=gates)
        check_payers(settings, payers or ())
    except TicRatesError as error:
        return failed(error)
    found = BackfillReport([])
    with run_of(first, last):
        for day in months:
            state = month_flow(config, month_name(day), payers, force, gates, False, return_state=True)
            try:
                found.months.append(report_of(state, MonthReport))
            except Exception as error:  # noqa: BLE001 one month that fails doesn't stop the others
                found.months.append(MonthReport(day, "failed", reason=state.message or str(error)))
        if report and any(each.status == "published" for each in found.months):
            TaskSteps(months[-1], settings.cluster).call(build_pages, Layout.at(settings.output))
    return final_state(found)


def run_flow(config: Path, first: date, last: date, **options: Any) -> BackfillReport:
    """What `tic-rates backfill` comes to, run as the flow ``backfill`` in this process."""
    months = {"first": month_name(first), "last": month_name(last)}
    return run_here(backfill, BackfillReport, config=str(config), **months, **options)

"""This month of every payer in the configuration as a Prefect flow; only files that changed are read."""

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
    month_now,
    report_of,
    run_here,
    run_of,
)
from flows.orchestration.month_report import MonthReport
from flows.storage.layout import month_name


@flow(name="tic-rates-nightly", **flow_options())
def nightly(
    config: str,
    month: Month | None = None,
    payers: list[str] | None = None,
    force: bool = False,
    gates: bool = True,
    report: bool = True,
) -> State[Any]:
    """Publish this month: every payer of the configuration, only files that changed.

    Args:
        config: path of the configuration, on the machine of the run.
        month: YYYY-MM; this month unless said.
        payers: names as in the configuration; all unless said.
        force: do again what is published already.
        gates: withhold payers that fail a gate of the configuration.
        report: build the report's pages after publishing.
    """
    name = month or month_name(month_now(config))
    with run_of(name):
        state = month_flow(config, name, payers, force, gates, report, return_state=True)
    try:
        found = report_of(state, MonthReport)
    except Exception as error:  # noqa: BLE001 the month's run was retried already
        return failed(error)
    return final_state(found)


def run_flow(config: Path, month: date, **options: Any) -> MonthReport:
    """What `tic-rates nightly` comes to, run as the flow ``nightly`` in this process."""
    return run_here(nightly, MonthReport, config=str(config), month=month_name(month), **options)

"""The commands that publish months: run, nightly, backfill, demo. Each imports what it uses when it runs."""

import json
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli.options import (
    POSITIVE,
    Result,
    choice_of,
    codes_option,
    command,
    configured_options,
    delta_option,
    listed_options,
    metrics_option,
    month_of,
    output_option,
    prefect_option,
    printing_option,
    reader_option,
    report_option,
)
from flows.settings.addresses import location_of
from flows.storage.layout import Layout, month_name, this_month
from transforms.errors import UsageError

if TYPE_CHECKING:
    from flows.orchestration.month_report import MonthReport, NightReport
    from flows.settings.values import Config


@command("run", example="run 'mrf/*.json.gz' --month 2026-06 --nppes NPPES_Data_Dissemination_June_2026.zip")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--month", type=month_of, metavar="YYYY-MM", help="Month to publish (default: this one, in UTC).")
@click.option(
    "--nppes",
    type=location_of,
    metavar="FILE",
    help="NPPES: a built lookup, or CMS's zip or csv, built once and cached (default: the lookup that `reference "
    "nppes` built in DIR; without one, no states and no tiers).",
)
@codes_option
@output_option
@click.option("--workers", type=POSITIVE, metavar="N", help="Files at a time (default: cores).")
@reader_option
@listed_options
@report_option
@delta_option
@metrics_option
@click.option("--dask", metavar="ADDRESS", help="Read and build on a Dask cluster, such as tcp://HOST:8786.")
@prefect_option
def run_command(*, sources: tuple[str, ...], month: date | None, nppes: Path | str | None, **options: Any) -> Result:
    """Read payers' files and publish a month's benchmarks.

    SOURCE is a file, a folder, a glob, an http(s):// or s3:// URL; an in-network file or an index: a table of contents,
    HealthSparq's or UnitedHealthcare's own, a page that names them. Files are recognized by content, not by name. A
    bad file is quarantined with the reason, and the others are still read. Files that were read before are not read
    again; a run that was stopped resumes.
    """
    from flows.cli.show import print_result
    from flows.download.open_source import expand
    from flows.operations.events import post_events
    from flows.operations.metrics import metrics_written
    from flows.orchestration.month_report import events_of
    from flows.orchestration.run import RunRequest
    from flows.settings.config import fetching_of

    if isinstance(nppes, Path) and not nppes.is_file():
        what = "is a folder" if nppes.is_dir() else "no such file"
        raise UsageError(f"--nppes {nppes}: {what}; give the built lookup, or CMS's zip or csv")
    request = RunRequest(
        expand(sources),
        month or this_month("UTC"),  # no configuration names a time zone here
        options["codes"],
        options["layout"].location,
        nppes,
        workers=options["workers"] or 0,
        engine=options["reader"],
        fetching=fetching_of(),
        report=not options["no_report"],
        delta=options["delta"],
        choice=choice_of(options),
    )
    with metrics_written(options["metrics"], options["layout"]):
        result = _runner(prefect=options["prefect"], dask=options["dask"])(request)
    post_events(None, events_of(result, None), ())  # no configuration names a webhook: to the log alone
    return Result(result.as_json(), partial(print_result, result), result.exit_code)


def _runner(*, prefect: bool | None, dask: str | None = None) -> Callable[[Any], Any]:
    """The run as plain calls, or the same steps as a Prefect flow; here, or on a cluster."""
    from flows.settings.values import Cluster

    cluster = Cluster(dask)
    if _use_prefect(prefect):
        from flows.month import run_flow

        return partial(run_flow, cluster=cluster)
    from flows.orchestration.run import run
    from flows.orchestration.steps import Steps

    return partial(run, steps=Steps(cluster))


def _use_prefect(asked: bool | None) -> bool:
    """Whether the command runs as a Prefect flow; then Prefect's settings are set, before it is imported."""
    from flows.settings.environment import set_client_defaults, use_prefect

    chosen = use_prefect(asked)
    if chosen:
        set_client_defaults()
    return chosen


def _example() -> str:
    from flows.settings.config import example_text

    return example_text().removesuffix("\n")


def _schema() -> str:
    from flows.settings.validation import settings_schema

    return json.dumps(settings_schema(), indent=2)


@command("nightly", example="nightly --config tic-rates.toml")
@configured_options
@click.option(
    "--month",
    type=month_of,
    metavar="YYYY-MM",
    help="Only this month (default: the current one, in [schedule] timezone, and [nightly] months_back before it).",
)
@printing_option("--example", _example, "Print a configuration that explains every key.")
@printing_option("--schema", _schema, "Print the JSON schema of the configuration, for editors.")
def nightly_command(*, config: Path, month: date | None, **options: Any) -> Result:
    """Bring this month and the one before up to date for every payer in the configuration.

    A payer whose index or files are not there yet is awaited: the output names it, and since when. That is a failure
    (exit code 3, or 4 where no payer is there) only after the day of the month that [nightly] expect_by_day sets.

    Reads only files that changed, builds only payers that changed: an unchanged night costs one request a file and
    month. A payer whose figures fail a gate keeps its last good ones (exit code 3).

    More than one machine: name a Dask scheduler in [cluster] of the configuration, and start workers by `dask worker
    tcp://HOST:8786 --nthreads 1`. All must see the same source files: docs/how-to/dask.md.
    """
    from flows.operations.metrics import metrics_written
    from flows.orchestration.months import load_settings

    settings = load_settings(config, gates=not options["no_gates"], delta=options["delta"])
    with metrics_written(options["metrics"], Layout.at(settings.output), settings):
        report = _nightly(settings, month, options)
    return Result(report.as_json(), partial(_print_months, report.months), report.exit_code)


def _nightly(settings: "Config", month: date | None, options: dict[str, Any]) -> "MonthReport | NightReport":
    """The report of the month, or of all months of a night, by a Prefect flow or plain calls; posted to the webhook."""
    from flows.orchestration.month_report import MonthReport, NightReport, failure_notified, notify_months
    from flows.orchestration.months import check_payers, run_month, run_night

    name = None if month is None else month_name(month)
    if _use_prefect(options["prefect"]):
        from flows.nightly import run_flow

        parameters = _flow_parameters(options)
        if month is None:
            return run_flow(settings.path, NightReport, **parameters)
        return run_flow(settings.path, MonthReport, month=name, **parameters)
    payers, pages = options["payers"], not options["no_report"]
    update = partial(run_month, settings, payers=payers, force=options["force"])
    check_payers(settings, payers)
    with failure_notified(settings, name or month_name(this_month(settings.timezone))):
        if month is None:
            report: MonthReport | NightReport = run_night(settings, partial(update, pages=False), pages=pages)
        else:
            report = update(month, pages=pages)
    notify_months(settings, report.months)
    return report


def _flow_parameters(options: dict[str, Any]) -> dict[str, Any]:
    """The options of `nightly` and `backfill` as parameters of their flows."""
    return {
        "payers": list(options["payers"]) or None,
        "force": options["force"],
        "gates": not options["no_gates"],
        "report": not options["no_report"],
        "delta": options["delta"],
    }


@command("backfill", example="backfill --from 2026-01 --to 2026-06 --payer Cigna")
@configured_options
@click.option("--from", "first", type=month_of, required=True, metavar="YYYY-MM", help="First month.")
@click.option("--to", "last", type=month_of, required=True, metavar="YYYY-MM", help="Last month.")
@click.option("--newest-first", is_flag=True, help="Begin with the last month.")
def backfill_command(*, config: Path, first: date, last: date, newest_first: bool, **options: Any) -> Result:
    """Bring past months up to date.

    Safe to repeat: a published month without changes is left alone, one that was stopped resumes, one that fails does
    not stop the others. A source whose address names no month counts for a past month only if its last_updated_on, or
    its index's, lies in that month or the 31 days before it; undated = "any" lifts that.
    """
    from flows.operations.metrics import metrics_written
    from flows.orchestration.month_report import notify_months
    from flows.orchestration.months import check_payers, load_settings, months_to_do, run_backfill, run_month

    settings = load_settings(config, gates=not options["no_gates"], delta=options["delta"])
    months_to_do(first, last)
    payers, force, pages = options["payers"], options["force"], not options["no_report"]
    check_payers(settings, payers)
    with metrics_written(options["metrics"], Layout.at(settings.output), settings):
        if _use_prefect(options["prefect"]):
            from flows.backfill import run_flow

            report = run_flow(settings.path, first, last, newest_first=newest_first, **_flow_parameters(options))
        else:
            update = partial(run_month, settings, payers=payers, force=force, pages=False)
            report = run_backfill(settings, first, last, update, newest_first=newest_first, pages=pages)
            notify_months(settings, report.months)
    return Result(report.as_json(), partial(_print_months, report.months), report.exit_code)


def _print_months(months: "Sequence[MonthReport]") -> None:
    """One line a month, then what was quarantined, withheld, awaited, stale or left out as undated, and why."""
    from flows.orchestration.month_report import details_of

    for month in months:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(month.sources.items()))
        rows = f"  {month.rows:,} rate rows, {month.rows_eligible:,} eligible" if month.rows else ""
        print(f"{month_name(month.month)}  {month.status:<11}{counts}{rows}  {month.seconds:.1f} s")
    for month in months:
        lines = [] if month.reason is None else [f"failed: {month.reason}"]
        lines += [*details_of(month), *(f"{source} quarantined: {reason}" for source, reason in month.quarantined)]
        if month.delta is not None and month.delta.commits:
            lines.append(f"Delta: {month.delta}")
        for line in lines:
            print(f"{month_name(month.month)} {line}")


@command("demo", example="demo --output output")
@click.option("--month", type=month_of, default="2026-06", metavar="YYYY-MM", help="Default: 2026-06.")
@output_option
@prefect_option
def demo_command(*, month: date, layout: Layout, prefect: bool | None) -> Result:
    """Write a small synthetic market with known answers, run it and check every cell.

    The market's files are in DIR/demo, its tables beside them: DIR is an ordinary output folder. Two made-up editions
    of coverage rules are among them, in the layouts of CMS; their rules are published with the demo's month alone.
    """
    from flows.cli.demo import run_demo

    return run_demo(layout, month, _runner(prefect=prefect))

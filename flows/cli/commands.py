"""What each command does. Each imports what it uses when it runs, and returns its result line and exit code."""

import argparse
import sys
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from flows.cli.streams import tell
from transforms.errors import TicRatesError, UsageError

Result = tuple[dict[str, Any], int]  # the machine-readable line, the exit code
Command = Callable[[argparse.Namespace], Result]


def run(options: argparse.Namespace) -> Result:
    """One month from the sources given."""
    from flows.cli.show import print_result
    from flows.download.open_source import expand
    from flows.orchestration.run import RunRequest
    from flows.settings.fetching import Cluster
    from flows.settings.protection import fetching_of
    from flows.storage.layout import this_month

    if isinstance(options.nppes, Path) and not options.nppes.is_file():
        what = "is a folder" if options.nppes.is_dir() else "no such file"
        raise UsageError(f"--nppes {options.nppes}: {what}; give the built lookup, or CMS's zip or csv")
    month = options.month or this_month("UTC")  # no configuration names a time zone here
    fetching = fetching_of()
    request = RunRequest(
        expand(options.sources),
        month,
        options.codes,
        options.output,
        options.nppes,
        workers=options.workers,
        engine=options.reader,
        fetching=fetching,
        limits=fetching.bounds,
        report=not options.no_report,
    )
    cluster = Cluster(options.dask)
    result = _runner(orchestrated=options.prefect, cluster=cluster)(request)
    if not options.json:
        tell(print_result, result)
    return result.as_json(), result.exit_code


def nightly(options: argparse.Namespace) -> Result:
    """One month from the configuration."""
    from flows.cli.show_months import print_months
    from flows.orchestration.nightly import run_month
    from flows.settings.config import example_text
    from flows.storage.layout import this_month

    if options.example:
        tell(print, example_text(), end="")
        return {}, 0
    config = _load_config(options)
    month = options.month or this_month(config.timezone)
    try:
        report = run_month(config, month, payers=options.payer, force=options.force, pages=not options.no_report)
    except TicRatesError as error:
        _tell(config, month, str(error))
        raise
    if not options.json:
        tell(print_months, [report])
    return report.as_json(), report.exit_code


def backfill(options: argparse.Namespace) -> Result:
    """Several months from the configuration."""
    from flows.cli.show_months import print_months
    from flows.orchestration.nightly import run_backfill

    config = _load_config(options)
    report = run_backfill(
        config,
        options.first,
        options.last,
        payers=options.payer,
        force=options.force,
        newest_first=options.newest_first,
        pages=not options.no_report,
    )
    for month in report.months:
        if month.reason is not None:
            _tell(config, month.month, month.reason)
    if not options.json:
        tell(print_months, report.months)
    return report.as_json(), report.exit_code


def _tell(config: Any, month: date, reason: str) -> None:
    """A month that failed, to the webhook of the configuration."""
    from flows.orchestration.webhook import tell_failure
    from flows.storage.layout import month_name

    tell_failure(config.webhook, month=month_name(month), status="failed", reason=reason)


def _load_config(options: argparse.Namespace) -> Any:
    from dataclasses import replace

    from flows.settings.config import Gates, load_config

    config = load_config(options.config)
    return replace(config, gates=Gates(None, None, None, None, withhold_vanished=False)) if options.no_gates else config


def _runner(*, orchestrated: bool, cluster: Any = None) -> Callable[[Any], Any]:
    """The run as plain calls, or the same steps as a Prefect flow when asked for; here, or on a cluster."""
    from functools import partial

    from flows.orchestration.dask_workers import elsewhere
    from flows.settings.fetching import Cluster

    cluster = cluster or Cluster()
    if orchestrated:
        from flows.orchestration.orchestrate import run_flow

        return partial(run_flow, cluster=cluster)
    from flows.orchestration.run import Steps, run

    return partial(run, steps=Steps(elsewhere=elsewhere(cluster)))


def demo(options: argparse.Namespace) -> Result:
    """The synthetic market."""
    from flows.cli.demo import run_demo

    return run_demo(options.output, options.month, _runner(orchestrated=options.prefect), quiet=options.json)


def inspect(options: argparse.Namespace) -> Result:
    """One file, told."""
    from flows.cli.inspection import inspect
    from flows.cli.show import print_inspection
    from flows.download.open_source import expand
    from flows.settings.protection import fetching_of

    sources = expand([options.source])
    if len(sources) > 1:
        raise UsageError(f"{options.source} is {len(sources)} files; inspect reads one")
    found = inspect(sources[0], options.codes, "ijson" if options.strict else options.reader, fetching_of())
    if not options.json:
        tell(print_inspection, found)
    return found, 0


def reference_nppes(options: argparse.Namespace) -> Result:
    """The provider lookup."""
    from flows.cli.show import print_figures
    from flows.storage.layout import Layout
    from flows.storage.mirror import keep
    from flows.tables.reference import build_nppes

    layout = Layout.at(options.output)
    target = layout.nppes
    figures = {"lookup": layout.name_of(target)} | build_nppes(
        options.file, target, weekly=tuple(options.weekly), deactivated=tuple(options.deactivated)
    )
    keep(layout, target, dated=True)
    if not options.json:
        tell(print_figures, figures)
    return figures, 0


def reference_medicare(options: argparse.Namespace) -> Result:
    """A year of the fee schedule."""
    from flows.cli.show import print_figures
    from flows.storage.layout import Layout
    from flows.storage.mirror import keep
    from flows.tables.reference import build_medicare

    layout = Layout.at(options.output)
    figures = build_medicare(options.rvu, options.gpci, options.year, layout.reference)
    keep(layout, *sorted((layout.reference / str(options.year)).glob("*.csv")), dated=True)
    if not options.json:
        tell(print_figures, figures)
    return figures, 0


def report(options: argparse.Namespace) -> Result:
    """The report's pages."""
    from flows.cli.show import print_figures
    from flows.report.report import build_report
    from flows.storage.layout import Layout

    figures = build_report(Layout.at(options.output))
    if not options.json:
        tell(print_figures, figures)
    return figures, 0


def rvu(options: argparse.Namespace) -> Result:
    """A code's amounts."""
    from flows.cli.show import print_service, service_as_json
    from flows.storage.layout import Layout
    from flows.storage.mirror import renew_folder
    from flows.tables.reference import load_medicare
    from transforms.cms.medicare import price_service

    layout = Layout.at(options.output)
    renew_folder(layout, layout.reference, layout.nppes)
    reference = load_medicare(layout.reference)
    price = price_service(reference, options.code, options.units, options.state, options.year)
    if not options.json:
        tell(print_service, price)
    return service_as_json(price), 0


def serve(options: argparse.Namespace) -> Result:
    """Until it is stopped."""
    from flows.orchestration.serving import serve
    from flows.settings.config import load_config

    def say(text: str) -> None:
        tell(print, text, file=sys.stderr if options.json else sys.stdout, flush=True)

    serve(load_config(options.config), options.host, options.port, say)
    return {}, 0


COMMANDS: Mapping[str, Command] = {
    "run": run,
    "nightly": nightly,
    "backfill": backfill,
    "demo": demo,
    "inspect": inspect,
    "reference nppes": reference_nppes,
    "reference medicare": reference_medicare,
    "report": report,
    "rvu": rvu,
    "serve": serve,
}

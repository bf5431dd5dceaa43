"""The commands that operate the pipeline: status, serve, prune. Each imports what it uses when it runs."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from flows.cli.options import POSITIVE, Result, command, config_option, metrics_option, output_option
from flows.cli.streams import print_error, write_output
from flows.settings.addresses import location_of
from flows.storage.layout import Layout, today


@command("status", example="status --output output")
@click.option(
    "--output",
    type=location_of,
    metavar="DIR",
    help="Folder, or s3://... (default: the output of --config, or output without --config).",
)
@click.option(
    "--config",
    type=Path,
    metavar="FILE",
    help="Configuration whose output, time zone and [nightly] settings apply (default: none; expect_by_day is 20).",
)
@metrics_option
def status_command(*, output: Path | str | None, config: Path | None, metrics: Path | None) -> Result:
    """Show what is published, what needs attention, and what to do next.

    The last publication and the last run of each month, payers awaited, stale or withheld, quarantined files, whether a
    publication failed or is running, the size of the cache, the editions of reference data. Writes nothing but the
    --metrics file.

    Exit code 3: a payer is withheld, or the last run of a month failed or was interrupted; or in the newest month and
    the [nightly] months_back before it, a payer is stale or not there by the expected day, a file is quarantined, or
    something else made the exit code of the last run 3.
    Exit code 4: nothing is published there.
    """
    from flows.cli.show_status import print_status
    from flows.operations.metrics import write_metrics
    from flows.operations.state import cache_size, read_state
    from flows.settings.values import Nightly
    from flows.storage.resource_errors import explain_resource_errors

    nightly, timezone, place = Nightly(), "UTC", output or Path("output")
    if config is not None:
        from flows.settings.config import load_config

        settings = load_config(config)
        nightly, timezone, place = settings.nightly, settings.timezone, output or settings.output
    layout = Layout.at(place)
    state = read_state(layout, today(timezone), nightly, config)
    if metrics is not None:
        with explain_resource_errors("writing the metrics", metrics):
            write_metrics(metrics, state)
    cache = cache_size(layout)
    return Result(state.as_json() | {"cache": cache}, partial(print_status, state, cache), state.exit_code)


@command("serve", example="serve --config tic-rates.toml")
@config_option
@click.option("--host", default="127.0.0.1", metavar="HOST", help="Where to listen (default: 127.0.0.1).")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=4200,
    metavar="N",
    help="Port of the pages and the API; 0: any (default: 4200).",
)
def serve_command(*, config: Path, host: str, port: int) -> Result:
    """Run the nightly on its schedule, and backfills on request, with Prefect.

    Starts a Prefect server (SQLite in PREFECT_HOME; PREFECT_API_DATABASE_CONNECTION_URL for PostgreSQL) and serves
    both deployments; with PREFECT_API_URL set, uses the server there. Runs until Ctrl-C or SIGTERM.
    """
    from flows.orchestration.months import load_settings
    from flows.settings.environment import set_run_defaults

    settings = load_settings(config, gates=True)
    set_run_defaults()  # before Prefect is imported: it reads its settings once
    from flows.backfill import backfill
    from flows.nightly import nightly
    from flows.orchestration.serving import serve

    def say(text: str) -> None:
        if click.get_current_context().params["as_json"]:
            print_error(text)
        else:
            write_output(lambda: print(text))

    serve(settings, host, port, say, nightly, backfill)
    return Result({})


@command("prune", example="prune --keep-months 24 --cache-days 90 --dry-run")
@click.option(
    "--keep-months",
    type=POSITIVE,
    metavar="N",
    help="Keep the newest N published months, remove the others (default: keep all).",
)
@click.option(
    "--cache-days",
    type=POSITIVE,
    metavar="D",
    help="Remove cache entries that no run used for D days (default: keep all).",
)
@click.option("--dry-run", is_flag=True, help="Change nothing; list what would be removed, and how many bytes.")
@output_option
def prune_command(*, keep_months: int | None, cache_days: int | None, dry_run: bool, layout: Layout) -> Result:
    """Remove published months beyond a number, unused cache entries, and leftovers of killed runs.

    Leftovers of killed runs are always removed, months only with --keep-months, cache entries only with --cache-days. A
    month is removed with its tables, practices, pages and manifest entry; then the report and datapackage.json are
    rebuilt.

    Never removed: the newest published month; a month with the last rows of a payer that is withheld or awaited in a
    month that stays; reference data; Delta tables. Give at least [nightly] months_back + 1 months, because a night
    publishes those again. Refused (exit code 2) while a run uses the output or its cache.
    """
    from flows.operations.prune import prune

    found = prune(layout, keep_months, cache_days, dry_run=dry_run)
    return Result(found, partial(_print_pruned, found))


def _print_pruned(found: Mapping[str, Any]) -> None:
    """What went by kind, the months that stay and go, and what is never removed."""
    goes = "would go" if found["dry_run"] else "removed"
    for kind, counts in found["kinds"].items():
        if counts["entries"]:
            print(f"{kind.replace('_', ' '):<18}{counts['entries']:>7,} {goes}{counts['bytes']:>18,} bytes")
    print(f"{'in all':<18}{'':>7} {goes}{found['bytes']:>18,} bytes")
    for name, months in (("Months that stay", found["months_kept"]), (f"Months {goes}", found["months_removed"])):
        print(f"{name}: {', '.join(months) or 'none'}")
    for month, why in found["months_needed"].items():
        print(f"{month} stays beyond --keep-months: it has {why}")
    for name, why in found["untouched"].items():
        print(f"Untouched: {name} ({why})")
    if found["report"]:
        print(f"Report: {found['report']}")
    if found["keep_months"] is None and found["cache_days"] is None:
        print("Only leftovers of killed runs were looked for: --keep-months N and --cache-days D ask for more")

"""The commands that operate the pipeline: status, serve. Each imports what it uses when it runs."""

from functools import partial
from pathlib import Path

import click

from flows.cli.options import Result, command, config_option, metrics_option
from flows.cli.streams import print_error, write_output
from flows.settings.addresses import location_of


@command("status", example="status --output output")
@click.option(
    "--output",
    type=location_of,
    metavar="DIR",
    help="Folder, or s3://... (default: that of --config; without one, output).",
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
    publication failed or is running, the size of the cache, the editions of reference data. Writes --metrics alone.

    Exit code 3: a payer is withheld, or the last run of a month failed or was interrupted; or in the newest month and
    the [nightly] months_back before it, a payer is stale or not there by the expected day, a file is quarantined, or
    something else made the exit code of the last run 3.
    Exit code 4: nothing is published there.
    """
    from flows.cli.show_status import print_status
    from flows.operations.metrics import write_metrics
    from flows.operations.state import cache_size, read_state
    from flows.settings.values import Nightly
    from flows.storage.layout import Layout, today
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
    return Result({}, lambda: None)

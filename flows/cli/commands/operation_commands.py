"""The commands that operate the pipeline: serve. Each imports what it uses when it runs."""

from pathlib import Path

import click

from flows.cli.options import Result, command, config_option
from flows.cli.streams import print_error, write_output


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

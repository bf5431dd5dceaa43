"""The command line. Each command imports what it uses when it runs: `tic-rates --help` costs nothing else."""

import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import click

from flows.cli.options import Group, print_and_end
from flows.cli.streams import open_missing, settle, tell, tell_error
from transforms.errors import NothingUsableError, TicRatesError, UsageError

INTERRUPTED = 130
EPILOG = """\
First steps:
  tic-rates demo                                     a small market with known answers, into output/
  tic-rates inspect FILE                             what is in one file
  tic-rates run FOLDER --month 2025-06 --nppes ZIP   a month's benchmarks from real files
  tic-rates COMMAND --help                           its options, and an example

From laptop to cluster, the same tables byte for byte (docs/how-to/dask.md says more):
  tic-rates run FOLDER                               one machine, all its cores
  tic-rates run s3://BUCKET/mrf/ --output s3://BUCKET/out
  dask scheduler; dask worker tcp://HOST:8786 --nthreads 1 --nworkers CORES     once; on each machine
  tic-rates run s3://BUCKET/mrf/ --output s3://BUCKET/out --dask tcp://HOST:8786
  nightly, backfill, serve: dask = "tcp://HOST:8786" under [cluster] in tic-rates.toml

Exit codes: 0 all well; 2 wrong usage, nothing was read; 3 finished, some sources quarantined, or provider
references given up because their host failed; 4 nothing usable,
the machine ran out of disk, memory, files or processes, or object storage or a cluster does not answer;
1 a bug; 130, 143 or 129 stopped by Ctrl-C, SIGTERM or SIGHUP: the same command resumes.

Paths may be s3://, gs:// or az:// URLs: sources, --nppes, --output, TIC_RATES_CACHE. Credentials, region and endpoint
are the platform's own (AWS_..., GOOGLE_..., AZURE_... variables, profile, machine role).
Environment: TIC_RATES_CACHE, a folder for what may be kept between runs (default: .cache in the output folder);
TIC_RATES_LIMITS_..., what one file may ask of this machine: [limits] in `tic-rates nightly --example` names them;
TIC_RATES_HTTP_ALLOW_PRIVATE=true, files on public hosts may lead to private networks.
Tables, columns and methodology: README.md in the repository's output folder.
"""

_MONTHS, _FILES = "flows.cli.month_commands", "flows.cli.file_commands"
_MODULES = dict.fromkeys(("run", "nightly", "backfill", "demo"), _MONTHS)
_MODULES |= dict.fromkeys(("inspect", "reference", "report", "rvu"), _FILES) | {"serve": _MONTHS}


def _install_completion(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked:
        from flows.cli.completion import install

        print_and_end(ctx, install(ctx.command, Path.home(), os.environ.get("SHELL", "")))


def _print_version(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print_and_end(ctx, f"tic-rates {version('tic-rates')}")


PROGRAM = Group(
    "tic-rates",
    _MODULES,
    help="Percentile benchmarks from US payers' Transparency-in-Coverage files, as Parquet.",
    epilog=EPILOG,
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_print_version,
            help="Print the version and end.",
        ),
        click.Option(
            ["--install-completion"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_install_completion,
            help="Write the completion script of this shell (bash, zsh or fish) and end.",
        ),
    ],
)


class _Stopped(BaseException):
    """SIGTERM, or SIGHUP, unwound like Ctrl-C."""

    def __init__(self, number: int) -> None:
        self.number = number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code of CONTRACT section 2."""
    open_missing()
    try:
        if "_TIC_RATES_COMPLETE" in os.environ:  # the shell's completion script asks for words
            from flows.cli.completion import complete

            return complete(PROGRAM)
        return _main(sys.argv[1:] if arguments is None else arguments)
    finally:
        settle()


def _main(words: Sequence[str]) -> int:
    as_json = "--json" in words
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs, signatures included
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, _stop)
    try:
        return run_words(words)
    except click.exceptions.Exit as end:  # after --help or --version
        return end.exit_code
    except click.UsageError as error:
        return _fail(UsageError(_one_line(error)), as_json=as_json)
    except TicRatesError as error:
        return _fail(error, as_json=as_json)
    except (KeyboardInterrupt, _Stopped) as stop:
        tell_error("tic-rates: stopped; what is done is kept, run the same command again to resume")
        return 128 + stop.number if isinstance(stop, _Stopped) else INTERRUPTED
    except Exception:  # noqa: BLE001 a bug of ours; its text may quote an address
        return _confess(as_json=as_json)


def run_words(words: Sequence[str]) -> int:
    """The exit code of the command that ``words`` name."""
    with PROGRAM.make_context("tic-rates", list(words)) as context:
        return int(PROGRAM.invoke(context))


def _one_line(error: click.UsageError) -> str:
    place = error.ctx.command_path if error.ctx else "tic-rates"
    return f"{' '.join(error.format_message().split()).rstrip('.')}; see {place} --help"


def _fail(error: TicRatesError, *, as_json: bool) -> int:
    tell_error(f"tic-rates: {error}")
    if as_json:
        details = error.details if isinstance(error, NothingUsableError) else {}
        with suppress(OSError):  # said already
            tell(print, json.dumps(details | {"error": str(error), "exit_code": error.exit_code}, default=str))
    return error.exit_code


def _confess(*, as_json: bool) -> int:
    """The traceback without what could be secret: people send it."""
    import traceback

    from flows.storage.redaction import redact_text

    told = redact_text(traceback.format_exc())
    tell_error(f"{told}tic-rates: a bug of ours; please report it with the lines above")
    if as_json:
        tell(print, json.dumps({"error": told.splitlines()[-1], "exit_code": TicRatesError.exit_code}))
    return TicRatesError.exit_code


def _stop(number: int, _frame: object) -> NoReturn:
    raise _Stopped(number)


if __name__ == "__main__":
    sys.exit(main())

"""The command line. Each command imports what it uses when it runs, so that `tic-rates --help` is quick."""

import logging
import os
import platform
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import click

from flows.cli.commands.month_commands import backfill_command, demo_command, nightly_command, run_command
from flows.cli.commands.operation_commands import prune_command, serve_command, status_command
from flows.cli.commands.reading_commands import (
    explain_command,
    inspect_command,
    practice_command,
    report_command,
    rvu_command,
)
from flows.cli.commands.reference_commands import reference_command
from flows.cli.completion import VARIABLE, complete, install
from flows.cli.options import Group, print_json, printing_option
from flows.cli.streams import flush_output, open_standard_streams, print_error, write_output
from flows.storage.log_lines import FORMAT_ENVIRONMENT, FORMATS, check_format, set_up_logging
from flows.storage.redaction import redact_text
from schemas.codes import METHODOLOGY
from transforms.errors import NothingUsableError, TicRatesError, UsageError

INTERRUPTED = 130
LIBRARIES = {
    "OPENBLAS_NUM_THREADS": "1",  # nothing here multiplies matrices: a second thread of numpy only spins at start
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # Arrow's own keeps what was freed: a quarter more after a large file
}
VERSIONS = "tic-rates {version}\nmethodology {methodology}, layout {layout}\nPython {python} on {platform}"
EPILOG = """\
First steps (every command has --help with an example):
  tic-rates demo                                     a small market with known answers, into output/
  tic-rates inspect FILE                             what is in one file
  tic-rates run FOLDER --month 2026-06 --nppes ZIP   a month's benchmarks from real files

From laptop to cluster, with the same bytes in the tables (docs/how-to/dask.md):
  tic-rates run FOLDER                               one machine, all its cores
  tic-rates run s3://BUCKET/mrf/ --output s3://BUCKET/out
  dask scheduler; dask worker tcp://HOST:8786 --nthreads 1 --nworkers CORES     once; on each machine
  tic-rates run s3://BUCKET/mrf/ --output s3://BUCKET/out --dask tcp://HOST:8786
  nightly, backfill, serve: dask = "tcp://HOST:8786" under [cluster] in tic-rates.toml

Exit codes: 0 all well; 2 wrong usage or configuration, nothing was read; 3 finished, but some sources were
quarantined, payers withheld, or provider references given up because their host failed; 4 nothing usable, or the
machine ran out of disk, memory, files or processes, or object storage or a cluster did not answer; 1 a bug; 130, 143
or 129 stopped by Ctrl-C, SIGTERM or SIGHUP: the same command resumes.

Sources, --nppes, --output and TIC_RATES_CACHE may be s3://, gs:// or az:// URLs. Credentials, region and endpoint come
from the platform (AWS_..., GOOGLE_..., AZURE_... variables, profile, machine role).
Environment: TIC_RATES_CACHE is the cache folder (default: .cache in the output folder); TIC_RATES_LIMITS_... sets the
limits of one file ([limits] in `tic-rates nightly --example` names them); TIC_RATES_HTTP_ALLOW_PRIVATE=true lets files
on public hosts lead to private networks; TIC_RATES_LOG_FORMAT=json makes log lines JSON.
Tables, columns and methodology: README.md in the repository's output folder.
"""


def _versions() -> dict[str, Any]:
    """What decides how files are read and published: of the program, the methodology, the layout, and Python."""
    from flows.publish.manifest import LAYOUT_VERSION

    return {
        "version": version("tic-rates"),
        "methodology": METHODOLOGY,
        "layout": LAYOUT_VERSION,
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
    }


PROGRAM = Group(
    "tic-rates",
    (
        *(run_command, nightly_command, backfill_command, demo_command),
        *(inspect_command, reference_command, report_command, rvu_command, practice_command),
        *(explain_command, status_command, prune_command, serve_command),
    ),
    help="Percentile benchmarks from US payers' Transparency-in-Coverage files, as Parquet.",
    epilog=EPILOG,
)
printing_option(
    "--version",
    lambda: VERSIONS.format(**_versions()),
    "Print the versions of the program, methodology, layout and Python; with --json as one line.",
)(PROGRAM)
printing_option(
    "--install-completion",
    lambda: install(PROGRAM, Path.home(), os.environ.get("SHELL", "")),
    "Write the completion script of this shell (bash, zsh or fish).",
)(PROGRAM)


LOG_FORMAT = "--log-format"
click.option(
    LOG_FORMAT,
    type=click.Choice(FORMATS),
    expose_value=False,
    help="Log lines on stderr as text, or as one JSON object each (before or after the command; default: "
    "TIC_RATES_LOG_FORMAT, else text).",
)(PROGRAM)


class _Stopped(BaseException):
    """SIGTERM or SIGHUP, raised like Ctrl-C."""

    def __init__(self, number: int) -> None:
        self.number = number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code of CONTRACT section 2. ``LIBRARIES`` hold for it and what it starts."""
    open_standard_streams()
    for setting in LIBRARIES.items():
        os.environ.setdefault(*setting)
    try:
        if VARIABLE in os.environ:  # the shell's completion script asks for words
            return complete(PROGRAM)
        with _log_format(list(sys.argv[1:] if arguments is None else arguments)) as words:
            return _main(words)
    finally:
        flush_output()


@contextmanager
def _log_format(words: list[str]) -> Iterator[list[str]]:
    """The words with `--log-format` before the command, wherever it stood; the environment has its value meanwhile."""
    own = words[: words.index("--")] if "--" in words else words
    for number, word in enumerate(own):
        name, equals, value = word.partition("=")
        if name == LOG_FORMAT and (equals or number + 1 < len(own)):
            end = number + (1 if equals else 2)
            words = [LOG_FORMAT, value if equals else own[number + 1], *words[:number], *words[end:]]
            break
    before = os.environ.get(FORMAT_ENVIRONMENT)
    if words[:1] == [LOG_FORMAT] and words[1] in FORMATS:
        os.environ[FORMAT_ENVIRONMENT] = words[1]
    try:
        yield words
    finally:
        os.environ.pop(FORMAT_ENVIRONMENT, None)
        os.environ.update({} if before is None else {FORMAT_ENVIRONMENT: before})


def _main(words: Sequence[str]) -> int:
    as_json = "--json" in words
    set_up_logging()
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs, signatures included
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, _stop)
    try:
        check_format()
        return run_words(words)
    except click.exceptions.Exit as end:  # after --help or --version
        return end.exit_code
    except click.UsageError as error:
        return _print_failure(UsageError(_one_line(error)), as_json=as_json)
    except TicRatesError as error:
        return _print_failure(error, as_json=as_json)
    except (KeyboardInterrupt, _Stopped) as stop:
        print_error("tic-rates: stopped; finished work is saved, the same command resumes")
        return 128 + stop.number if isinstance(stop, _Stopped) else INTERRUPTED
    except Exception:  # noqa: BLE001 a bug of ours; its text may quote an address
        return _print_bug(as_json=as_json)


def run_words(words: Sequence[str]) -> int:
    """The exit code of the command that ``words`` name."""
    if sorted(words) == ["--json", "--version"]:
        write_output(lambda: print_json(_versions()))
        return 0
    with PROGRAM.make_context("tic-rates", list(words)) as context:
        return int(PROGRAM.invoke(context))


def _one_line(error: click.UsageError) -> str:
    place = error.ctx.command_path if error.ctx else "tic-rates"
    return f"{' '.join(error.format_message().split()).rstrip('.')}; see {place} --help"


def _print_failure(error: TicRatesError, *, as_json: bool) -> int:
    print_error(f"tic-rates: {error}", "command_failed", exit_code=error.exit_code)
    if as_json:
        details = error.details if isinstance(error, NothingUsableError) else {}
        with suppress(OSError):  # stderr has the error already
            write_output(lambda: print_json(details | {"error": str(error), "exit_code": error.exit_code}))
    return error.exit_code


def _print_bug(*, as_json: bool) -> int:
    """Print the traceback without secrets, since people send it."""
    text = redact_text(traceback.format_exc())
    print_error(
        f"{text}tic-rates: a bug in tic-rates; please report it with the lines above", "command_failed", exit_code=1
    )
    if as_json:
        write_output(lambda: print_json({"error": text.splitlines()[-1], "exit_code": TicRatesError.exit_code}))
    return TicRatesError.exit_code


def _stop(number: int, _frame: object) -> NoReturn:
    raise _Stopped(number)


if __name__ == "__main__":
    sys.exit(main())

"""The command line. Each command imports what it uses when it runs: `tic-rates --help` costs nothing else."""

import argparse
import json
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NoReturn

from transforms.errors import TicRatesError, UsageError

Result = tuple[dict[str, Any], int]  # the machine-readable line, the exit code
Command = Callable[[argparse.Namespace], Result]

INTERRUPTED = 130
DEFAULT_OUTPUT = Path("output")


class _Terminated(BaseException):
    """SIGTERM, unwound like Ctrl-C."""


class _Parser(argparse.ArgumentParser):
    """Wrong usage is an error like any other: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise UsageError(f"{message.replace(chr(10), ' ')}; see {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code of CONTRACT section 2."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        options = build_parser().parse_args(words)
    except UsageError as error:
        return _fail(error, as_json="--json" in words)
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs, signatures included
    signal.signal(signal.SIGTERM, _terminate)
    command: Command = options.command
    try:
        result, code = command(options)
    except TicRatesError as error:
        return _fail(error, as_json=options.json)
    except (KeyboardInterrupt, _Terminated) as stop:
        print("tic-rates: stopped; what is done is kept, run the same command again to resume", file=sys.stderr)
        return INTERRUPTED if isinstance(stop, KeyboardInterrupt) else 128 + signal.SIGTERM
    if options.json:
        print(json.dumps(result, default=str))
    return code


def _fail(error: TicRatesError, *, as_json: bool) -> int:
    print(f"tic-rates: {error}", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": str(error), "exit_code": error.exit_code}))
    return error.exit_code


def _terminate(_number: int, _frame: object) -> NoReturn:
    raise _Terminated


def build_parser() -> argparse.ArgumentParser:
    """All commands with their options and an example each."""
    parser = _Parser(
        prog="tic-rates",
        description="Percentile benchmarks from US payers' Transparency-in-Coverage files.",
        epilog="Exit codes: 0 all well, 2 wrong usage, 3 some sources quarantined, 4 nothing usable, 1 a bug.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    _add_run(commands)
    _add_demo(commands)
    _add_inspect(commands)
    _add_reference(commands)
    _add_rvu(commands)
    return parser


def _add(commands: Any, name: str, does: str, example: str, command: Command | None = None) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=does,
        description=does[0].upper() + does[1:] + ".",
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if command is not None:
        parser.add_argument("--json", action="store_true", help="one machine-readable result line on stdout")
        parser.set_defaults(command=command)
    return parser


def _add_run(commands: Any) -> None:
    parser = _add(
        commands,
        "run",
        "read payers' files and publish a month's benchmarks",
        "tic-rates run 'mrf/*.json.gz' --month 2025-06 --nppes NPPES_Data_Dissemination_June_2025.zip",
        _run,
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="file, folder, glob, http(s):// or s3:// URL; in-network file or table of contents",
    )
    parser.add_argument("--month", type=_month, metavar="YYYY-MM", help="month to publish (default: this month)")
    parser.add_argument("--nppes", type=Path, metavar="FILE", help="built lookup, or CMS's zip or csv")
    _add_codes(parser)
    _add_output(parser)
    parser.add_argument("--workers", type=_positive, default=0, metavar="N", help="files at a time (default: cores)")
    parser.add_argument(
        "--prefect",
        action="store_true",
        help="record the run in Prefect (its embedded server unless PREFECT_API_URL says otherwise)",
    )


def _add_demo(commands: Any) -> None:
    parser = _add(
        commands,
        "demo",
        "write a small synthetic market with known answers, run it and check every cell",
        "tic-rates demo --output demo",
        _demo,
    )
    parser.add_argument("--month", type=_month, metavar="YYYY-MM", default=date(2025, 6, 1), help="default: 2025-06")
    parser.add_argument("--output", type=Path, default=Path("output"), metavar="DIR", help="default: output")
    parser.add_argument("--prefect", action="store_true", help="record the run in Prefect")


def _add_inspect(commands: Any) -> None:
    parser = _add(
        commands,
        "inspect",
        "say what is in one file: header, shape, codes found, quirks",
        "tic-rates inspect in-network.json.gz --json",
        _inspect,
    )
    parser.add_argument("source", metavar="SOURCE", help="file or URL")
    _add_codes(parser)


def _add_reference(commands: Any) -> None:
    parser = _add(
        commands,
        "reference",
        "build the slim lookups from the real CMS downloads",
        "tic-rates reference nppes NPPES_Data_Dissemination_June_2025.zip",
    )
    kinds = parser.add_subparsers(required=True, metavar="KIND", title="kinds")
    nppes = _add(
        kinds,
        "nppes",
        "build the provider lookup from CMS's monthly NPPES download",
        "tic-rates reference nppes NPPES_Data_Dissemination_June_2025.zip --weekly NPPES_weekly.zip",
        _reference_nppes,
    )
    nppes.add_argument("file", type=Path, metavar="FILE", help="CMS's zip or csv")
    nppes.add_argument(
        "--weekly", type=Path, action="append", default=[], metavar="FILE", help="weekly update, in order"
    )
    nppes.add_argument(
        "--deactivated", type=Path, action="append", default=[], metavar="FILE", help="deactivation report"
    )
    _add_output(nppes)
    medicare = _add(
        kinds,
        "medicare",
        "add a year of the Physician Fee Schedule",
        "tic-rates reference medicare --rvu PPRRVU26_JAN.csv --gpci GPCI2026.csv --year 2026",
        _reference_medicare,
    )
    medicare.add_argument("--rvu", type=Path, required=True, metavar="FILE", help="PPRRVU csv")
    medicare.add_argument("--gpci", type=Path, required=True, metavar="FILE", help="GPCI csv")
    medicare.add_argument("--year", type=int, required=True, metavar="Y")
    _add_output(medicare)


def _add_rvu(commands: Any) -> None:
    parser = _add(
        commands,
        "rvu",
        "RVUs and the Medicare amount of a code",
        "tic-rates rvu 97026 --units 1 --state AK --year 2025",
        _rvu,
    )
    parser.add_argument("code", metavar="CODE")
    parser.add_argument("--units", type=_positive, default=1, metavar="N", help="default: 1")
    parser.add_argument("--state", required=True, type=str.upper, metavar="XX", help="two-letter USPS code")
    parser.add_argument("--year", type=int, required=True, metavar="Y")
    _add_output(parser)


def _add_codes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--codes", type=_codes, default="97026,97028", metavar="CODES", help="default: 97026,97028")


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR", help="default: output")


def _month(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no month; write it as 2025-06") from None


def _codes(text: str) -> tuple[str, ...]:
    from schemas.codes import parse_codes

    try:
        return parse_codes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above zero")
    return int(text)


def _run(options: argparse.Namespace) -> Result:
    from flows.run import RunRequest
    from flows.show import print_result
    from flows.sources import expand

    if options.nppes is not None and not options.nppes.exists():
        raise UsageError(f"--nppes {options.nppes}: no such file; give the built lookup, or CMS's zip or csv")
    month = options.month or datetime.now(UTC).date().replace(day=1)
    request = RunRequest(
        expand(options.sources), month, options.codes, options.output, options.nppes, workers=options.workers
    )
    result = _runner(orchestrated=options.prefect)(request)
    if not options.json:
        print_result(result)
    return result.as_json(), result.exit_code


def _runner(*, orchestrated: bool) -> Callable[[Any], Any]:
    """The run as plain calls, or the same steps as a Prefect flow when asked for."""
    if orchestrated:
        from flows.orchestrate import run_flow

        return run_flow
    from flows.run import run

    return run


def _demo(options: argparse.Namespace) -> Result:
    from flows.demo import run_demo

    return run_demo(options.output, options.month, _runner(orchestrated=options.prefect), quiet=options.json)


def _inspect(options: argparse.Namespace) -> Result:
    from flows.inspect import inspect
    from flows.show import print_inspection
    from flows.sources import expand

    sources = expand([options.source])
    if len(sources) > 1:
        raise UsageError(f"{options.source} is {len(sources)} files; inspect reads one")
    found = inspect(sources[0], options.codes)
    if not options.json:
        print_inspection(found)
    return found, 0


def _reference_nppes(options: argparse.Namespace) -> Result:
    from flows.layout import Layout
    from flows.reference import build_nppes
    from flows.show import print_figures

    target = Layout(options.output).reference / "nppes.parquet"
    figures = {"lookup": str(target)} | build_nppes(
        options.file, target, weekly=tuple(options.weekly), deactivated=tuple(options.deactivated)
    )
    if not options.json:
        print_figures(figures)
    return figures, 0


def _reference_medicare(options: argparse.Namespace) -> Result:
    from flows.layout import Layout
    from flows.reference import build_medicare
    from flows.show import print_figures

    figures = build_medicare(options.rvu, options.gpci, options.year, Layout(options.output).reference)
    if not options.json:
        print_figures(figures)
    return figures, 0


def _rvu(options: argparse.Namespace) -> Result:
    from flows.layout import Layout
    from flows.reference import load_medicare
    from flows.show import print_service, service_as_json
    from transforms.medicare import price_service

    reference = load_medicare(Layout(options.output).reference)
    price = price_service(reference, options.code, options.units, options.state, options.year)
    if not options.json:
        print_service(price)
    return service_as_json(price), 0


if __name__ == "__main__":
    sys.exit(main())

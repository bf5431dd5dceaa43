"""Commands, their options and help. ``command`` of what is parsed names one of ``flows.cli.commands.COMMANDS``."""

import argparse
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NoReturn

from transforms.errors import UsageError

DEFAULT_OUTPUT = Path("output")
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


ELSEWHERE = """
More than one machine: name a Dask scheduler in [cluster] of the configuration, and start workers:
`dask worker tcp://HOST:8786 --nthreads 1`.
All must see the same output folder and files. docs/how-to/dask.md has it in ten lines."""


class _Parser(argparse.ArgumentParser):
    """Wrong usage is an error like any other: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise UsageError(f"{message.replace(chr(10), ' ')}; see {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """All commands with their options and an example each."""
    parser = _Parser(
        prog="tic-rates",
        description="Percentile benchmarks from US payers' Transparency-in-Coverage files, as Parquet.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    _add_run(commands)
    _add_nightly(commands)
    _add_backfill(commands)
    _add_demo(commands)
    _add_inspect(commands)
    _add_reference(commands)
    _add_report(commands)
    _add_rvu(commands)
    _add_serve(commands)
    return parser


def _add(
    commands: Any, name: str, does: str, example: str, command: str | None = None, more: str = ""
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=does,
        description="\n\n".join(filter(None, (f"{does[0].upper()}{does[1:]}.", more))),
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
        "run",
        "Files are told apart by content, not by name. A bad one is quarantined with the reason, the others go on.\n"
        "What was read before is not read again; a run that was stopped resumes.",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="file, folder, glob, http(s):// or s3:// URL; in-network file or table of contents",
    )
    parser.add_argument("--month", type=_month, metavar="YYYY-MM", help="month to publish (default: this one, in UTC)")
    parser.add_argument(
        "--nppes",
        type=_location,
        metavar="FILE",
        help="NPPES: a built lookup, or CMS's zip or csv, built once and kept; default: what `reference nppes` built "
        "in DIR; without any, no states and no tiers",
    )
    _add_codes(parser)
    _add_output(parser)
    parser.add_argument("--workers", type=_positive, default=0, metavar="N", help="files at a time (default: cores)")
    _add_reader(parser)
    _add_no_report(parser)
    parser.add_argument("--dask", metavar="ADDRESS", help="read on a Dask cluster, such as tcp://HOST:8786")
    parser.add_argument(
        "--prefect",
        action="store_true",
        help="record the run in Prefect (its embedded server unless PREFECT_API_URL says otherwise)",
    )


def _add_nightly(commands: Any) -> None:
    parser = _add(
        commands,
        "nightly",
        "bring this month up to date for every payer in the configuration",
        "tic-rates nightly --config tic-rates.toml",
        "nightly",
        "Reads only files that changed, builds only payers that changed: an unchanged night costs one request a file.\n"
        "A payer whose figures fail a gate keeps its last good ones (exit code 3).\n" + ELSEWHERE,
    )
    _add_config(parser)
    parser.add_argument(
        "--month", type=_month, metavar="YYYY-MM", help="month to publish (default: this one, in [schedule] timezone)"
    )
    parser.add_argument("--example", action="store_true", help="print a whole configuration, explained, and end")


def _add_backfill(commands: Any) -> None:
    parser = _add(
        commands,
        "backfill",
        "bring past months up to date",
        "tic-rates backfill --from 2025-01 --to 2025-06 --payer Cigna",
        "backfill",
        "Safe to repeat: a month that stands as it should is left alone, one that was stopped resumes, one that fails\n"
        "doesn't stop the others. A source whose address names no month counts for a past month only if its\n"
        'last_updated_on, or its index\'s, lies in that month or the 31 days before it; undated = "any" lifts that.',
    )
    _add_config(parser)
    parser.add_argument("--from", dest="first", type=_month, required=True, metavar="YYYY-MM", help="first month")
    parser.add_argument("--to", dest="last", type=_month, required=True, metavar="YYYY-MM", help="last month")
    parser.add_argument("--newest-first", action="store_true", help="begin with the last month")


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("tic-rates.toml"),
        metavar="FILE",
        help="default: tic-rates.toml; `tic-rates nightly --example` prints one",
    )
    parser.add_argument(
        "--payer",
        action="append",
        default=[],
        metavar="NAME",
        help="read this payer of the configuration only, with those that share a payer or a file with it; "
        "may be given again; the others stay as they are published",
    )
    parser.add_argument("--force", action="store_true", help="read and build everything anew")
    parser.add_argument("--no-gates", action="store_true", help="publish whatever the gates say")
    _add_no_report(parser)


def _add_no_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-report", action="store_true", help="leave the report's pages as they are")


def _add_demo(commands: Any) -> None:
    parser = _add(
        commands,
        "demo",
        "write a small synthetic market with known answers, run it and check every cell",
        "tic-rates demo --output output",
        "demo",
        "The market's files lie in DIR/demo, its tables beside: DIR is an ordinary output folder.",
    )
    parser.add_argument("--month", type=_month, metavar="YYYY-MM", default=date(2025, 6, 1), help="default: 2025-06")
    _add_output(parser)
    parser.add_argument("--prefect", action="store_true", help="record the run in Prefect")


def _add_inspect(commands: Any) -> None:
    parser = _add(
        commands,
        "inspect",
        "say what is in one file: header, shape, codes found, quirks",
        "tic-rates inspect in-network.json.gz --json",
        "inspect",
        "One streaming pass with the reader that `run` uses; writes nothing.",
    )
    parser.add_argument("source", metavar="SOURCE", help="file or URL")
    parser.add_argument("--strict", action="store_true", help="parse every byte, also what nobody asked for (ijson)")
    _add_reader(parser)
    _add_codes(parser)


def _add_reader(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reader",
        choices=("scan", "ijson"),
        help="scan decodes only what matches (default where its C sources were compiled); ijson parses every byte",
    )


def _add_reference(commands: Any) -> None:
    parser = _add(
        commands,
        "reference",
        "build the slim lookups from the real CMS downloads",
        "tic-rates reference nppes NPPES_Data_Dissemination_June_2025.zip",
        more="They are written to DIR/reference.",
    )
    kinds = parser.add_subparsers(required=True, metavar="KIND", title="kinds")
    nppes = _add(
        kinds,
        "nppes",
        "build the provider lookup from CMS's monthly NPPES download",
        "tic-rates reference nppes NPPES_Data_Dissemination_June_2025.zip --weekly NPPES_weekly.zip",
        "reference nppes",
        "Writes DIR/reference/nppes.parquet, where `run` with the same --output finds it.",
    )
    nppes.add_argument("file", type=Path, metavar="FILE", help="CMS's zip or csv")
    nppes.add_argument(
        "--weekly",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="weekly update; again for the next, oldest first",
    )
    nppes.add_argument(
        "--deactivated",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="CMS's report of deactivated NPIs; may be given again",
    )
    _add_output(nppes)
    medicare = _add(
        kinds,
        "medicare",
        "add a year of the Physician Fee Schedule",
        "tic-rates reference medicare --rvu PPRRVU26_JAN.csv --gpci GPCI2026.csv --year 2026",
        "reference medicare",
        "2020 to 2025 come with the package, for 97026 and 97028; one built here has every code and goes before.\n"
        "`run` and `rvu` read it when given the same --output.",
    )
    medicare.add_argument(
        "--rvu", type=Path, required=True, metavar="FILE", help="PPRRVU csv, or the zip that holds it"
    )
    medicare.add_argument("--gpci", type=Path, required=True, metavar="FILE", help="GPCI csv, or the zip that holds it")
    medicare.add_argument("--year", type=_year, required=True, metavar="Y", help="fee schedule year, such as 2026")
    _add_output(medicare)


def _add_report(commands: Any) -> None:
    parser = _add(
        commands,
        "report",
        "rebuild the HTML report from the published tables",
        "tic-rates report --output output",
        "report",
        "Writes DIR/report: pages by code, state and payer, that open from disk, offline. Open DIR/report/index.html.",
    )
    _add_output(parser)


def _add_rvu(commands: Any) -> None:
    parser = _add(
        commands,
        "rvu",
        "RVUs and the Medicare amount of a code",
        "tic-rates rvu 97026 --units 1 --state AK --year 2025",
        "rvu",
        "One line per Medicare locality of the state: services of one day, by one provider, outside facilities.",
    )
    parser.add_argument("code", type=str.upper, metavar="CODE", help="CPT or HCPCS code")
    parser.add_argument("--units", type=_positive, default=1, metavar="N", help="how many services (default: 1)")
    parser.add_argument("--state", required=True, type=str.upper, metavar="XX", help="two-letter USPS code")
    parser.add_argument("--year", type=_year, required=True, metavar="Y", help="fee schedule year, such as 2025")
    _add_output(parser)


def _add_serve(commands: Any) -> None:
    parser = _add(
        commands,
        "serve",
        "run the nightly on its schedule, and backfills on request, with Prefect",
        "tic-rates serve --config tic-rates.toml",
        "serve",
        "Starts a Prefect server (SQLite in PREFECT_HOME; PREFECT_API_DATABASE_CONNECTION_URL for PostgreSQL) and a\n"
        "worker, and registers both; with PREFECT_API_URL set, uses the server there. Runs until Ctrl-C or SIGTERM.\n"
        + ELSEWHERE,
    )
    parser.add_argument(
        "--config", type=Path, default=Path("tic-rates.toml"), metavar="FILE", help="default: tic-rates.toml"
    )
    parser.add_argument("--host", default="127.0.0.1", metavar="HOST", help="where to listen (default: 127.0.0.1)")
    parser.add_argument(
        "--port", type=_port, default=4200, metavar="N", help="port of the pages and the API; 0: any (default: 4200)"
    )


def _add_codes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--codes",
        type=_codes,
        default="97026,97028",
        metavar="CODES",
        help="billing codes wanted, with commas between (default: 97026,97028)",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", type=_location, default=DEFAULT_OUTPUT, metavar="DIR", help="folder, or s3://... (default: output)"
    )


def _location(text: str) -> Path | str:
    from flows.settings.addresses import SCHEMES, is_object_url, split_url

    if "://" not in text:
        return Path(text)
    if not is_object_url(text):
        raise UsageError(
            f"{text.partition('://')[0]}:// can't be written to; give a path, or {', '.join(SCHEMES[:3])}://"
        )
    split_url(text)
    return text


def _month(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no month; write it as 2025-06") from None


def _year(text: str) -> int:
    if len(text) != 4 or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no year; write it as 2025")
    return int(text)


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


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; write it as 4200")
    return int(text)

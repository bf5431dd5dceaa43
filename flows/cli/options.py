"""What commands share: the class that gives each an example and its result line, and the options of several of them."""

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from flows.cli.streams import write_output
from flows.settings.addresses import location_of
from flows.storage.layout import Layout
from flows.storage.resource_errors import explain_resource_errors
from schemas.codes import parse_codes
from transforms.errors import UsageError

WIDTH = 100  # of every help text, so that the generated reference is the same on every terminal
SLICE_ROWS = 10_000  # of a table, in memory as text
POSITIVE = click.IntRange(min=1)

Function = Callable[..., Any]


@dataclass(frozen=True)
class Result:
    """What a command comes to: the machine-readable line, how it is printed for people, the exit code."""

    line: dict[str, Any]
    show: Callable[[], object] | None = None  # None: a line for each figure
    exit_code: int = 0


def print_and_exit(ctx: click.Context, text: str) -> None:
    """Print instead of running a command; the exit code is 0, also when the reader has closed the pipe."""
    with explain_resource_errors("printing", Path.cwd()):
        write_output(lambda: print(text))
    ctx.exit()


def printing_option(name: str, text: Callable[[], str], explanation: str) -> Callable[[Function], Function]:
    """A flag that prints a text instead of running the command."""

    def run(ctx: click.Context, _option: click.Parameter, chosen: bool) -> None:
        if chosen and not ctx.resilient_parsing:
            print_and_exit(ctx, text())

    return click.option(name, is_flag=True, expose_value=False, is_eager=True, callback=run, help=explanation)


class Command(click.Command):
    """A command whose epilog is printed as it is written."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the epilog without wrapping."""
        formatter.write(f"\n{self.epilog}\n")

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """The option --help, which also ends with 0 when the reader has closed the pipe."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = lambda ctx, _, chosen: print_and_exit(ctx, ctx.get_help()) if chosen else None
        return option


class Group(Command, click.Group):
    """Commands in the order given."""

    def __init__(self, name: str, commands: Sequence[click.Command], **settings: Any) -> None:
        context: dict[str, Any] = {"terminal_width": WIDTH}
        super().__init__(name, commands=commands, context_settings=context, no_args_is_help=False, **settings)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order given."""
        return list(self.commands)


def command(name: str, *, example: str) -> Callable[[Callable[..., Result]], Command]:
    """A command from a function that returns a ``Result``; the function's docstring is the help."""

    def define(function: Callable[..., Result]) -> Command:
        @click.option("--json", "as_json", is_flag=True, help="One machine-readable result line on stdout.")
        @functools.wraps(function)
        def run(*, as_json: bool, **options: Any) -> int:
            layout = options.get("layout")
            with explain_resource_errors(f"running {name}", layout.root if layout else Path.cwd()):
                result = function(**options)
                show = result.show or functools.partial(print_figures, result.line)
                write_output(functools.partial(print_json, result.line) if as_json else show)
            return result.exit_code

        return click.command(name, cls=Command, epilog=f"example: tic-rates {example}")(run)

    return define


def print_json(line: dict[str, Any]) -> None:
    """One line of JSON; decimals as numbers, what JSON has no type for as text; iterators of frames as their rows."""
    frames = {name: value for name, value in line.items() if isinstance(value, Iterator)}
    rest = {name: value for name, value in line.items() if name not in frames}
    text = json.dumps(rest, default=lambda value: float(value) if isinstance(value, Decimal) else str(value))
    print(text if not frames else text[:-1], end="" if frames else "\n")
    for name, parts in frames.items():
        print(f'{", " if rest else ""}"{name}": [', end="")
        rows = (part.write_json()[1:-1] for frame in parts for part in frame.iter_slices(SLICE_ROWS) if part.height)
        for number, written in enumerate(rows):
            print(f"{', ' if number else ''}{written}", end="")
        print("]", end="")
    if frames:
        print("}")


def print_figures(figures: Mapping[str, Any]) -> None:
    """One line a figure; the header and the documents of an inspected file are in --json alone."""
    for key, value in figures.items():
        if key not in ("header", "documents", "index"):
            print(f"{key:<22}{_text(value)}")


def _text(value: Any) -> str:
    """``1,204``; ``a, b``; ``97026: 3 items, 103 prices``."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return "; ".join(f"{key}: {', '.join(f'{n:,} {what}' for what, n in of.items())}" for key, of in value.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _converter(parse: Callable[[str], Any], expected: str) -> Callable[[str], Any]:
    """What ``parse`` makes of an option's text; a text that it refuses is wrong usage."""

    def convert(text: str) -> Any:
        try:
            return parse(text)
        except ValueError:
            raise click.BadParameter(f"expected {expected}, not {text!r}") from None

    return convert


month_of = _converter(lambda text: datetime.strptime(text, "%Y-%m").date(), "YYYY-MM, for example 2025-06")
year_of = _converter(lambda text: datetime.strptime(text, "%Y").year, "YYYY, for example 2025")
day_of = _converter(date.fromisoformat, "YYYY-MM-DD, for example 2026-10-01")


def codes_of(text: str) -> tuple[str, ...]:
    """Billing codes with commas between them."""
    try:
        return parse_codes(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def layout_of(text: str) -> Layout:
    """The layout of an output, a folder or a place in object storage."""

    return Layout.at(location_of(text))


def metrics_path(path: Path | None) -> Path | None:
    """A path whose folder exists: hours of reading shall not end at a mistyped one."""
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"{path.parent}: no such folder; make it, or correct --metrics")
    return path


output_option = click.option(
    "--output",
    "layout",
    type=layout_of,
    default="output",
    metavar="DIR",
    help="Folder, or s3://... (default: output).",
)
codes_option = click.option(
    "--codes",
    type=codes_of,
    default="97026,97028",
    metavar="CODES",
    help="Billing codes wanted, comma-separated (default: 97026,97028).",
)
edition_option = click.option(
    "--edition",
    type=day_of,
    metavar="YYYY-MM-DD",
    help="Day of the edition (default: as the files or their names state it).",
)
reader_option = click.option(
    "--reader",
    type=click.Choice(["scan", "ijson"]),
    help="scan decodes only what matches (default where its C sources are compiled); ijson parses every byte.",
)
report_option = click.option("--no-report", is_flag=True, help="Leave the report's pages as they are.")
delta_option = click.option(
    "--delta",
    is_flag=True,
    help="Commit summaries and providers to Delta tables, too, under DIR/delta (needs the extra `delta`).",
)
metrics_option = click.option(
    "--metrics",
    type=Path,
    metavar="FILE",
    callback=lambda _ctx, _option, path: metrics_path(path),
    help="Write metrics for Prometheus there, for the textfile collector of node_exporter (its files end with .prom).",
)
prefect_option = click.option(
    "--prefect/--no-prefect",
    default=None,
    help="Run as a Prefect flow, or as plain calls (default: a flow where PREFECT_API_URL or a Prefect profile names a "
    "server).",
)
config_option = click.option(
    "--config",
    type=Path,
    default="tic-rates.toml",
    metavar="FILE",
    help="Configuration (default: tic-rates.toml); `tic-rates nightly --example` prints one.",
)


def configured_options(function: Function) -> Function:
    """What `nightly` and `backfill` share."""
    options = (
        config_option,
        click.option(
            "--payer",
            "payers",
            multiple=True,
            metavar="NAME",
            help="Read this payer of the configuration only, with those that share a payer or a file with it; may be "
            "given again. The others stay as they are published.",
        ),
        click.option("--force", is_flag=True, help="Read and build everything anew."),
        click.option("--no-gates", is_flag=True, help="Publish even if a gate fails."),
        report_option,
        delta_option,
        metrics_option,
        prefect_option,
    )
    return functools.reduce(lambda decorated, option: option(decorated), reversed(options), function)


def listed_options(function: Function) -> Function:
    """Which of the files that an index lists are wanted: what a payer's block in the configuration says likewise."""
    options = (
        click.option(
            "--include",
            multiple=True,
            metavar="REGEX",
            help="Of an index, only files whose description or address matches; may be given again.",
        ),
        click.option("--exclude", multiple=True, metavar="REGEX", help="Of an index, no file or index that matches."),
        click.option(
            "--plan-market-type",
            "plan_market_types",
            multiple=True,
            metavar="TYPE",
            help="Of an index, only files with a plan of this market type, such as group.",
        ),
        click.option(
            "--plan-id-type",
            "plan_id_types",
            multiple=True,
            metavar="TYPE",
            help="Of an index, only files with a plan of this id type, such as ein.",
        ),
        click.option(
            "--min-plans",
            type=click.IntRange(min=0),
            default=0,
            metavar="N",
            help="Of an index, only files with at least N plans behind them.",
        ),
    )
    return functools.reduce(lambda decorated, option: option(decorated), reversed(options), function)


def choice_of(options: Mapping[str, Any]) -> Any:
    """The ``Choice`` that ``listed_options`` say."""
    from transforms.contents.listing import Choice

    try:
        names = ("include", "exclude", "plan_market_types", "plan_id_types", "min_plans")
        return Choice.of(**{name: options[name] for name in names})
    except re.error as error:
        raise UsageError(f"--include or --exclude: not a regular expression: {error.pattern!r}: {error}") from None

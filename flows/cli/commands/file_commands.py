"""The commands on single files and codes: inspect, rvu. Each imports what it uses when it runs."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from flows.cli.options import (
    POSITIVE,
    Result,
    choice_of,
    codes_option,
    command,
    listed_options,
    output_option,
    reader_option,
    year_of,
)
from transforms.errors import UsageError


@command("inspect", example="inspect in-network.json.gz --json")
@click.argument("source", metavar="SOURCE")
@reader_option
@codes_option
@listed_options
def inspect_command(*, source: str, reader: Any, codes: tuple[str, ...], **options: Any) -> Result:
    """Show what is in one file: header, shape, codes, quirks; an index's files.

    SOURCE is a file or a URL. One streaming pass with the reader that `run` uses; writes nothing. Of an index: each
    file with its plans, markets and size where known, and which of the options keep it, as `run` would.
    """
    from flows.cli.inspection import inspect
    from flows.cli.show import print_inspection
    from flows.download.open_source import expand
    from flows.settings.config import fetching_of
    from flows.settings.values import ReadSettings

    sources = expand([source])
    if len(sources) > 1:
        raise UsageError(f"{source} is {len(sources)} files; inspect reads one")
    settings = ReadSettings(frozenset(codes), reader, fetching_of())
    found = inspect(sources[0], settings, choice_of(options))
    return Result(found, partial(print_inspection, found))


@command("rvu", example="rvu 97026 --units 1 --state AK --year 2026")
@click.argument("code", type=str.upper, metavar="CODE")
@click.option("--units", type=POSITIVE, default=1, metavar="N", help="How many services (default: 1).")
@click.option("--state", type=str.upper, required=True, metavar="XX", help="Two-letter USPS code.")
@click.option("--year", type=year_of, required=True, metavar="Y", help="Fee schedule year, such as 2026.")
@output_option
def rvu_command(*, code: str, units: int, state: str, year: int, output: Path | str) -> Result:
    """Show RVUs and the Medicare amount of a code.

    CODE is a CPT or HCPCS code. One line per Medicare locality of the state: services of one day, by one provider,
    outside facilities.
    """
    from flows.cli.show import print_service, service_as_json
    from flows.storage.layout import Layout
    from flows.storage.object_sync import refresh_folder
    from flows.tables.fee_schedules import load_medicare
    from transforms.cms.medicare import price_service

    layout = Layout.at(output)
    refresh_folder(layout, layout.reference, layout.nppes)
    price = price_service(load_medicare(layout.reference), code, units, state, year)
    return Result(service_as_json(price), partial(print_service, price))

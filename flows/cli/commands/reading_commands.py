"""The commands that read and show: inspect, rvu, report, practice, explain. Each imports what it uses when it runs."""

from datetime import date
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
    month_of,
    output_option,
    reader_option,
    year_of,
)
from flows.storage.layout import Layout
from transforms.errors import UsageError


@command("report", example="report --output output")
@output_option
def report_command(*, layout: Layout) -> Result:
    """Rebuild the HTML report from the published tables.

    Writes DIR/report: pages by code, state and payer, that open from disk, offline. Open DIR/report/index.html.
    """
    from flows.report.report import build_report

    return Result(build_report(layout))


@command("practice", example="practice --npi 1234567893 --volumes units.csv")
@click.option(
    "--npi", "npis", multiple=True, metavar="N", help="A provider; comma-separated or given again for a group."
)
@click.option(
    "--tin",
    "tins",
    multiple=True,
    metavar="T",
    help="Only rates under this contract holder; without --npi, of every NPI that payers list under it.",
)
@click.option("--month", type=month_of, metavar="YYYY-MM", help="A published month (default: the latest).")
@click.option(
    "--volumes",
    type=Path,
    metavar="CSV",
    help="Own yearly units: columns billing_code and units, optionally npi and payer; adds dollars a year.",
)
@output_option
def practice_command(
    *, npis: tuple[str, ...], tins: tuple[str, ...], month: date | None, volumes: Path | None, layout: Layout
) -> Result:
    """Compare one provider's or group's rates with its market.

    Per payer and code: the practice's own rate (also by TIN and network), its rank and percentile among the payer's
    providers in the state, and the gap to P25, P50, P75 and Medicare. Reads only the published tables. Writes a page
    for two printed sheets, DIR/report/practices/..., and a table, DIR/practices/....

    Exit code 4: no payer lists the practice, or none of its rates counts; the message says which, and why.
    """
    from flows.cli.show import print_practice
    from flows.report.practice import compare_with_market, parse_practice

    found = compare_with_market(layout, parse_practice(npis, tins), month, volumes)
    return Result(found, partial(print_practice, found))


@command("explain", example="explain --code 97026 --payer Cigna --geography CA")
@click.option("--code", required=True, metavar="C", help="Billing code of the cell, such as 97026.")
@click.option(
    "--payer", required=True, metavar="P", help="Payer as in the tables; BUCA, All commercial and Medicare, too."
)
@click.option("--geography", default="US", metavar="XX", help="Two-letter USPS code (default: US).")
@click.option(
    "--npi",
    metavar="N",
    help="This provider alone, and its excluded rate rows by rule.",
)
@click.option("--month", type=month_of, metavar="YYYY-MM", help="A published month (default: the latest).")
@click.option(
    "--class",
    "billing_class",
    type=click.Choice(["professional", "institutional"]),
    default="professional",
    help="Default: professional.",
)
@click.option(
    "--tier",
    type=click.Choice(["strict", "balanced", "all", "billed"]),
    help="Taxonomy tier (default: the one that heads the report's page).",
)
@click.option("--weighting", type=click.Choice(["npi", "tin", "services", "locality"]), help="Default: npi.")
@click.option("--show", is_flag=True, help="Print the bytes of the first items and references, of local sources.")
@output_option
def explain_command(*, npi: str | None, layout: Layout, show: bool, **options: Any) -> Result:
    """Walk one published figure back: cell, observations, rate rows, files, bytes.

    The figures are computed anew from the observations, and these from the rate rows; a difference is an error. For
    each rate row: the sources that state it, and the byte of the JSON, once inflated, at which the item and the
    provider reference begin; of a remote reference, its address and sha256. What is printed is short; --json has every
    row, excluded ones too.

    Exit code 2: the code, payer, geography or month is not published. Exit code 4: these are, but not together; or no
    rate row of the code and payer names the NPI.
    """
    from flows.cli.show_explanation import print_explanation
    from flows.explain.cell import Question, read_npi
    from flows.explain.explain import explain
    from flows.explain.show_bytes import show_bytes
    from flows.publish.retention import published_in_use

    asked = Question(**options, npi=None if npi is None else read_npi(npi))
    click.get_current_context().with_resource(published_in_use(layout))  # up to the last row that is written
    explained = explain(layout, asked)
    shown = show_bytes(explained) if show else []
    line = explained.as_json() | ({"shown": shown} if show else {})
    return Result(line, partial(print_explanation, explained, shown))


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
def rvu_command(*, code: str, units: int, state: str, year: int, layout: Layout) -> Result:
    """Show RVUs and the Medicare amount of a code.

    CODE is a CPT or HCPCS code. One line per Medicare locality of the state: services of one day, by one provider,
    outside facilities.
    """
    from flows.cli.show import print_service, service_as_json
    from flows.storage.object_sync import refresh_folder
    from flows.tables.fee_schedules import load_medicare
    from transforms.cms.medicare import price_service

    refresh_folder(layout, layout.reference, layout.nppes)
    price = price_service(load_medicare(layout.reference), code, units, state, year)
    return Result(service_as_json(price), partial(print_service, price))

"""The commands on published tables: report, practice, explain. Each imports what it uses when it runs."""

from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import click

from flows.cli.options import Result, command, month_of, output_option


@command("report", example="report --output output")
@output_option
def report_command(*, output: Path | str) -> Result:
    """Rebuild the HTML report from the published tables.

    Writes DIR/report: pages by code, state and payer, that open from disk, offline. Open DIR/report/index.html.
    """
    from flows.cli.show import print_figures
    from flows.report.report import build_report
    from flows.storage.layout import Layout

    figures = build_report(Layout.at(output))
    return Result(figures, partial(print_figures, figures))


@command("practice", example="practice --npi 1234567893 --volumes units.csv")
@click.option(
    "--npi", "npis", multiple=True, metavar="N", help="A provider; again, or with commas between, for a group."
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
    help="Own yearly units: columns billing_code and units, where wanted npi and payer; adds dollars a year.",
)
@output_option
def practice_command(
    *, npis: tuple[str, ...], tins: tuple[str, ...], month: date | None, volumes: Path | None, output: Path | str
) -> Result:
    """Compare one provider's or group's rates with its market.

    Per payer and code: the own rate, each TIN and network apart, its rank and percentile among the payer's providers in
    the state, the distance to P25, P50, P75 and Medicare. Reads the published tables alone. Writes a page for two
    printed sheets, DIR/report/practices/..., and a table, DIR/practices/....

    Exit code 4: no payer lists the practice, or none of its rates counts; the message says which, and why.
    """
    from flows.cli.show import print_practice
    from flows.report.practice import compare_with_market, parse_practice
    from flows.storage.layout import Layout

    found = compare_with_market(Layout.at(output), parse_practice(npis, tins), month, volumes)
    return Result(found, partial(print_practice, found))


@command("explain", example="explain --code 97026 --payer Cigna --geography CA")
@click.option("--code", required=True, metavar="C", help="Billing code of the cell, such as 97026.")
@click.option(
    "--payer", required=True, metavar="P", help="Payer as in the tables; BUCA, All commercial and Medicare, too."
)
@click.option("--geography", default="US", metavar="XX", help="Two-letter USPS code (default: US).")
@click.option("--npi", metavar="N", help="Of the cell, this provider alone, with its excluded rate rows.")
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
def explain_command(*, npi: str | None, output: Path | str, show: bool, **options: Any) -> Result:
    """Walk one published figure back: cell, observations, rate rows, files, bytes.

    The figures are computed anew from the observations, and these from the rate rows; a difference is an error. For
    each rate row: the sources that state it, and the byte of the JSON, once inflated, at which the item and the
    provider reference begin. What is printed is short; --json has every row.

    Exit code 2: the code, payer, geography or month is not published. Exit code 4: these are, but not together; or the
    cell does not have the NPI.
    """
    from flows.cli.show_explanation import print_explanation
    from flows.explain.cell import Question, parse_npi
    from flows.explain.explain import explain
    from flows.explain.show_bytes import show_bytes
    from flows.publish.retention import published_in_use
    from flows.storage.layout import Layout

    layout = Layout.at(output)
    asked = Question(**options, npi=None if npi is None else parse_npi(npi))
    with published_in_use(layout):
        explained = explain(layout, asked)
        shown = show_bytes(explained) if show else []
        line = explained.as_json() | ({"shown": shown} if show else {})
    return Result(line, partial(print_explanation, explained, shown))

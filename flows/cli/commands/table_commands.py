"""The commands on published tables: report, practice. Each imports what it uses when it runs."""

from datetime import date
from functools import partial
from pathlib import Path

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

"""The commands that build lookups from CMS's downloads: reference KIND. Each imports what it uses when it runs."""

from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import click

from flows.cli.options import Group, Result, codes_option, command, edition_option, output_option, year_of
from flows.storage.layout import Layout
from transforms.errors import UsageError


@command("nppes", example="reference nppes NPPES_Data_Dissemination_June_2026.zip --weekly NPPES_weekly.zip")
@click.argument("file", type=Path, metavar="FILE")
@click.option(
    "--weekly", type=Path, multiple=True, metavar="FILE", help="Weekly update; again for the next, oldest first."
)
@click.option(
    "--deactivated",
    type=Path,
    multiple=True,
    metavar="FILE",
    help="CMS's report of deactivated NPIs; may be given again.",
)
@output_option
def nppes_command(*, file: Path, weekly: tuple[Path, ...], deactivated: tuple[Path, ...], layout: Layout) -> Result:
    """Build the provider lookup from CMS's monthly NPPES download.

    FILE is CMS's zip or csv. Writes DIR/reference/nppes.parquet, where `run` with the same --output finds it.
    """
    from flows.tables.nppes_lookup import build_nppes

    figures = build_nppes(file, layout.nppes, weekly=weekly, deactivated=deactivated)
    return _uploaded(layout, {"lookup": layout.name_of(layout.nppes)} | figures, layout.nppes)


@command("medicare", example="reference medicare --rvu PPRRVU26_JAN.csv --gpci GPCI2026.csv --year 2026")
@click.option("--rvu", type=Path, required=True, metavar="FILE", help="PPRRVU csv, or the zip that holds it.")
@click.option("--gpci", type=Path, required=True, metavar="FILE", help="GPCI csv, or the zip that holds it.")
@click.option("--year", type=year_of, required=True, metavar="Y", help="Fee schedule year, such as 2026.")
@output_option
def medicare_command(*, rvu: Path, gpci: Path, year: int, layout: Layout) -> Result:
    """Add a year of the Physician Fee Schedule.

    2020 to 2026 come with the package, for 97026 and 97028; a year built here has every code and overrides them. `run`
    and `rvu` read it when given the same --output.
    """
    from flows.tables.fee_schedules import build_medicare

    figures = build_medicare(rvu, gpci, year, layout.reference)
    return _uploaded(layout, figures, *sorted((layout.reference / str(year)).glob("*.csv")))


@command("localities", example="reference localities ZIP5_JAN2026.xlsx")
@click.argument("file", type=Path, metavar="FILE")
@output_option
def localities_command(*, file: Path, layout: Layout) -> Result:
    """Add an edition of CMS's ZIP Code to Carrier Locality file.

    FILE is the ZIP5 file as xlsx, csv or txt, or CMS's zip. The first quarter of 2026 comes with the package; an
    edition built here replaces the one of its year. `run` reads it when given the same --output.
    """
    from flows.tables.fee_schedules import build_localities

    return _uploaded(layout, build_localities(file, layout.zip_localities), layout.zip_localities)


@command("utilization", example="reference utilization MUP_PHY_R25_P05_V20_D23_Prov_Svc.csv")
@click.argument("files", type=Path, nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--year",
    type=year_of,
    metavar="Y",
    help="Year of the services (default: of the file's column `year`, or the one that its name states).",
)
@codes_option
@output_option
def utilization_command(*, files: tuple[Path, ...], year: int | None, codes: tuple[str, ...], layout: Layout) -> Result:
    """Add years of services that each provider billed: the evidence behind tier `billed` and weighting `services`.

    FILE is CMS's Medicare Physician & Other Practitioners by Provider and Service (csv or its zip), or a csv with npi,
    billing_code and services; one for each year. A year built here replaces the same year. `run` with the same --output
    reads the year of its month, or the latest one before. Keeps the wanted codes and their families.
    """
    from flows.tables.utilization_lookup import build_utilization

    figures = build_utilization(files, layout.utilization, codes, year)
    return _uploaded(layout, figures, *(layout.utilization / f"{built}.parquet" for built in figures["years"]))


@command("coverage", example="reference coverage ncd.zip current_lcd.zip current_article.zip")
@click.argument("files", type=Path, nargs=-1, metavar="FILE...")
@click.option("--changes", is_flag=True, help="Print what each edition changed, the latest first; needs no FILE.")
@edition_option
@codes_option
@output_option
def coverage_command(
    *, files: tuple[Path, ...], changes: bool, edition: date | None, codes: tuple[str, ...], layout: Layout
) -> Result:
    """Add an edition of coverage rules: NCDs, LCDs and articles of Medicare, or payers' policies.

    FILE is an export of the Medicare Coverage Database (ncd.zip, current_lcd.zip with current_article.zip), or a csv
    with payer, billing_code, state, effective_date, title, url and stance. Older editions stay: `coverage`, which `run`
    publishes when given the same --output, says what changed. Keeps the documents of the wanted codes,
    without descriptions of codes. The NCDs are those of the manual's sections that schemas/coding.json names for a
    code: they say where to look, not whether the code is covered.
    """
    from flows.cli.show import print_changes
    from flows.tables.coverage_editions import build_coverage, find_changes

    if not files and not changes:
        raise UsageError("give FILE, or --changes for what the loaded editions changed")
    built = _build_editions(build_coverage, files, edition, codes, layout)
    if not changes:
        return built
    found = find_changes(layout.coverage, codes)
    return Result(built.line | {"changes": found}, partial(print_changes, built.line, found))


@command("ncci", example="reference ncci ccipra-v323r0-f1.zip ccipra-v323r0-f2.zip MUE_Eff_10-01-2026.zip")
@click.argument("files", type=Path, nargs=-1, required=True, metavar="FILE...")
@edition_option
@codes_option
@output_option
def ncci_command(*, files: tuple[Path, ...], edition: date | None, codes: tuple[str, ...], layout: Layout) -> Result:
    """Add an edition of NCCI: the code pairs that are not paid together (PTP edits), and unit limits (MUE values).

    FILE is CMS's zip, text, csv or xlsx, of practitioners; give all files of a quarter's PTP edits. Older editions
    stay, as those of `reference coverage`, whose --changes also prints what NCCI changed.
    """
    from flows.tables.coverage_editions import build_ncci

    return _build_editions(build_ncci, files, edition, codes, layout)


def _build_editions(
    build: Callable[..., dict[str, Any]],
    files: tuple[Path, ...],
    edition: date | None,
    codes: tuple[str, ...],
    layout: Layout,
) -> Result:
    from flows.storage.object_sync import refresh_folder

    refresh_folder(layout, layout.coverage)
    if not files:
        return Result({})
    figures = build(files, layout.coverage, codes, edition)
    return _uploaded(layout, figures, *figures.pop("paths"))


def _uploaded(layout: Layout, figures: dict[str, Any], *built: Path) -> Result:
    """The figures of lookups, which are in the output now, also in object storage."""
    from flows.storage.object_sync import upload

    upload(layout, *built, dated=True)
    return Result(figures)


reference_command = Group(
    "reference",
    [nppes_command, medicare_command, localities_command, utilization_command, coverage_command, ncci_command],
    help="Build the slim lookups from the real CMS downloads.\n\nThey are written to DIR/reference.",
    epilog="example: tic-rates reference nppes NPPES_Data_Dissemination_June_2026.zip",
)

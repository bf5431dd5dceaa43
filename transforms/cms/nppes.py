"""NPPES, CMS's register of providers: the 330 columns of its download to the few that the benchmarks need."""

import datetime
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import polars as pl

from schemas.codes import US_COUNTRIES
from schemas.reference import NPPES
from transforms.cms.large_csv import read_columns, read_header, trimmed
from transforms.cms.sheets import sheet_rows
from transforms.errors import UsageError

_LOCATION = "Provider Business Practice Location Address"
COLUMNS = {
    "npi": "NPI",
    "entity_type": "Entity Type Code",
    "state": f"{_LOCATION} State Name",
    "country": f"{_LOCATION} Country Code (If outside U.S.)",
    "postal_code": f"{_LOCATION} Postal Code",
    "deactivation_date": "NPI Deactivation Date",
    "reactivation_date": "NPI Reactivation Date",
}
TAXONOMY_COLUMNS = tuple(f"Healthcare Provider Taxonomy Code_{number}" for number in range(1, 16))
WANTED_COLUMNS = (*COLUMNS.values(), *TAXONOMY_COLUMNS)
RECORDS = pl.Schema(  # 34 bytes a record: all of them are held, and sorted, in memory
    {
        "npi": pl.Int64(),
        "entity_type": pl.Int8(),
        "state": pl.Categorical(),
        "country": pl.Categorical(),
        "zip5": pl.Categorical(),
        "taxonomies": pl.Categorical(),  # upper case, with commas between them
        "deactivation_date": pl.Date(),
        "reactivation_date": pl.Date(),
    }
)
DEACTIVATIONS = pl.Schema({"npi": pl.Int64(), "deactivation_date": pl.Date()})

PIECE_RECORDS = 250_000
_EXCEL_DAY_ZERO = datetime.date(1899, 12, 30)


def read_nppes(stream: BinaryIO) -> Iterator[pl.DataFrame]:
    """``RECORDS`` in file order from an open npidata CSV, in frames of some 70,000 records.

    Columns are found by name; the order and number of the others do not matter. Memory: some 150 MiB, whatever the
    length of the file.

    Raises:
        UsageError: a wanted column is missing, a record of another width (a cut file), an NPI that is not a number.
    """
    header = _header(stream)
    records = 0
    try:
        for texts in read_columns(stream, header, WANTED_COLUMNS, "npidata"):
            frame = _records(texts)
            if frame["npi"].null_count():
                raise UsageError(f"npidata: a record without NPI, some way after record {records:,}")
            yield frame
            records += len(frame)
    except pl.exceptions.PolarsError as error:
        raise UsageError(f"npidata: {str(error).splitlines()[0]}, some way after record {records:,}") from error


def _header(stream: BinaryIO) -> list[str]:
    names, beginning = read_header(stream)
    if COLUMNS["npi"] not in names:
        raise UsageError(
            f"not an NPPES npidata csv: its first line begins {beginning!r}; use the zip of "
            "https://download.cms.gov/nppes/NPI_Files.html or the npidata_pfile csv in it"
        )
    missing = [name for name in WANTED_COLUMNS if names.count(name) != 1]
    if missing:
        raise UsageError(f"npidata: column {', '.join(map(repr, missing))} is missing or there twice; CMS changed it?")
    return names


def _records(texts: pl.DataFrame) -> pl.DataFrame:
    taxonomies = pl.concat_str(TAXONOMY_COLUMNS, separator=",", ignore_nulls=True)
    stated = {name: trimmed(column) for name, column in COLUMNS.items()}
    country = stated["country"].str.to_uppercase()
    zip5 = stated["postal_code"].str.extract(r"^(\d{5})(?:[-\s]?\d{4})?$")
    return texts.select(
        npi=stated["npi"].cast(pl.Int64),
        entity_type=stated["entity_type"].cast(pl.Int8),
        state=stated["state"].str.to_uppercase().cast(pl.Categorical),
        country=country.cast(pl.Categorical),
        zip5=pl.when(country.fill_null("US").is_in(US_COUNTRIES)).then(zip5).cast(pl.Categorical),
        taxonomies=taxonomies.str.to_uppercase().cast(pl.Categorical),
        deactivation_date=stated["deactivation_date"].str.to_date("%m/%d/%Y"),
        reactivation_date=stated["reactivation_date"].str.to_date("%m/%d/%Y"),
    )


def merge_records(
    records: Iterable[pl.DataFrame], deactivations: Iterable[pl.DataFrame] = ()
) -> Iterator[pl.DataFrame]:
    """The lookup (``NPPES``, sorted by npi), in pieces, from all records, oldest file first, and deactivation reports.

    An NPI's last record replaces the earlier ones. A report's NPI that has no record gets one, deactivated.
    Deactivated means: a deactivation date, by record or report, and no reactivation date on or after it; so a report
    older than a reactivation does not undo it.
    Memory: twice the records, of 34 bytes each.

    Args:
        records: ``RECORDS``.
        deactivations: ``DEACTIVATIONS``.
    """
    reports = pl.concat([pl.DataFrame(schema=DEACTIVATIONS), *deactivations])
    reported = reports.group_by("npi").agg(reported_date=pl.col("deactivation_date").max())
    without_record = pl.concat([pl.DataFrame(schema=RECORDS), reported.select("npi")], how="diagonal")
    is_last = pl.col("npi") != pl.col("npi").shift(-1, fill_value=-1)
    latest = pl.concat([without_record, *records]).sort("npi", maintain_order=True).filter(is_last)
    return (_as_lookup(piece, reported) for piece in latest.iter_slices(PIECE_RECORDS))


def _as_lookup(records: pl.DataFrame, reported: pl.DataFrame) -> pl.DataFrame:
    deactivation = pl.max_horizontal("deactivation_date", "reported_date")
    reactivated = (pl.col("reactivation_date") >= deactivation).fill_null(False)
    # each distinct combination is split once: sorting a list per record took ten times longer than all the rest
    codes = pl.col("taxonomies").cast(pl.String).str.extract_all(r"[^,\s]+").list.unique().list.sort()
    combinations = records.lazy().select("taxonomies").unique().with_columns(codes.alias("codes"))
    return (
        records.lazy()
        .join(combinations, on="taxonomies", how="left", maintain_order="left")
        .join(reported.lazy(), on="npi", how="left", maintain_order="left")
        .with_columns(taxonomies=pl.col("codes").fill_null([]), deactivated=deactivation.is_not_null() & ~reactivated)
        .pipe(NPPES.conform)
        .collect()
    )


def read_deactivations(content: bytes) -> pl.DataFrame:
    """``DEACTIVATIONS`` from CMS's deactivation report, an .xlsx or CSV: title row, NPI and date columns.

    Memory: the whole report (some 340,000 rows; the .xlsx is 5 MB).
    """
    try:
        rows = iter(list(sheet_rows(content)))
    except UsageError as error:
        raise UsageError(f"deactivation report: {error}") from error
    if not any(cells and cells[0].upper() == COLUMNS["npi"] for _, cells in rows):
        raise UsageError("deactivation report: no row begins with NPI; use CMS's xlsx, its zip, or a csv of it")
    found = [_deactivation(cells, number) for number, cells in rows if cells and cells[0]]
    return pl.DataFrame(found, schema=DEACTIVATIONS, orient="row")


def _deactivation(cells: list[str], number: int) -> tuple[int, datetime.date]:
    try:
        npi = int(float(cells[0]))
        if not 0 < npi < 10**10:
            raise ValueError(npi)
        return npi, _date(cells[1])
    except (ValueError, IndexError, OverflowError):
        raise UsageError(f"deactivation report row {number}: expected an NPI and a date, found {cells[:2]}") from None


def _date(text: str) -> datetime.date:
    """``MM/DD/YYYY`` as CMS writes it, ISO, or the day number of a spreadsheet."""
    if re.fullmatch(r"\d{5}(\.0*)?", text):
        return _EXCEL_DAY_ZERO + datetime.timedelta(days=int(float(text)))
    if "/" in text:
        month, day, year = map(int, text.split("/"))
        return datetime.date(year, month, day)
    return datetime.date.fromisoformat(text[:10])

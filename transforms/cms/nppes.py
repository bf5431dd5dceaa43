"""NPPES, CMS's register of providers: the 330 columns of its download to the six that the benchmarks need."""

import csv
import datetime
import io
import itertools
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO
from xml.etree import ElementTree

import polars as pl
import pyarrow as pa
import pyarrow.csv

from schemas.nppes import NPPES, NPPES_DEACTIVATIONS, NPPES_RECORDS
from transforms.errors import UsageError

NPI_COLUMN = "NPI"
ENTITY_COLUMN = "Entity Type Code"
STATE_COLUMN = "Provider Business Practice Location Address State Name"
COUNTRY_COLUMN = "Provider Business Practice Location Address Country Code (If outside U.S.)"
DEACTIVATION_COLUMN = "NPI Deactivation Date"
REACTIVATION_COLUMN = "NPI Reactivation Date"
TAXONOMY_COLUMNS = tuple(f"Healthcare Provider Taxonomy Code_{number}" for number in range(1, 16))
WANTED_COLUMNS = (
    NPI_COLUMN,
    ENTITY_COLUMN,
    STATE_COLUMN,
    COUNTRY_COLUMN,
    DEACTIVATION_COLUMN,
    REACTIVATION_COLUMN,
    *TAXONOMY_COLUMNS,
)

BLOCK_BYTES = 4 << 20  # measured best of 1, 4, 8 and 16 MiB: larger blocks leave the CPU's cache
BLOCKS_PER_FRAME = 16  # one block at a time, polars spends ten times longer starting than working
_HEADER_BYTES = 1 << 20  # the real header is 13 kB
_EXCEL_DAY_ZERO = datetime.date(1899, 12, 30)
_DAMAGE = (  # what reading a broken workbook, or a csv that is none, raises
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError),
    *(ElementTree.ParseError, csv.Error, struct.error),
)
_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def read_nppes(stream: BinaryIO) -> Iterator[pl.DataFrame]:
    """``NPPES_RECORDS`` in file order from an open npidata CSV, in frames of some 56,000 records.

    Columns are found by name; the order and number of the others do not matter. Memory: some 150 MiB, whatever the
    length of the file.

    Raises:
        UsageError: a wanted column is missing, a record of another width (a cut file), an NPI that is no number.
    """
    header = _header(stream)
    reading = pa.csv.ReadOptions(column_names=header, block_size=BLOCK_BYTES)
    # binary, so that a byte that is no UTF-8 costs its own value and not the whole file
    types = dict.fromkeys(WANTED_COLUMNS, pa.binary())
    converting = pa.csv.ConvertOptions(
        include_columns=WANTED_COLUMNS, column_types=types, null_values=[""], strings_can_be_null=True
    )
    parsing = pa.csv.ParseOptions(newlines_in_values=True)
    records = 0
    try:
        with pa.csv.open_csv(stream, reading, parsing, converting) as batches:
            while pending := list(itertools.islice(batches, BLOCKS_PER_FRAME)):
                frame = _records(pa.Table.from_batches(pending))
                if frame["npi"].null_count():
                    raise UsageError(f"npidata: a record without NPI, some way after record {records:,}")
                yield frame
                records += len(frame)
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):  # a header alone: a weekly file of a quiet week
            return
        place = f"some way after record {records:,}"
        raise UsageError(f"npidata: {_without_content(error)}, {place}; download it again") from error
    except pl.exceptions.PolarsError as error:
        raise UsageError(f"npidata: {str(error).splitlines()[0]}, some way after record {records:,}") from error


def _header(stream: BinaryIO) -> list[str]:
    line = stream.readline(_HEADER_BYTES).decode("utf-8-sig", errors="replace")
    try:
        names = [name.strip() for name in next(csv.reader([line]), [])]
    except csv.Error:  # carriage returns, or a name of 128 KiB
        names = []
    if NPI_COLUMN not in names:
        raise UsageError(
            f"not an NPPES npidata csv: its first line begins {line[:60]!r}; use the zip of "
            "https://download.cms.gov/nppes/NPI_Files.html or the npidata_pfile csv in it"
        )
    missing = [name for name in WANTED_COLUMNS if names.count(name) != 1]
    if missing:
        raise UsageError(f"npidata: column {', '.join(map(repr, missing))} is missing or there twice; CMS changed it?")
    return names


def _without_content(error: Exception) -> str:
    """The error's text without the record that Arrow quotes, which has personal data."""
    return re.sub(r"(got \d+).*", r"\1", str(error).splitlines()[0])


def _records(batch: pa.Table) -> pl.DataFrame:
    texts = pl.from_arrow(pa.table({name: _text(batch[name]) for name in batch.column_names}))
    assert isinstance(texts, pl.DataFrame)
    held = pl.concat_str(TAXONOMY_COLUMNS, separator=",", ignore_nulls=True).str.to_uppercase().alias("held")
    return (
        texts.lazy()
        .select(
            _trimmed(NPI_COLUMN).cast(pl.Int64).alias("npi"),
            _trimmed(ENTITY_COLUMN).cast(pl.Int32).alias("entity_type"),
            _trimmed(STATE_COLUMN).str.to_uppercase().alias("state"),
            _trimmed(COUNTRY_COLUMN).str.to_uppercase().alias("country"),
            _trimmed(DEACTIVATION_COLUMN).str.to_date("%m/%d/%Y").alias("deactivation_date"),
            _trimmed(REACTIVATION_COLUMN).str.to_date("%m/%d/%Y").alias("reactivation_date"),
            held,
        )
        .pipe(_with_taxonomies)
        .pipe(NPPES_RECORDS.conform)
        .collect()
    )


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:  # old files hold Latin-1; none of it is in a code or a US state
        return pa.chunked_array([[value and value.decode(errors="replace") for value in column.to_pylist()]])


def _with_taxonomies(records: pl.LazyFrame) -> pl.LazyFrame:
    """Splits each distinct combination once: sorting a list per record took ten times longer than all the rest."""
    codes = pl.col("held").str.extract_all(r"[^,\s]+").list.unique().list.sort()
    combinations = records.select("held").unique().with_columns(codes.alias("taxonomies"))
    return records.join(combinations, on="held", how="left", maintain_order="left")


def _trimmed(column: str) -> pl.Expr:
    text = pl.col(column).str.strip_chars()
    return pl.when(text != "").then(text)


def apply_updates(records: Sequence[pl.DataFrame], deactivations: Sequence[pl.DataFrame] = ()) -> pl.DataFrame:
    """The lookup (``NPPES``, sorted by npi) from all records, oldest file first, and the deactivation reports.

    An NPI's last record replaces the earlier ones. A report's NPI that has no record gets one, deactivated.
    Deactivated means: a deactivation date, by record or report, and no reactivation date on or after it; so a report
    older than a reactivation does not undo it.
    Memory: about three times the records.

    Args:
        records: ``NPPES_RECORDS``.
        deactivations: ``NPPES_DEACTIVATIONS``.
    """
    latest = pl.concat([NPPES_RECORDS.empty(), *records]).unique("npi", keep="last", maintain_order=True)
    reported = (
        pl.concat([NPPES_DEACTIVATIONS.empty(), *deactivations])
        .group_by("npi")
        .agg(pl.col("deactivation_date").max().alias("reported_date"))
    )
    deactivation = pl.max_horizontal("deactivation_date", "reported_date")
    reactivated = (pl.col("reactivation_date") >= deactivation).fill_null(False)
    return (
        latest.lazy()
        .join(reported.lazy(), on="npi", how="full", coalesce=True)
        .with_columns(
            (deactivation.is_not_null() & ~reactivated).alias("deactivated"),
            pl.col("taxonomies").fill_null(pl.lit([], dtype=pl.List(pl.String))),
        )
        .pipe(NPPES.conform)
        .sort("npi")
        .collect()
    )


def read_deactivations(stream: BinaryIO) -> pl.DataFrame:
    """``NPPES_DEACTIVATIONS`` from CMS's deactivation report, an open .xlsx or CSV: title row, NPI and date columns.

    Memory: the whole report (some 340,000 rows; the .xlsx is 5 MB).
    """
    content = stream.read()
    rows = _sheet_rows(content) if content.startswith(b"PK\3\4") else _text_rows(content)
    found = []
    begun = False
    try:
        for number, cells in enumerate(rows, 1):
            if begun and cells and cells[0]:
                found.append(_deactivation(cells, number))
            begun = begun or (bool(cells) and cells[0].upper() == NPI_COLUMN)
    except _DAMAGE as error:
        raise UsageError(f"deactivation report: damaged ({error}); download it again") from error
    if not begun:
        raise UsageError("deactivation report: no row begins with NPI; use CMS's xlsx, its zip, or a csv of it")
    return pl.DataFrame(found, schema=NPPES_DEACTIVATIONS.polars, orient="row")


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


def _text_rows(content: bytes) -> Iterator[list[str]]:
    text = io.StringIO(content.decode("utf-8-sig", errors="replace"), newline="")
    return ([cell.strip() for cell in cells] for cells in csv.reader(text))


def _sheet_rows(content: bytes) -> Iterator[list[str]]:
    """Rows of the first sheet of an .xlsx, cells as text; enough of the format for a plain two-column list."""
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        names = book.namelist()
        sheets = sorted(name for name in names if name.startswith("xl/worksheets/sheet"))
        if not sheets:
            raise UsageError("deactivation report: the zip is not an .xlsx workbook with a sheet")
        shared: list[str] = []
        if "xl/sharedStrings.xml" in names:
            with book.open("xl/sharedStrings.xml") as part:
                shared = [_text_of(item) for item in _elements(part, "si")]
        with book.open(sheets[0]) as part:
            for row in _elements(part, "row"):
                yield [_cell_text(cell, shared) for cell in row.iter(f"{_SHEET}c")]


def _elements(part: Iterable[bytes] | object, tag: str) -> Iterator[ElementTree.Element]:
    """Each finished element of the tag, emptied afterwards so that a long sheet stays small."""
    for _, element in ElementTree.iterparse(part):  # type: ignore[call-overload]
        if element.tag == _SHEET + tag:
            yield element
            element.clear()


def _text_of(element: ElementTree.Element) -> str:
    return "".join(part.text or "" for part in element.iter(f"{_SHEET}t"))


def _cell_text(cell: ElementTree.Element, shared: list[str]) -> str:
    kind = cell.get("t")
    if kind == "inlineStr":
        return _text_of(cell).strip()
    value = cell.findtext(f"{_SHEET}v") or ""
    if kind != "s":
        return value.strip()
    if not value.isdecimal() or int(value[:10]) >= len(shared):
        raise UsageError(f"deactivation report: a cell refers to shared text {value[:20]!r}, which there isn't")
    return shared[int(value)].strip()

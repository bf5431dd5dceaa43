"""CMS's yearly fee schedule files, PPRRVU and GPCI as CSV, into the Medicare frames of one year.

Columns are found by their words, never by position: PPRRVU's header is stacked over several rows (``WORK`` over
``RVU``), and 2026 put a PRIC IND column in the middle. A width not seen before, a header without the words, or a
total that is not the sum of its parts is refused: reading one column aside would still look like numbers.
Descriptors (American Medical Association copyright) are never read into a table.
"""

import datetime
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import polars as pl

from schemas.reference import MEDICARE_CONVERSION_FACTORS, MEDICARE_GPCIS, MEDICARE_RVUS
from transforms.cms.medicare import MedicareReference
from transforms.cms.sheets import find_columns, sheet_rows
from transforms.errors import UsageError

PPRRVU_WIDTHS = (31, 32)  # until 2025; from 2026, which added PRIC IND before ENDO BASE
RVU_COLUMNS = {
    "billing_code": "HCPCS",
    "modifier": "MOD",
    "status_code": "STATUS CODE",
    "work_rvu": "WORK RVU",
    "pe_nonfacility_rvu": "NON-FAC PE RVU",
    "pe_facility_rvu": "FACILITY PE RVU",
    "mp_rvu": "MP RVU",
    "total_rvu": "NON-FACILITY TOTAL",
    "multiple_procedure_indicator": "MULT PROC",
    "conversion_factor": "CONV FACTOR",
}
RVU_NUMBERS = ("work_rvu", "pe_nonfacility_rvu", "pe_facility_rvu", "mp_rvu", "total_rvu")
GPCI_COLUMNS = {
    "mac": ".*ADMINISTRATIVE CONTRACTOR.*|MAC",
    "state": "STATE",
    "locality": "LOCALITY NUMBER",
    "locality_name": "LOCALITY NAME",
    "work_gpci": ".*(?:PW|WORK) GPCI.*",
    "pe_gpci": ".*PE GPCI.*",
    "mp_gpci": ".*MP GPCI.*",
}
FLOORED_WORK = ".*(?:PW|WORK) GPCI.*WITH 1.0 FLOOR.*"
CONVERSION_FACTOR_RANGE = (Decimal(20), Decimal(60))  # 1992 to 2026: 31.00 to 38.26; anything else is another column
GPCI_RANGE = (Decimal("0.1"), Decimal("4"))  # 2020 to 2025: 0.27 (MP, Minnesota) to 2.5 (MP, New York)

_HEADER_ROWS = 15  # the real files have ten: titles, copyright, release date, then the stacked header
_CODE = re.compile(r"[A-Z0-9]{5}")
_MAC = re.compile(r"\d{4,5}")
_YEAR = re.compile(r"\b(20\d\d)\b")
_DATE = re.compile(r"\d{1,2}/\d{1,2}/\d{4}")
_STRAY_TOTALS = 0.01  # share of rows that may fail the total when every code is read


@dataclass(frozen=True)
class RelativeValueFile:
    """``MEDICARE_RVUS`` of PPRRVU, the conversion factor, the number of rows with a wrong total (left out)."""

    rvus: pl.DataFrame
    conversion_factor: str
    left_out: int


def read_fee_schedule(
    rvu: bytes, gpci: bytes, year: int, codes: Collection[str] | None = None
) -> tuple[MedicareReference, int]:
    """One year's fee schedule, its conversion factor in force all year, and the rows left out.

    A year in which the factor changed needs a row per period in the conversion factor table, written by hand.
    """
    values = read_relative_values(rvu, year, codes)
    factors = [(year, datetime.date(year, 1, 1), datetime.date(year, 12, 31), values.conversion_factor)]
    in_force = pl.DataFrame(factors, schema=MEDICARE_CONVERSION_FACTORS.polars, orient="row")
    return MedicareReference(values.rvus, read_gpcis(gpci, year), in_force), values.left_out


def read_relative_values(content: bytes, year: int, codes: Collection[str] | None = None) -> RelativeValueFile:
    """Relative values of rows without modifier, from PPRRVU CSV; text numbers as printed.

    Args:
        content: the CSV, UTF-8 or Latin-1.
        year: the fee schedule year; the file's own title must not say another.
        codes: HCPCS codes to read, each of which must be there; None reads all.

    Raises:
        UsageError: not this layout, another year, a code missing, values that do not add up.
    """
    header, rows = _read_header(content, "PPRRVU", "HCPCS", year)
    if len(header) not in PPRRVU_WIDTHS:
        raise UsageError(
            f"PPRRVU has {len(header)} columns; known layouts have {' or '.join(map(str, PPRRVU_WIDTHS))}. "
            "CMS changed the layout: compare the header and add it to transforms/cms/fee_schedule.py"
        )
    columns = find_columns(header, RVU_COLUMNS, "PPRRVU")
    wanted = None if codes is None else {code.strip().upper() for code in codes}
    found: list[dict[str, object]] = []
    left_out = 0
    factors: set[str] = set()
    for line, cells in rows:
        if not cells or not _CODE.fullmatch(cells[0]):
            continue  # footnotes and empty lines hold no code
        if len(cells) != len(header):
            raise UsageError(
                f"PPRRVU line {line}: {len(cells)} columns under a header of {len(header)}; the file is damaged"
            )
        row = {name: cells[index] for name, index in columns.items()}
        factors.add(row["conversion_factor"])
        if row["modifier"] or (wanted is not None and row["billing_code"] not in wanted):
            continue
        problem = _defect(row)
        if problem is None:
            found.append({name: row.get(name, year) for name in MEDICARE_RVUS.names})
        elif wanted is not None:
            raise UsageError(f"PPRRVU line {line}: {row['billing_code']}: {problem}")
        else:
            left_out += 1
    rvus = pl.DataFrame(found, schema=MEDICARE_RVUS.polars)
    _check_codes(rvus["billing_code"], left_out, wanted or set())
    return RelativeValueFile(rvus.sort(MEDICARE_RVUS.grain), _only_factor(factors), left_out)


def _defect(row: Mapping[str, str]) -> str | None:
    """Why the row's numbers can't be trusted: no numbers, or a total that is not the sum of its parts."""
    try:
        work, pe, _, mp, total = (_number(row[name], RVU_COLUMNS[name]) for name in RVU_NUMBERS)
    except UsageError as error:
        return str(error)
    if work + pe + mp == total:
        return None
    return f"work {work} + PE {pe} + MP {mp} is not the total {total}: the columns do not match their header"


def _check_codes(codes: pl.Series, left_out: int, wanted: set[str]) -> None:
    rows = len(codes) + left_out
    repeated = codes.filter(codes.is_duplicated()).unique().sort().to_list()
    if missing := sorted(wanted.difference(codes)):
        raise UsageError(f"PPRRVU has no row without modifier for {', '.join(missing)}")
    if left_out > _STRAY_TOTALS * rows:
        raise UsageError(f"PPRRVU: {left_out} of {rows} rows have no numbers or a total that is not their sum")
    if codes.is_empty():
        raise UsageError("PPRRVU has a header but no rows; download it again")
    if repeated:
        raise UsageError(f"PPRRVU: several rows without modifier for {', '.join(repeated[:5])}")


def _only_factor(factors: set[str]) -> str:
    values = {_number(text, RVU_COLUMNS["conversion_factor"]) for text in factors}
    if len(values) != 1:
        raise UsageError(f"PPRRVU has {len(values)} conversion factors, {sorted(factors)[:5]}; expected one")
    low, high = CONVERSION_FACTOR_RANGE
    factor = values.pop()
    if not low <= factor <= high:
        raise UsageError(f"PPRRVU: a conversion factor of {factor} is not between {low} and {high}: wrong column")
    return str(factor)


def read_gpcis(content: bytes, year: int) -> pl.DataFrame:
    """``MEDICARE_GPCIS`` of the year from GPCI CSV (Addendum E): title lines, header, localities, footnotes.

    Where CMS prints the work index with and without the 1.0 floor, the one with the floor is in force.
    Numbers that lost their leading zeros in a spreadsheet (MAC 2102, locality 1) get them back.

    Raises:
        UsageError: not this layout, another year, an index out of range, a locality twice.
    """
    header, rows = _read_header(content, "GPCI", ".*LOCALITY NUMBER.*", year)
    is_floored = any(re.fullmatch(FLOORED_WORK, words) for words in header)
    columns = find_columns(header, GPCI_COLUMNS | ({"work_gpci": FLOORED_WORK} if is_floored else {}), "GPCI")
    places = [
        _gpci_row(line, {name: cells[index] for name, index in columns.items()}) | {"year": year}
        for line, cells in rows
        if len(cells) == len(header) and _MAC.fullmatch(cells[columns["mac"]])
    ]
    frame = pl.DataFrame(places, schema=MEDICARE_GPCIS.polars).sort("state", "locality", "mac")
    if frame.is_empty():
        raise UsageError("GPCI has a header but no localities; download it again")
    if frame.select(MEDICARE_GPCIS.grain).is_duplicated().any():
        raise UsageError("GPCI has a locality twice: use the file of one year")
    return frame


def _gpci_row(line: int, row: Mapping[str, str]) -> dict[str, object]:
    low, high = GPCI_RANGE
    for name in ("work_gpci", "pe_gpci", "mp_gpci"):
        if not low <= _number(row[name], f"GPCI line {line}, {name}") <= high:
            raise UsageError(f"GPCI line {line}: {name} {row[name]} is not between {low} and {high}: wrong column")
    return {
        **row,
        "mac": row["mac"].zfill(5),
        "state": row["state"].upper(),
        "locality": row["locality"].zfill(2),
        "locality_name": " ".join(row["locality_name"].rstrip("* ").split()),
    }


def _read_header(
    content: bytes, file: str, marker: str, year: int
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Each column's words, stacked over the rows down to one with the marker; the rows below, by line number.

    Title rows name the year: a file of another year is refused.
    """
    rows = sheet_rows(content)
    titles, stacked = "", list[list[str]]()
    for number, (_, cells) in enumerate(rows):
        words = [" ".join(cell.upper().split()) for cell in cells]
        is_header = any(re.fullmatch(marker, word) for word in words)
        is_title = not any(word for index, word in enumerate(words) if index not in (0, 2))
        if is_header or is_title:
            titles += " ".join(word for word in words if "COPYRIGHT" not in word) + " "
        if is_header:
            _check_year(titles, year, file)
            above = [[*row, *[""] * len(words)] for row in stacked]
            return [" ".join(filter(None, column)) for column in zip(*above, words, strict=False)], rows
        if not is_title:
            stacked.append(words)
        if number > _HEADER_ROWS:
            break
    raise UsageError(
        f"{file}: no header row with {marker.strip('.*')}: use CMS's {file} csv (in the zip of the PFS relative value "
        "files on cms.gov), not the txt or xlsx beside it"
    )


def _number(text: str, place: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise UsageError(f"{place}: {text!r} is not a number") from None
    if not value.is_finite() or value < 0:
        raise UsageError(f"{place}: {text!r} is not a number of zero or more")
    return value


def _check_year(titles: str, year: int, file: str) -> None:
    """A title that names years, but not the one asked for, is another year's file. Dates of release do not count."""
    years = sorted(set(_YEAR.findall(_DATE.sub(" ", titles))))
    if years and str(year) not in years:
        raise UsageError(f"{file} is of {', '.join(years)}, not {year}: use --year {years[-1]} or another file")

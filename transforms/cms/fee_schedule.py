"""CMS's yearly fee schedule files, PPRRVU and GPCI as CSV, into the Medicare frames of one year.

Columns are found by their words, never by position: PPRRVU's header is stacked over several rows (``WORK`` over
``RVU``), and 2026 put a PRIC IND column in the middle. A width not seen before, a header without the words, or a
total that is not the sum of its parts is refused: reading one column aside would still look like numbers.
Descriptors (American Medical Association copyright) are never read into a table.
"""

import csv
import datetime
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import polars as pl

from schemas.reference import MEDICARE_CONVERSION_FACTORS, MEDICARE_GPCIS, MEDICARE_RVUS
from transforms.cms.medicare import MedicareReference
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
CONVERSION_FACTOR_RANGE = (Decimal(20), Decimal(60))  # 1992 to 2026: 31.00 to 38.26; anything else is another column
GPCI_RANGE = (Decimal("0.1"), Decimal("4"))  # 2020 to 2025: 0.27 (MP, Minnesota) to 2.5 (MP, New York)

_HEADER_ROWS = 15  # the real files have ten: titles, copyright, release date, then the stacked header
_CODE = re.compile(r"[A-Z0-9]{5}")
_YEAR = re.compile(r"\b(20\d\d)\b")
_STRAY_TOTALS = 0.01  # share of rows that may fail the total when every code is kept


@dataclass(frozen=True)
class RelativeValueFile:
    """``MEDICARE_RVUS`` of PPRRVU, the conversion factor, the number of rows with a wrong total (left out)."""

    rvus: pl.DataFrame
    conversion_factor: str
    left_out: int


def read_relative_values(content: bytes, year: int, codes: Collection[str] | None = None) -> RelativeValueFile:
    """Relative values of rows without modifier, from PPRRVU CSV; text numbers as printed.

    Memory: the wanted rows (all codes: about 17,000, some MB).

    Args:
        content: the CSV, UTF-8 or Latin-1.
        year: the fee schedule year; the file's own title must not say another.
        codes: HCPCS codes to keep, each of which must be there; None keeps all.

    Raises:
        UsageError: not this layout, another year, a code missing, values that do not add up.
    """
    rows = _csv_rows(content)
    columns, titles, width = _relative_value_header(rows)
    _check_year(titles, year, "PPRRVU")
    wanted = None if codes is None else {code.strip().upper() for code in codes}
    kept: list[dict[str, object]] = []
    left_out = 0
    factors: set[str] = set()
    for line, cells in rows:
        if not cells or not _CODE.fullmatch(cells[0]):
            continue  # footnotes and empty lines hold no code
        if len(cells) != width:
            raise UsageError(f"PPRRVU line {line}: {len(cells)} columns under a header of {width}; the file is damaged")
        row = {name: cells[index] for name, index in columns.items()}
        factors.add(row["conversion_factor"])
        if row["modifier"] or (wanted is not None and row["billing_code"] not in wanted):
            continue
        problem = _defect(row)
        if problem is None:
            kept.append(row | {"year": year})
        elif wanted is not None:
            raise UsageError(f"PPRRVU line {line}: {row['billing_code']}: {problem}")
        else:
            left_out += 1
    _check_kept(kept, left_out, wanted)
    return RelativeValueFile(_table(kept), _only_factor(factors), left_out)


def _defect(row: dict[str, str]) -> str | None:
    """Why the row's numbers can't be trusted: no numbers, or a total that is not the sum of its parts."""
    try:
        work, pe, _, mp, total = (_number(row[name], RVU_COLUMNS[name]) for name in RVU_NUMBERS)
    except UsageError as error:
        return str(error)
    if work + pe + mp == total:
        return None
    return f"work {work} + PE {pe} + MP {mp} is not the total {total}: the columns do not match their header"


def _relative_value_header(rows: Iterator[tuple[int, list[str]]]) -> tuple[dict[str, int], str, int]:
    """Consumes the rows up to HCPCS; index by our name, the title text, and the width."""
    above: list[list[str]] = []
    for _, cells in rows:
        if cells and cells[0].upper() == "HCPCS":
            return _relative_value_columns(above, cells), _titles(above), len(cells)
        above.append(cells)
        if len(above) > _HEADER_ROWS:
            break
    raise UsageError(
        "no header row that begins with HCPCS: give CMS's PPRRVU csv (PFS relative value files on cms.gov, "
        "not the txt or xlsx beside it)"
    )


def _relative_value_columns(above: list[list[str]], last: list[str]) -> dict[str, int]:
    if len(last) not in PPRRVU_WIDTHS:
        raise UsageError(
            f"PPRRVU has {len(last)} columns; known layouts have {' or '.join(map(str, PPRRVU_WIDTHS))}. "
            "CMS changed the layout: compare the header and add it to transforms/cms/fee_schedule.py"
        )
    stacked = [cells for cells in above if not _is_title(cells)]
    words = [
        " ".join(filter(None, (cells[index] if index < len(cells) else "" for cells in (*stacked, last)))).upper()
        for index in range(len(last))
    ]
    return {name: _column(words, _saying(header), header, "PPRRVU") for name, header in RVU_COLUMNS.items()}


def _is_title(cells: list[str]) -> bool:
    """Title, copyright and release lines stand alone in the description column, or in the first."""
    return all(not cell for index, cell in enumerate(cells) if index not in (0, 2))


def _titles(above: list[list[str]]) -> str:
    return " ".join(
        cell for cells in above if _is_title(cells) for cell in cells if cell and "copyright" not in cell.lower()
    )


def _saying(header: str) -> Callable[[str], bool]:
    return lambda words: words == header


def _column(words: list[str], fits: Callable[[str], bool], header: str, file: str) -> int:
    found = [index for index, text in enumerate(words) if fits(text)]
    if len(found) == 1:
        return found[0]
    problem = "no column" if not found else f"{len(found)} columns"
    raise UsageError(f"{file}: {problem} headed {header!r}; the headers are {', '.join(filter(None, words))}")


def _check_kept(kept: list[dict[str, object]], left_out: int, wanted: set[str] | None) -> None:
    missing = sorted((wanted or set()) - {str(row["billing_code"]) for row in kept})
    if missing:
        raise UsageError(f"PPRRVU has no row without modifier for {', '.join(missing)}")
    if left_out > _STRAY_TOTALS * (len(kept) + left_out):
        raise UsageError(
            f"PPRRVU: {left_out} of {len(kept) + left_out} rows have no numbers or a total that is not their sum"
        )
    if not kept:
        raise UsageError("PPRRVU has a header but no rows; download it again")


def _only_factor(factors: set[str]) -> str:
    values = {_number(text, RVU_COLUMNS["conversion_factor"]) for text in factors}
    if len(values) != 1:
        raise UsageError(f"PPRRVU has {len(values)} conversion factors, {sorted(factors)[:5]}; expected one")
    low, high = CONVERSION_FACTOR_RANGE
    factor = values.pop()
    if not low <= factor <= high:
        raise UsageError(f"PPRRVU: a conversion factor of {factor} is not between {low} and {high}: wrong column")
    return str(factor)


def _table(rows: list[dict[str, object]]) -> pl.DataFrame:
    frame = pl.DataFrame(
        [{name: row[name] for name in MEDICARE_RVUS.names} for row in rows], schema=MEDICARE_RVUS.polars
    )
    repeated = frame.filter(frame["billing_code"].is_duplicated())["billing_code"].unique().sort().to_list()
    if repeated:
        raise UsageError(f"PPRRVU: several rows without modifier for {', '.join(repeated[:5])}")
    return frame.sort(MEDICARE_RVUS.grain)


def read_gpcis(content: bytes, year: int) -> pl.DataFrame:
    """``MEDICARE_GPCIS`` of the year from GPCI CSV (Addendum E): title lines, header, localities, footnotes.

    Where CMS prints the work index with and without the 1.0 floor, the one with the floor is in force.
    Numbers that lost their leading zeros in a spreadsheet (MAC 2102, locality 1) get them back.

    Raises:
        UsageError: not this layout, another year, an index out of range, a locality twice.
    """
    rows = _csv_rows(content)
    columns, titles, width = _gpci_header(rows)
    _check_year(titles, year, "GPCI")
    places = []
    for line, cells in rows:
        if len(cells) == width and re.fullmatch(r"\d{4,5}", cells[columns["mac"]]):
            places.append(_gpci_row(line, cells, columns) | {"year": year})
    frame = pl.DataFrame(places, schema=MEDICARE_GPCIS.polars).sort("state", "locality", "mac")
    if frame.is_empty():
        raise UsageError("GPCI has a header but no localities; download it again")
    if frame.select(MEDICARE_GPCIS.grain).is_duplicated().any():
        raise UsageError("GPCI has a locality twice: use the file of one year")
    return frame


def _gpci_header(rows: Iterator[tuple[int, list[str]]]) -> tuple[dict[str, int], str, int]:
    titles: list[str] = []
    for number, (_, cells) in enumerate(rows):
        words = [" ".join(cell.upper().split()) for cell in cells]
        titles += words
        if any("LOCALITY NUMBER" in text for text in words):
            return _gpci_columns(words), " ".join(titles), len(cells)
        if number > _HEADER_ROWS:
            break
    raise UsageError("no header row with 'Locality Number': use CMS's GPCI csv (in the same zip as PPRRVU)")


def _gpci_columns(words: list[str]) -> dict[str, int]:
    work = [text for text in words if "PW GPCI" in text or "WORK GPCI" in text]
    floored = [text for text in work if "WITH 1.0 FLOOR" in text] or work
    fits: dict[str, Callable[[str], bool]] = {
        "mac": lambda text: "ADMINISTRATIVE CONTRACTOR" in text or text == "MAC",
        "state": lambda text: text == "STATE",
        "locality": lambda text: text == "LOCALITY NUMBER",
        "locality_name": lambda text: text == "LOCALITY NAME",
        "work_gpci": lambda text: text in floored,
        "pe_gpci": lambda text: "PE GPCI" in text,
        "mp_gpci": lambda text: "MP GPCI" in text,
    }
    return {name: _column(words, fit, name, "GPCI") for name, fit in fits.items()}


def _gpci_row(line: int, cells: list[str], columns: dict[str, int]) -> dict[str, object]:
    row = {name: cells[index] for name, index in columns.items()}
    row |= {
        "mac": row["mac"].zfill(5),
        "state": row["state"].upper(),
        "locality": row["locality"].zfill(2),
        "locality_name": " ".join(row["locality_name"].rstrip("* ").split()),
    }
    low, high = GPCI_RANGE
    for name in ("work_gpci", "pe_gpci", "mp_gpci"):
        if not low <= _number(row[name], f"GPCI line {line}, {name}") <= high:
            raise UsageError(f"GPCI line {line}: {name} {row[name]} is not between {low} and {high}: wrong column")
    return dict(row)


def read_fee_schedule(
    rvu: bytes, gpci: bytes, year: int, codes: Collection[str] | None = None
) -> tuple[MedicareReference, int]:
    """One year's fee schedule, its conversion factor in force all year, and the rows left out.

    A year in which the factor changed needs a row per period in the conversion factor table, written by hand.
    """
    values = read_relative_values(rvu, year, codes)
    factors = [(year, datetime.date(year, 1, 1), datetime.date(year, 12, 31), values.conversion_factor)]
    reference = MedicareReference(
        values.rvus,
        read_gpcis(gpci, year),
        pl.DataFrame(factors, schema=MEDICARE_CONVERSION_FACTORS.polars, orient="row"),
    )
    return reference, values.left_out


def _csv_rows(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Line number and trimmed cells; UTF-8 with or without BOM, else Latin-1, which CMS has used."""
    if b"\0" in content or content[:4] in (b"PK\3\4", b"%PDF"):
        raise UsageError("not CSV text: unpack the zip or export the sheet as csv")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for cells in reader:
            yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:  # a quote that never closes makes a cell of 128 KiB
        raise UsageError(f"line {reader.line_num}: {error}; the file is damaged, download it again") from error


def _number(text: str, place: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise UsageError(f"{place}: {text!r} is not a number") from None
    if not value.is_finite() or value < 0:
        raise UsageError(f"{place}: {text!r} is not a number of zero or more")
    return value


def _check_year(titles: str, year: int, file: str) -> None:
    """A title that names years, but not the one asked for, is another year's file."""
    stated: Iterable[str] = _YEAR.findall(_without_dates(titles))
    years = sorted(set(stated))
    if years and str(year) not in years:
        raise UsageError(f"{file} is of {', '.join(years)}, not {year}: use --year {years[-1]} or another file")


def _without_dates(text: str) -> str:
    return re.sub(r"\d{1,2}/\d{1,2}/\d{4}", " ", text)

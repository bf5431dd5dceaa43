"""CMS's ZIP Code to Carrier Locality file: which of Medicare's localities a practice's ZIP code lies in."""

import re
from collections.abc import Iterator

import polars as pl

from schemas.reference import ZIP_LOCALITIES
from transforms.cms.medicare import MedicareReference
from transforms.cms.sheets import find_columns, sheet_rows
from transforms.errors import UsageError

ZIP_COLUMNS = {
    "zip5": "ZIP CODE",
    "mac": "CARRIER",
    "locality": "(?:PRICING )?LOCALITY",
    "edition": "YEAR/QTR",
}
WIDTHS = {"zip5": 5, "mac": 5, "locality": 2, "edition": 5}
# Of the text file: positions as its ZIP5lyout.txt counts them, from 1, the last one included
POSITIONS = {"ZIP CODE": (3, 7), "CARRIER": (8, 12), "LOCALITY": (13, 14), "YEAR/QTR": (76, 80)}
_TEXT_WIDTH = 80
_TEXT_LINE = re.compile(rb"[A-Z]{2}\d{12}[^,\r\n]{61}\d{5}\s*$", re.MULTILINE)


def read_zip_localities(content: bytes) -> pl.DataFrame:
    """``ZIP_LOCALITIES`` of one edition, from the ZIP5 file as workbook, CSV or text, sorted by ZIP code.

    Numbers that lost their leading zeros in a spreadsheet get them back.

    Raises:
        UsageError: not this layout, a value that is not a number, a ZIP code twice, several editions.
    """
    rows = _text_rows(content) if _TEXT_LINE.match(content) else sheet_rows(content)
    _, first = next(rows, (0, list[str]()))
    header = [" ".join(cell.upper().split()) for cell in first]
    columns = find_columns(header, ZIP_COLUMNS, "ZIP to locality file")
    places = []
    for line, cells in rows:
        if not any(cells):
            continue
        row = {name: cells[index].zfill(WIDTHS[name]) for name, index in columns.items() if index < len(cells)}
        if not all(row.get(name, "").isdecimal() and len(row[name]) == width for name, width in WIDTHS.items()):
            raise UsageError(f"ZIP to locality file line {line}: expected {', '.join(WIDTHS)} as numbers, found {row}")
        places.append(row | {"year": int(row["edition"][:4]), "quarter": int(row["edition"][4:])})
    frame = pl.DataFrame(places, schema=ZIP_LOCALITIES.polars).sort("zip5")
    if frame.is_empty():
        raise UsageError("ZIP to locality file: a header but no rows; download it again")
    if frame["zip5"].is_duplicated().any() or frame.select("year", "quarter").n_unique() > 1:
        raise UsageError(
            "ZIP to locality file: a ZIP code twice, or several editions: use the ZIP5 file of one quarter"
        )
    return frame


def _text_rows(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of the file of fixed width, under headings as the others have them."""
    yield 0, list(POSITIONS)
    for number, line in enumerate(content.decode("latin-1").splitlines(), 1):
        if line.strip() and len(line.rstrip()) != _TEXT_WIDTH:
            found = f"{len(line.rstrip())} characters, expected {_TEXT_WIDTH}"
            raise UsageError(f"ZIP to locality file line {number}: {found}; download it again")
        yield number, [line[first - 1 : last] for first, last in POSITIONS.values()] if line.strip() else []


def locate_zips(zip_localities: pl.DataFrame, reference: MedicareReference, year: int | None) -> pl.DataFrame:
    """The locality of each ZIP code in a fee schedule year, named as in ``CA 05``: zip5, locality.

    No rows where the year's ZIP to locality file is not loaded. Sorted by zip5.

    Args: zip_localities: ``ZIP_LOCALITIES``.
    """
    gpcis = reference.gpcis.filter(pl.col("year").eq_missing(year))
    return (
        zip_localities.filter(pl.col("year").eq_missing(year))
        .join(gpcis.select("mac", "locality", "state"), on=["mac", "locality"])
        .select("zip5", locality=locality_name())
        .sort("zip5")
    )


def locality_name() -> pl.Expr:
    """``CA 05``: a state and the number of one of its localities, unique in a year."""
    return pl.format("{} {}", "state", "locality")

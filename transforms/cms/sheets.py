"""Rows of the small tables that CMS publishes as CSV or as an Excel workbook."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from transforms.errors import UsageError

_WORKBOOK = b"PK\3\4"


def sheet_rows(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Line number and trimmed cells, of a CSV or of a workbook's first sheet.

    CSV is UTF-8, with or without a byte order mark, else Latin-1, which CMS has used.

    Raises:
        UsageError: damaged, or neither of the two.
    """
    return _workbook_rows(content) if content.startswith(_WORKBOOK) else _csv_rows(content)


def _workbook_rows(content: bytes) -> Iterator[tuple[int, list[str]]]:
    from fastexcel import FastExcelError

    options = {"header_row": None, "dtypes": "string"}
    try:
        sheet = pl.read_excel(io.BytesIO(content), engine="calamine", has_header=False, read_options=options)
    except (FastExcelError, pl.exceptions.PolarsError) as error:
        raise UsageError(f"damaged, or not a workbook ({str(error).splitlines()[0]}); download it again") from error
    return ((number, [(cell or "").strip() for cell in row]) for number, row in enumerate(sheet.iter_rows(), 1))


def _csv_rows(content: bytes) -> Iterator[tuple[int, list[str]]]:
    if b"\0" in content or content.startswith(b"%PDF"):
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


def find_columns(header: Sequence[str], patterns: Mapping[str, str], file: str) -> dict[str, int]:
    """The position of each column, by our name, in a header of upper case words.

    Args:
        patterns: by our name, a regular expression of the header's words.

    Raises:
        UsageError: a column is missing, or there twice.
    """
    columns = {}
    for name, pattern in patterns.items():
        found = [index for index, words in enumerate(header) if re.fullmatch(pattern, words)]
        if len(found) != 1:
            problem = f"{len(found)} columns" if found else "no column"
            raise UsageError(f"{file}: {problem} headed {pattern!r}; the headers are {', '.join(filter(None, header))}")
        columns[name] = found[0]
    return columns

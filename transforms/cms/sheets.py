"""Rows of the tables that CMS publishes as CSV or as an Excel workbook: small ones whole, large workbooks streamed."""

import csv
import io
import posixpath
import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import IO, Any
from xml.etree.ElementTree import Element, ParseError, XMLPullParser, fromstring

import polars as pl

from transforms.errors import UsageError

HEADING_ROWS = 200  # of a large workbook, that are given whatever they say
MOST_PART_BYTES = 1 << 28  # of a part of a workbook that is held, such as its shared texts
MOST_ROW_BYTES = 1 << 26  # of XML
MOST_COLUMNS = 1 << 14  # as Excel
MOST_NEEDLES = 50  # beyond, looking for each takes longer than parsing every row
_WORKBOOK = b"PK\3\4"
_PIECE_BYTES = 1 << 17
_DATE_FORMATS = frozenset(map(str, (14, 15, 16, 17, 22)))  # Excel's own; the others name the year
_EPOCHS = (datetime(1899, 12, 30), datetime(1904, 1, 1))


def sheet_rows(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Line number and trimmed cells, of a CSV or of a workbook's first sheet.

    CSV is UTF-8, with or without a byte order mark, else Latin-1, which CMS has used.

    Raises:
        UsageError: damaged, or neither of the two.
    """
    if content.startswith(_WORKBOOK):
        return _workbook_rows(content)
    if b"\0" in content or content.startswith(b"%PDF"):
        raise UsageError("not CSV text: unpack the zip or export the sheet as csv")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return csv_rows(io.StringIO(text, newline=""))


def _workbook_rows(content: bytes) -> Iterator[tuple[int, list[str]]]:
    from fastexcel import FastExcelError

    options = {"header_row": None, "dtypes": "string"}
    try:
        sheet = pl.read_excel(io.BytesIO(content), engine="calamine", has_header=False, read_options=options)
    except (FastExcelError, pl.exceptions.PolarsError) as error:
        raise UsageError(f"damaged, or not a workbook ({str(error).splitlines()[0]}); download it again") from error
    return ((number, [(cell or "").strip() for cell in row]) for number, row in enumerate(sheet.iter_rows(), 1))


def csv_rows(lines: Iterable[str], delimiter: str = ",", file: str = "") -> Iterator[tuple[int, list[str]]]:
    """Line number and trimmed cells.

    Raises:
        UsageError: damaged; the text begins with ``file``.
    """
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        for cells in reader:
            yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:  # a quote that never closes makes a cell of 128 KiB
        place = f"{file} line {reader.line_num}".strip()
        raise UsageError(f"{place}: {error}; the file is damaged, download it again") from error


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


def workbook_rows(file: IO[bytes], wanted: Collection[str]) -> Iterator[list[str]]:
    """The trimmed cells of a large workbook's rows: the first ones of its first sheet, then those with a wanted text.

    Calamine, which reads the small workbooks, holds a sheet whole with the text of every cell, whatever columns or rows
    it is asked for: up to 760 MiB for 600,000 PTP edits. Here rows without a wanted text are cut out of the sheet's
    XML, and the others are parsed one by one.

    Memory: the workbook's shared texts, and the rows of one piece of the sheet.

    Args: wanted: texts that XML does not escape, such as codes. A row that has one in another place is given, too.

    Raises:
        UsageError: not a workbook, or with a document type, or with a part, row or cell reference beyond Excel's.
        zipfile.BadZipFile, zlib.error: cut or damaged.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            yield from _sheet_rows(archive, wanted)
    except (KeyError, IndexError, ValueError, OverflowError, ParseError) as error:
        raise UsageError(f"damaged, or not a workbook ({str(error).splitlines()[0]}); download it again") from error


def _sheet_rows(archive: zipfile.ZipFile, wanted: Collection[str]) -> Iterator[list[str]]:
    texts = list[str]()
    if "xl/sharedStrings.xml" in archive.namelist():
        texts += map(_text_of, _elements(_part(archive, "xl/sharedStrings.xml"), "si"))
    shared = [f">{number}<" for number, text in enumerate(texts) if any(each in text for each in wanted)]
    value_of = _value_reader(archive, texts)
    with archive.open(_first_sheet(archive)) as sheet:
        for row in _elements(_rows_with([*wanted, *shared], sheet), "row"):
            cells = list[str]()
            for cell in row.iter("c"):
                position = _column(cell.attrib["r"]) if "r" in cell.attrib else len(cells)
                cells.extend([""] * (position + 1 - len(cells)))
                cells[position] = value_of(cell)
            yield cells


def _rows_with(needles: Sequence[str], sheet: IO[bytes]) -> Iterator[bytes]:
    """The XML of a sheet without the rows that have none of the needles, but for ``HEADING_ROWS`` and more."""
    sought = [each.encode() for each in needles]
    seen, buffer, row_end = 0, b"", b""
    while piece := sheet.read(_PIECE_BYTES):
        buffer += piece
        if not row_end and (found := re.search(rb"<(\w+:)?sheetData\b", buffer)):
            row_end = b"</%brow>" % (found[1] or b"")
        whole, end, buffer = buffer.rpartition(row_end) if row_end else (b"", b"", buffer)
        if len(buffer) > MOST_ROW_BYTES:
            raise UsageError(f"a row of over {MOST_ROW_BYTES:,} bytes; export the sheet as csv")
        rows = whole + end
        if seen < HEADING_ROWS or len(sought) > MOST_NEEDLES or b"<!" in rows:  # comments could hold the end of a row
            seen += rows.count(row_end) if end else 0
            yield rows
        elif any(each in rows for each in sought):
            yield b"".join(row + row_end for row in rows.split(row_end)[:-1] if any(each in row for each in sought))
    yield buffer


def _elements(pieces: Iterable[bytes], name: str) -> Iterator[Element]:
    """The elements of that name, whole, one after the other; names are without prefix. Those read before are freed."""
    parser: XMLPullParser[Any] = XMLPullParser(["start", "end"])
    opened = list[Element]()
    for piece in pieces:
        parser.feed(_checked(piece))
        events: Iterator[Any] = parser.read_events()
        for event, element in events:
            if event == "start":
                element.tag = element.tag.rpartition("}")[2]
                opened.append(element)
            elif opened.pop().tag == name:
                yield element
                opened[-1].remove(element)
    parser.close()


def _checked(xml: bytes) -> bytes:
    """The same; document types, which could define entities, are refused."""
    if b"<!DOCTYPE" in xml:
        raise UsageError("its XML has a document type, as no spreadsheet program writes; export the sheet as csv")
    return xml


def _text_of(holder: Element) -> str:
    """The text of a cell or of a shared text; formulas and pronunciations are not part of it."""
    value = holder.findtext("v")
    if value is None:
        value = "".join(each.text or "" for path in ("t", "r/t", "is/t", "is/r/t") for each in holder.iterfind(path))
    return value.strip()


def _part(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    """A part of a workbook that is held: in pieces, and at most so many bytes of it."""
    size = archive.getinfo(name).file_size
    if size > MOST_PART_BYTES:
        raise UsageError(f"{name} has {size:,} bytes, more than {MOST_PART_BYTES:,}; export the sheet as csv")
    with archive.open(name) as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _attributes(archive: zipfile.ZipFile, name: str) -> list[tuple[str, dict[str, str]]]:
    """The elements of a part and their attributes, by their names without prefix; none where it lacks the part."""
    if name not in archive.namelist():
        return []
    elements = fromstring(_checked(b"".join(_part(archive, name)))).iter()
    return [
        (each.tag.rpartition("}")[2], {key.rpartition("}")[2]: value for key, value in each.attrib.items()})
        for each in elements
    ]


def _first_sheet(archive: zipfile.ZipFile) -> str:
    """The name of the part that has it."""
    own = next((each["id"] for name, each in _attributes(archive, "xl/workbook.xml") if name == "sheet"), "")
    relations = {each.get("Id"): each for _, each in _attributes(archive, "xl/_rels/workbook.xml.rels")}
    return posixpath.join("/xl", relations[own]["Target"]).lstrip("/")


def _value_reader(archive: zipfile.ZipFile, texts: Sequence[str]) -> Callable[[Element], str]:
    """What a cell says: a shared text, a date as YYYY-MM-DD where its style shows one, a number without exponent."""
    book, styles = _attributes(archive, "xl/workbook.xml"), _attributes(archive, "xl/styles.xml")
    epoch = _EPOCHS[any(each.get("date1904") in ("1", "true") for name, each in book if name == "workbookPr")]
    dates = {each["numFmtId"] for name, each in styles if name == "numFmt" and "yy" in each["formatCode"].lower()}
    names = [name for name, _ in styles]
    own = styles[names.index("cellXfs") :] if "cellXfs" in names else []
    formats = [each.get("numFmtId") for name, each in own if name == "xf"]
    is_date = {str(number) for number, each in enumerate(formats) if each in dates | _DATE_FORMATS}

    def value_of(cell: Element) -> str:
        kind, value = cell.get("t", "n"), _text_of(cell)
        if not value or kind == "s":
            return texts[int(value)] if value else ""
        if kind == "n" and cell.get("s") in is_date:
            return f"{epoch + timedelta(days=float(value)):%Y-%m-%d}"
        return f"{float(value):.15g}" if kind == "n" and "E" in value.upper() else value

    return value_of


def _column(reference: str) -> int:
    """The position of the column of a cell's reference, such as ``AB12``; ``ValueError``: beyond Excel's."""
    position = 0
    for letter in reference.rstrip("0123456789")[:4]:
        position = 26 * position + ord(letter) - 64
    if not 0 < position <= MOST_COLUMNS:
        raise ValueError(f"a cell at {reference[:20]!r}")
    return position - 1

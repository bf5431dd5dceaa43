"""CMS's National Correct Coding Initiative: PTP edits and MUE values of the wanted codes, as ``COVERAGE_EDITION``.

Both come as text or as a workbook, under heading lines of any number: the header is found by its columns' names.
"""

import io
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date
from itertools import chain, islice
from typing import BinaryIO

from schemas.coverage import BUNDLED, CMS, MUE, PTP, UNITS
from transforms.cms.coverage_rules import Rules, date_of, readable
from transforms.cms.sheets import csv_rows, find_columns
from transforms.errors import UsageError

PTP_COLUMNS = {
    "column_1": r"COLUMN ?1",
    "column_2": r"COLUMN ?2",
    "effective": r"EFFECTIVE( DATE)?.*",
    "deletion": r"DELETION( DATE)?.*",
    "modifier": r"MODIFIER.*",
    "rationale": r".*RATIONALE",
}
MUE_COLUMNS = {
    "code": r"HCPCS ?/ ?CPT CODE",
    "limit": r"PRACTITIONER SERVICES MUE VALUES?",
    "indicator": r"MUE ADJUDICATION INDICATOR",
    "rationale": r"MUE RATIONALE",
}
PTP_PAGE = "https://www.cms.gov/medicare/coding-billing/national-correct-coding-initiative-ncci-edits"
MUE_PAGE = f"{PTP_PAGE}/medicare-ncci-medically-unlikely-edits"
MOST_HEADING_LINES = 100
_CODE = re.compile(r"[0-9A-Z]{5}")
_MODIFIERS = ("0", "1", "9")
_QUARTER = re.compile(r"(20\d\d)[-_ ]?q([1-4])", re.IGNORECASE)
_EFFECTIVE = re.compile(r"eff\w*[-_ ](\d\d)-(\d\d)-(20\d\d)", re.IGNORECASE)
_VERSION = re.compile(r"v(\d\d)([0-3])r\d", re.IGNORECASE)  # ccipra-v320r0-f1: 32.0 is the first quarter of 2026
_FIRST_VERSION = 1994

Rows = Iterator[Sequence[str]]


def text_rows(stream: BinaryIO) -> Iterator[list[str]]:
    """The cells of a text with tabs or commas between them, read as Latin-1. Closes the stream at its end."""
    with io.TextIOWrapper(stream, "latin-1", newline="") as text:
        beginning = list(islice(text, MOST_HEADING_LINES))
        delimiter = "\t" if any("\t" in line for line in beginning) else ","
        yield from (cells for _, cells in csv_rows(chain(beginning, text), delimiter))


def _below_heading(rows: Iterable[Sequence[str]], name: str) -> tuple[str, dict[str, int], Rows, date | None]:
    """The kind, columns by our names, rows after the header, and the edition that the name or the heading states."""
    lines, heading = iter(rows), [name]
    for cells in islice(lines, MOST_HEADING_LINES):
        words = [" ".join(cell.upper().split()) for cell in cells]
        if {"COLUMN 1", "COLUMN 2"} <= set(words):
            header, following = _wrapped_header(words, lines)
            if re.search(r"hospital|ccioph", name, re.IGNORECASE):
                raise UsageError("the PTP edits of hospitals; use those of practitioners (ccipra)")
            return PTP, find_columns(header, PTP_COLUMNS, "PTP edits"), following, edition_of(heading)
        if any(re.fullmatch(MUE_COLUMNS["code"], word) for word in words):
            return MUE, find_columns(words, MUE_COLUMNS, "MUE values"), lines, edition_of(heading)
        heading.append(" ".join(cells))
    found = heading[1][:80] if len(heading) > 1 else ""
    raise UsageError(f"neither PTP edits nor MUE values: no header with Column 1 and Column 2; it begins {found!r}")


def _wrapped_header(words: list[str], lines: Rows) -> tuple[list[str], Rows]:
    """The header with the words of the lines that go on with it, up to the first line with a code."""
    header = list(words)
    for cells in lines:
        if cells and _CODE.fullmatch(_cell(cells[0])):
            return header, chain([cells], lines)
        more = [" ".join(cell.upper().split()) for cell in cells]
        header = [f"{word} {more[n] if n < len(more) else ''}".strip() for n, word in enumerate(header)]
    return header, iter(())


def edition_of(texts: Iterable[str]) -> date | None:
    """The first day of the quarter that a name or a heading states; None where none does."""
    text = " ".join(texts)
    if found := _QUARTER.search(text):
        return date(int(found[1]), 3 * int(found[2]) - 2, 1)
    if found := _EFFECTIVE.search(text):
        return date(int(found[3]), int(found[1]), int(found[2]))
    if found := _VERSION.search(text):
        return date(_FIRST_VERSION + int(found[1]), 3 * int(found[2]) + 1, 1)
    return None


def read_ncci(rows: Iterable[Sequence[str]], codes: Collection[str], name: str, part: str) -> tuple[Rules, date | None]:
    """What a file of edits or limits says of the wanted codes, and its edition; a row that can't be read is left out.

    Args:
        name: of the file; those of CMS state the edition, or that it is the one of hospitals.
        part: which file of the edition it is.

    Raises:
        UsageError: it has the columns of neither, or is not the practitioners' file.
    """
    kind, columns, lines, edition = _below_heading(rows, name)
    rules = Rules(kind, parts={part})
    add = _add_edit if kind == PTP else _add_limit
    width = max(columns.values())
    keys = [columns[key] for key in ("column_1", "column_2", "code") if key in columns]
    for cells in lines:
        if len(cells) > width and any(_cell(cells[key]) in codes for key in keys):
            values = {name: _cell(cells[position]) for name, position in columns.items()}
            try:
                add(rules, codes, part, **values)
            except ValueError as error:
                rules.left_out.append(f"{' '.join(values.values())}: {error}")
    return rules, edition


def _add_edit(rules: Rules, codes: Collection[str], part: str, **edit: str) -> None:
    """A row for each wanted code of the two; ``ValueError``: a date or the modifier indicator is another text."""
    effective, end = date_of(edit["effective"]), date_of(edit["deletion"].replace("*", ""))
    if effective is None or edit["modifier"] not in _MODIFIERS:
        raise ValueError("expected an effective date and a modifier of 0, 1 or 9")
    pair = (edit["column_1"], edit["column_2"])
    for code, partner, partner_column in ((*pair, 2), (*pair[::-1], 1)):
        if code in codes:
            rules.add(
                ["US"],
                part,
                billing_code=code,
                authority=CMS,
                document_id="/".join(pair),
                version=f"{effective:%Y%m%d}",
                title=readable(edit["rationale"]) or None,
                effective_date=effective,
                end_date=end,
                stance=BUNDLED,
                partner_code=partner,
                partner_column=partner_column,
                modifier_indicator=edit["modifier"],
                source_url=PTP_PAGE,
            )


def _add_limit(rules: Rules, codes: Collection[str], part: str, **limit: str) -> None:
    """A row; ``ValueError``: the limit is not a number, or the indicator is not 1, 2 or 3."""
    indicator = limit["indicator"][:1]
    if not limit["limit"].isdecimal() or indicator not in ("1", "2", "3"):
        raise ValueError("expected a whole number of units and an indicator that begins with 1, 2 or 3")
    rules.add(
        ["US"],
        part,
        billing_code=limit["code"],
        authority=CMS,
        document_id=limit["code"],
        version="",
        title=readable(limit["rationale"]) or None,
        stance=UNITS,
        unit_limit=int(limit["limit"]),
        adjudication_indicator=indicator,
        source_url=MUE_PAGE,
    )


def _cell(text: str) -> str:
    """Without blanks, and without the ``.0`` that a spreadsheet puts after a number."""
    return text.strip().removesuffix(".0")

"""CSV for spreadsheets: a text that a spreadsheet would take for a formula is disarmed by an apostrophe."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", *"\uff1d\uff0b\uff0d\uff20")  # the last: full width
_UNSEEN = " \u00a0\u200b\u2060\ufeff\u3000\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Numbers as published, in full; an empty field where there is none."""
    return _write(header, ([disarm(value) for value in row] for row in rows))


def frame_text(frame: pl.DataFrame) -> str:
    """The same of a table: lists of texts with semicolons between; each distinct text is looked at once."""
    return _write(frame.columns, zip(*map(_fields, frame), strict=True))


def _fields(column: pl.Series) -> Sequence[Any]:
    values = column.to_list()
    if column.dtype == pl.List(pl.String):
        values = [None if value is None else "; ".join(value) for value in values]
    elif column.dtype != pl.String:
        return values
    shown = {value: disarm(value) for value in set(values)}
    return [shown[value] for value in values]


def _write(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def disarm(value: Any) -> Any:
    """Only texts can be formulas; numbers, dates and nulls stay as they are."""
    if isinstance(value, str) and value.lstrip(_UNSEEN).startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value

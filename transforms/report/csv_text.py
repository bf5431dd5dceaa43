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
    """The same of a table: only the columns that hold such a text are looked through value by value."""
    texts = frame.select(pl.col(pl.String))
    unsafe = [each for each in texts if any(disarm(value) != value for value in each.unique())]
    safe = frame.with_columns(pl.Series(each.name, map(disarm, each), pl.String) for each in unsafe)
    return _write(safe.columns, safe.iter_rows())


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

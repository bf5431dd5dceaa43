"""CSV for spreadsheets: a text that a spreadsheet would take for a formula is disarmed by an apostrophe."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", *"\uff1d\uff0b\uff0d\uff20")  # the last: full width
_UNSEEN = " \u00a0\u200b\u2060\ufeff\u3000\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Numbers as published, in full; an empty field where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([disarm(value) for value in row] for row in rows)
    return text.getvalue()


def disarm(value: Any) -> Any:
    """Only texts can be formulas; numbers, dates and nulls stay as they are."""
    if isinstance(value, str) and value.lstrip(_UNSEEN).startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value

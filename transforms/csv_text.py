"""CSV for spreadsheets: a text that a spreadsheet would take for a formula is disarmed by an apostrophe."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Numbers as published, in full; an empty field where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([disarm(value) for value in row] for row in rows)
    return text.getvalue()


def disarm(value: Any) -> Any:
    """Only texts can be formulas; numbers, dates and nulls stay as they are."""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value

"""Values as the methodology cleans them (CONTRACT section 4, Clean). Scalars are ijson's: str, int, Decimal.

Numbers that are no integers arrive as ``Decimal``, exact at any size and precision.
"""

import math
import re
from datetime import date
from decimal import Decimal, InvalidOperation

INT64_MAX = 2**63 - 1
NPI_BEYOND_INT64 = -1

_NUMERIC = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NON_DIGITS = re.compile(r"[^0-9]+")
_POINT_ZERO = re.compile(r"\.0+\s*\Z")  # what a spreadsheet adds to a whole number
_YEAR_FIRST = re.compile(r"([0-9]{4})([-/])([0-9]{2})\2([0-9]{2})(?![0-9])")
_COMPACT = re.compile(r"([0-9]{4})()([0-9]{2})([0-9]{2})(?=(?:[0-9]{4}|[0-9]{6})?(?![0-9]))")  # HHMM[SS] may follow
_MONTH_FIRST = re.compile(r"([0-9]{1,2})([-/])([0-9]{1,2})\2([0-9]{4})(?![0-9])")
_EIN_DIGITS = 9
_SMALL = 10**18
_PLAIN_DIGITS = 64
_INT64_DIGITS = 19
_MAX_DIGITS = 4_000  # int() refuses to read more than 4,300


def text_of(value: object) -> str | None:
    """The value's text: strings as they are, numbers as written; booleans, objects and arrays have none."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        text = str(value)
        return text if "." in text or "E" in text else f"{text}E0"  # was not an integer as written: 9.7026e4
    return None


def codes_of(values: list[object]) -> tuple[str, ...]:
    """Modifiers or service codes: trimmed, upper-cased, blanks dropped, sorted, unique."""
    return tuple(sorted({text.strip().upper() for value in values if (text := text_of(value)) and text.strip()}))


def npi_of(value: object) -> int | None:
    """Digits only, less a trailing ``.0``; None when there are none, ``-1`` (no NPI) where they exceed 64 bits."""
    digits = _digits_of(value)
    if not digits:
        return None
    significant = digits.lstrip("0")
    if len(significant) > _INT64_DIGITS:
        return NPI_BEYOND_INT64
    npi = int(significant or "0")
    return npi if npi <= INT64_MAX else NPI_BEYOND_INT64


def tin_of(value: object, tin_type: str | None) -> str | None:
    """Digits only, less a trailing ``.0``; an EIN has nine, zeros in front. None: no digit but 0, or a fraction."""
    digits = _digits_of(value)
    if not digits.strip("0"):
        return None
    is_ein = tin_type is not None and tin_type.strip().lower() == "ein"
    return digits.zfill(_EIN_DIGITS) if is_ein else digits


def _digits_of(value: object) -> str:
    """The digits of a text, or of a whole number; empty when there are none."""
    if isinstance(value, str):
        return _NON_DIGITS.sub("", _POINT_ZERO.sub("", value))
    if isinstance(value, bool):
        return ""
    if isinstance(value, int):
        return str(abs(value))
    if isinstance(value, Decimal) and value == value.to_integral_value():
        digits = _canonical(value).lstrip("-")
        return digits if digits.isdigit() else "9" * (_PLAIN_DIGITS + 1)  # more digits than any id has
    return ""


def class_of(value: object) -> str | None:
    """A billing class: trimmed, lower case."""
    text = text_of(value)
    return None if text is None else text.strip().lower()


def rate_of(value: object) -> float | None:
    """A JSON number or numeric text as float64; None for anything else. Minus zero is zero: one row, one spelling."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        try:
            return float(value) + 0.0
        except OverflowError:  # an integer beyond float64: not finite, hence a bad rate
            return math.inf if value > 0 else -math.inf
    if isinstance(value, str) and _NUMERIC.fullmatch(stripped := value.strip()):
        return float(stripped) + 0.0
    return None


def date_of(value: object) -> date | None:
    """The date of ``read_date``."""
    return read_date(value)[0]


def read_date(value: object) -> tuple[date | None, bool]:
    """The date that the text begins with, and whether the text is unreadable: there, but no date.

    YYYY-MM-DD, YYYY/MM/DD, YYYYMMDD, M/D/YYYY or M-D-YYYY, then anything but a digit, such as a time or an offset.
    9999-12-31 means none.
    """
    text = text_of(value)
    if text is None:
        return None, False
    text = text.strip()
    if match := _YEAR_FIRST.match(text) or _COMPACT.match(text):
        year, _, month, day = match.groups()
    elif match := _MONTH_FIRST.match(text):
        month, _, day, year = match.groups()
    else:
        return None, True
    if (year, int(month), int(day)) == ("9999", 12, 31):
        return None, False
    try:
        return date(int(year), int(month), int(day)), False
    except ValueError:
        return None, True


def reference_key(value: object) -> str | None:
    """A provider reference's id such that equal ids, and only those, have equal keys.

    Numbers, and text that is numeric, compare as exact decimals of any size and precision: ``40``, ``"40"`` and
    ``40.0`` are one id, ``40.0000000001`` another. Other text compares as text. None: no id.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return str(value) if -_SMALL < value < _SMALL else _canonical(Decimal(value))
    if isinstance(value, Decimal):
        return _canonical(value)
    if isinstance(value, str):
        stripped = value.strip()
        return _key_of_numeric(stripped) if _NUMERIC.fullmatch(stripped) else stripped
    return None


def _key_of_numeric(text: str) -> str:
    try:
        return _canonical(Decimal(text))
    except InvalidOperation:  # its exponent has more digits than a decimal's may have
        mantissa, _, exponent = text.lower().partition("e")
        return _canonical(Decimal(mantissa), int(exponent)) if len(exponent) < _MAX_DIGITS else text


def _canonical(value: Decimal, shift: int = 0) -> str:
    """One spelling for each number, times ten to the ``shift``, without rounding or writing out a huge exponent."""
    negative, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits))
    significant = text.rstrip("0")
    if not significant:
        return "0"
    assert isinstance(exponent, int)  # neither NaN nor infinite: JSON and _NUMERIC know none
    exponent += len(text) - len(significant) + shift
    sign = "-" if negative else ""
    if exponent >= 0 and len(significant) + exponent <= _PLAIN_DIGITS:
        return f"{sign}{significant}{'0' * exponent}"
    return f"{sign}{significant}E{exponent}"

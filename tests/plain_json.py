"""The plain reading, 1 of 4: the bytes of a file, strict JSON, and the values in it (CONTRACT sections 4 and 5)."""

import gzip
import io
import json
import re
import zipfile
import zlib
from datetime import date
from typing import Any, NoReturn

import pyarrow as pa

Json = Any  # dict, list, str, Number, bool or None


class UnreadableError(Exception):
    """The file is quarantined: its container or its JSON did not end properly. The message says what was wrong."""


def plain_documents(published: bytes) -> list[bytes]:
    """The JSON documents of a file as published: one, or one per member of a zip; told apart by content."""
    try:
        if published.startswith(b"\x1f\x8b"):
            return [gzip.decompress(published)]
        if published.startswith(b"PK"):
            return _zip_members(published)
        if published.startswith(b"\x28\xb5\x2f\xfd"):
            return [pa.CompressedInputStream(pa.BufferReader(published), "zstd").read()]
    except (EOFError, OSError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise UnreadableError(f"container: {error}") from error
    return [published]


def _inner(member: bytes) -> list[bytes]:
    """A member is a document, or a container itself."""
    return plain_documents(member) if member.startswith((b"PK", b"\x1f\x8b")) else [member]


def _is_no_json(member: bytes) -> bool:
    """A README, a page or a PDF: text that begins as no object does. What is empty, or packed, is not passed over."""
    text = member.removeprefix(b"\xef\xbb\xbf").lstrip()
    return bool(text) and not text.startswith((b"{", b"[", b"PK", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"))


def _zip_members(published: bytes) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(published)) as archive:
        read = [archive.read(member) for member in archive.infolist() if not member.is_dir()]
        members = [document for member in read if not _is_no_json(member) for document in _inner(member)]
    if not members:
        raise UnreadableError("container: a zip without members")
    return members


class Number(str):
    """A JSON number as its token: 97026 and 97026.0 differ, 40.0000000001 keeps every digit."""

    __slots__ = ()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def plain_json(document: bytes) -> Json:
    """Strict JSON; of duplicate keys the last wins; numbers stay tokens; one UTF-8 BOM is allowed."""
    try:
        text = document.decode("utf-8-sig")
        return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"JSON: {error}") from error


NUMERIC = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d+))?", re.ASCII)
NEVER = "9999-12-31"
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_INT64 = 2**63 - 1

ExactNumber = tuple[bool, str, int]  # negative, significant digits, power of ten


def pick(record: dict[str, Json], *spellings: str) -> Json:
    """The value under the first spelling that is there and not null."""
    return next((record[spelling] for spelling in spellings if record.get(spelling) is not None), None)


def as_list(value: Json) -> list[Json]:
    """Where an array belongs: null is empty, a scalar or an object is an array of one, null elements say nothing."""
    if value is None:
        return []
    return [element for element in value if element is not None] if isinstance(value, list) else [value]


def as_objects(value: Json) -> list[dict[str, Json]]:
    """Where an array of objects belongs: its objects; anything else in it is ignored."""
    return [element for element in as_list(value) if isinstance(element, dict)]


def as_text(value: Json) -> str | None:
    """A string as it is, a number as its token; booleans, objects and arrays have no text. UTF-8 has no lone halves."""
    return LONE_SURROGATE.sub("\ufffd", value) if isinstance(value, str) else None


def as_trimmed(value: Json) -> str | None:
    """Text without the blanks around it; null when nothing is left."""
    return (as_text(value) or "").strip() or None


def as_code_list(value: Json) -> tuple[str, ...]:
    """Modifiers and service codes: trimmed, upper case, blanks dropped, sorted, unique."""
    return tuple(sorted({text.upper() for text in map(as_trimmed, as_list(value)) if text}))


def as_digits(text: str | None) -> str | None:
    """The ASCII digits of a text, without the point and zeros that a spreadsheet puts behind; null when it has none."""
    whole, point, fraction = (text or "").rstrip().rpartition(".")
    if point and fraction and not fraction.strip("0"):
        text = whole
    return "".join(character for character in text or "" if character in "0123456789") or None


def as_rate(value: Json) -> float | None:
    """A number or numeric text as float64; too large a number is infinite, anything else null."""
    text = as_trimmed(value)
    return float(text) if text and NUMERIC.fullmatch(text) else None


def exact_number(text: str) -> ExactNumber | None:
    """A decimal number of any size and precision in one spelling: 690.6447, 690.64470 and 6906447e-4 are equal."""
    match = NUMERIC.fullmatch(text)
    if not match:
        return None
    sign, digits, exponent = match.groups()
    whole, _, fraction = digits.partition(".")
    significant = (whole + fraction).lstrip("0")
    if not significant:
        return (False, "", 0)
    trailing = len(significant) - len(significant.rstrip("0"))
    return (sign == "-", significant.rstrip("0"), int(exponent or 0) - len(fraction) + trailing)


def as_id(value: Json) -> ExactNumber | str | None:
    """What a provider reference is known by: an exact number, else trimmed text; null, booleans, objects: no id."""
    text = as_text(value)
    if text is None:
        return None
    number = exact_number(text.strip())
    return text.strip() if number is None else number


def as_npi(value: Json) -> int | None:
    """Text: its digits. A number: its digits when it is integral. Too large for 64 bits: -1. No digits: null."""
    digits = _digits(value)
    if digits is None:
        return None
    significant = digits.lstrip("0") or "0"
    return int(significant) if len(significant) <= 19 and int(significant) <= MAX_INT64 else -1


def _digits(value: Json) -> str | None:
    return _integral_digits(value) if isinstance(value, Number) else as_digits(as_text(value))


def _integral_digits(token: Number) -> str | None:
    if token.lstrip("-").isdigit():
        return token.lstrip("-")
    number = exact_number(token)
    if number is None or number[2] < 0:
        return None
    if len(number[1]) + number[2] > 64:
        return "9" * 65  # no id has so many
    return (number[1] + "0" * number[2]) or "0"


def as_tin(value: Json) -> tuple[str | None, str | None]:
    """Type and digits of a ``tin``: the type as published; a bare value has no type."""
    if not isinstance(value, dict):
        return None, _tin_digits(None, value)
    kind = as_text(value.get("type"))
    return kind, _tin_digits(kind, value.get("value"))


def _tin_digits(kind: str | None, value: Json) -> str | None:
    """An employer's number has nine digits, whatever a spreadsheet made of those in front."""
    digits = _digits(value)
    if digits is None or set(digits) == {"0"}:
        return None
    return digits.rjust(9, "0") if (kind or "").strip().casefold() == "ein" else digits


def as_business_name(value: Json) -> str | None:
    """The business name in a ``tin``, as published; an empty one is none."""
    return (as_text(value.get("business_name")) or None) if isinstance(value, dict) else None


def as_class(value: Json) -> str | None:
    """A billing class in lower case, without the blanks around it."""
    text = as_text(value)
    return text if text is None else text.lower().strip()


def as_date(value: Json) -> date | None:
    """The date that a text begins with, in any of five spellings; 9999-12-31 and what is no date are null."""
    day = _spelled_date(as_text(value) or "")
    return None if day in (None, NEVER) else date.fromisoformat(day or "")


def is_unread_date(value: Json) -> bool:
    """There is text where the date belongs, and it is none."""
    text = as_text(value)
    return text is not None and _spelled_date(text) is None


def _spelled_date(text: str) -> str | None:
    """YYYY-MM-DD of what stands in front of a time, an offset or whatever else is no digit; null when it is no date."""
    runs = re.split(r"([^0-9])", text.strip())  # digits, a character, digits, a character, digits, ...
    year, month, day = "", "", ""
    if len(runs) >= 5 and runs[1] == runs[3] and runs[1] in "-/":
        if [len(run) for run in (runs[0], runs[2], runs[4])] == [4, 2, 2]:
            year, month, day = runs[0], runs[2], runs[4]
        elif len(runs[0]) in (1, 2) and len(runs[2]) in (1, 2) and len(runs[4]) == 4:
            month, day, year = runs[0], runs[2], runs[4]
    if not year and len(runs[0]) in (8, 12, 14):  # alone, or with HHMM or HHMMSS behind it
        year, month, day = runs[0][:4], runs[0][4:6], runs[0][6:8]
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return None

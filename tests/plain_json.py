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
ISO_DATE = re.compile(r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})", re.ASCII)
US_DATE = re.compile(r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})", re.ASCII)
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
    """The ASCII digits of a text; null when it has none."""
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
    digits = _integral_digits(value) if isinstance(value, Number) else as_digits(as_text(value))
    if digits is None:
        return None
    significant = digits.lstrip("0") or "0"
    return int(significant) if len(significant) <= 19 and int(significant) <= MAX_INT64 else -1


def _integral_digits(token: Number) -> str | None:
    number = exact_number(token)
    if number is None or number[2] < 0:
        return None
    return (number[1] + "0" * min(number[2], 20)) or "0"


def as_tin(value: Json) -> tuple[str | None, str | None]:
    """Type and digits of a ``tin``: the type as published; a bare value has no type."""
    if isinstance(value, dict):
        return as_text(value.get("type")), _tin_digits(value.get("value"))
    return None, _tin_digits(value)


def _tin_digits(value: Json) -> str | None:
    if isinstance(value, Number) and not value.lstrip("-").isdigit():
        return None  # 12.5 is no TIN
    return as_digits(as_text(value))


def as_date(value: Json) -> date | None:
    """The first ten characters, ISO or US order; 9999-12-31 and what is no date are null."""
    text = (as_text(value) or "").strip()[:10]
    match = ISO_DATE.fullmatch(text) or US_DATE.fullmatch(text)
    if not match:
        return None
    try:
        day = date(int(match["year"]), int(match["month"]), int(match["day"]))
    except ValueError:
        return None
    return None if day == date(9999, 12, 31) else day

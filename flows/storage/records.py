"""Small JSON records in the cache: decoded whole into a declared type, or not there."""

from pathlib import Path
from typing import TypeVar

import msgspec

Record = TypeVar("Record")


def decode_record(data: bytes, kind: type[Record]) -> Record | None:
    """The record; None for one that was cut, damaged, or written by a version with other fields."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_record(path: Path, kind: type[Record]) -> Record | None:
    """The record in a file; None where there is none that can be decoded."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return None
    return decode_record(data, kind)

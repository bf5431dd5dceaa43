"""What each of the two readings of a table of contents says, one file after the other, or why it refuses it."""

import io
from collections.abc import Iterable
from typing import Any

from transforms.contents import contents, scan_contents
from transforms.contents.contents import ContentsDate, Found, StructureEnd
from transforms.contents.names import NO_NAMES
from transforms.errors import BadFileError

Flat = list[StructureEnd | tuple[Any, ...]]


def flat(found: Iterable[Found]) -> Flat:
    """One file after the other, and the ends of structures; then the last date, which a reader may give earlier."""
    given: Flat = []
    date: Flat = []
    for each in found:
        if isinstance(each, StructureEnd):
            given.append(each)
            continue
        if isinstance(each, ContentsDate):
            date = [("updated", each.text)]
            continue
        networks = each.networks or [NO_NAMES] * len(each.files)
        for file, named in zip(each.files, networks, strict=True):
            if location := file.location.strip():
                given.append((location, file.description, named))
    return given + date


def plainly(data: bytes, *, strict: bool = True) -> Flat | str:
    try:
        return flat(contents.read_contents(io.BytesIO(data), io.BytesIO, strict=strict))
    except BadFileError as error:
        return str(error)


def scanned(data: bytes, block_bytes: int = 1 << 20, *, strict: bool = True, overlap: bool = False) -> Flat | str:
    try:
        return flat(
            scan_contents.read_contents(
                io.BytesIO(data), io.BytesIO, strict=strict, overlap=overlap, block_bytes=block_bytes
            )
        )
    except BadFileError as error:
        return str(error)

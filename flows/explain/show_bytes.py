"""The bytes of a local source behind a rate row: its item's start, the price, and the provider reference.

Memory: the first ``SEARCHED_BYTES`` of an item or reference; what is in front of it is inflated and passed over.
"""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from flows.download.sources import Source, sha256_of
from flows.explain.explain import Explanation
from flows.extract.ledger import recall
from flows.storage.atomic_files import open_temporary, temporary_folder
from transforms.errors import BadFileError
from transforms.read.containers import open_documents

MOST_SHOWN = 3  # rate rows
SEARCHED_BYTES = 16 << 20
PRINTED_BYTES = 1_200
COPY_BYTES = 1 << 20
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)


def show_bytes(explained: Explanation) -> list[dict[str, Any]]:
    """For the first rate rows: source, and the bytes of item, price and reference; or why there are none."""
    found: list[dict[str, Any]] = []
    names = dict(explained.files.select("source_id", "source").unique("source_id").iter_rows())
    for frame in explained.rates(MOST_SHOWN):
        for row in frame.iter_rows(named=True):
            for statement in row["statements"][:1]:
                source = names.get(statement["source_id"], "")
                what = {
                    "source": source,
                    "npi": row["npi"],
                    "tin": row["tin"],
                    "negotiated_rate": row["negotiated_rate"],
                }
                found.append(what | statement | _shown(explained, source, row, statement))
    return found


def _shown(explained: Explanation, source: str, row: dict[str, Any], statement: dict[str, Any]) -> dict[str, Any]:
    path = Path(source)
    if not path.is_file():
        return {"not_shown": f"{source}: no local file of that name from this folder"}
    if _content(path, explained) != statement["source_id"]:
        return {"not_shown": f"{source}: its content has changed since it was published; offsets do not hold for it"}
    try:
        item = read_value(path, statement["document"], statement["item_offset"])
        shown = {"item": as_text(item.start, item.more), "price": _price_text(item, row)}
        if statement["reference_offset"] is not None:
            reference = read_value(path, statement["document"], statement["reference_offset"])
            shown |= {"reference": as_text(reference.start, reference.more), "group": _group_text(reference, row)}
    except (BadFileError, OSError) as error:
        return {"not_shown": f"{source}: {error}"}
    return shown


def _content(path: Path, explained: Explanation) -> str | None:
    known = recall(Source(str(path)), explained.layout)
    return known.sha256 if known is not None else sha256_of(path)


class Value:
    """A JSON value as it stands in a source. whole: it ends within the bytes that were read."""

    def __init__(self, read: bytes, end: int | None) -> None:
        self.bytes = read if end is None else read[:end]
        self.whole = end is not None

    @property
    def start(self) -> bytes:
        """Its first bytes."""
        return self.bytes[:PRINTED_BYTES]

    @property
    def more(self) -> str:
        """How many bytes follow those; empty when none do."""
        left = len(self.bytes) - len(self.start)
        if not left and self.whole:
            return ""
        return f"{left:,} bytes more" if self.whole else f"more than {left:,} bytes more"

    def objects(self) -> Iterator[tuple[int, bytes]]:
        """The complete objects in it, the innermost first, and where each begins in it."""
        opened: list[int] = []
        for token in _TOKEN.finditer(self.bytes):
            sign = token.group()
            if sign in (b"{", b"["):
                opened.append(token.start())
            elif sign in (b"}", b"]") and opened:
                start = opened.pop()
                if sign == b"}":
                    yield start, self.bytes[start : token.end()]


def read_value(path: Path, document: int, offset: int) -> Value:
    """The value that begins at a byte of a document of a local file.

    Raises:
        BadFileError: the file ends before that byte, or no object begins there.
    """
    with path.open("rb") as file:
        temporary = partial(open_temporary, temporary_folder())
        for number, found in enumerate(open_documents(file, temporary)):
            if number == document:
                _pass_over(found.stream, offset - found.first)
                read = _read(found.stream, SEARCHED_BYTES)
                break
            while found.stream.read(COPY_BYTES):
                pass
        else:
            raise BadFileError(f"it has no document {document}")
    if not read.startswith(b"{"):
        raise BadFileError(f"no object begins at byte {offset:,} of document {document}")
    return Value(read, _end_of(read))


def _pass_over(stream: BinaryIO, size: int) -> None:
    while size > 0:
        read = stream.read(min(size, COPY_BYTES))
        if not read:
            raise BadFileError("it ends before the offset")
        size -= len(read)


def _read(stream: BinaryIO, size: int) -> bytes:
    parts = []
    while size > 0 and (read := stream.read(min(size, COPY_BYTES))):
        parts.append(read)
        size -= len(read)
    return b"".join(parts)


def _end_of(read: bytes) -> int | None:
    depth = 0
    for token in _TOKEN.finditer(read):
        sign = token.group()
        depth += (sign in (b"{", b"[")) - (sign in (b"}", b"]"))
        if depth == 0:
            return token.end()
    return None


def _price_text(item: Value, row: dict[str, Any]) -> str:
    for start, text in item.objects():
        if b'"negotiated_rate"' in text and _is_price(text, row):
            left = len(text) - PRINTED_BYTES
            more = f"{left:,} bytes more" if left > 0 else ""
            return f"at byte {start:,} of the item: {as_text(text[:PRINTED_BYTES], more)}"
    return "not among the first bytes of the item" if not item.whole else "written otherwise than the published row"


def _is_price(text: bytes, row: dict[str, Any]) -> bool:
    try:
        price = json.loads(text)
        rate = float(price.get("negotiated_rate"))
    except (ValueError, TypeError):
        return False
    return bool(rate == row["negotiated_rate"] and price.get("negotiated_type") == row["negotiated_type"])


def _group_text(reference: Value, row: dict[str, Any]) -> str:
    npi = str(row["npi"]).encode()
    at = reference.bytes.find(npi)
    if at < 0:
        return "its NPI stands beyond the bytes that were read" if not reference.whole else "in a remote file"
    start = max(at - PRINTED_BYTES // 4, 0)
    return f"NPI at byte {at:,} of the reference: {as_text(reference.bytes[start : at + PRINTED_BYTES // 4])}"


def as_text(data: bytes, more: str = "") -> str:
    """Bytes as text that a terminal does not obey, and what follows."""
    text = "".join(sign if sign.isprintable() else " " for sign in data.decode("utf-8", "replace"))
    return f"{text} ... {more}" if more else text

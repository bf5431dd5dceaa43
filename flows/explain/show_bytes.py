"""The bytes of a local source behind a rate row: its item's start, the price, and the provider reference.

Memory: the first ``SEARCHED_BYTES`` of an item or reference; what is in front of it is inflated and passed over.
"""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from flows.download.sources import Source, sha256_of
from flows.explain.explain import Explanation
from flows.extract.ledger import recall
from flows.storage.atomic_files import open_temporary, temporary_folder
from flows.storage.layout import Layout
from flows.storage.redaction import has_scheme
from transforms.errors import BadFileError
from transforms.read.clean import class_of, codes_of, date_of, npi_of, rate_of, reference_key, text_of
from transforms.read.containers import open_documents

MOST_SHOWN = 3  # rate rows
SEARCHED_BYTES = 16 << 20
PRINTED_BYTES = 1_200
COPY_BYTES = 1 << 20
_PRICE_KEYS = (b'"negotiated_rate"', b'"negotiated_price"', b'"negotiated_prices"')
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)


def show_bytes(explained: Explanation) -> list[dict[str, Any]]:
    """For the first rate rows: source, and the bytes of item, price and reference; or why there are none."""
    found: list[dict[str, Any]] = []
    names = dict(explained.files.select("source_id", "source").unique("source_id").iter_rows())
    contents: dict[Path, str | None] = {}
    excluded = iter(()) if explained.npi is None else explained.excluded_rates(MOST_SHOWN)
    for frame in chain(explained.rates(MOST_SHOWN), excluded):
        for row in frame.head(MOST_SHOWN - len(found)).iter_rows(named=True):
            for statement in row["statements"][:1]:
                source = names.get(statement["source_id"], "")
                what = {"source": source} | {name: row[name] for name in ("npi", "tin", "negotiated_rate", "exclusion")}
                why = _not_here(source, statement, explained.layout, contents)
                shown = {"not_shown": why} if why else _shown(source, row, statement)
                found.append(what | statement | shown)
    return found


def _not_here(source: str, statement: dict[str, Any], layout: Layout, contents: dict[Path, str | None]) -> str | None:
    """Why a source's bytes can't be shown; None where it is a local file with the content that was published."""
    sha256 = statement["source_id"]
    where = f"look at byte {statement['item_offset']:,} of the JSON of what has sha256 {sha256}"
    if has_scheme(source):
        return f"{source}: not a local file; fetch it, and {where}"
    path = Path(source)
    if not path.is_file():
        return f"{source}: not found from this folder; run `tic-rates explain` where the path is right, or {where}"
    if path not in contents:
        known = recall(Source(source), layout)
        contents[path] = sha256_of(path) if known is None else known.sha256
    if contents[path] != sha256:
        return f"{source}: its content has changed since it was published (sha256 {contents[path]}); {where}"
    return None


def _shown(source: str, row: dict[str, Any], statement: dict[str, Any]) -> dict[str, Any]:
    path, document = Path(source), statement["document"]
    try:
        item = read_value(path, document, statement["item_offset"])
        reference = None
        if statement["reference_offset"] is not None:
            reference = read_value(path, document, statement["reference_offset"])
        shown = {"item": as_text(item.start, item.more), "price": price_text(item, row, reference)}
        if reference is not None:
            shown |= {"reference": as_text(reference.start, reference.more), "group": _group_text(reference, row)}
    except (BadFileError, OSError) as error:
        return {"not_shown": f"{source}: {error}"}
    return shown


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


def price_text(item: Value, row: dict[str, Any], reference: Value | None) -> str:
    """The price of a rate row in its item: in the first negotiated_rates element that has its provider."""
    cited = None if reference is None else _loads(reference.bytes).get("provider_group_id")
    prices: list[tuple[int, bytes]] = []
    for start, text in item.objects():  # a price ends before the element that holds it
        if not any(name in text for name in _PRICE_KEYS):
            continue
        found = _loads(text)
        if _is_price(found, row):
            prices.append((start, text))
        elif _has_provider(found, row, cited):
            inside = [(at, price) for at, price in prices if at > start]
            if inside:
                at, price = inside[0]
                left = len(price) - PRINTED_BYTES
                more = f"{left:,} bytes more" if left > 0 else ""
                return f"at byte {at:,} of the item: {as_text(price[:PRINTED_BYTES], more)}"
    return "not among the first bytes of the item" if not item.whole else "written otherwise than the published row"


def _loads(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text, parse_float=Decimal)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_price(price: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether a rate row states this price, once cleaned."""
    stated = price.get("negotiated_rate", price.get("negotiated_price"))
    return (
        isinstance(price.get("negotiated_type"), str)
        and {
            "negotiated_rate": rate_of(stated),
            "negotiated_type": text_of(price.get("negotiated_type")),
            "billing_class": class_of(price.get("billing_class")),
            "setting": text_of(price.get("setting")),
            "service_codes": [*codes_of(_list(price.get("service_code")))],
            "modifiers": [*codes_of(_list(price.get("billing_code_modifier")))],
            "expiration_date": date_of(price.get("expiration_date")),
        }.items()
        <= row.items()
    )


def _has_provider(rate: dict[str, Any], row: dict[str, Any], cited: object) -> bool:
    """Whether a negotiated_rates element cites the reference; without one, whether a group in it has the NPI."""
    if cited is not None:
        citations = map(reference_key, _list(rate.get("provider_references")))
        return reference_key(cited) in citations
    groups = [group for group in _list(rate.get("provider_groups")) if isinstance(group, dict)]
    npis = {npi_of(npi) for group in groups for npi in _list(group.get("npi", group.get("NPI")))}
    return row["npi"] in npis or (row["npi"] is None and "negotiated_prices" in rate)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


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

"""What a table of contents lists, by a plain reading of the whole document and by the streaming one."""

import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from schemas.mrf import ENTRIES_KEYS, ENTRY_KEYS, NETWORK_KEYS
from transforms.contents.index_values import Found, IndexDate, ListedFile, Plans, StructureEnd, entry_of
from transforms.contents.kinds import IN_NETWORK
from transforms.contents.names import MAX_NAMES, Names
from transforms.contents.read_index import read_index
from transforms.errors import BadFileError

Flat = list[StructureEnd | tuple[Any, ...]]
Pairs = list[tuple[str, Any]]


class Members(list[tuple[str, Any]]):
    """An object, repeated keys included."""


def flat(found: Iterable[Found]) -> Flat:
    """One file after the other, and the ends of structures; then the last date."""
    given: Flat = []
    date: Flat = []
    for each in found:
        if isinstance(each, StructureEnd):
            given.append(each)
        elif isinstance(each, IndexDate):
            date = [] if each.text is None else [("updated", each.text)]
        else:
            given += [_flat_file(file) for file in each if file.location.strip()]
    return given + date


def _flat_file(file: ListedFile) -> tuple[Any, ...]:
    stated = (file.location.strip(), file.description, file.networks)
    return stated if file.kind == IN_NETWORK else (*stated, file.kind)


def plainly(data: bytes, *, strict: bool = True) -> Flat | str:
    """By the standard library's JSON, all at once."""
    try:
        root = json.loads(data.decode(), object_pairs_hook=Members, parse_constant=_refuse)
    except ValueError as error:
        return str(error)
    if not isinstance(root, list):
        return "the root is not an object"
    outermost = [pair for members in _outermost(root) for pair in members]
    if strict and {key for key, _ in outermost} & {"in_network", "in_networks"}:
        return "an in-network file"
    found = list(_structure(root))
    keys = set(_keys(root))
    listing = any(key in ENTRIES_KEYS and isinstance(value, list) for key, value in outermost)
    if strict and not listing and not keys & {"reporting_structure", "TOC_Files", "in_network_files"}:
        return "no table of contents"
    dates = [value for key, value in outermost if key == "last_updated_on"]
    return found + [("updated", _text(date)) for date in dates[-1:] if isinstance(date, str)]


def scanned(data: bytes, block_bytes: int = 1 << 20, *, strict: bool = True, overlap: bool = False) -> Flat | str:
    """As ``run`` reads it."""
    try:
        return flat(read_index(io.BytesIO(data), strict=strict, overlap=overlap, block_bytes=block_bytes))
    except BadFileError as error:
        return str(error)


def _refuse(text: str) -> None:
    raise ValueError(text)


def _outermost(value: Any) -> Iterator[Members]:
    if isinstance(value, Members):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _outermost(each)


def _keys(value: Any, depth: int = 1) -> Iterator[str]:
    """Of all objects that may be structures."""
    if isinstance(value, Members):
        for key, inside in value:
            yield key
            if key not in ("in_network_files", "reporting_plans", "reportingPlans", *NETWORK_KEYS) and (
                (key, depth) != ("last_updated_on", 1)
            ):
                yield from _keys(inside, depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _keys(each, depth)


def _entries(value: Any) -> Iterator[Any]:
    for each in _elements(value):
        yield from _structure(each, 2, is_entry=isinstance(each, Members))


def _structure(value: Any, depth: int = 1, *, is_entry: bool = False) -> Iterator[Any]:
    if isinstance(value, Members):
        plans, lists = Plans(), False
        for key, inside in value:
            if key == "in_network_files":
                lists = True
                yield from _files(inside)
            elif key in ("reporting_plans", "reportingPlans"):
                plans = _plans(inside)
            elif depth == 1 and key in ENTRIES_KEYS and isinstance(inside, list):
                yield from _entries(inside)
            elif is_entry and key in ENTRY_KEYS:
                pass
            elif key not in NETWORK_KEYS and (key, depth) != ("last_updated_on", 1):
                yield from _structure(inside, depth + 1)
        if is_entry:
            entry = entry_of({key: _text(inside) for key, inside in value if key in ENTRY_KEYS})
            if entry.location.strip():
                yield _flat_file(entry)
        if lists or is_entry:
            yield StructureEnd(plans, _networks(dict(value)))
    elif isinstance(value, list):
        for each in value:
            yield from _structure(each, depth)


def _elements(value: Any) -> list[Any]:
    return value if isinstance(value, list) and not isinstance(value, Members) else [value]


def _files(value: Any) -> Iterator[tuple[Any, ...]]:
    for each in _elements(value):
        stated = dict(each) if isinstance(each, Members) else {"location": each} if isinstance(each, str) else {}
        if location := (_text(stated.get("location")) or "").strip():
            yield location, _text(stated.get("description")), _networks(stated)


def _plans(value: Any) -> Plans:
    plans = [dict(each) for each in _elements(value) if isinstance(each, Members)]
    keys = (("plan_name", "planName"), ("plan_market_type", "planMarketType"), ("plan_id_type", "planIdType"))
    stated = ([_text(plan.get(key)) or _text(plan.get(own)) for plan in plans] for key, own in keys)
    return Plans(len(plans), *map(_names, stated))


def _networks(members: dict[str, Any]) -> Names:
    stated = [members.get(key) for key in NETWORK_KEYS]
    return _names(name for each in stated if not isinstance(each, Members) for name in _elements(each))


def _names(values: Iterable[Any]) -> Names:
    distinct = sorted({text.strip() for text in map(_text, values) if text and text.strip()})
    return Names(tuple(distinct[:MAX_NAMES]), len(distinct) > MAX_NAMES)


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or value is None or isinstance(value, list):
        return None
    return re.sub("[\ud800-\udfff]", "\ufffd", str(value))

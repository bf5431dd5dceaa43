"""What a table of contents lists, by a plain reading of the whole document and by the streaming one."""

import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from schemas.mrf import NETWORK_KEYS
from transforms.contents.index_values import Found, IndexDate, Plans, StructureEnd
from transforms.contents.names import MAX_NAMES, NO_NAMES, Names
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
            date = [("updated", each.text)]
        else:
            given += [(file.location.strip(), file.description, file.networks) for file in each if file.location.strip()]
    return given + date


def plainly(data: bytes, *, strict: bool = True) -> Flat | str:
    """By the standard library's JSON, all at once."""
    try:
        root = json.loads(data.decode(), object_pairs_hook=Members, parse_constant=_refuse)
    except ValueError as error:
        return str(error)
    if not isinstance(root, list):
        return "the root is no object"
    if strict and isinstance(root, Members) and {key for key, _ in root} & {"in_network", "in_networks"}:
        return "an in-network file"
    found = list(_structure(root, None))
    keys = set(_keys(root))
    if strict and not keys & {"reporting_structure", "TOC_Files", "in_network_files"}:
        return "no table of contents"
    dates = [value for key, value in root if key == "last_updated_on"] if isinstance(root, Members) else []
    texts = [_text(each) for each in dates if isinstance(each, str)]
    return found + [("updated", text) for text in texts[-1:]]


def scanned(data: bytes, block_bytes: int = 1 << 20, *, strict: bool = True, overlap: bool = False) -> Flat | str:
    """As ``run`` reads it."""
    try:
        return flat(read_index(io.BytesIO(data), strict=strict, overlap=overlap, block_bytes=block_bytes))
    except BadFileError as error:
        return str(error)


def _refuse(text: str) -> None:
    raise ValueError(text)


def _keys(value: Any) -> Iterator[str]:
    """Of all objects that may be structures."""
    if isinstance(value, Members):
        for key, inside in value:
            yield key
            if key not in ("in_network_files", "reporting_plans", *NETWORK_KEYS):
                yield from _keys(inside)
    elif isinstance(value, list):
        for each in value:
            yield from _keys(each)


def _structure(value: Any, key: str | None) -> Iterator[Any]:
    if isinstance(value, Members):
        plans, networks, lists = Plans(), NO_NAMES, False
        for key, inside in value:
            if key == "in_network_files":
                lists = True
                yield from _files(inside)
            elif key == "reporting_plans":
                plans = _plans(inside)
            elif key in NETWORK_KEYS:
                networks = _networks(inside)
            else:
                yield from _structure(inside, key)
        if lists:
            yield StructureEnd(plans, networks)
    elif isinstance(value, list):
        for each in value:
            yield from _structure(each, None)


def _elements(value: Any) -> list[Any]:
    return value if isinstance(value, list) and not isinstance(value, Members) else [value]


def _files(value: Any) -> Iterator[tuple[Any, ...]]:
    for each in _elements(value):
        if isinstance(each, str):
            each = {"location": each}
        if isinstance(each, Members):
            networks = [_networks(stated) for key, stated in each if key in NETWORK_KEYS]
            each = dict(each) | {"networks": networks[-1] if networks else NO_NAMES}
        if isinstance(each, dict) and (location := (_text(each.get("location")) or "").strip()):
            yield location, _text(each.get("description")), each.get("networks", NO_NAMES)


def _plans(value: Any) -> Plans:
    plans = [dict(each) for each in _elements(value) if isinstance(each, Members)]
    keys = ("plan_name", "plan_market_type", "plan_id_type")
    return Plans(len(plans), *(_names(plan.get(key) for plan in plans) for key in keys))


def _networks(value: Any) -> Names:
    return NO_NAMES if isinstance(value, Members) else _names(_elements(value))


def _names(values: Iterable[Any]) -> Names:
    distinct = sorted({text.strip() for text in map(_text, values) if text and text.strip()})
    return Names(tuple(distinct[:MAX_NAMES]), len(distinct) > MAX_NAMES)


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or value is None or isinstance(value, list):
        return None
    return re.sub("[\ud800-\udfff]", "\ufffd", str(value))

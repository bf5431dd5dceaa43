"""The independent reader: every byte parsed by ijson (yajl), any shape and key order, in one pass over a stream.

Memory: ijson's 64 KiB buffer, one string, and the limits of ``Collected``; never the file, never an item.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import InvalidOperation
from functools import partial
from typing import BinaryIO, cast

import ijson

from schemas.mrf import GROUP_KEYS, IN_NETWORK, PROVIDER_GROUPS, SECTIONS
from transforms.errors import BadFileError, FullReadingNeededError
from transforms.limits import Limits, Place
from transforms.read.clean import text_of
from transforms.read.collect import Collected
from transforms.read.guard import GuardedStream
from transforms.read.surrogates import MendedStream
from transforms.read.walk import Event, Member, Walker, append_group, replaces_value

ENGINE = "ijson"
BUFFER_BYTES = 64 * 1024
HUGE_EXPONENT = "a number whose exponent has 19 digits or more"  # beyond Decimal's limits: InvalidOperation


def read_document(stream: BinaryIO, wanted: frozenset[str], collected: Collected, *, skip: bool = True) -> None:
    """Read one in-network document into ``collected``.

    Args:
        stream: the document's JSON, inflated; read to its end.
        wanted: billing codes, compared exactly with an item's own code, trimmed.
        skip: pass over the rates of items already known to be unwanted.

    Raises:
        BadFileError: no well-formed JSON object with nothing after it; says the place.
        FullReadingNeededError: only with ``skip``; read again without.
    """
    with _whole_document(stream, wanted, collected, skip=skip) as walker:
        event, _ = walker.next()
        if event != "start_map":
            kind = {"start_array": "an array", "null": "null"}.get(event, "a single value")
            raise BadFileError(f"the root is {kind}, not an object; not a TiC file")
        _read_root(walker)


def _read_root(walker: Walker) -> None:
    collected = walker.collected
    given: dict[str, str] = {}
    for key, event, value in walker.members():
        collected.note_root_key(key)
        name = SECTIONS.get(key)
        if name is not None:
            if key != name:
                collected.quirks[f"{name} under the name {key}"] += 1
            if replaces_value(key, name, given, is_null=event == "null"):
                _read_section(walker, name, event, value)
            else:
                walker.skip(event)
        elif event in ("start_map", "start_array"):
            if key == PROVIDER_GROUPS:
                collected.quirks["provider_groups at the root"] += 1
            walker.skip(event)
            collected.header.pop(key, None)
        else:
            collected.note_header(key, text_of(value))


def _read_section(walker: Walker, name: str, event: str, value: object) -> None:
    collected = walker.collected
    if name == IN_NETWORK:
        if walker.cited is not None:
            raise FullReadingNeededError("in_network stands twice at the root, around provider_references")
        collected.clear_items()
        for _ in walker.objects(event, value):
            walker.walk_item()
        return
    collected.clear_references()
    if walker.skips and collected.items_seen and event != "null":
        walker.cited = collected.cited_keys()
    for _ in walker.objects(event, value):
        walker.walk_reference()


def read_provider_reference(stream: BinaryIO, collected: Collected) -> None:
    """Read a remote provider reference file into ``collected.groups``.

    It is ``{"provider_groups": [...]}``, a bare list of groups, or one group.

    Raises:
        BadFileError: no well-formed JSON, or none of these.
    """
    with _whole_document(stream, frozenset(), collected) as walker:
        event, value = walker.next()
        if event == "start_array":
            _read_groups(walker, event, value)
        elif event == "start_map":
            _read_reference(walker)
        else:
            raise BadFileError("the root is a single value; not a provider reference file")
        walker.raise_if_crossed()


def _read_groups(walker: Walker, event: str, value: object) -> None:
    """A bare list: any list could be one, so each of its objects must have a group's keys."""
    for _ in walker.objects(event, value):
        seen: set[str] = set()
        append_group(walker.collected.groups, 0, walker.walk_group(_noting(walker.members(GROUP_KEYS), seen)))
        if not seen:
            raise BadFileError("a list of objects without npi and tin; not a provider reference file")


def _read_reference(walker: Walker) -> None:
    """An object: its provider_groups; without any it is a group itself."""
    groups = walker.collected.groups
    mark = len(groups)
    seen: set[str] = set()
    has_list: bool | None = None

    def own_members() -> Iterator[Member]:
        nonlocal has_list
        for key, event, value in walker.members(GROUP_KEYS | {PROVIDER_GROUPS}):
            if key == PROVIDER_GROUPS:
                has_list = event != "null"
                groups.truncate(mark)
                walker.walk_groups(groups, 0, event, value)
            else:
                yield key, event, value

    rows = list(walker.walk_group(_noting(own_members(), seen)))
    if seen and not has_list:
        append_group(groups, 0, rows)
    elif has_list is None:
        raise BadFileError("neither provider_groups nor npi and tin at the root; not a provider reference file")


def _noting(members: Iterator[Member], seen: set[str]) -> Iterator[Member]:
    for member in members:
        seen.add(member[0])
        yield member


# ---- events ------------------------------------------------------------------------------------------------


def parse(stream: object, limits: Limits, place: Place) -> Iterator[Event]:
    """ijson's events, of a stream on which no string or number is longer than the limits."""
    guarded = GuardedStream(cast("BinaryIO", stream), limits, place)
    events: Iterator[Event] = ijson.basic_parse(MendedStream(cast("BinaryIO", guarded)), buf_size=BUFFER_BYTES)
    return events


@contextmanager
def _whole_document(
    stream: BinaryIO, wanted: frozenset[str], collected: Collected, *, skip: bool = True
) -> Iterator[Walker]:
    """A walker over one document's events; errors name the place, and nothing may follow the root."""
    ended = _LineEnded(stream)
    place = partial(_place, collected)
    events = parse(ended, collected.limits, place)
    try:
        yield Walker(events.__next__, wanted, collected, skip=skip)
        for event, _ in events:
            raise BadFileError(f"a second value begins after the root closed ({event})")
    except InvalidOperation as error:
        raise BadFileError(f"{HUGE_EXPONENT} {place(ended.bytes)}") from error
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise BadFileError(f"{_explain(error, at_end=ended.at_end)} {place(ended.bytes)}") from error
    except StopIteration as error:
        raise BadFileError(f"the JSON ends before its root closed {place(ended.bytes)}") from error


class _LineEnded:
    """A stream with one line end more, which counts the bytes that the parser has read.

    yajl accepts a token after the root that the end of the file cuts off, such as a lone quote; a line end makes every
    such token an error, and means nothing anywhere else.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.at_end = False  # whether the parser has read all there is: what it misses is the rest of a truncated file
        self.bytes = 0

    def read(self, size: int = -1) -> bytes:
        """As a file's ``read``."""
        data = self._stream.read(size)
        self.bytes += len(data)
        if data or not size or self.at_end:
            return data
        self.at_end = True
        return b"\n"


def _place(collected: Collected, offset: int) -> str:
    return f"(in or after {collected.where}, at or before JSON byte {offset:,})"


def _explain(error: Exception, *, at_end: bool) -> str:
    """What the parser's error means, and the next step where there is one."""
    text = first_line(error)
    if "trailing garbage" in text:
        return "something follows the closed JSON root"
    if "premature EOF" in text or "Incomplete" in text:
        return "the JSON ends before its root closed: the file is truncated, fetch it again"
    if at_end:
        return "the JSON ends inside a string or other value: the file is truncated, fetch it again"
    return f"not well-formed JSON: {text}"


def first_line(error: Exception) -> str:
    """What a parser says, in one line."""
    message = error.args[0] if error.args else str(error)
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
    return text.split("\n")[0][:200]

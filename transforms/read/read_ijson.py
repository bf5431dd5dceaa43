"""The independent reader: every byte parsed by ijson (yajl), any shape and key order, in one pass over a stream.

Memory: two chunks of 64 KiB and their events (the last one, and that in which the open item begins), one string, and
the limits of ``Collected``; never the file, never an item.
"""

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import InvalidOperation
from functools import partial
from itertools import chain
from operator import length_hint
from typing import BinaryIO, Self, cast

import ijson

from schemas.mrf import GROUP_KEYS, IN_NETWORK, PROVIDER_GROUPS, SECTIONS
from transforms.errors import BadFileError, FullReadingNeededError
from transforms.limits import Limits, Place
from transforms.read.clean import text_of
from transforms.read.collect import Collected
from transforms.read.guard import GuardedStream, braces_of
from transforms.read.surrogates import MendedStream
from transforms.read.walk import Event, Member, Offset, Walker, append_group, replaces_value

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
    with _whole_document(stream, wanted, collected, skip=skip) as (walker, events):
        event, _ = walker.next()
        if event != "start_map":
            kind = {"start_array": "an array", "null": "null"}.get(event, "a single value")
            raise BadFileError(f"the root is {kind}, not an object; not a TiC file")
        _read_root(walker, events)


def _read_root(walker: Walker, events: "Events") -> None:
    collected = walker.collected
    given: dict[str, str] = {}
    for key, event, value in walker.members():
        collected.note_root_key(key)
        name = SECTIONS.get(key)
        if name is not None:
            if key != name:
                collected.quirks[f"{name} under the name {key}"] += 1
            if replaces_value(key, name, given, is_null=event == "null"):
                _read_section(walker, events, name, event, value)
            else:
                walker.skip(event)
        elif event in ("start_map", "start_array"):
            if key == PROVIDER_GROUPS:
                collected.quirks["provider_groups at the root"] += 1
            walker.skip(event)
            collected.header.pop(key, None)
        else:
            collected.note_header(key, text_of(value))


def _read_section(walker: Walker, events: "Events", name: str, event: str, value: object) -> None:
    collected = walker.collected
    if name == IN_NETWORK:
        if walker.cited is not None:
            raise FullReadingNeededError("in_network stands twice at the root, around provider_references")
        collected.clear_items()
        for _ in walker.objects(event, value):
            walker.walk_item(events.brace())
        return
    collected.clear_references()
    if walker.skips and collected.items_seen and event != "null":
        walker.cited = collected.cited_keys()
    for _ in walker.objects(event, value):
        walker.walk_reference(events.brace())


def read_provider_reference(stream: BinaryIO, collected: Collected) -> None:
    """Read a remote provider reference file into ``collected.groups``.

    It is ``{"provider_groups": [...]}``, a bare list of groups, or one group.

    Raises:
        BadFileError: no well-formed JSON, or none of these.
    """
    with _whole_document(stream, frozenset(), collected) as (walker, _):
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
    events: Iterator[Event] = ijson.basic_parse(_guarded(stream, limits, place), buf_size=BUFFER_BYTES)
    return events


def _guarded(stream: object, limits: Limits, place: Place) -> GuardedStream:
    mended = MendedStream(cast("BinaryIO", stream))  # ends no chunk within an escape
    return GuardedStream(cast("BinaryIO", mended), limits, place)


class Events:
    """What ``parse`` returns, and where an object begins; ``next`` returns the next event.

    ijson names no places, but it makes the events of each chunk before it asks for more. So the nth ``start_map`` of a
    chunk belongs to its nth opening brace outside of strings.
    """

    def __init__(self, stream: object, limits: Limits, place: Place) -> None:
        self._stream = _guarded(stream, limits, place)
        self._events = chain.from_iterable(self._chunks())
        self.next = self._events.__next__

    def __iter__(self) -> Iterator[Event]:
        return self._events

    def brace(self) -> Offset:
        """Finds the byte at which the object begins whose ``start_map`` was the last event."""
        return self._chunk.brace()

    def _chunks(self) -> Iterator[Iterator[Event]]:
        found = _Found()
        parser = ijson.basic_parse_coro(found)
        first, has_more = 0, True
        while has_more:
            inside = self._stream.inside
            data = self._stream.read(BUFFER_BYTES)
            try:
                parser.send(data)
            except StopIteration:
                has_more = False
            except Exception:
                yield self._events_of(first, data, inside, found)
                raise
            yield self._events_of(first, data, inside, found)
            del self._chunk  # its events are freed before more are made, unless an open element needs them
            first += len(data)

    def _events_of(self, first: int, data: bytes, inside: bool, found: list[Event]) -> Iterator[Event]:
        self._chunk = _Chunk(first, data, inside, found[:])
        found.clear()
        return self._chunk.left


class _Found(list[Event]):
    """Events that a parser adds: ijson's C code fills a list itself, without a call for each."""

    __call__ = list.append

    @property
    def send(self) -> Self:
        """What the parser calls with each event, or fills."""
        return self


class _Chunk:
    """Bytes that were read together, and their events."""

    def __init__(self, first: int, data: bytes, inside: bool, events: list[Event]) -> None:
        self._first = first  # byte in the stream
        self._data = data
        self._inside = inside  # whether it begins within a string
        self._events = events
        self._objects: list[int] | None = None  # places of start_map among the events
        self.left = iter(events)

    def brace(self) -> Offset:
        """See ``Events``: the last event is the one last taken from ``left``."""
        return partial(self._brace_of, len(self._events) - length_hint(self.left) - 1)

    def _brace_of(self, event: int) -> int:
        if self._objects is None:
            self._objects = [place for place, (name, _) in enumerate(self._events) if name == "start_map"]
            self._braces = braces_of(self._data, inside=self._inside)
        return self._first + int(self._braces[bisect_left(self._objects, event)])


@contextmanager
def _whole_document(
    stream: BinaryIO, wanted: frozenset[str], collected: Collected, *, skip: bool = True
) -> Iterator[tuple[Walker, Events]]:
    """A walker over one document's events, and these; errors name the place, and nothing may follow the root."""
    ended = _LineEnded(stream)
    place = partial(_place, collected)
    events = Events(ended, collected.limits, place)
    try:
        yield Walker(events.next, wanted, collected, skip=skip), events
        for event, _ in iter(events):
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

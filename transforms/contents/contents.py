"""A table of contents as a stream of the in-network files it lists, in all shapes of FIELD-NOTES.

This is the plain reading: ijson parses every byte. ``scan_contents`` returns the same ten times as fast, and uses this
module for layouts that the schema does not describe.
Memory: one listed file, one structure's counts and bounded names.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import InvalidOperation
from typing import BinaryIO

import ijson
import msgspec

from schemas.mrf import (
    CONTENTS_KEYS,
    LISTED_FILE_KEYS,
    LISTED_KEY,
    NETWORK_KEYS,
    PLAN_KEYS,
    PLANS_KEY,
    PRICES_KEYS,
    UPDATED_KEY,
)
from transforms.contents.names import NO_NAMES, Names, names_of
from transforms.errors import BadFileError
from transforms.limits import Limits, crossed
from transforms.read.clean import text_of
from transforms.read.collect import Collected
from transforms.read.read_ijson import HUGE_EXPONENT, CountingStream, explain, parse
from transforms.read.spool import OpenTemporary
from transforms.read.walk import Event, Walker

ENGINE = "ijson"
IN_NETWORK = "an in-network file, not a table of contents; name it under files"
NOTHING_KNOWN = "no table of contents: it has neither reporting_structure nor in_network_files"

_NAMES_AT_ONCE = 1_000


class ListedFile(msgspec.Struct, gc=False):
    """One in-network file as a table of contents lists it. A location may be padded; a blank one lists nothing."""

    location: str = ""
    description: str | None = None


class ListedFiles(msgspec.Struct, gc=False):
    """Files in the order listed, repeats included. ``networks``: of each, or nothing where none of them states any.

    ``kept``: the whole list of a structure; the same object is returned for other structures with the same list.
    """

    files: Sequence[ListedFile]
    networks: Sequence[Names] = ()
    kept: bool = False


class StructureEnd(msgspec.Struct, gc=False):
    """The end of a reporting structure, which holds the files since the previous end: its plans and networks."""

    plans: int = 0
    plan_names: Names = NO_NAMES
    networks: Names = NO_NAMES


class ContentsDate(msgspec.Struct, gc=False):
    """The table of contents' own ``last_updated_on``, as stated; the last one, if repeated."""

    text: str


Found = ListedFiles | StructureEnd | ContentsDate


@dataclass(slots=True)
class Level:
    """An object that is open, which may turn out to be a reporting structure."""

    plans: int = 0
    plan_names: Names = NO_NAMES
    networks: Names = NO_NAMES
    lists_files: bool = False

    def end(self) -> StructureEnd:
        """The end of the structure."""
        return StructureEnd(self.plans, self.plan_names, self.networks)


@dataclass(slots=True)
class OpenFile:
    """A listed file whose members are being read; the last of repeated members counts."""

    location: str | None = None
    description: str | None = None
    networks: Names = NO_NAMES

    def end(self) -> ListedFiles | None:
        """The file, unless it has no location."""
        if not (self.location and self.location.strip()):
            return None
        networks = (self.networks,) if self.networks.first else ()
        return ListedFiles((ListedFile(self.location, self.description),), networks)


def read_contents(
    stream: BinaryIO, open_temporary: OpenTemporary, *, strict: bool = False, limits: Limits | None = None
) -> Generator[Found, None, None]:
    """Every in-network file listed, in order, repeats included; after those of each structure, its end.

    Plans may stand before or after the files of their structure, so they are known at its end only.

    Args:
        stream: the document's JSON, inflated; read to its end.
        strict: raise an error for other files than tables of contents, for an in-network file at once.

    Raises:
        BadFileError: not well-formed JSON, or refused.
    """
    counting = CountingStream(stream)
    limits = limits or Limits()
    events = parse(counting, limits, lambda _: _place(counting))
    reading = ContentsEvents(open_temporary, limits, strict=strict)
    try:
        yield from reading.walk(_bounded(events, limits), [])
        reading.expect_contents()
    except InvalidOperation as error:
        raise BadFileError(f"{HUGE_EXPONENT} {_place(counting)}") from error
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise BadFileError(
            f"the table of contents: {explain(error, at_end=counting.at_end)} {_place(counting)}"
        ) from error


def _place(counting: CountingStream) -> str:
    return f"(at or before JSON byte {counting.bytes:,})"


def too_deep(limits: Limits) -> BadFileError:
    """The error for brackets beyond the limit."""
    return crossed(limits, "json_depth", "nested deeper (in the table of contents)")


def _bounded(events: Iterable[Event], limits: Limits) -> Iterator[Event]:
    """The events, until too many brackets are open."""
    depth = 0
    for event in events:
        if event[0] in ("start_map", "start_array"):
            depth += 1
            if depth > limits.json_depth:
                raise too_deep(limits)
        elif event[0] in ("end_map", "end_array"):
            depth -= 1
        yield event


class ContentsEvents:
    """The grammar of tables of contents over ijson's events, in any key order."""

    def __init__(self, open_temporary: OpenTemporary, limits: Limits, *, strict: bool) -> None:
        self.walker = Walker(_nothing, frozenset(), Collected(open_temporary, limits=limits))
        self.strict = strict
        self.is_contents = False

    def expect_contents(self) -> None:
        """At the end, with ``strict``: raise an error unless the document was a table of contents."""
        if self.strict and not self.is_contents:
            raise BadFileError(NOTHING_KNOWN)

    def note_key(self, key: object, depth: int) -> None:
        """A key of the object that is the ``depth``th of those open."""
        self.is_contents = self.is_contents or key in CONTENTS_KEYS
        if self.strict and depth == 1 and key in PRICES_KEYS:
            raise BadFileError(IN_NETWORK)

    def walk(self, events: Iterator[Event], levels: list[Level]) -> Iterator[Found]:
        """What the events list, to their end, or to the end of the object whose members they are: the last level."""
        self.walker.next = events.__next__
        outer = len(levels)
        dated = False
        for event, key in events:
            if dated and event == "string":
                yield ContentsDate(str(key))
            dated = event == "map_key" and key == UPDATED_KEY and len(levels) == 1
            if event == "start_map":
                levels.append(Level())
            elif event == "end_map":
                if len(levels) == outer:
                    return
                level = levels.pop()
                if level.lists_files:
                    yield level.end()
            elif event == "map_key":
                self.note_key(key, len(levels))
                yield from self._member(levels[-1], key)

    def _member(self, level: Level, key: object) -> Iterator[ListedFiles]:
        """The files listed under a key. The value of an unknown key is not consumed: it may hold structures."""
        walker = self.walker
        if key == LISTED_KEY:
            level.lists_files = True
            yield from self.files(*walker.next())
        elif key == PLANS_KEY:
            level.plans, level.plan_names = self.plans(*walker.next())
        elif key in NETWORK_KEYS:
            level.networks = names_of(walker.names(*walker.next()))
            walker.check()

    def files(self, event: str, value: object) -> Iterator[ListedFiles]:
        """The files in a value of ``in_network_files``."""
        walker = self.walker
        for first, scalar in walker.elements(event, value):
            if first == "start_map":
                listed = OpenFile()
                self.file_members(listed)
                ended = listed.end()
                if ended is not None:
                    yield ended
            elif first == "string" and str(scalar).strip():
                yield ListedFiles((ListedFile(str(scalar)),))
            else:
                walker.skip(first)

    def file_members(self, listed: OpenFile) -> None:
        """The members of a listed file that has begun, up to its end."""
        walker = self.walker
        for key, event, value in walker.members(LISTED_FILE_KEYS):
            if key == "location":
                listed.location = text_of(walker.scalar(event, value))
            elif key == "description":
                listed.description = text_of(walker.scalar(event, value))
            else:
                listed.networks = names_of(walker.names(event, value))
                walker.check()

    def plans(self, event: str, value: object) -> tuple[int, Names]:
        """The number of plans in a value of ``reporting_plans``, and their names."""
        walker = self.walker
        count = 0
        names: list[str | None] = []
        known = NO_NAMES
        for first, _ in walker.elements(event, value):
            if first == "start_map":
                count += 1
                names.append(self.plan_name())
                if len(names) == _NAMES_AT_ONCE:
                    known = known.plus(names_of(names))
                    names.clear()
            else:
                walker.skip(first)
        return count, known.plus(names_of(names))

    def plan_name(self, before: str | None = None) -> str | None:
        """The name of the plan whose members follow, up to its end; ``before`` if they have none."""
        name = before
        for _, event, value in self.walker.members(PLAN_KEYS):
            name = text_of(self.walker.scalar(event, value))
        return name


def _nothing() -> Event:
    raise StopIteration

"""A table of contents as a stream of the in-network files it lists, in any of the shapes seen (FIELD-NOTES).

Memory: one listed file, and one structure's counts; whoever deduplicates holds the distinct files.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

import ijson

from transforms.clean import text_of
from transforms.collect import Collected
from transforms.errors import BadFileError
from transforms.read_ijson import BUFFER_BYTES, CountingStream, explain
from transforms.spool import OpenTemporary
from transforms.surrogates import MendedStream
from transforms.walk import MAX_DEPTH, Event, Walker

LISTED_KEY = "in_network_files"  # under reporting_structure, TOC_Files or wherever else
PLANS_KEY = "reporting_plans"
NETWORK_KEYS = frozenset({"network_name", "network_names"})  # in no schema of CMS's, but extra keys are legal
CONTENTS_KEYS = frozenset({"reporting_structure", "TOC_Files", LISTED_KEY})
PRICES_KEYS = frozenset({"in_network", "in_networks"})

_FILE_KEYS = NETWORK_KEYS | {"location", "description"}


@dataclass(frozen=True)
class ListedFile:
    """One in-network file as a table of contents lists it."""

    location: str
    description: str | None
    networks: tuple[str, ...] = ()


@dataclass(frozen=True)
class StructureEnd:
    """The files given since the last one stand in one reporting structure, of which this is now known."""

    plans: int
    networks: tuple[str, ...]


@dataclass(slots=True)
class _Level:
    """An object that is open, which may turn out to be a reporting structure."""

    plans: int = 0
    networks: tuple[str, ...] = ()
    lists_files: bool = False


def read_contents(
    stream: BinaryIO, open_temporary: OpenTemporary, *, strict: bool = False
) -> Iterator[ListedFile | StructureEnd]:
    """Every in-network file listed, in order, repeats included; after those of each structure, its end.

    Plans may stand before or after the files of their structure, so they are known at its end only.

    Args:
        stream: the document's JSON, inflated; read to its end.
        strict: refuse what is no table of contents, an in-network file at once.

    Raises:
        BadFileError: not well-formed JSON, or refused.
    """
    counting = CountingStream(stream)
    events = ijson.basic_parse(MendedStream(cast("BinaryIO", counting)), buf_size=BUFFER_BYTES)
    walker = Walker(events.__next__, frozenset(), Collected(open_temporary))
    try:
        yield from _walk_contents(walker, events, strict=strict)
    except SystemError as error:  # as in read_ijson
        raise BadFileError(f"a number of thousands of digits {_place(counting)}") from error
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise BadFileError(
            f"the table of contents: {explain(error, at_end=counting.at_end)} {_place(counting)}"
        ) from error


def _place(counting: CountingStream) -> str:
    return f"(at or before JSON byte {counting.bytes:,})"


def _walk_contents(walker: Walker, events: Iterator[Event], *, strict: bool) -> Iterator[ListedFile | StructureEnd]:
    levels: list[_Level] = []
    is_contents = False
    for event, key in events:
        if event == "start_map":
            levels.append(_Level())
            if len(levels) > MAX_DEPTH:
                raise BadFileError(f"nested deeper than {MAX_DEPTH} levels")
        elif event == "end_map":
            level = levels.pop()
            if level.lists_files:
                yield StructureEnd(level.plans, level.networks)
        elif event == "map_key":
            is_contents = is_contents or key in CONTENTS_KEYS
            if strict and len(levels) == 1 and key in PRICES_KEYS:
                raise BadFileError("an in-network file, not a table of contents; name it under files")
            yield from _walk_member(walker, levels[-1], key)
    if strict and not is_contents:
        raise BadFileError("no table of contents: it has neither reporting_structure nor in_network_files")


def _walk_member(walker: Walker, level: _Level, key: object) -> Iterator[ListedFile]:
    """What a key says of its object; of any other key, nothing is consumed: its value may hold structures."""
    if key == LISTED_KEY:
        level.lists_files = True
        yield from _listed_files(walker)
    elif key == PLANS_KEY:
        level.plans = _count_objects(walker)
    elif key in NETWORK_KEYS:
        level.networks = walker.names(*walker.next())


def _listed_files(walker: Walker) -> Iterator[ListedFile]:
    for event, value in walker.elements(*walker.next()):
        if event == "start_map":
            listed = _listed_file(walker)
            if listed is not None:
                yield listed
        elif event == "string" and str(value).strip():
            yield ListedFile(str(value).strip(), None)
        else:
            walker.skip(event)


def _listed_file(walker: Walker) -> ListedFile | None:
    location: str | None = None
    description: str | None = None
    networks: tuple[str, ...] = ()
    for key, event, value in walker.members(_FILE_KEYS):
        if key == "location":
            location = text_of(walker.scalar(event, value))
        elif key == "description":
            description = text_of(walker.scalar(event, value))
        else:
            networks = walker.names(event, value)
    return ListedFile(location.strip(), description, networks) if location and location.strip() else None


def _count_objects(walker: Walker) -> int:
    count = 0
    for event, _ in walker.elements(*walker.next()):
        count += event == "start_map"
        walker.skip(event)
    return count

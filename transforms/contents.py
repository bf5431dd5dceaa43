"""A table of contents as a stream of the in-network files it lists, in any of the shapes seen (FIELD-NOTES).

Memory: one listed file at a time; whoever deduplicates holds the distinct ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import ijson

from transforms.clean import text_of
from transforms.collect import Collected
from transforms.errors import BadFileError
from transforms.read_ijson import BUFFER_BYTES, CountingStream
from transforms.spool import OpenTemporary
from transforms.walk import Walker

LISTED_KEY = "in_network_files"  # under reporting_structure, TOC_Files or wherever else


@dataclass(frozen=True)
class ListedFile:
    """One in-network file as a table of contents lists it."""

    location: str
    description: str | None


def read_contents(stream: BinaryIO, open_temporary: OpenTemporary) -> Iterator[ListedFile]:
    """Every in-network file listed, in order, repeats included.

    Raises:
        BadFileError: not well-formed JSON.
    """
    events = ijson.basic_parse(CountingStream(stream), buf_size=BUFFER_BYTES)
    walker = Walker(events.__next__, frozenset(), Collected(open_temporary))
    try:
        for event, key in events:
            if event == "map_key" and key == LISTED_KEY:
                for _ in walker.objects(*walker.next()):
                    listed = _listed_file(walker)
                    if listed is not None:
                        yield listed
    except ijson.JSONError as error:
        raise BadFileError(f"the table of contents is not well-formed JSON: {str(error.args[0])[:200]}") from error


def _listed_file(walker: Walker) -> ListedFile | None:
    location: str | None = None
    description: str | None = None
    for key in walker.object_keys():
        event, value = walker.next()
        if key == "location":
            location = text_of(walker.scalar(event, value))
        elif key == "description":
            description = text_of(walker.scalar(event, value))
        else:
            walker.skip(event)
    return ListedFile(location.strip(), description) if location and location.strip() else None

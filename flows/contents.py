"""The sources that a table of contents lists: each file once, whatever its signatures."""

from dataclasses import dataclass
from typing import BinaryIO, cast

from flows.layout import open_temporary
from flows.remote import resolve_location
from flows.sources import Source, open_source
from transforms.containers import open_documents
from transforms.contents import read_contents


@dataclass(frozen=True)
class Listed:
    """Distinct files in order of first mention, and locations that can't be followed."""

    sources: tuple[Source, ...]
    refused: tuple[Source, ...]


def sources_of(contents: Source) -> Listed:
    """The in-network files of a table of contents, by host and path without query.

    Relative locations belong beside the table of contents; one that leads out of its folder, or to another scheme than
    http(s), is refused.
    """
    by_name: dict[str, Source] = {}
    refused: dict[str, Source] = {}
    with open_source(contents) as stream:
        for document in open_documents(cast("BinaryIO", stream), open_temporary):
            for listed in read_contents(document.stream, open_temporary):
                location = resolve_location(listed.location, contents)
                source = Source(location or listed.location)
                (refused if location is None else by_name).setdefault(source.name, source)
    return Listed(tuple(by_name.values()), tuple(refused.values()))

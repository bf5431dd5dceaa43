"""The sources that tables of contents list: each file once, whatever its signatures; what a payer's configuration adds.

Memory: the distinct files of one payer, however often they are mentioned.
"""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from typing import BinaryIO, cast

from flows.download.http_validators import Validators
from flows.download.open_source import expand, open_source
from flows.download.sources import Source, origin_of, resolve_location
from flows.download.url_renewal import RenewUrl, UrlRenewals
from flows.extract.listing_cache import cache_listing, cached_listing
from flows.extract.undated_sources import lies_in, names_month
from flows.settings.config import PayerSource, asks_for_month, fill_month
from flows.settings.fetching import ReadSettings
from flows.storage.atomic_files import open_temporary, temporary_folder
from flows.storage.layout import Layout
from flows.storage.redaction import is_plain_url, redact_unresolved, redact_url
from flows.storage.resource_errors import explain_resource_errors, raise_if_exhausted
from transforms.contents.index_values import IndexDate, Plans, StructureEnd
from transforms.contents.listing import Choice, Listing
from transforms.contents.names import Names
from transforms.contents.read_index import read_index
from transforms.errors import BadFileError, OutageError, UnchangedError, UsageError
from transforms.read.containers import open_documents

_QUERY = re.compile(r"[?#]")
_MAX_RESOLVED = 10_000


@dataclass(frozen=True, slots=True)
class ListedSource:
    """A file, and what the tables of contents that list it say of it."""

    source: Source
    description: str | None  # the first one
    mentions: int  # 0: named in the configuration itself
    plans: Plans  # of the structures that mention it, summed
    networks: Names


@dataclass(frozen=True)
class Listed:
    """Distinct files in order of first mention."""

    files: tuple[ListedSource, ...]
    refused: tuple[Source, ...]  # neither http(s) nor a file beside the table of contents

    @property
    def sources(self) -> tuple[Source, ...]:
        """The files to read."""
        return tuple(file.source for file in self.files)


@dataclass(frozen=True)
class PayerListing(Listed):
    """A payer's files of one month: ``listed`` = files + refused + ``left_out``, all of them distinct."""

    payer: str
    failed: tuple[tuple[Source, str], ...]  # tables of contents that can't be read, files that aren't there: and why
    listed: int
    left_out: int  # by include and exclude
    undated: frozenset[Source] = field(default=frozenset(), compare=False)  # no address or index's date says the month


def sources_of(contents: Source, layout: Layout | None = None, settings: ReadSettings | None = None) -> Listed:
    """The in-network files of a table of contents, each once, whatever its signatures.

    Relative locations belong beside the table of contents; one that leads out of its folder, or to another scheme than
    http(s), is refused.

    Raises:
        BadFileError: it can't be read to its end.
    """
    return Listed(*_wanted(_read_table(contents, Choice(), layout, settings or ReadSettings()), contents))


@lru_cache(16)
def renewal(layout: Layout, settings: ReadSettings) -> RenewUrl:
    """New addresses from the indexes that list files; the same object for all files of a process."""

    def read_index(contents: Source) -> dict[str, str]:
        return {source.identity: source.location for source in sources_of(contents, layout, settings).sources}

    return UrlRenewals(read_index)


def list_payer(
    payer: PayerSource, month: date, layout: Layout | None = None, settings: ReadSettings | None = None
) -> PayerListing:
    """What is to be read of a payer for a month: what its tables of contents list, and the files named themselves.

    A table that can't be read to its end lists nothing; the others go on. One that has not changed is not read again,
    unless it lists signed addresses, which are never cached.
    """
    settings = settings or ReadSettings()
    named = (fill_month(location, month) for location in (*payer.contents, *payer.files))
    origins = tuple(dict.fromkeys(origin for location in named if (origin := origin_of(location)) is not None))
    as_payer = Source("", payer=payer.name, headers=payer.headers, origins=origins)
    listing = Listing(Choice.of(payer.include, payer.exclude))
    failed: list[tuple[Source, str]] = []
    for table, in_month in _expanded(payer.contents, month, as_payer, failed):
        try:
            with explain_resource_errors(f"reading {table.name}", temporary_folder()):
                found = _find_or_read_table(table, listing.choice, layout, settings)
        except BadFileError as error:
            raise_if_exhausted(error, f"reading {table.name}", temporary_folder())
            failed.append((table, str(error)))
            continue
        for file in found.files.values():
            file.in_month = in_month or lies_in(month, file.updated)
        listing.merge(found)
    for source, in_month in _expanded(payer.files, month, as_payer, failed):
        file = listing.add(source.name, source.location)
        file.in_month = file.in_month or in_month
    files, refused = _wanted(listing, as_payer)
    count = len(listing.files)
    in_its_month = {file.location.strip() for file in listing.files.values() if file.in_month}
    undated = frozenset(
        file.source
        for file in files
        if not (
            payer.undated == "any" or file.source.location in in_its_month or names_month(file.source.location, month)
        )
    )
    left_out = count - len(files) - len(refused)
    return PayerListing(files, refused, payer.name, tuple(failed), count, left_out, undated)


def _expanded(
    locations: tuple[str, ...], month: date, as_payer: Source, failed: list[tuple[Source, str]]
) -> Iterator[tuple[Source, bool]]:
    """The payer's sources at these locations in that month, and whether the address says that they are the month's.

    Those that aren't there are added to ``failed``.
    """
    for location in locations:
        filled = fill_month(location, month)
        try:
            found = expand([filled])
        except (UsageError, OutageError) as error:
            failed.append((replace(as_payer, location=filled), str(error).removeprefix(f"{redact_url(filled)}: ")))
            continue
        for source in found:
            in_month = asks_for_month(location) or names_month(source.location, month)
            yield replace(as_payer, location=source.location), in_month


def _find_or_read_table(contents: Source, choice: Choice, layout: Layout | None, settings: ReadSettings) -> Listing:
    """What the table lists; an unchanged table is not read again."""
    cached = None if layout is None or settings.force else cached_listing(contents, choice, layout, settings.limits)
    try:
        if cached is not None and not contents.is_url:
            return cached[0]
        return _read_table(contents, choice, layout, settings, strict=True, known=cached[1] if cached else None)
    except UnchangedError:
        assert cached is not None
        return cached[0]


def _read_table(
    contents: Source,
    choice: Choice,
    layout: Layout | None,
    settings: ReadSettings,
    *,
    strict: bool = False,
    known: Validators | None = None,
) -> Listing:
    listing = Listing(choice)
    updated: str | None = None
    resolve = _Resolver(contents)
    with open_source(contents, settings.fetching, layout, known=known) as stream:
        for document in open_documents(cast("BinaryIO", stream), open_temporary, settings.limits):
            with closing(read_index(document.stream, strict=strict, limits=settings.limits)) as everything:
                for found in everything:
                    if isinstance(found, StructureEnd):
                        listing.end_structure(found)
                    elif isinstance(found, IndexDate):
                        updated = found.text
                    else:
                        listing.add_files(found, resolve, contents.location)
        for file in listing.files.values():
            file.updated = updated
        stream.finish()
        validators = stream.validators
    if strict and layout is not None:
        cache_listing(contents, listing, validators, layout, settings.limits)
    return listing


class _Resolver:
    """A location as (name, what to fetch or None). To parse addresses costs as much as to parse the table.

    Memory: one entry for each distinct file up to a limit, since only the part before the query is stored.
    """

    def __init__(self, contents: Source) -> None:
        self._contents = contents
        self._known: dict[str, tuple[str, str]] = {}

    def __call__(self, location: str) -> tuple[str, str | None]:
        if is_plain_url(before := location.partition("?")[0]):
            return before, location
        before, rest = location, ""
        if end := _QUERY.search(location):
            before, rest = location[: end.start()], location[end.start() :]
        name, known = self._known.get(before, ("", ""))
        if known and (not rest or "://" in known):
            return name, known + rest
        resolved = resolve_location(location, self._contents)
        name = redact_url(resolved) if resolved is not None else redact_unresolved(location)
        if resolved is not None and resolved.endswith(rest) and (not rest or "://" in resolved):
            if len(self._known) >= _MAX_RESOLVED:
                self._known.clear()
            self._known[before] = name, resolved.removesuffix(rest)
        return name, resolved


def _wanted(listing: Listing, as_payer: Source) -> tuple[tuple[ListedSource, ...], tuple[Source, ...]]:
    """The wanted files, and those of them whose locations can't be followed."""
    files: list[ListedSource] = []
    refused: list[Source] = []
    for file in listing.files.values():
        source = replace(as_payer, location=file.location.strip(), contents=file.contents, listed_bytes=0)
        if file.wanted and file.refused:
            refused.append(source)
        elif file.wanted:
            files.append(ListedSource(source, file.description, file.mentions, file.plans, file.networks))
    return tuple(files), tuple(refused)

"""What an index lists, and the indexes that it leads to; one that has not changed is not read again.

What an index listed is cached, without addresses that have a query (it may be a signature) or credentials: an index
that lists one is read each time, which the new signatures need anyway.
Memory: as of ``transforms.contents.found_files``; the files of one index twice.
"""

import hashlib
import logging
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urlsplit

import msgspec

from flows.download.http_validators import Validators
from flows.download.open_source import open_source
from flows.download.sources import HashingStream, Source, resolve_location
from flows.extract.ledger import fingerprint
from flows.extract.undated_sources import lies_in, names_month
from flows.settings.values import ReadSettings
from flows.storage.atomic_files import open_temporary, temporary_folder, write_atomically
from flows.storage.cache_entries import decode_record, note_use
from flows.storage.code_versions import code_version
from flows.storage.layout import Layout
from flows.storage.object_sync import delete_files, refresh, upload
from flows.storage.redaction import is_plain_url, redact_text, redact_unresolved, redact_url
from flows.storage.resource_errors import explain_resource_errors, raise_if_exhausted
from transforms.contents.found_files import FoundFile
from transforms.contents.index_values import IndexDate, ListedFile, StructureEnd
from transforms.contents.listing import Choice, Listing, key_of
from transforms.contents.read_index import read_index
from transforms.contents.read_page import read_page
from transforms.contents.signatures import own_query
from transforms.errors import BadFileError, ContentChangedError, UnchangedError
from transforms.limits import Limits, limits_of_content, same_within
from transforms.read.containers import NotJsonError, open_documents

LOG = logging.getLogger(__name__)

STARTS = 3  # of reading one index whose content changes meanwhile
MAX_LEVELS = 3  # of indexes: a page that names an index that lists tables of contents

_READERS = (
    "flows.extract.index_listing",
    "transforms.contents.found_files",
    "transforms.contents.listing",
    "transforms.contents.read_index",
    "transforms.contents.read_page",
)
_QUERY = re.compile(r"[?#]")
# Most relative locations match this: no part of the path is blank or begins with a dot, and nothing needs quoting
_PLAIN_PATH = re.compile(r"(?:[\w~%+=@!-][\w~%+=@!.-]*/)*[\w~%+=@!-][\w~%+=@!.-]*(?:\?[!\"$-~]+)?", re.A)
_MAX_RESOLVED = 10_000
_ELSEWHERE = "on another host than the page that names them"


@dataclass
class IndexTree:
    """What an index and the indexes that it leads to list; ``failed``: those of them that can't be read, and why."""

    listing: Listing
    failed: list[tuple[Source, str]] = field(default_factory=list)
    indexes: int = 1  # that were read
    left_out: int = 0  # by ``exclude``


def is_signed(location: str) -> bool:
    """Whether an address has a query that signs it, so that it expires."""
    query = location.partition("#")[0].partition("?")[2]
    return bool(query) and own_query(location) != f"?{query}"


def read_indexes(
    index: Source,
    choice: Choice,
    layout: Layout | None,
    settings: ReadSettings,
    *,
    month: date | None = None,
    in_month: bool = False,
    strict: bool = False,
    follow: Callable[[FoundFile], bool] = lambda _: True,
    listing: Listing | None = None,
) -> IndexTree:
    """The files of an index, and of those that it lists in turn, up to ``MAX_LEVELS``, each read once.

    Args:
        month: files that an address or a date places in it are ``in_month``; all are if ``in_month``.
        strict: raise an error for other documents than indexes.
        follow: whether a listed index is read.
        listing: the files are added to it, in place of a new one.

    Raises:
        BadFileError: ``index`` can't be read to its end.
    """
    tree = IndexTree(Listing(choice) if listing is None else listing)
    skipped: Counter[str] = Counter()
    reader = _Reader(index, choice, layout, settings)
    waiting = deque([(index, 1, in_month)])
    seen = {index.identity}
    while waiting:
        source, level, in_month = waiting.popleft()
        try:
            with explain_resource_errors(f"reading {source.name}", temporary_folder()):
                found = reader.find_or_read(source, strict=strict or level > 1)
        except BadFileError as error:
            raise_if_exhausted(error, f"reading {source.name}", temporary_folder())
            if source is index:
                raise
            tree.failed.append((source, str(error)))
            continue
        tree.listing.merge(found, partial(_is_in_month, month=month, whole=in_month))
        skipped += found.skipped
        for listed in found.indexes.values():
            nested = Source(listed.location, index.payer, listed.contents, index.headers, index.origins)
            if listed.excluded:
                tree.left_out += 1
            elif listed.refused:
                tree.failed.append((nested, "neither http(s) nor a file beside the index that lists it"))
            elif nested.identity not in seen and follow(listed):
                seen.add(nested.identity)
                if level == MAX_LEVELS:
                    tree.failed.append((nested, f"listed by the {level}rd index in a row; name it under contents"))
                    continue
                tree.indexes += 1
                dated = month is not None and (names_month(nested.location, month) or _is_in_month(listed, month))
                waiting.append((nested, level + 1, in_month or dated))
    _log(index, tree, skipped)
    return tree


def _is_in_month(file: FoundFile, month: date | None, *, whole: bool = False) -> bool:
    """Whether the file's own date or its index's places it in the month. ``whole``: the index's address does."""
    return whole or (month is not None and lies_in(month, file.updated))


def _log(index: Source, tree: IndexTree, skipped: Counter[str]) -> None:
    """Log what an index leads to, and what of it is not read."""
    if tree.indexes > 1 or tree.left_out:
        LOG.info("%s leads to %d indexes; %d more are excluded", index.name, tree.indexes - 1, tree.left_out)
    for kind, count in sorted(skipped.items()):
        LOG.info("%s lists %d files that are not read: %s", index.name, count, redact_text(kind))


@dataclass(frozen=True)
class _Reader:
    """Reads one index after the other, all of which ``root`` leads to."""

    root: Source
    choice: Choice
    layout: Layout | None
    settings: ReadSettings

    def find_or_read(self, source: Source, *, strict: bool) -> Listing:
        """What one index lists: as it was read before, if it has not changed since."""
        layout, limits = self.layout if strict else None, self.settings.limits
        cached = None
        if layout is not None and not self.settings.force:
            cached = cached_listing(source, self.choice, layout, limits)
        if cached is not None and not source.is_url:
            return cached[0]
        try:
            listing, validators = self._read_steadily(source, cached[1] if cached else None, strict=strict)
        except UnchangedError:
            assert cached is not None
            return cached[0]
        if layout is not None:
            cache_listing(source, listing, validators, layout, limits)
        return listing

    def _read_steadily(self, source: Source, known: Validators | None, *, strict: bool) -> tuple[Listing, Validators]:
        """As ``_read``; from the beginning again when the content changed on the server meanwhile."""
        for _ in range(STARTS - 1):
            with suppress(ContentChangedError):
                return self._read(source, known, strict=strict)
        return self._read(source, known, strict=strict)

    def _read(self, source: Source, known: Validators | None, *, strict: bool) -> tuple[Listing, Validators]:
        """What one index lists. Its files can be renewed from it, or from the root if its own address expires."""
        expires = source is not self.root and is_signed(source.location)
        listed_by = self.root.location if expires else source.location
        fetching, limits = self.settings.fetching, self.settings.limits
        listing = Listing(self.choice)
        try:
            with open_source(source, fetching, self.layout, known=known) as stream:
                _add_documents(listing, stream, source, listed_by, limits, strict=strict)
                stream.finish()
                return listing, stream.validators
        except NotJsonError as error:
            if source is not self.root or urlsplit(source.location).scheme not in ("http", "https"):
                raise
            with open_source(source, fetching, self.layout) as stream:
                _add_page(listing, stream, source)
                stream.finish()
            if not listing.files and not listing.indexes:
                reason = f"{error}; as a page, it names no index and no in-network file of its host"
                raise BadFileError(reason) from error
            return listing, stream.validators


def _add_documents(
    listing: Listing, stream: HashingStream, source: Source, listed_by: str, limits: Limits, *, strict: bool
) -> None:
    resolve = _Resolver(source)
    for document in open_documents(cast("BinaryIO", stream), open_temporary, limits):
        with closing(read_index(document.stream, strict=strict, limits=limits)) as everything:
            for found in everything:
                if isinstance(found, StructureEnd):
                    listing.end_structure(found)
                elif isinstance(found, IndexDate):
                    listing.updated = found.text
                else:
                    listing.add_files(found, resolve, listed_by)


def _add_page(listing: Listing, stream: HashingStream, source: Source) -> None:
    resolve = _Resolver(source)
    host = urlsplit(source.location).hostname

    def of_host(file: ListedFile) -> ListedFile:
        address = resolve(file.location)[1]
        return file if address and urlsplit(address).hostname == host else ListedFile(file.location, kind=_ELSEWHERE)

    for addresses in read_page(cast("BinaryIO", stream)):
        listing.add_files([of_host(file) for file in addresses], resolve, source.location)
        listing.end_structure(StructureEnd())


class _Resolver:
    """A location as (name, what to fetch or None). Taking addresses apart costs as much as parsing an index does.

    Memory: one entry for each distinct file up to a limit, since only the part before the query is stored.
    """

    def __init__(self, index: Source) -> None:
        self._index = index
        self._known: dict[str, tuple[str, str]] = {}
        folder = f"{redact_url(index.location).rpartition('/')[0]}/"
        parts = folder.partition("://")[2].split("/")[:-1]
        self._folder = folder if is_plain_url(folder) and parts and not {"", ".", ".."} & {*parts} else None

    def __call__(self, location: str) -> tuple[str, str | None]:
        if is_plain_url(before := location.partition("?")[0]):
            return before, location
        if self._folder is not None and _PLAIN_PATH.fullmatch(location):
            return self._folder + before, self._folder + location
        before, rest = location, ""
        if end := _QUERY.search(location):
            before, rest = location[: end.start()], location[end.start() :]
        name, known = self._known.get(before, ("", ""))
        if known and (not rest or "://" in known):
            return name, known + rest
        resolved = resolve_location(location, self._index)
        name = redact_url(resolved) if resolved is not None else redact_unresolved(location)
        if resolved is not None and resolved.endswith(rest) and (not rest or "://" in resolved):
            if len(self._known) >= _MAX_RESOLVED:
                self._known.clear()
            self._known[before] = name, resolved.removesuffix(rest)
        return name, resolved


# ---- The cache ------------------------------------------------------------------------------------------------------


class _Head(msgspec.Struct):
    """The first line; a line for each file and each index follows.

    version: of the code that reads indexes. limits: those it was read within. files, indexes: how many follow.
    updated: the index's own date.
    """

    version: str
    limits: dict[str, int]
    fingerprint: str | None
    validators: Validators
    files: int
    indexes: int
    skipped: dict[str, int]
    updated: str | None


def cached_listing(
    index: Source, choice: Choice, layout: Layout, limits: Limits | None = None
) -> tuple[Listing, Validators] | None:
    """What an index listed, and what the server then called its content.

    None for a local index touched since, for one read by another version or within higher limits, and for a record
    that can't be decoded.
    """
    path = _path(index, choice, layout)
    try:
        if not refresh(layout, path):
            return None
        with path.open("rb") as lines:
            head = decode_record(lines.readline(), _Head)
            if head is None or head.version != code_version(*_READERS) or head.fingerprint != fingerprint(index):
                return None
            if not same_within(limits or Limits(), head.limits):
                return None
            listing = Listing(choice, head.updated)
            for number, line in enumerate(lines):
                file = decode_record(line, FoundFile)
                files = listing.files if number < head.files else listing.indexes
                if file is None or files.get(key := key_of(file.name, file.location)) is not None:
                    return None
                files.add(key, file)
                listing.settle()
    except FileNotFoundError:
        return None
    note_use(path)
    listing.skipped.update(head.skipped)
    whole = (len(listing.files), len(listing.indexes)) == (head.files, head.indexes)
    return (listing, head.validators) if whole else None


def cache_listing(
    index: Source, listing: Listing, validators: Validators, layout: Layout, limits: Limits | None = None
) -> None:
    """Cache what can be cached; delete what was cached of the same index before."""
    path = _path(index, listing.choice, layout)
    mark = fingerprint(index)
    known_by = mark is not None or validators.if_changed()
    if not (known_by and _is_writable(index.location) and all(map(_can_be_cached, _all_files(listing)))):
        delete_files(layout, path)
        return
    head = _Head(
        code_version(*_READERS),
        limits_of_content(limits or Limits()),
        mark,
        validators,
        len(listing.files),
        len(listing.indexes),
        dict(listing.skipped),
        listing.updated,
    )
    lines = map(msgspec.json.encode, chain((head,), map(_redacted, _all_files(listing))))
    write_atomically(path, (line + b"\n" for line in lines))
    upload(layout, path)


def _all_files(listing: Listing) -> Iterator[FoundFile]:
    return chain(listing.files.values(), listing.indexes.values())


def _can_be_cached(file: FoundFile) -> bool:
    """Whether the file can be read from its stated address the next time; a missing one may be there then."""
    return not file.refused and _is_writable(file.location)


def _redacted(file: FoundFile) -> FoundFile:
    """A file as it is cached: an address in its description may be signed, though its own is not."""
    if not file.description or "://" not in file.description:
        return file
    return replace(file, description=redact_text(file.description))


def _is_writable(location: str) -> bool:
    """Whether nothing of it is secret, and all of it is UTF-8."""
    return Source(location).name == location


def _path(index: Source, choice: Choice, layout: Layout) -> Path:
    patterns = repr([[pattern.pattern for pattern in group] for group in (choice.include, choice.exclude)])
    digest = hashlib.sha256(patterns.encode()).hexdigest()[:8]
    return layout.listings / f"{index.digest}-{digest}.jsonl"

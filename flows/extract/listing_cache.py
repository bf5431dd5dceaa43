"""What a table of contents listed when it was last read, so that one that has not changed is not read again.

Addresses with a query (it may be a signature) or with credentials are never cached. A table that lists one is read
again each time, which the new signatures need anyway.
Memory: one line beside the listing itself.
"""

import hashlib
from dataclasses import replace
from itertools import chain
from pathlib import Path

import msgspec

from flows.download.http_validators import Validators
from flows.download.sources import Source
from flows.extract.ledger import fingerprint
from flows.storage.atomic_files import write_atomically
from flows.storage.cache_entries import decode_record
from flows.storage.code_versions import code_version
from flows.storage.layout import Layout
from flows.storage.object_sync import delete_files, refresh, upload
from flows.storage.redaction import redact_text
from transforms.contents.listing import Choice, FoundFile, Listing, key_of
from transforms.limits import Limits, limits_of_content, same_within

_READERS = (
    "flows.extract.payer_listing",
    "flows.extract.listing_cache",
    "transforms.contents.listing",
    "transforms.contents.read_index",
)


class _Head(msgspec.Struct):
    """The first line; a line for each file follows.

    version: of the code that reads tables of contents. limits: those it was read within. files: how many follow.
    """

    version: str
    limits: dict[str, int]
    fingerprint: str | None
    validators: Validators
    files: int


def cached_listing(
    contents: Source, choice: Choice, layout: Layout, limits: Limits
) -> tuple[Listing, Validators] | None:
    """What a table of contents listed, and what its server then called its content.

    None for a local table touched since, for one read by another version or within higher limits, and for a record
    that can't be decoded.
    """
    path = _path(contents, choice, layout)
    try:
        if not refresh(layout, path):
            return None
        with path.open("rb") as lines:
            head = decode_record(lines.readline(), _Head)
            if head is None or head.version != code_version(*_READERS) or head.fingerprint != fingerprint(contents):
                return None
            if not same_within(limits, head.limits):
                return None
            files = [decode_record(line, FoundFile) for line in lines]
    except FileNotFoundError:
        return None
    known = {key_of(file.name, file.location): file for file in files if file is not None}
    return (Listing(choice, known), head.validators) if len(known) == len(files) == head.files else None


def cache_listing(contents: Source, listing: Listing, validators: Validators, layout: Layout, limits: Limits) -> None:
    """Write what a table of contents listed, or remove an earlier record where this one must not be written."""
    path = _path(contents, listing.choice, layout)
    mark = fingerprint(contents)
    has_validator = mark is not None or validators.if_changed()
    missing = any(file.refused for file in listing.files.values())  # may be there the next time
    locations = (contents.location, *(file.location for file in listing.files.values()))
    if not has_validator or missing or not all(map(_is_writable, locations)):
        delete_files(layout, path)
        return
    head = _Head(code_version(*_READERS), limits_of_content(limits), mark, validators, len(listing.files))
    records = chain((head,), map(_redacted, listing.files.values()))
    write_atomically(path, (msgspec.json.encode(record) + b"\n" for record in records))
    upload(layout, path)


def _redacted(file: FoundFile) -> FoundFile:
    """The file; an address in its description may be signed, though its own is not."""
    if not file.description or "://" not in file.description:
        return file
    return replace(file, description=redact_text(file.description))


def _is_writable(location: str) -> bool:
    """Whether nothing of it is secret, and all of it is UTF-8."""
    return Source(location).name == location


def _path(contents: Source, choice: Choice, layout: Layout) -> Path:
    patterns = repr([[pattern.pattern for pattern in group] for group in (choice.include, choice.exclude)])
    digest = hashlib.sha256(patterns.encode()).hexdigest()[:8]
    return layout.listings / f"{contents.digest}-{digest}.jsonl"

"""Sources and reference files in object storage: an object, a folder of them or a glob; the ETag reveals changes."""

import glob
import re
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from flows.download.http_validators import Validators
from flows.download.sources import HashingStream, Source
from flows.settings.addresses import split_url
from flows.storage.object_store import ObjectMeta, Objects
from transforms.errors import (
    BadFileError,
    MissingSourceError,
    NotPublishedError,
    OutageError,
    UnchangedError,
    UsageError,
)


@contextmanager
def open_object(source: Source, known: Validators | None = None) -> Iterator[HashingStream]:
    """An object as a stream; ``BadFileError`` if it can't be opened.

    Raises:
        UnchangedError: it is still the known one.
    """
    try:
        objects, meta = find_object(source.location)
    except (UsageError, OutageError) as error:
        kind = NotPublishedError if isinstance(error, MissingSourceError) else BadFileError
        raise kind(str(error).removeprefix(f"{source.name}: ")) from error
    validators = Validators(meta.etag or None, meta.modified.isoformat(), meta.size)
    if known is not None and known.prove_same(validators):
        raise UnchangedError("the same ETag")
    with objects.open(meta) as reader:
        yield HashingStream(cast("BinaryIO", reader), meta.size, lambda: validators)


def find_object(url: str) -> tuple[Objects, ObjectMeta]:
    """An object and its place.

    Raises:
        UsageError: there is none, or the address can't be used.
        StoreError: the store does not answer.
    """
    root, key = split_url(url)
    objects = Objects(root)
    meta = objects.head(key) if key else None
    if meta is None:
        below = next(objects.list(key), None)  # its error says if it is the bucket that is missing
        if below:
            raise UsageError(f"{url}: a folder; write it with / at its end")
        raise MissingSourceError(f"{url}: no such object; check the address")
    return objects, meta


def expand_objects(location: str) -> list[Source]:
    """The sources of an address in object storage; ``UsageError`` if a folder or glob matches nothing."""
    root, key = split_url(location)
    objects = Objects(root)
    if key and not location.endswith("/") and not glob.has_magic(key):
        return [Source(objects.full(key))]
    if glob.has_magic(key):
        patterns = key.split("/")
        folder = re.split(r"[*?[]", key, maxsplit=1)[0].rpartition("/")[0]
        found = [meta for meta in objects.list(folder) if _matches(meta.key.split("/"), patterns)]
    else:
        found = [meta for meta in objects.list(key) if not re.search(r"(^|/)\.", meta.key[len(key) :])]
    # Some tools mark folders by empty objects, which are left out
    folders = {key, *(parent.as_posix() for meta in found for parent in PurePosixPath(meta.key).parents)}
    found = [meta for meta in found if meta.size or meta.key not in folders]
    if not found:
        raise MissingSourceError(f"{location}: no object there; check the address")
    return [Source(objects.full(meta.key), listed_bytes=meta.size) for meta in found]


def _matches(parts: list[str], patterns: list[str]) -> bool:
    """Whether a key's parts match a glob's, as in paths: * stops at a slash, ** does not."""
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_matches(parts[skipped:], patterns[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _matches(parts[1:], patterns[1:])

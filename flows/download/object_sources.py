"""Sources and reference files in object storage: an object, a folder of them, a glob; changes are told by ETag."""

import glob
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from flows.download.http_validators import Validators
from flows.download.sources import HashingStream, Source
from flows.settings.addresses import split_url
from flows.storage.object_store import Found, Objects
from transforms.errors import BadFileError, OutageError, UnchangedError, UsageError

_GLOB = re.compile(r"(\*\*/)|(\*\*)|(\*)|(\?)|(\[[^]]+\])")


class ObjectStream(HashingStream):
    """An object's bytes, and what it is known by."""

    def __init__(self, raw: BinaryIO, found: Found) -> None:
        super().__init__(raw, found.size)
        self._found = found

    @property
    def validators(self) -> Validators:
        """ETag, time and length."""
        return _validators(self._found)


@contextmanager
def open_object(source: Source, known: Validators | None = None) -> Iterator[ObjectStream]:
    """An object as a stream; ``BadFileError`` where it can't be had.

    Raises:
        UnchangedError: it is the one known.
    """
    try:
        objects, found = find_object(source.location)
    except (UsageError, OutageError) as error:
        raise BadFileError(str(error).removeprefix(f"{source.name}: ")) from error
    if known is not None and known.promise_same(_validators(found)):
        raise UnchangedError("the same ETag")
    with objects.open(found) as reader:
        yield ObjectStream(cast("BinaryIO", reader), found)


def find_object(url: str) -> tuple[Objects, Found]:
    """An object, and where it is.

    Raises:
        UsageError: there is none, or it can't be asked for.
        StoreError: the store does not answer.
    """
    root, key = split_url(url)
    objects = Objects(root)
    found = objects.head(key) if key else None
    if found is None:
        below = next(objects.list(key), None)  # says whether it is the bucket that is missing
        what = "a folder; write it with / at its end" if below else "no such object; check the address"
        raise UsageError(f"{url}: {what}")
    return objects, found


def expand_objects(location: str) -> list[Source]:
    """The objects that an address means: one, unasked for; a folder's, where / ends it; those that a glob matches."""
    root, key = split_url(location)
    objects = Objects(root)
    if key and not location.endswith("/") and not glob.has_magic(key):
        return [Source(objects.full(key))]
    if glob.has_magic(key):
        pattern = _compile(key)
        start = re.split(r"[*?[]", key, maxsplit=1)[0].rpartition("/")[0]
        found = [each for each in objects.list(start) if pattern.fullmatch(each.key)]
    else:
        found = [each for each in objects.list(key) if not _hidden(each.key[len(key) :])]
    # without the empty objects by which some tools mark folders
    folders = {parent.as_posix() for each in found for parent in PurePosixPath(each.key).parents}
    found = [each for each in found if each.size or (each.key not in folders and each.key != key)]
    if not found:
        raise UsageError(f"{location}: no object there; check the address")
    return [_source(objects, each) for each in found]


def _source(objects: Objects, found: Found) -> Source:
    return Source(objects.full(found.key), listed_bytes=found.size)


def _hidden(key: str) -> bool:
    return any(part.startswith(".") for part in key.split("/"))


def _compile(pattern: str) -> re.Pattern[str]:
    """A glob over keys, as over paths: * stops at a slash, ** does not."""
    parts, end = [], 0
    for match in _GLOB.finditer(pattern):
        parts.append(re.escape(pattern[end : match.start()]))
        folders, anything, some, one, choice = match.groups()
        parts.append(
            (folders and "(?:.*/)?")
            or (anything and ".*")
            or (some and "[^/]*")
            or (one and "[^/]")
            or "[" + choice[1:-1].replace("\\", "\\\\").replace("!", "^", 1 if choice[1] == "!" else 0) + "]"
        )
        end = match.end()
    return re.compile("".join(parts) + re.escape(pattern[end:]), re.DOTALL)


def _validators(found: Found) -> Validators:
    return Validators(found.etag or None, found.modified.isoformat(), found.size)

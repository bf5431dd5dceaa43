"""What SOURCE means (a file, a folder, a glob, http(s):// or object storage), and one opened as a stream of bytes."""

import glob
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from flows.download.http_validators import Validators
from flows.download.sources import HashingStream, Source
from flows.download.url_renewal import RenewUrl
from flows.settings.addresses import REMOTE_SCHEMES, is_object_url
from flows.settings.fetching import Fetching
from flows.storage.layout import Layout
from flows.storage.redaction import redact_url
from transforms.errors import BadFileError, UsageError

_SHOWN_CHARS = 200


def expand(arguments: Iterable[str]) -> tuple[Source, ...]:
    """Distinct sources in order of name; ``UsageError`` names what is not there."""
    found: set[Source] = set()
    for argument in arguments:
        try:
            found.update(_expand_one(argument))
        except OSError as error:  # a name longer than a name may be
            raise UsageError(f"{_shortened(argument)}: {error.strerror or error}; check the path") from error
    return tuple(sorted(found))


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


def _expand_one(argument: str) -> list[Source]:
    if not argument:
        raise UsageError("SOURCE is empty; give a file, a folder, a glob or a URL, or . for the current folder")
    if Source(argument).is_url:
        scheme = urlsplit(argument).scheme.lower()
        if scheme not in REMOTE_SCHEMES:
            raise UsageError(f"{redact_url(argument)}: {scheme}:// is not supported; give http(s)://, s3:// or a path")
        if is_object_url(argument):
            from flows.download.object_sources import expand_objects

            return expand_objects(argument)
        return [Source(argument)]
    path = Path(argument)
    if path.is_dir():
        inside = [Source(str(file)) for file in sorted(path.rglob("*")) if file.is_file() and not _hidden(file, path)]
        if not inside:
            raise UsageError(f"{argument}: the folder holds no file")
        return inside
    if path.exists():
        if not os.access(path, os.R_OK):
            raise UsageError(f"{argument}: no permission to read it")
        return [Source(str(path))]
    matches = [match for match in glob.glob(argument, recursive=True) if Path(match).is_file()]  # noqa: PTH207
    if not matches:
        what = "no file matches it" if glob.has_magic(argument) else "no such file or folder"
        raise UsageError(f"{argument}: {what}; check the path")
    return [Source(match) for match in matches]


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def open_source(
    source: Source,
    fetching: Fetching | None = None,
    layout: Layout | None = None,
    *,
    known: Validators | None = None,
    renew: RenewUrl | None = None,
) -> AbstractContextManager[HashingStream]:
    """Open a source's raw bytes; ``BadFileError`` says why a remote one can't be had.

    Args:
        layout: whose cache keeps the turns of http(s) hosts; None: politeness ends with this one request.
        known: of a remote file had before; ``transforms.errors.UnchangedError`` where it is still the same.
        renew: gives a new address for an http(s) file whose signature expired; None: the refusal is final.
    """
    if not source.is_url:
        return _open_local(Path(source.location))
    if is_object_url(source.location):
        from flows.download.object_sources import open_object

        return open_object(source, known)
    from flows.download.http_client import open_url

    return open_url(source, fetching, layout, known=known, renew=renew)


class _open_local(AbstractContextManager[HashingStream]):  # noqa: N801
    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> HashingStream:
        try:
            self._file = self._path.open("rb", buffering=0)
        except OSError as error:
            raise BadFileError(f"can't be opened: {error.strerror}; check its path and permissions") from error
        return HashingStream(cast("BinaryIO", self._file), self._path.stat().st_size)

    def __exit__(self, *_: object) -> None:
        self._file.close()

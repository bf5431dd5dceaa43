"""The sources that SOURCE names (a file, a folder, a glob, http(s):// or object storage), and their bytes."""

import glob
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from flows.download.http_validators import Validators
from flows.download.object_sources import expand_objects, open_object
from flows.download.sources import HashingStream, Source
from flows.download.url_renewal import RenewUrl
from flows.settings.addresses import REMOTE_SCHEMES, is_object_url
from flows.settings.values import Fetching
from flows.storage.layout import Layout
from flows.storage.redaction import redact_url
from transforms.errors import BadFileError, MissingSourceError, UsageError

_SHOWN_CHARS = 200


def expand(arguments: Iterable[str]) -> tuple[Source, ...]:
    """Distinct sources in order of name; ``UsageError`` names a missing one."""
    found: set[Source] = set()
    for argument in arguments:
        try:
            found.update(_expand_one(argument))
        except OSError as error:  # such as a name that is too long
            shown = argument if len(argument) <= _SHOWN_CHARS else f"{argument[:_SHOWN_CHARS]}..."
            raise UsageError(f"{shown}: {error.strerror or error}; check the path") from error
    return tuple(sorted(found))


def _expand_one(argument: str) -> list[Source]:
    if not argument:
        raise UsageError("SOURCE is empty; give a file, a folder, a glob or a URL, or . for the current folder")
    if Source(argument).is_url:
        scheme = urlsplit(argument).scheme.lower()
        if scheme not in REMOTE_SCHEMES:
            raise UsageError(f"{redact_url(argument)}: {scheme}:// is not supported; give http(s)://, s3:// or a path")
        if is_object_url(argument):
            return expand_objects(argument)
        return [Source(argument)]
    path = Path(argument)
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if file.is_file()]
        hidden = {file for file in files if any(part.startswith(".") for part in file.relative_to(path).parts)}
        inside = [Source(str(file)) for file in files if file not in hidden]
        if not inside:
            raise MissingSourceError(f"{argument}: the folder holds no file")
        return inside
    if path.exists():
        if not os.access(path, os.R_OK):
            raise UsageError(f"{argument}: no permission to read it")
        return [Source(str(path))]
    matches = [match for match in glob.glob(argument, recursive=True) if Path(match).is_file()]  # noqa: PTH207
    if not matches:
        what = "no file matches it" if glob.has_magic(argument) else "no such file or folder"
        raise MissingSourceError(f"{argument}: {what}; check the path")
    return [Source(match) for match in matches]


def open_source(
    source: Source,
    fetching: Fetching | None = None,
    layout: Layout | None = None,
    *,
    known: Validators | None = None,
    public_only: bool = False,
    renew: RenewUrl | None = None,
) -> AbstractContextManager[HashingStream]:
    """A source's bytes as a stream; ``BadFileError`` if it can't be opened.

    Args: as of ``flows.download.resumable_download.open_url``.

    Raises:
        UnchangedError: a remote file is still the known one.
    """
    if not source.is_url:
        return _open_local(Path(source.location))
    if is_object_url(source.location):
        return open_object(source, known)
    from flows.download.resumable_download import open_url

    return open_url(source, fetching, layout, known=known, public_only=public_only, renew=renew)


@contextmanager
def _open_local(path: Path) -> Iterator[HashingStream]:
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise BadFileError(f"can't be opened: {error.strerror}; check its path and permissions") from error
    with file:
        yield HashingStream(cast("BinaryIO", file), path.stat().st_size)

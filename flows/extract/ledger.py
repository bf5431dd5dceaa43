"""What content a path or URL had when it was last read: sha256, length, and how to find out whether it has changed.

Each is written under the digest of what identifies it (``Source.identity``), so that no secret reaches the disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from flows.download.http_validators import Validators
from flows.download.sources import Source, sha256_of
from flows.storage.atomic_files import write_atomically
from flows.storage.cache_entries import note_use, read_record
from flows.storage.layout import Layout
from flows.storage.object_sync import refresh, upload
from transforms.errors import UsageError


@dataclass(frozen=True)
class Entry:
    """One source as it was. ``fingerprint`` is a local file's, ``validators`` are a server's."""

    sha256: str
    bytes: int
    fingerprint: str | None = None
    validators: Validators = field(default_factory=Validators)
    signed: Mapping[str, str] = field(default_factory=dict, repr=False)  # see signed_locations; never written


class _Record(msgspec.Struct, kw_only=True):
    """An entry as it is written. ``layout``: raised when a field's meaning changes; one of another layout is a miss."""

    layout: Literal[1] = 1
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    bytes: Annotated[int, msgspec.Meta(ge=0)]
    fingerprint: str | None
    validators: Validators


def fingerprint(source: Source) -> str | None:
    """What changes whenever a local file changes; None for a remote one, or none at all."""
    if source.is_url:
        return None
    try:
        status = Path(source.location).stat()
    except OSError:
        return None
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}-{status.st_ctime_ns}"


def recall(source: Source, layout: Layout) -> Entry | None:
    """The last reading of a source; None for one never read, and for a local file touched since."""
    entry = recall_digest(source.digest, layout)
    return entry if entry is not None and entry.fingerprint == fingerprint(source) else None


def recall_digest(digest: str, layout: Layout) -> Entry | None:
    """The last reading of the source of that digest, whatever became of it since; None for one never read."""
    path = ledger_path(digest, layout)
    record = read_record(path, _Record) if refresh(layout, path) else None
    note_use(path)
    return None if record is None else Entry(record.sha256, record.bytes, record.fingerprint, record.validators)


def stated_content(path: Path) -> str | None:
    """The sha256 of a source's content as the ledger recorded it; None without a record."""
    record = read_record(path, _Record)
    return None if record is None else record.sha256


def remember(
    source: Source, layout: Layout, sha256: str, size: int, validators: Validators, *, unvalidated: bool = False
) -> None:
    """Write what was read.

    Args: unvalidated: also where neither a fingerprint nor a validator can show later whether it has changed.
    """
    mark = fingerprint(source)
    if unvalidated or mark is not None or validators.if_changed():
        record = _Record(sha256=sha256, bytes=size, fingerprint=mark, validators=validators)
        path = ledger_path(source.digest, layout)
        write_atomically(path, msgspec.json.encode(record), durable=False)
        upload(layout, path)


def content_of(path: Path, layout: Layout) -> str:
    """The digest of a local file's content; a file that was not touched since is not read again.

    Raises:
        UsageError: it can't be read.
    """
    source = Source(str(path))
    known = recall(source, layout)
    if known is not None:
        return known.sha256
    before, digest = fingerprint(source), sha256_of(path)
    if digest is None:
        raise UsageError(f"{path}: can't be read; check the path and its permissions")
    if fingerprint(source) == before:
        remember(source, layout, digest, path.stat().st_size, Validators())
    return digest


def ledger_path(digest: str, layout: Layout) -> Path:
    """Where the last reading of the source of that digest is written."""
    return layout.ledger / f"{digest}.json"

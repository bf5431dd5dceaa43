"""What content a path or URL had when it was last read: sha256, length, and what tells whether it is still the same.

Each is kept under the digest of what identifies it (``Source.identity``), so that no secret reaches the disk.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flows.layout import Layout, write_atomically
from flows.mirror import keep, renew
from flows.sources import Source
from flows.validators import Validators


@dataclass(frozen=True)
class Entry:
    """One source as it was. ``fingerprint`` is a local file's, ``validators`` are a server's."""

    sha256: str
    bytes: int
    fingerprint: str | None = None
    validators: Validators = field(default_factory=Validators)
    signed: Mapping[str, str] = field(default_factory=dict, repr=False)  # never written; see flows.concealing


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
    path = _path(digest, layout)
    try:
        if not renew(layout, path):
            return None
        data = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # none, or one that a loss of power left empty
        return None
    return Entry(data["sha256"], data["bytes"], data.get("fingerprint"), Validators.from_json(data))


def remember(
    source: Source, layout: Layout, sha256: str, size: int, validators: Validators, *, unvalidated: bool = False
) -> None:
    """Keep what was read; only where ``unvalidated``, if nothing can tell whether it is still the same."""
    mark = fingerprint(source)
    if unvalidated or mark is not None or validators.if_changed():
        entry = {"sha256": sha256, "bytes": size, "fingerprint": mark} | validators.as_json()
        path = _path(source.digest, layout)
        write_atomically(path, json.dumps(entry).encode(), durable=False)
        keep(layout, path)


def _path(digest: str, layout: Layout) -> Path:
    return layout.ledger / f"{digest}.json"

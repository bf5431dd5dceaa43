"""Remote provider references: ``location`` files that matched prices cite, asked for once a run.

As with sources, content that the server calls unchanged is not fetched again. Provider groups are kept under the digest
of the content that they were read from. What can't be had stays unresolved in this run (its rows say
``provider_unresolved``) and is tried again in the next.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urlsplit

import pyarrow as pa

from flows.download.http_validators import Validators
from flows.download.open_source import open_source
from flows.download.sources import Source
from flows.extract.ledger import fingerprint, recall, recall_digest, remember
from flows.extract.readers import reading_version
from flows.settings.fetching import Fetching
from flows.storage.atomic_files import open_temporary, unfinished_file
from flows.storage.layout import Layout
from flows.storage.object_store import StoreError
from flows.storage.object_sync import ensure_local, upload
from flows.storage.parquet import has_schema, parquet_writer
from flows.storage.redaction import redact_unresolved
from flows.storage.resource_errors import raise_if_exhausted
from flows.storage.threads import map_in_threads
from schemas.extracted import REMOTE_GROUPS
from transforms.errors import BadFileError, HostFailedError, UnchangedError
from transforms.read.collect import Collected
from transforms.read.containers import open_documents
from transforms.read.read_ijson import read_provider_reference

LOG = logging.getLogger(__name__)
FETCHES_AT_ONCE = 8
ATTEMPTS = 3  # of one file in a row: dead ones are common, and there can be thousands
FAILURES_PER_HOST = 3  # of the host itself, in a row: then it is left alone for the rest of the run


@dataclass(frozen=True)
class _Answer:
    """What became of one location: where its provider groups are, or why they can't be had."""

    path: Path | None = None
    reason: str = ""
    host_failed: bool = False


class RemoteReferences:
    """What one run knows of remote references: those had, those that can't be had, hosts that fail.

    given_up: by host, references that were not had because the host failed.
    """

    def __init__(self, layout: Layout, fetching: Fetching | None = None, *, force: bool = False) -> None:
        self._layout = layout
        fetching = fetching or Fetching()
        self._fetching = replace(fetching, attempts=min(fetching.attempts, ATTEMPTS))
        self._force = force
        self._found: dict[str, Path | None] = {}
        self._failures: Counter[str] = Counter()  # of hosts, in a row
        self._unresolved: dict[str, tuple[str, str]] = {}  # what is shown, and why; by whole address
        self.given_up: Counter[str] = Counter()

    @property
    def failed(self) -> dict[str, str]:
        """Locations that can't be had, as they may be shown, and why."""
        return dict(self._unresolved.values())

    @property
    def unresolved(self) -> int:
        """How many locations can't be had."""
        return len(self._unresolved)

    def fetch(self, locations: Iterable[str]) -> dict[str, Path]:
        """location -> Parquet of ``schemas.extracted.REMOTE_GROUPS``; those that failed are in ``failed``.

        Each host's are asked for in order, some at once. Whether it is given up is decided by that order after each
        such part, so that chance has no say in what stays unresolved.
        """
        wanted = sorted(set(locations))
        waiting: dict[str, list[str]] = {}
        for location in wanted:
            if location not in self._found:
                waiting.setdefault(_host(location), []).append(location)
        while waiting:
            part = [location for rest in waiting.values() for location in rest[:FETCHES_AT_ONCE]]
            for location, answer in zip(part, map_in_threads(part, self._fetch_one, FETCHES_AT_ONCE), strict=True):
                self._note(location, answer)
            waiting = {host: left for host, rest in waiting.items() if (left := self._left(host, rest))}
        return {location: path for location in wanted if (path := self._found[location]) is not None}

    def note_unresolvable(self, location: str) -> None:
        """Note one that leads nowhere that a payer's file may lead to."""
        shown = redact_unresolved(location.strip())
        self._unresolved[shown] = shown, "neither http(s) nor a file beside the one that cites it"

    def find_signed(self, digest: str, shown: str) -> Path | None:
        """What was fetched in an earlier run from a signed address, which was not kept."""
        entry = recall_digest(digest, self._layout)
        if entry is not None and self._has(target := self._target(entry.sha256)):
            return target
        reason = "its address was signed, and is not kept; --force reads the file that cites it again"
        self._unresolved[digest] = shown, reason
        return None

    def _left(self, host: str, rest: list[str]) -> list[str]:
        """What is still to be asked for of a host: nothing where it is given up."""
        left = rest[FETCHES_AT_ONCE:]
        if not host or self._failures[host] < FAILURES_PER_HOST:
            return left
        reason = f"not asked for: {host} failed {self._failures[host]} times in a row; run again later"
        for location in left:
            self._note(location, _Answer(reason=reason, host_failed=True))
        LOG.error("%s fails: %d provider references are not had; run again later", host, self.given_up[host])
        return []

    def _note(self, location: str, answer: _Answer) -> None:
        host = _host(location)
        self._found[location] = answer.path
        if answer.path is None:
            self._unresolved[location] = Source(location).name, answer.reason
        if answer.host_failed:
            self.given_up[host] += 1
        self._failures[host] = self._failures[host] + 1 if answer.host_failed else 0

    def _target(self, sha256: str) -> Path:
        """Where the groups of this content stand, or will."""
        return self._layout.remote / f"{sha256}-{reading_version()}.parquet"

    def _has(self, target: Path) -> bool:
        """Whether it was read before; a file that lost bytes is read again."""
        return ensure_local(self._layout, target) and has_schema(target, REMOTE_GROUPS.arrow())

    def _fetch_one(self, location: str) -> _Answer:
        source = Source(location)
        entry = None if self._force else recall(source, self._layout)
        known = None if entry is None else self._target(entry.sha256)
        if entry is None or known is None or not self._has(known):
            entry = known = None
        elif not source.is_url:
            return _Answer(known)
        try:
            return _Answer(self._read(source, entry.validators if entry else None))
        except UnchangedError:
            return _Answer(known)
        except StoreError:
            raise
        except (BadFileError, OSError) as error:
            raise_if_exhausted(error, f"fetching {source.name}", self._layout.remote)
            LOG.warning("provider reference %s: %s", source.name, error)
            return _Answer(reason=str(error), host_failed=isinstance(error, HostFailedError))

    def _read(self, source: Source, known: Validators | None) -> Path:
        """Fetch and read one; where its groups are.

        Raises:
            UnchangedError: the server's content is the one known.
        """
        before = fingerprint(source)
        with ExitStack() as stack:
            temporary = stack.enter_context(unfinished_file(self._layout.remote))
            public_only = not self._fetching.allow_private
            opened = open_source(source, self._fetching, self._layout, known=known, public_only=public_only)
            stream = stack.enter_context(opened)
            temporary_beside = partial(open_temporary, self._layout.remote)
            collected = Collected(temporary_beside, limits=self._fetching.bounds)
            stack.callback(collected.close)
            for document in open_documents(cast("BinaryIO", stream), temporary_beside, self._fetching.bounds):
                read_provider_reference(document.stream, collected)
            sha256 = stream.finish()
            target = self._target(sha256)
            schema = REMOTE_GROUPS.arrow()
            with parquet_writer(temporary, schema, internal=True) as writer:
                for batch in collected.groups.batches():
                    writer.write_batch(pa.RecordBatch.from_arrays(batch.columns[1:], schema=schema))
            if fingerprint(source) != before:
                raise BadFileError("the file changed while it was read; run again")
            temporary.rename(target)
            upload(self._layout, target)
            remember(source, self._layout, sha256, stream.bytes, stream.validators, unvalidated=True)
        return target


def _host(location: str) -> str:
    """The host that a location is asked of; none for a file."""
    return urlsplit(location).hostname or ""

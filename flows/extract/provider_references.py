"""Remote provider references: ``location`` files that matched prices cite, asked for once a run.

As with sources, content that the server calls unchanged is not fetched again. Provider groups are stored under the
digest of their content. A reference that can't be fetched is unresolved in this run (its rows say
``provider_unresolved``); the next run tries again.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urlsplit

import polars as pl
import pyarrow as pa

from flows.download.http_validators import Validators
from flows.download.open_source import open_source
from flows.download.sources import Source, parse_stored
from flows.extract.ledger import fingerprint, recall, recall_digest, remember
from flows.extract.readers import reading_version
from flows.extract.stored_tables import StoredTables
from flows.settings.values import Fetching
from flows.storage.atomic_files import open_temporary, unfinished_file
from flows.storage.cache_entries import note_use
from flows.storage.layout import Layout
from flows.storage.object_store import StoreError
from flows.storage.object_sync import ensure_local, upload
from flows.storage.parquet import has_schema, parquet_writer
from flows.storage.redaction import redact_unresolved
from flows.storage.resource_errors import raise_if_exhausted
from flows.storage.threads import map_in_threads
from schemas.extracted import REFERENCES, REMOTE_GROUPS
from transforms.errors import BadFileError, HostFailedError, UnchangedError
from transforms.read.collect import Collected
from transforms.read.containers import open_documents
from transforms.read.read_ijson import read_provider_reference

LOG = logging.getLogger(__name__)
FETCHES_AT_ONCE = 8
ATTEMPTS = 3  # of one file in a row: dead ones are common, and there can be thousands
FAILURES_PER_HOST = 3  # of the host itself, in a row: then it is given up for the rest of the run


class RemoteReferences:
    """The remote references of one run: fetched ones, unresolved ones, hosts that fail.

    given_up: by host, how many references are unresolved because the host failed.
    """

    def __init__(self, layout: Layout, fetching: Fetching | None = None, *, force: bool = False) -> None:
        self._layout = layout
        fetching = fetching or Fetching()
        self._fetching = replace(fetching, attempts=min(fetching.attempts, ATTEMPTS))
        self._force = force
        self._found: dict[str, Path | None] = {}
        self._failures: Counter[str] = Counter()  # of hosts, in a row
        self._unresolved: dict[str, tuple[str, str]] = {}  # the printable address, and the reason; by whole address
        self.given_up: Counter[str] = Counter()

    @property
    def failed(self) -> dict[str, str]:
        """Printable addresses of unresolved references, and the reasons."""
        return dict(self._unresolved.values())

    @property
    def unresolved(self) -> int:
        """How many references are unresolved."""
        return len(self._unresolved)

    def fetch(self, locations: Iterable[str]) -> dict[str, Path]:
        """location -> Parquet of ``schemas.extracted.REMOTE_GROUPS``; those that failed are in ``failed``.

        The locations of each host are fetched in order, ``FETCHES_AT_ONCE`` together. After each such part the answers
        in that order decide whether the host is given up, so that the result does not depend on the threads.
        """
        wanted = sorted(set(locations))
        waiting: dict[str, list[str]] = {}
        for location in wanted:
            if location not in self._found:
                waiting.setdefault(_host(location), []).append(location)
        while waiting:
            part = [location for rest in waiting.values() for location in rest[:FETCHES_AT_ONCE]]
            for location, answer in zip(part, map_in_threads(part, self._fetch_one, FETCHES_AT_ONCE), strict=True):
                if isinstance(answer, Path):
                    self._found[location] = answer
                    self._failures[_host(location)] = 0
                else:
                    self._note_failure(location, answer)
            waiting = {host: left for host, rest in waiting.items() if (left := self._left(host, rest))}
        return {location: path for location in wanted if (path := self._found[location]) is not None}

    def note_unresolvable(self, location: str) -> None:
        """Note a location that a payer's file must not lead to."""
        shown = redact_unresolved(location.strip())
        self._unresolved[shown] = shown, "neither http(s) nor a file beside the one that cites it"

    def find_signed(self, digest: str, shown: str) -> Path | None:
        """What an earlier run fetched from a signed address, of which only the digest is stored."""
        entry = recall_digest(digest, self._layout)
        if entry is not None and self._has(target := self._target(entry.sha256)):
            return target
        reason = "its address was signed, and is not kept; --force reads the file that cites it again"
        self._unresolved[digest] = shown, reason
        return None

    def _left(self, host: str, rest: list[str]) -> list[str]:
        """The locations of a host that are still to be fetched: none where the host is given up."""
        left = rest[FETCHES_AT_ONCE:]
        if not host or self._failures[host] < FAILURES_PER_HOST:
            return left
        reason = f"not asked for: {host} failed {self._failures[host]} times in a row; run again later"
        for location in left:
            self._note_failure(location, HostFailedError(reason))
        LOG.error("%s fails: %d provider references are unresolved; run again later", host, self.given_up[host])
        return []

    def _note_failure(self, location: str, error: Exception) -> None:
        self._found[location] = None
        self._unresolved[location] = Source(location).name, str(error)
        host, host_failed = _host(location), isinstance(error, HostFailedError)
        self._failures[host] = self._failures[host] + 1 if host_failed else 0
        if host_failed:
            self.given_up[host] += 1

    def _target(self, sha256: str) -> Path:
        return remote_groups_path(self._layout, sha256)

    def _has(self, target: Path) -> bool:
        """Whether it was read before; a file that lost bytes is read again."""
        note_use(target)
        return ensure_local(self._layout, target) and has_schema(target, REMOTE_GROUPS.arrow())

    def _fetch_one(self, location: str) -> Path | Exception:
        """Where the provider groups are, or the error."""
        source = Source(location)
        entry = None if self._force else recall(source, self._layout)
        known = None if entry is None else self._target(entry.sha256)
        if entry is None or known is None or not self._has(known):
            entry = known = None
        elif not source.is_url:
            return known
        try:
            return self._read(source, entry.validators if entry else None)
        except UnchangedError:
            assert known is not None
            return known
        except StoreError:
            raise
        except (BadFileError, OSError) as error:
            raise_if_exhausted(error, f"fetching {source.name}", self._layout.remote)
            LOG.warning("provider reference %s: %s", source.name, error)
            return error

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


def remote_groups_path(layout: Layout, sha256: str) -> Path:
    """Where the provider groups of a remote reference's content are, or will be."""
    return layout.remote / f"{sha256}-{reading_version()}.parquet"


def _host(location: str) -> str:
    """The host that a location is asked of; none for a file."""
    return urlsplit(location).hostname or ""


def cited_digests(layout: Layout, folder: Path) -> set[str]:
    """Digests of the addresses that an extract cites, under which the ledger has them; but for relative ones.

    Memory: its references.
    """
    references = StoredTables(layout, {0: folder}).scan(REFERENCES)
    wanted = references.filter((pl.col("n_groups") == 0) & pl.col("location").is_not_null())
    stored = wanted.select(pl.col("location").unique()).collect().to_series()
    return {parse_stored(location)[1] or Source(location).digest for location in stored}

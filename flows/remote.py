"""Remote provider references: ``location`` files that matched prices cite, fetched once and cached.

What can't be had stays unresolved in this run (its rows say ``provider_unresolved``) and is tried again in the next.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from flows.concealing import digest_of
from flows.faults import raise_if_exhausted
from flows.fetching import Fetching
from flows.layout import Layout, open_temporary, scratch
from flows.mirror import have, keep
from flows.object_store import StoreError, is_object_url
from flows.sources import HashingStream, Source, open_source, redact, unfollowed
from flows.tables import parquet_writer
from schemas.extracted import REMOTE_GROUPS
from transforms.collect import Collected
from transforms.containers import open_documents
from transforms.errors import BadFileError
from transforms.extract import to_batches
from transforms.read_ijson import read_provider_reference

LOG = logging.getLogger(__name__)
FETCHES_AT_ONCE = 8
ATTEMPTS = 3  # of one file in a row: dead ones are common, and there can be thousands
FAILURES_PER_HOST = 3  # then the host is left alone for the rest of the run


class RemoteReferences:
    """Fetches locations; knows hosts that do not answer."""

    def __init__(self, layout: Layout, fetching: Fetching | None = None) -> None:
        self._layout = layout
        fetching = fetching or Fetching()
        self._fetching = replace(fetching, attempts=min(fetching.attempts, ATTEMPTS))
        self._failures: Counter[str] = Counter()
        self.failed: dict[str, str] = {}

    def fetch(self, locations: Iterable[str]) -> dict[str, Path]:
        """location -> Parquet of ``schemas.extracted.REMOTE_GROUPS``; those that failed are in ``failed``."""
        wanted = sorted(set(locations))
        with ThreadPoolExecutor(FETCHES_AT_ONCE) as threads:
            paths = dict(zip(wanted, threads.map(self._fetch_one, wanted), strict=True))
        return {location: path for location, path in paths.items() if path is not None}

    def refuse(self, location: str) -> None:
        """Note one that leads nowhere that a payer's file may lead to."""
        self.failed[unfollowed(location.strip())] = "neither http(s) nor a file beside the one that cites it"

    def had(self, digest: str, shown: str) -> Path | None:
        """What was fetched in an earlier run from a signed address, which was not kept."""
        target = self._target(digest)
        if have(self._layout, target):
            return target
        self.failed[shown] = "its address was signed, and is not kept; --force reads the file that cites it again"
        return None

    def _target(self, digest: str) -> Path:
        return self._layout.remote / f"{digest}.parquet"

    def _fetch_one(self, location: str) -> Path | None:
        target = self._target(digest_of(location))
        if have(self._layout, target):
            return target
        host = urlsplit(location).hostname or ""
        if host and self._failures[host] >= FAILURES_PER_HOST:
            self.failed[redact(location)] = f"{host} failed {FAILURES_PER_HOST} times in this run"
            return None
        try:
            self._read(Source(location), target)
            keep(self._layout, target)
        except StoreError:
            raise
        except (BadFileError, OSError) as error:
            raise_if_exhausted(error, f"fetching {redact(location)}", self._layout.remote)
            self._failures[host] += 1
            self.failed[redact(location)] = str(error)
            LOG.warning("provider reference %s: %s", redact(location), error)
            return None
        return target

    def _read(self, source: Source, target: Path) -> None:
        temporary = scratch(self._layout.remote)
        with ExitStack() as stack:
            stack.callback(temporary.unlink, missing_ok=True)
            stream = stack.enter_context(self._open(source))
            temporary_beside = partial(open_temporary, self._layout.remote)
            collected = Collected(temporary_beside, limits=self._fetching.bounds)
            stack.callback(collected.close)
            for document in open_documents(cast("BinaryIO", stream), temporary_beside, self._fetching.bounds):
                read_provider_reference(document.stream, collected)
            stream.finish()
            rows = (row[1:] for row in collected.groups)
            with parquet_writer(temporary, REMOTE_GROUPS.arrow()) as writer:
                for batch in to_batches(REMOTE_GROUPS, rows):
                    writer.write_batch(batch)
            temporary.rename(target)

    def _open(self, source: Source) -> AbstractContextManager[HashingStream]:
        if not source.is_url or is_object_url(source.location):
            return open_source(source)
        from flows.web import open_url

        return open_url(source, self._fetching, self._layout, public_only=not self._fetching.allow_private)

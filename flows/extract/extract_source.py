"""One source into its cached extract. The extract's existence, under the content's name, is the ledger.

A worker process runs ``extract``; it writes beside the target and renames, so that a kill leaves nothing half done.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast, get_args

from flows.download.http_validators import Validators
from flows.download.open_source import open_source
from flows.download.sources import HashingStream, Source, sha256_of
from flows.extract.ledger import Entry, fingerprint, recall, remember
from flows.extract.outcome import Outcome
from flows.extract.payer_listing import renewal
from flows.extract.readers import default_engine, reader_of, reading_version
from flows.extract.stored_tables import ACCOUNT, StoredRows, TableWriters, columns_version
from flows.settings.values import Engine, ReadSettings
from flows.storage.atomic_files import open_temporary, put_in_place, unfinished_folder
from flows.storage.cache_entries import read_cache_entry, write_cache_entry
from flows.storage.layout import Layout
from flows.storage.object_sync import upload
from flows.storage.resource_errors import raise_if_exhausted
from transforms.errors import (
    BadFileError,
    ContentChangedError,
    FullReadingNeededError,
    NotPublishedError,
    UnchangedError,
)
from transforms.limits import limits_of_content, same_within
from transforms.read.account import SourceAccount
from transforms.read.containers import NotJsonError

if TYPE_CHECKING:  # imported where something is read: what did not change shall not wait for it
    import pyarrow as pa

    from schemas.table import Table

SNIFF_ZIP = b"PK"
STARTS = 3  # of one reading, where the content changes on the server meanwhile

Progress = Callable[[int, int, int], None]  # raw bytes, JSON bytes, items matched: since the last call


class _CacheEntry(StoredRows):
    """An extract's account, and the limits that it was read within."""

    account: SourceAccount
    limits: dict[str, int]


@dataclass(frozen=True)
class _Reading:
    """One source to be read; ``skip``: pass over the rates of items known to be unwanted."""

    source: Source
    layout: Layout
    settings: ReadSettings
    on_progress: Progress | None = None
    overlap: bool = True
    skip: bool = True

    def folder(self, sha256: str) -> Path:
        """Where the extract of this content is, or will be."""
        engine = self.settings.engine or default_engine()
        return self.layout.extracts / f"{sha256}-{_digest_of_codes(self.settings.codes)}-{engine}-{reading_version()}"

    def account(self, sha256: str) -> SourceAccount | None:
        """The account of this content where it was read before; in object storage nothing else is fetched."""
        stated = read_cache_entry(self.layout, self.folder(sha256), ACCOUNT, _CacheEntry)
        return None if stated is None or not same_within(self.settings.limits, stated.limits) else stated.account

    def known(self) -> tuple[Entry, SourceAccount] | None:
        """The last reading of this source, if its extract is still there."""
        entry = None if self.settings.force else recall(self.source, self.layout)
        account = None if entry is None else self.account(entry.sha256)
        return None if entry is None or account is None else (entry, account)

    def outcome(self, entry: Entry, account: SourceAccount, started: float, *, unchanged: bool) -> Outcome:
        """The outcome of a reading now, or of the known one."""
        return Outcome(
            self.source,
            "matched" if account.items_matched else "no_match",
            source_id=entry.sha256,
            bytes=entry.bytes,
            seconds=time.perf_counter() - started,
            extract=self.folder(entry.sha256),
            account=account,
            etag=entry.validators.etag,
            unchanged=unchanged,
            signed=entry.signed,
        )


def extract(
    source: Source,
    layout: Layout,
    settings: ReadSettings,
    on_progress: Progress | None = None,
    *,
    overlap: bool = True,
) -> Outcome:
    """The outcome of reading one source, or of an earlier reading; a bad file comes back as ``quarantined``.

    Args:
        overlap: inflate and write in other threads: faster for one file, slower where every core has a file of its own.

    Raises:
        OutOfResourcesError: the machine ran out of a resource; the source is not at fault.
        MemoryError: reading needs more memory than there is now; it may succeed when no other file is read.
    """
    started = time.perf_counter()
    try:
        return _find_or_read(_Reading(source, layout, settings, on_progress, overlap), started)
    except MemoryError:
        raise
    except BadFileError as error:
        raise_if_exhausted(error, f"reading {source.name}", layout.cache)
        return Outcome(
            source,
            "quarantined",
            reason=str(error),
            source_id=None if source.is_url else sha256_of(Path(source.location)),
            bytes=None if source.is_url else source.size,
            seconds=time.perf_counter() - started,
            missing=isinstance(error, NotPublishedError),
            is_page=isinstance(error, NotJsonError) and source.location.startswith(("http://", "https://")),
        )
    except Exception as error:
        raise_if_exhausted(error, f"reading {source.name}", layout.cache)
        raise


def find_unchanged(source: Source, layout: Layout, settings: ReadSettings) -> Outcome | None:
    """The outcome of an earlier reading where the source is unchanged since; None: it must be read.

    A remote source costs one request without a body; one never read before costs nothing. An error here is left to
    the reading, which meets it again and reports it.
    """
    started = time.perf_counter()
    reading = _Reading(source, layout, settings)
    known = reading.known()
    if known is None:
        return None
    try:
        if source.is_url:
            once = replace(settings.fetching, attempts=1)
            with open_source(source, once, layout, known=known[0].validators):
                return None
    except UnchangedError:
        pass
    except BadFileError as error:
        raise_if_exhausted(error, f"asking for {source.name}", layout.cache)
        return None
    return reading.outcome(*known, started, unchanged=True)


def _find_or_read(reading: _Reading, started: float) -> Outcome:
    """A local file not touched since, and a remote one that its server calls the same, are not read again."""
    source, known = reading.source, reading.known()
    if known is not None and not source.is_url:
        return reading.outcome(*known, started, unchanged=True)
    try:
        entry, account = _read_steadily(reading, known[0].validators if known else None)
    except UnchangedError:
        assert known is not None
        return reading.outcome(*known, started, unchanged=True)
    remember(source, reading.layout, entry.sha256, entry.bytes, entry.validators)
    return reading.outcome(entry, account, started, unchanged=False)


def _read_steadily(reading: _Reading, known: Validators | None) -> tuple[Entry, SourceAccount]:
    """Read; from the beginning again when the content changed on the server meanwhile.

    Raises:
        UnchangedError: the server's content is the one known.
    """
    for _ in range(STARTS):
        try:
            try:
                return _read(reading, known)
            except FullReadingNeededError:
                return _read(replace(reading, skip=False), None)
        except ContentChangedError as error:
            changed = error
    raise BadFileError(f"{changed}; it changed during {STARTS} readings; run again later") from None


def _read(reading: _Reading, known: Validators | None) -> tuple[Entry, SourceAccount]:
    from flows.storage.redaction import redact_headers
    from transforms.read.extract import extract_source

    source, layout, settings = reading.source, reading.layout, reading.settings
    with ExitStack() as unfinished:
        before = fingerprint(source)
        opened = open_source(source, settings.fetching, layout, known=known, renew=renewal(layout, settings))
        with opened as stream, _raw(source, stream) as raw:
            temporary = unfinished.enter_context(unfinished_folder(layout.extracts))
            with TableWriters(temporary, overlap=reading.overlap) as writers:
                unsigned = _Unsigned(writers, source)
                account = extract_source(
                    raw,
                    settings.codes,
                    unsigned.write,
                    partial(open_temporary, layout.extracts),
                    reader=reader_of(settings.engine, overlap=reading.overlap),
                    skip=reading.skip,
                    on_progress=_progress(stream, reading.on_progress),
                    limits=settings.limits,
                )
            entry = Entry(stream.finish(), stream.bytes, before, stream.validators, unsigned.signed)
        if fingerprint(source) != before:
            raise BadFileError("the file changed while it was read; run again")
        limits = limits_of_content(settings.limits)
        account = redact_headers(account)
        stored = _CacheEntry(account=account, limits=limits, rows=writers.rows(), columns=columns_version())
        write_cache_entry(temporary, ACCOUNT, stored)
        folder = reading.folder(entry.sha256)
        put_in_place(temporary, folder)
        # when another process read the same content, its tables may be in the store alone
        if layout.stored(folder) is not None:
            upload(layout, *sorted(folder.glob("*.parquet")), folder / ACCOUNT)
        return entry, account


@contextmanager
def _raw(source: Source, stream: HashingStream) -> Iterator[BinaryIO]:
    """The stream to read. A local zip is sought instead of spooled: hashed first, then read from the file itself."""
    if source.is_url:
        yield cast("BinaryIO", stream)
        return
    with Path(source.location).open("rb") as file:
        is_zip = file.read(len(SNIFF_ZIP)) == SNIFF_ZIP
        if is_zip:
            stream.finish()
            file.seek(0)
        yield file if is_zip else cast("BinaryIO", stream)


def _progress(stream: HashingStream, on_progress: Progress | None) -> Callable[[int, int], None] | None:
    if on_progress is None:
        return None
    seen = [0, 0]

    def report(json_bytes: int, matched: int) -> None:
        on_progress(stream.bytes - seen[0], json_bytes, max(matched - seen[1], 0))
        seen[:] = [stream.bytes, matched]

    return report


class _Unsigned:
    """Writes batches with the addresses in them without their signatures.

    signed: the addresses to fetch, by what is written of them.
    """

    def __init__(self, writers: TableWriters, source: Source) -> None:
        self._writers = writers
        self._source = source
        self.signed: dict[str, str] = {}

    def write(self, table: "Table", batch: "pa.RecordBatch") -> None:
        """Append a batch."""
        self._writers.write(table, self._unsigned(batch) if "location" in batch.schema.names else batch)

    def _unsigned(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        from flows.download.sources import strip_signature
        from transforms.read import arrow_columns

        at = batch.schema.get_field_index("location")
        if batch.column(at).null_count == batch.num_rows:
            return batch
        stored: list[str | None] = []
        for location in batch.column(at).to_pylist():
            shown, address = (None, None) if location is None else strip_signature(location, self._source)
            stored.append(shown)
            if shown is not None and address is not None:
                self.signed[shown] = address
        return batch.set_column(at, batch.schema.field(at), arrow_columns.texts(stored))


def find_extract(
    layout: Layout, sha256: str, code: str, codes: Iterable[str] = ()
) -> tuple[Path, SourceAccount] | None:
    """The extract of a content that was read for a code, and its account; None where the cache has none.

    Of several, one of the present version of reading, else the first by name.

    Args: codes: a run's, under which an extract in object storage is looked for.
    """
    names = {f"{sha256}-{_digest_of_codes(codes)}-{engine}-{reading_version()}" for engine in get_args(Engine)}
    names |= {folder.name for folder in layout.extracts.glob(f"{sha256}-*")}
    for name in sorted(names, key=lambda name: (not name.endswith(reading_version()), name)):
        stated = read_cache_entry(layout, layout.extracts / name, ACCOUNT, _CacheEntry)
        documents = stated.account.documents if stated is not None and stated.is_readable else ()
        if stated is not None and any(code in document.codes for document in documents):
            return layout.extracts / name, stated.account
    return None


def _digest_of_codes(codes: Iterable[str]) -> str:
    return hashlib.sha256(",".join(sorted(codes)).encode()).hexdigest()[:8]

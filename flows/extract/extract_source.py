"""One source into its cached extract. The extract's existence, under the content's name, is the ledger.

A worker process runs ``extract``; it writes beside the target and renames, so that a kill leaves nothing half done.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from flows.download.http_validators import Validators
from flows.download.open_source import open_source
from flows.download.sources import HashingStream, Source, sha256_of
from flows.download.url_renewal import RenewUrl
from flows.extract.ledger import Entry, fingerprint, recall, remember
from flows.settings.fetching import Fetching
from flows.storage.atomic_files import open_temporary, put_in_place, unfinished_folder
from flows.storage.cache_entries import CacheEntry, read_cache_entry, write_cache_entry
from flows.storage.code_versions import code_version, digest_of
from flows.storage.layout import Layout
from flows.storage.object_sync import upload
from flows.storage.resource_errors import raise_if_exhausted
from schemas.codes import CODE_TYPES
from transforms.errors import (
    BadFileError,
    ContentChangedError,
    FullReadingNeededError,
    UnchangedError,
    UsageError,
)
from transforms.limits import Limits, limits_of_content, same_within
from transforms.read.account import SourceAccount
from transforms.scan.scan_kernel import library

if TYPE_CHECKING:  # imported where something is read: what did not change shall not wait for it
    import pyarrow as pa

    from schemas.table import Table
    from transforms.read.extract import ReadDocument

LOG = logging.getLogger(__name__)

READER_VERSION = "4"  # raise it when this module changes what an extract holds; the readers' own code is digested
_READERS = ("transforms.read.extract", "transforms.read.read_ijson", "transforms.scan.read_scan")
ACCOUNT = "account.json"
SNIFF_ZIP = b"PK"
STARTS = 3  # of one reading, when the content changes on the server meanwhile

Engine = Literal["scan", "ijson"]
Progress = Callable[[int, int, int], None]  # raw bytes, JSON bytes, items matched: since the last call


class _CacheEntry(CacheEntry):
    """An extract's account, and the limits that it was read within."""

    account: SourceAccount
    limits: dict[str, int]


def reading_version() -> str:
    """The version of what an extract holds: of both readers, and of everything by which they clean values.

    ``schemas.codes`` is left out, for it changes with the methodology; of it the readers use CODE_TYPES alone.
    """
    code = code_version(*_READERS, without="schemas.codes")
    return f"v{READER_VERSION}-{digest_of(code, sorted(CODE_TYPES))[:12]}"


@dataclass(frozen=True)
class Outcome:
    """What became of one source. ``extract`` is None when it was quarantined (``reason`` says why)."""

    source: Source
    status: str
    reason: str | None = None
    source_id: str | None = None
    bytes: int | None = None
    seconds: float = 0.0
    extract: Path | None = None
    account: SourceAccount = field(default_factory=SourceAccount)
    etag: str | None = None  # as the server gave it with the content
    unchanged: bool = False  # an earlier extract stands, nothing was read
    signed: Mapping[str, str] = field(default_factory=dict, repr=False)  # addresses to fetch, by what is kept of them

    @property
    def usable(self) -> bool:
        """Whether it was read to the end as an in-network or other TiC file."""
        return self.status in ("matched", "no_match")

    @property
    def is_table_of_contents(self) -> bool:
        """Whether it lists other files."""
        return self.usable and self.account.shape == "table_of_contents"


@dataclass(frozen=True)
class UnresolvedReferences:
    """How many remote provider references could not be had; by host, those for which the host is to blame."""

    count: int = 0
    given_up: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """A plain dictionary."""
        return {"unresolved": self.count, "given_up": dict(self.given_up)}

    def __str__(self) -> str:
        hosts = ", ".join(f"{count:,} because {host} failed" for host, count in sorted(self.given_up.items()))
        return f"{self.count:,} remote provider reference(s) unresolved{f', {hosts}; run again later' if hosts else ''}"


def extract(
    source: Source,
    wanted: frozenset[str],
    layout: Layout,
    on_progress: Progress | None = None,
    *,
    engine: Engine | None = None,
    overlap: bool = True,
    fetching: Fetching | None = None,
    limits: Limits | None = None,
    force: bool = False,
    renew: RenewUrl | None = None,
) -> Outcome:
    """Read one source, or find the extract of an earlier reading; a bad file comes back as ``quarantined``.

    Args:
        overlap: inflate in a second thread: faster for one file, dearer where every core has a file of its own.
        fetching: how http(s) sources are fetched; by default as ``Fetching()`` says.
        force: read it though an earlier extract stands.
        renew: gives a new address for a file whose signature expired.

    Raises:
        OutOfResourcesError: the machine ran out of something, which is no fault of the source.
        MemoryError: reading needs more memory than there is now; alone it may do.
    """
    started = time.perf_counter()
    engine = engine or default_engine()
    reading = _Reading(
        wanted,
        layout,
        engine,
        fetching or Fetching(),
        on_progress,
        limits or Limits(),
        overlap=overlap,
        force=force,
        renew=renew,
    )
    try:
        return _find_or_read(source, reading, started)
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
        )
    except Exception as error:
        raise_if_exhausted(error, f"reading {source.name}", layout.cache)
        raise


@dataclass(frozen=True)
class _Reading:
    """How sources are read, the same for all of a run."""

    wanted: frozenset[str]
    layout: Layout
    engine: Engine
    fetching: Fetching
    on_progress: Progress | None = None
    limits: Limits | None = None  # None: those of the earlier reading
    overlap: bool = True
    skip: bool = True
    force: bool = False
    renew: RenewUrl | None = None

    def folder(self, sha256: str) -> Path:
        """Where the extract of this content stands, or will."""
        codes = hashlib.sha256(",".join(sorted(self.wanted)).encode()).hexdigest()[:8]
        return self.layout.extracts / f"{sha256}-{codes}-{self.engine}-{reading_version()}"

    def account(self, sha256: str) -> SourceAccount | None:
        """Of this content, where it was read before; of one in object storage only that is brought."""
        stated = read_cache_entry(self.layout, self.folder(sha256), ACCOUNT, _CacheEntry)
        if stated is None or not (self.limits is None or same_within(self.limits, stated.limits)):
            return None
        return stated.account


def find_unchanged(
    source: Source,
    wanted: frozenset[str],
    layout: Layout,
    engine: Engine | None,
    fetching: Fetching | None,
    limits: Limits | None = None,
) -> Outcome | None:
    """The extract of an earlier reading where the source still is what it was then; None: it is to be read.

    A remote source costs one request without a body; one never read before costs nothing. What goes wrong here is for
    the reading to meet again, and to say.
    """
    started = time.perf_counter()
    limits = limits or Limits()
    reading = _Reading(wanted, layout, engine or default_engine(), fetching or Fetching(), limits=limits)
    known = _known(source, reading)
    if known is None:
        return None
    try:
        if source.is_url:
            once = replace(reading.fetching, attempts=1)
            with open_source(source, once, layout, known=known[0].validators):
                return None
    except UnchangedError:
        pass
    except BadFileError as error:
        raise_if_exhausted(error, f"asking for {source.name}", layout.cache)
        return None
    return _outcome(source, *known, reading, time.perf_counter() - started, unchanged=True)


def _known(source: Source, reading: _Reading) -> tuple[Entry, SourceAccount] | None:
    """The last reading of a source whose extract still stands."""
    entry = None if reading.force else recall(source, reading.layout)
    account = None if entry is None else reading.account(entry.sha256)
    return None if entry is None or account is None else (entry, account)


def _find_or_read(source: Source, reading: _Reading, started: float) -> Outcome:
    """A local file not touched since, and a remote one that its server calls the same, are not read again."""
    known = _known(source, reading)
    if known is not None and not source.is_url:
        return _outcome(source, *known, reading, 0.0, unchanged=True)
    try:
        entry = _read_steadily(source, reading, known[0].validators if known else None)
    except UnchangedError:
        assert known is not None
        return _outcome(source, *known, reading, time.perf_counter() - started, unchanged=True)
    remember(source, reading.layout, entry.sha256, entry.bytes, entry.validators)
    account = reading.account(entry.sha256)
    assert account is not None, f"no extract of {source.name} under {reading.layout.extracts}"
    return _outcome(source, entry, account, reading, time.perf_counter() - started, unchanged=False)


def _outcome(
    source: Source, entry: Entry, account: SourceAccount, reading: _Reading, seconds: float, *, unchanged: bool
) -> Outcome:
    return Outcome(
        source,
        "matched" if account.items_matched else "no_match",
        source_id=entry.sha256,
        bytes=entry.bytes,
        seconds=seconds,
        extract=reading.folder(entry.sha256),
        account=account,
        etag=entry.validators.etag,
        unchanged=unchanged,
        signed=entry.signed,
    )


@cache
def default_engine() -> Engine:
    """The scanning reader, or, where its compiled half is missing, the one that parses every byte."""
    missing = library.problem()
    if missing is not None and parent_process() is None:
        LOG.warning("%s; ijson reads instead, many times slower", missing)
    return "scan" if missing is None else "ijson"


def reader_of(engine: Engine, *, overlap: bool = True) -> "ReadDocument":
    """The engine's ``read_document``, ready to read: imported only when it is used.

    Raises:
        UsageError: the scanning reader's compiled half is missing.
    """
    if engine == "ijson":
        from transforms.read import read_ijson

        return read_ijson.read_document
    if missing := library.problem():
        raise UsageError(missing)
    from transforms.scan import read_scan

    return partial(read_scan.read_document, overlap=overlap)


def _read_steadily(source: Source, reading: _Reading, known: Validators | None) -> Entry:
    """Read; from the beginning again when the content changed on the server meanwhile.

    Raises:
        UnchangedError: the server's content is the one known.
    """
    for _ in range(STARTS):
        try:
            return _read_as_needed(source, reading, known)
        except ContentChangedError as error:
            changed = error
    raise BadFileError(f"{changed}; {STARTS} readings were begun; run again later") from None


def _read_as_needed(source: Source, reading: _Reading, known: Validators | None) -> Entry:
    try:
        return _read(source, reading, known)
    except FullReadingNeededError:
        return _read(source, replace(reading, skip=False), None)


def _read(source: Source, reading: _Reading, known: Validators | None) -> Entry:
    from flows.storage.redaction import redact_headers
    from transforms.read.extract import extract_source

    layout = reading.layout
    with ExitStack() as unfinished:
        before = fingerprint(source)
        opened = open_source(source, reading.fetching, layout, known=known, renew=reading.renew)
        with opened as stream, _raw(source, stream) as raw:
            temporary = unfinished.enter_context(unfinished_folder(layout.extracts))
            with _Writers(temporary, source) as writers:
                account = extract_source(
                    raw,
                    reading.wanted,
                    writers.write,
                    partial(open_temporary, layout.extracts),
                    reader=reader_of(reading.engine, overlap=reading.overlap),
                    skip=reading.skip,
                    on_progress=_progress(stream, reading.on_progress),
                    limits=reading.limits,
                )
            entry = Entry(stream.finish(), stream.bytes, before, stream.validators, writers.signed)
        if fingerprint(source) != before:
            raise BadFileError("the file changed while it was read; run again")
        limits = limits_of_content(reading.limits or Limits())
        write_cache_entry(temporary, ACCOUNT, _CacheEntry(account=redact_headers(account), limits=limits))
        folder = reading.folder(entry.sha256)
        put_in_place(temporary, folder)
        tables = writers.paths(folder) if account.items_matched else []
        upload(layout, *tables, folder / ACCOUNT)
        return entry


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

    def tell(json_bytes: int, matched: int) -> None:
        on_progress(stream.bytes - seen[0], json_bytes, max(matched - seen[1], 0))
        seen[:] = [stream.bytes, matched]

    return tell


class _Writers:
    """One Parquet file per extract table, all present even when empty."""

    def __init__(self, folder: Path, source: Source) -> None:
        self._folder = folder
        self._source = source
        self.signed: dict[str, str] = {}
        self._open = ExitStack()

    def __enter__(self) -> "_Writers":
        from flows.storage.parquet import parquet_writer
        from schemas.extracted import EXTRACTED

        with ExitStack() as opening:
            self._writers = {
                table.name: opening.enter_context(
                    parquet_writer(self._folder / f"{table.name.lower()}.parquet", table.arrow(), internal=True)
                )
                for table in EXTRACTED
            }
            self._open = opening.pop_all()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._open.__exit__(*raised)

    def write(self, table: "Table", batch: "pa.RecordBatch") -> None:
        """Append a batch."""
        if "location" in batch.schema.names:
            batch = self._concealed(batch)
        self._writers[table.name].write_batch(batch)

    def paths(self, folder: Path) -> list[Path]:
        """The files in the folder that they were moved to; a twin's that stands there may be in the store alone."""
        paths = [folder / f"{name.lower()}.parquet" for name in self._writers]
        return [path for path in paths if path.exists()]

    def _concealed(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        from flows.download.signed_locations import strip_signature
        from transforms.read import arrow_columns

        at = batch.schema.get_field_index("location")
        if batch.column(at).null_count == batch.num_rows:
            return batch
        kept: list[str | None] = []
        for location in batch.column(at).to_pylist():
            shown, address = (None, None) if location is None else strip_signature(location, self._source)
            kept.append(shown)
            if shown is not None and address is not None:
                self.signed[shown] = address
        return batch.set_column(at, batch.schema.field(at), arrow_columns.texts(kept))

"""One source into its cached extract. The extract's existence, under the content's name, is the ledger.

A worker process runs ``extract``; it writes beside the target and renames, so that a kill leaves nothing half done.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, Literal, cast

import pyarrow as pa
import pyarrow.parquet as pq

from flows.layout import Layout, scratch, write_atomically
from flows.sources import HashingStream, Source, open_source, sha256_of
from schemas.extracted import EXTRACTED
from schemas.table import Table
from transforms.errors import BadFileError, FullReadingNeededError
from transforms.extract import ReadDocument, SourceAccount, extract_source

READER_VERSION = "2"  # raise it when reading changes: older extracts are then read anew
ACCOUNT = "account.json"
SNIFF_ZIP = b"PK"

Engine = Literal["scan", "ijson"]
Progress = Callable[[int, int, int], None]  # raw bytes, JSON bytes, items matched: since the last call


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

    @property
    def usable(self) -> bool:
        """Whether it was read to the end as an in-network or other TiC file."""
        return self.status in ("matched", "no_match")

    @property
    def is_table_of_contents(self) -> bool:
        """Whether it lists other files."""
        return self.usable and self.account.shape == "table_of_contents"


def extract(
    source: Source,
    wanted: frozenset[str],
    layout: Layout,
    on_progress: Progress | None = None,
    *,
    engine: Engine | None = None,
    overlap: bool = True,
) -> Outcome:
    """Read one source, or find the extract of an earlier reading; a bad file comes back as ``quarantined``.

    Args:
        overlap: inflate in a second thread: faster for one file, dearer where every core has a file of its own.
    """
    started = time.perf_counter()
    engine = engine or default_engine()
    try:
        known = _known_content(source, layout)
        if known is not None and (folder := _folder(layout, known[0], wanted, engine)).exists():
            return _outcome(source, known[0], known[1], folder, seconds=0.0)
        try:
            sha256, size, folder = _read(source, wanted, layout, on_progress, engine, overlap=overlap)
        except FullReadingNeededError:
            sha256, size, folder = _read(source, wanted, layout, on_progress, engine, overlap=overlap, skip=False)
    except BadFileError as error:
        return Outcome(
            source,
            "quarantined",
            reason=str(error),
            source_id=None if source.is_url else sha256_of(Path(source.location)),
            bytes=None if source.is_url else source.size,
            seconds=time.perf_counter() - started,
        )
    _remember(source, layout, sha256, size)
    return _outcome(source, sha256, size, folder, seconds=time.perf_counter() - started)


def _outcome(source: Source, sha256: str, size: int, folder: Path, *, seconds: float) -> Outcome:
    account = SourceAccount.from_json(json.loads((folder / ACCOUNT).read_bytes()))
    status = "matched" if account.items_matched else "no_match"
    return Outcome(source, status, source_id=sha256, bytes=size, seconds=seconds, extract=folder, account=account)


def default_engine() -> Engine:
    """The scanning reader where numba and msgspec can be imported, else the one that parses every byte."""
    return "scan" if find_spec("numba") and find_spec("msgspec") else "ijson"


def reader_of(engine: Engine, *, overlap: bool = True) -> ReadDocument:
    """The engine's ``read_document``, ready to read: imported only when it is used, for numba takes half a second."""
    if engine == "ijson":
        from transforms import read_ijson

        return read_ijson.read_document
    from transforms import read_scan

    read_scan.warm_up()
    return partial(read_scan.read_document, overlap=overlap)


def _folder(layout: Layout, sha256: str, wanted: frozenset[str], engine: Engine) -> Path:
    codes = hashlib.sha256(",".join(sorted(wanted)).encode()).hexdigest()[:8]
    return layout.extracts / f"{sha256}-{codes}-{engine}-v{READER_VERSION}"


def _read(
    source: Source,
    wanted: frozenset[str],
    layout: Layout,
    on_progress: Progress | None,
    engine: Engine,
    *,
    overlap: bool,
    skip: bool = True,
) -> tuple[str, int, Path]:
    temporary = scratch(layout.extracts)
    temporary.mkdir()
    try:
        before = _fingerprint(source)
        with open_source(source) as stream, _raw(source, stream) as raw:
            writers = _Writers(temporary)
            account = extract_source(
                raw,
                wanted,
                writers.write,
                lambda: _open_temporary(layout),
                reader=reader_of(engine, overlap=overlap),
                skip=skip,
                on_progress=_progress(stream, on_progress),
            )
            writers.close()
            sha256 = stream.finish()
        if _fingerprint(source) != before:
            raise BadFileError("the file changed while it was read; run again")
        (temporary / ACCOUNT).write_text(json.dumps(account.as_json()))
        target = _folder(layout, sha256, wanted, engine)
        _publish(temporary, target)
        return sha256, stream.bytes, target
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _open_temporary(layout: Layout) -> BinaryIO:
    """A nameless file on the cache's disk: it goes with the process, whatever happens."""
    return cast("BinaryIO", tempfile.TemporaryFile(dir=layout.extracts))


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

    def __init__(self, folder: Path) -> None:
        self._writers = {
            table.name: pq.ParquetWriter(folder / f"{table.name.lower()}.parquet", table.arrow(), compression="zstd")
            for table in EXTRACTED
        }

    def write(self, table: Table, batch: pa.RecordBatch) -> None:
        """Append a batch."""
        self._writers[table.name].write_batch(batch)

    def close(self) -> None:
        """Finish every file."""
        for writer in self._writers.values():
            writer.close()


def _publish(temporary: Path, target: Path) -> None:
    """Rename; when a twin was extracted meanwhile, its extract stands."""
    try:
        temporary.rename(target)
    except OSError:
        if not target.exists():
            raise


def _fingerprint(source: Source) -> str | None:
    """What changes whenever a local file changes; None for a remote one, or none at all."""
    if source.is_url:
        return None
    try:
        status = Path(source.location).stat()
    except OSError:
        return None
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}-{status.st_ctime_ns}"


def _ledger_path(source: Source, layout: Layout) -> Path:
    absolute = source.location if source.is_url else str(Path(source.location).absolute())
    return layout.ledger / f"{hashlib.sha256(absolute.encode()).hexdigest()[:32]}.json"


def _known_content(source: Source, layout: Layout) -> tuple[str, int] | None:
    """(sha256, bytes) of a local file read before and not touched since."""
    path = _ledger_path(source, layout)
    if source.is_url or not path.exists():
        return None
    entry = json.loads(path.read_bytes())
    return (entry["sha256"], entry["bytes"]) if entry["fingerprint"] == _fingerprint(source) else None


def _remember(source: Source, layout: Layout, sha256: str, size: int) -> None:
    fingerprint = _fingerprint(source)
    if fingerprint is not None:
        entry = {"fingerprint": fingerprint, "sha256": sha256, "bytes": size}
        write_atomically(_ledger_path(source, layout), json.dumps(entry).encode())

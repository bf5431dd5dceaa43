"""Reference data from the real CMS downloads: the slim NPPES lookup and further years of the fee schedule.

Files are told apart by content. What is built appears whole or not at all: written beside, synced, renamed.
"""

import gzip
import hashlib
import io
import os
import re
import time
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from isal import igzip

from flows.download.object_sources import find_object
from flows.storage.atomic_files import exchange_folders, remove_abandoned, unfinished_folder
from flows.storage.code_versions import code_version
from flows.storage.layout import Layout
from flows.storage.object_sync import download_object, ensure_local, upload
from flows.storage.parquet import has_schema
from flows.tables.nppes_external_sort import SpilledRecords
from schemas.nppes import NPPES
from schemas.reference import MEDICARE_TABLES, parse_reference
from schemas.table import SchemaError
from transforms.cms.fee_schedule import read_fee_schedule
from transforms.cms.medicare import MedicareReference
from transforms.cms.nppes import read_deactivations, read_nppes
from transforms.errors import UsageError

NPPES_DOWNLOAD = "https://download.cms.gov/nppes/NPI_Files.html"
_BUILDERS = ("flows.tables.reference", "flows.tables.nppes_external_sort", "transforms.cms.nppes")

_NPIDATA = re.compile(r"(?:.*/)?npidata_pfile_(?!.*fileheader)[^/]*\.csv", re.IGNORECASE)
_REPORT = re.compile(r".*\.(?:xlsx|csv)", re.IGNORECASE)
_PPRRVU = re.compile(r"(?:.*/)?PPRRVU[^/]*\.csv", re.IGNORECASE)
_GPCI = re.compile(r"(?:.*/)?GPCI[^/]*\.csv", re.IGNORECASE)

Progress = Callable[[int], None]  # called with the bytes just read, after inflating


def build_nppes(
    source: Path,
    target: Path,
    weekly: Sequence[Path] = (),
    deactivated: Sequence[Path] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Builds the lookup (``schemas.nppes.NPPES``, Parquet sorted by npi) at ``target``, replacing it at the end.

    Measured on a full-sized file (9 million records, 10.8 GB): 84 s, 714 MiB, whatever the size. Disk for the time
    being: about 60 bytes a record beside the target.

    Args:
        source: CMS's monthly zip, its npidata csv (plain or gzip).
        target: where the lookup goes.
        weekly: update files of the same layout, oldest first; a record replaces the NPI's earlier one.
        deactivated: CMS's deactivation reports (xlsx, its zip, or csv).
        progress: told of bytes as they are read.

    Returns:
        rows (NPIs), records (read), bytes (of CSV), seconds, output, output_bytes.

    Raises:
        UsageError: a file is missing, cut, or not what it should be; the text names the file.
    """
    started = time.monotonic()
    target.parent.mkdir(parents=True, exist_ok=True)
    counted = _Count(progress)
    remove_abandoned(target.parent)
    with unfinished_folder(target.parent) as folder:
        unfinished = folder / target.name
        with SpilledRecords(folder) as spilled:
            names = [_spill_file(path, spilled, counted) for path in (source, *weekly)]
            made_from = ", ".join((*names, *(path.name for path in deactivated)))
            rows = spilled.write_lookup(unfinished, [_deactivations(path) for path in deactivated], made_from)
            records = spilled.records
        unfinished.replace(target)
    return {
        "rows": rows,
        "records": records,
        "bytes": counted.total,
        "seconds": round(time.monotonic() - started, 3),
        "output": str(target),
        "output_bytes": target.stat().st_size,
    }


def nppes_lookup(source: Path, cache_dir: Path, progress: Progress | None = None) -> Path:
    """A built lookup for ``source``: itself when it is one, else built once into ``cache_dir``.

    The cached name follows from the source's path, size, times and inode, and from the code that builds it: a new
    download is built anew, and so is a cached lookup that can't be read.
    """
    if _is_parquet(source):
        check_lookup(source)
        return source
    cached = cache_dir / f"nppes-{_identity(source)}.parquet"
    if not is_lookup(cached):
        build_nppes(source, cached, progress=progress)
    return cached


def lookup_version() -> str:
    """The version of what a lookup holds for the same download."""
    return code_version(*_BUILDERS)


def is_lookup(path: Path) -> bool:
    """Whether a built lookup stands there."""
    return has_schema(path, NPPES.arrow())


def check_lookup(path: Path) -> None:
    """Raises ``UsageError`` unless the Parquet file has the columns and types of ``NPPES``."""
    try:
        found = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(
            f"{path}: not a readable Parquet file ({str(error).splitlines()[0]}); build it again"
        ) from error
    expected = {column.name: column.arrow.type for column in NPPES}
    wrong = [
        f"{name} is {found.field(name).type if name in found.names else 'missing'}, expected {kind}"
        for name, kind in expected.items()
        if name not in found.names or not _same_type(found.field(name).type, kind)
    ]
    if wrong:
        raise UsageError(
            f"{path}: no NPPES lookup of ours: {'; '.join(wrong)}; build one: tic-rates reference nppes FILE, "
            f"with the zip of {NPPES_DOWNLOAD}"
        )


def _same_type(found: pa.DataType, expected: pa.DataType) -> bool:
    """Equal but for string widths, which differ by writer (polars, DuckDB)."""
    return str(found).replace("large_", "").replace("element:", "item:").replace(" not null", "") == str(expected)


def _identity(source: Path) -> str:
    with _naming(source):
        stat = source.stat()
    content = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)  # a copy can be given any time but ctime
    text = f"{lookup_version()}|{source.resolve()}|{content}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def downloads_behind(lookup: Path) -> str | None:
    """The downloads behind a built lookup; None for one that does not say."""
    stated = (pq.read_schema(lookup).metadata or {}).get(b"made_from")
    return None if stated is None else stated.decode()


def _spill_file(path: Path, spilled: SpilledRecords, counted: "_Count") -> str:
    """Returns: the csv's name, in which CMS states the dates that it covers."""
    with _naming(path), _opened_npidata(path) as (name, stream):
        for records in read_nppes(counted.through(stream)):
            spilled.add(records)
    return name


@contextmanager
def _opened_npidata(path: Path) -> Iterator[tuple[str, BinaryIO]]:
    magic = _magic(path)
    if magic.startswith(b"PK\3\4"):
        with zipfile.ZipFile(path) as archive:
            member = _only_member(archive, _NPIDATA, "npidata_pfile csv")
            with archive.open(member) as file:
                yield Path(member).name, cast(BinaryIO, file)
    elif magic.startswith(b"\x1f\x8b"):
        with igzip.IGzipFile(path, "rb") as inflated:  # type: ignore[no-untyped-call]
            yield path.name, cast(BinaryIO, inflated)
    elif magic.startswith(b"PAR1"):
        raise UsageError("a Parquet file; give the zip or csv that CMS publishes")
    else:
        with path.open("rb") as file:
            yield path.name, file


def _only_member(archive: zipfile.ZipFile, pattern: re.Pattern[str], what: str) -> str:
    found = [name for name in archive.namelist() if pattern.fullmatch(name)]
    if len(found) == 1:
        return found[0]
    inside = ", ".join(found or archive.namelist()[:10])
    raise UsageError(f"{len(found) or 'no'} {what} in the zip, expected one; it holds {inside}")


def _deactivations(path: Path) -> pl.DataFrame:
    with _naming(path):
        content = path.read_bytes()
        if content.startswith(b"PK\3\4"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if "xl/workbook.xml" not in archive.namelist():
                    content = archive.read(_only_member(archive, _REPORT, "xlsx or csv"))
        return read_deactivations(io.BytesIO(content))


def build_medicare(
    rvu: Path, gpci: Path, year: int, target_dir: Path, codes: Collection[str] | None = None
) -> dict[str, Any]:
    """Builds one fee schedule year into ``target_dir/YEAR``: three small csv files in the packaged layout.

    Both files may be CMS's zip (RVU26A.zip and the like); of 2026's two PPRRVU files the one for clinicians who are
    no qualifying APM participants is taken (nonQPP).

    Args:
        rvu: PPRRVU csv, or the zip.
        gpci: GPCI csv, or the zip.
        year: fee schedule year.
        target_dir: folder of built years.
        codes: codes to keep; all unless given.

    Returns:
        year, codes, localities, conversion_factor, left_out (rows whose total is not its parts), output.
    """
    with _naming(rvu):
        rvu_csv = _csv_of(rvu, _PPRRVU, "PPRRVU csv")
    with _naming(gpci):
        gpci_csv = _csv_of(gpci, _GPCI, "GPCI csv")
    with _naming(f"{rvu}, {gpci}"):
        reference, left_out = read_fee_schedule(io.BytesIO(rvu_csv), io.BytesIO(gpci_csv), year, codes)
    folder = target_dir / str(year)
    frames = (reference.rvus, reference.gpcis, reference.conversion_factors)
    with unfinished_folder(target_dir) as unfinished:
        for table, frame in zip(MEDICARE_TABLES, frames, strict=True):
            _write_through(unfinished / table.path, frame.write_csv().encode())
        exchange_folders(unfinished, folder)
    return {
        "year": year,
        "codes": len(reference.rvus),
        "localities": len(reference.gpcis),
        "conversion_factor": float(reference.conversion_factors["conversion_factor"][0]),
        "left_out": left_out,
        "output": str(folder),
    }


def _csv_of(path: Path, pattern: re.Pattern[str], what: str) -> bytes:
    content = path.read_bytes()
    if not content.startswith(b"PK\3\4"):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if pattern.fullmatch(name)]
        plain = [name for name in names if "nonqpp" in name.lower()] or names
        if len(plain) != 1:
            raise UsageError(f"{len(plain) or 'no'} {what} in the zip, expected one; unpack it and give the csv")
        return archive.read(plain[0])


def load_medicare(target_dir: Path | None = None) -> MedicareReference:
    """The packaged years, overlaid by those built into ``target_dir`` (None or absent: packaged alone)."""
    reference = MedicareReference.packaged()
    for folder in sorted(target_dir.glob("[0-9][0-9][0-9][0-9]")) if target_dir else ():
        with _naming(folder):
            frames = [parse_reference((folder / table.path).read_bytes(), table) for table in MEDICARE_TABLES]
        reference = reference.with_year(MedicareReference(*frames))
    return reference


def _write_through(path: Path, content: bytes) -> None:
    """Write a file; it is on the disk when this returns."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _is_parquet(path: Path) -> bool:
    with _naming(path):
        return _magic(path).startswith(b"PAR1")


def _magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


@contextmanager
def _naming(place: Path | str) -> Iterator[None]:
    """Failures of reading come out as ``UsageError`` that begins with the file's name."""
    try:
        yield
    except (UsageError, SchemaError) as error:
        raise UsageError(f"{place}: {error}") from error
    except FileNotFoundError as error:
        raise UsageError(f"{error.filename or place}: no such file") from error
    except (zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, igzip.BadGzipFile, EOFError) as error:
        raise UsageError(f"{place}: cut or damaged ({error}); download it again") from error
    except NotImplementedError as error:  # a zip method that the standard library lacks (Deflate64)
        raise UsageError(f"{place}: {error}; unpack it and give the csv") from error
    except OSError as error:
        raise UsageError(f"{place}: {error.strerror or error}") from error


class _Count:
    """Counts the bytes that pass, and tells."""

    def __init__(self, progress: Progress | None) -> None:
        self.total = 0
        self._progress = progress

    def through(self, stream: BinaryIO) -> BinaryIO:
        """The same stream, counted."""
        return cast(BinaryIO, io.BufferedReader(_Counted(stream, self), 1 << 20))

    def add(self, size: int) -> None:
        """Some more bytes."""
        self.total += size
        if self._progress is not None:
            self._progress(size)


class _Counted(io.RawIOBase):
    def __init__(self, stream: BinaryIO, count: _Count) -> None:
        self._stream = stream
        self._count = count

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer from the stream."""
        size = cast(io.BufferedIOBase, self._stream).readinto(buffer)
        self._count.add(size)
        return size


def stored_nppes(url: str, layout: Layout) -> Path:
    """The lookup of a file in object storage: brought, or built once and kept, by the object's ETag and size.

    Raises:
        UsageError: it is not there, or no NPPES file.
    """
    objects, found = find_object(url)
    folder = layout.cache / "nppes"
    identity = f"{lookup_version()}|{url}|{found.etag}|{found.size}"
    target = folder / f"nppes-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.parquet"
    if ensure_local(layout, target) and is_lookup(target):
        return target
    with unfinished_folder(folder) as temporary:
        try:
            copy = temporary / Path(found.key).name
            download_object(objects, found.key, copy)
            built = nppes_lookup(copy, temporary)
        except UsageError as error:
            raise UsageError(str(error).replace(f"{temporary}/", f"{url.rpartition('/')[0]}/")) from error
        built.replace(target)
    upload(layout, target, dated=True)
    return target

"""The slim NPPES lookup, built from CMS's download once and found again by the download's identity."""

import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from flows.download.object_sources import find_object
from flows.storage.atomic_files import remove_abandoned, unfinished_folder
from flows.storage.code_versions import code_version
from flows.storage.layout import Layout
from flows.storage.object_sync import download_object, ensure_local, upload
from flows.storage.parquet import has_schema, metadata_of, replace_table
from flows.tables.cms_files import PARQUET, Progress, first_bytes, naming, opened_download, read_download
from schemas.reference import NPPES
from transforms.cms.nppes import merge_records, read_deactivations, read_nppes
from transforms.errors import UsageError

NPPES_DOWNLOAD = "https://download.cms.gov/nppes/NPI_Files.html"
_BUILDERS = ("flows.tables.nppes_lookup", "transforms.cms.nppes")
_NPIDATA = re.compile(r"(?:.*/)?npidata_pfile_(?!.*fileheader)[^/]*\.csv", re.IGNORECASE)
_REPORT = re.compile(r".*\.(?:xlsx|csv)", re.IGNORECASE)


def build_nppes(
    source: Path,
    target: Path,
    weekly: Sequence[Path] = (),
    deactivated: Sequence[Path] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Builds the lookup (``schemas.reference.NPPES``, Parquet sorted by npi) at ``target``, replacing it at the end.

    Memory: some 900 MiB for a full-sized file (9 million records, 10.8 GB).

    Args:
        source: CMS's monthly zip, its npidata csv (plain or gzip).
        target: where the lookup goes.
        weekly: update files of the same layout, oldest first; a record replaces the NPI's earlier one.
        deactivated: CMS's deactivation reports (xlsx, its zip, or csv).
        progress: called with the bytes just read.

    Returns:
        rows (NPIs), records (read), bytes (of CSV), seconds, output, output_bytes.

    Raises:
        UsageError: a file is missing, cut, or not what it should be; the text names the file.
    """
    started = time.monotonic()
    figures = {"records": 0, "bytes": 0}
    names: list[str] = []

    def count(size: int) -> None:
        figures["bytes"] += size
        if progress is not None:
            progress(size)

    def records() -> Iterator[pl.DataFrame]:
        for path in (source, *weekly):
            with naming(path), opened_download(path, _NPIDATA, "npidata_pfile csv", progress=count) as (name, stream):
                names.append(name)
                for frame in read_nppes(stream):
                    figures["records"] += frame.height
                    yield frame

    lookup = merge_records(records(), map(_read_report, deactivated))
    made_from = ", ".join((*names, *(path.name for path in deactivated)))
    remove_abandoned(target.parent)
    rows = replace_table(target, NPPES, lookup, made_from=made_from)
    seconds = round(time.monotonic() - started, 3)
    return {"rows": rows, **figures, "seconds": seconds, "output": str(target), "output_bytes": target.stat().st_size}


def _read_report(path: Path) -> pl.DataFrame:
    content = read_download(path, _REPORT, "xlsx or csv")
    with naming(path):
        return read_deactivations(content)


def nppes_lookup(source: Path, cache_dir: Path, progress: Progress | None = None) -> Path:
    """A built lookup for ``source``: itself when it is one, else built once into ``cache_dir``.

    The cached name follows from the source's path, size, times and inode, and from the code that builds it: a new
    download is built, and a cached lookup that can't be read is built again.
    """
    with naming(source):
        is_built = first_bytes(source) == PARQUET
    if is_built:
        check_lookup(source)
        return source
    stat = source.stat()
    content = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)  # a copy can be given any time but ctime
    cached = cache_dir / _cached_name(source.resolve(), content)
    if not is_lookup(cached):
        build_nppes(source, cached, progress=progress)
    return cached


def _cached_name(*identity: object) -> str:
    text = "|".join(map(str, (code_version(*_BUILDERS), *identity)))
    return f"nppes-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.parquet"


def is_lookup(path: Path) -> bool:
    """Whether the path has a built lookup."""
    return has_schema(path, NPPES.arrow())


def check_lookup(path: Path) -> None:
    """Raises ``UsageError`` unless the Parquet file has the columns and types of ``NPPES``."""
    try:
        found = pl.read_parquet_schema(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{path}: not a readable Parquet file ({reason}); build it again") from error
    wrong = [
        f"{name} is {found.get(name, 'missing')}, expected {kind}"
        for name, kind in NPPES.polars.items()
        if found.get(name) != kind
    ]
    if wrong:
        raise UsageError(
            f"{path}: not an NPPES lookup: {'; '.join(wrong)}; build one: tic-rates reference nppes FILE, "
            f"with the zip of {NPPES_DOWNLOAD}"
        )


def downloads_behind(lookup: Path) -> str | None:
    """The downloads behind a built lookup; None for one that does not say."""
    stated = metadata_of(lookup, NPPES).get(b"made_from")
    return None if stated is None else stated.decode()


def stored_nppes(url: str, layout: Layout) -> Path:
    """The lookup of a file in object storage: downloaded, or built once and cached, by the object's ETag and size.

    Raises:
        UsageError: the object is missing, or not an NPPES file.
    """
    objects, found = find_object(url)
    folder = layout.cache / "nppes"
    target = folder / _cached_name(url, found.etag, found.size)
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

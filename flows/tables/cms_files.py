"""CMS's downloads opened by their content (zip, gzip or plain), and failures of reading that name the file."""

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePath
from typing import Any, BinaryIO, cast

from isal import igzip, isal_zlib

from schemas.table import SchemaError
from transforms.errors import UsageError
from transforms.read.containers import CountedStream, open_member

ZIP = b"PK\3\4"
GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"
_DAMAGE = (zipfile.BadZipFile, zlib.error, cast("type[Exception]", isal_zlib.error), gzip.BadGzipFile, EOFError)

Progress = Callable[[int], None]  # called with the bytes just read, after inflating


@contextmanager
def naming(place: Path | str) -> Iterator[None]:
    """Failures of reading come out as ``UsageError`` that begins with the file's name."""
    try:
        yield
    except (UsageError, SchemaError) as error:
        raise UsageError(f"{place}: {error}") from error
    except FileNotFoundError as error:
        raise UsageError(f"{error.filename or place}: no such file") from error
    except _DAMAGE as error:
        raise UsageError(f"{place}: cut or damaged ({error}); download it again") from error
    except NotImplementedError as error:  # a zip method that the standard library lacks (Deflate64)
        raise UsageError(f"{place}: {error}; unpack it and use the csv") from error
    except OSError as error:
        raise UsageError(f"{place}: {error.strerror or error}") from error


def first_bytes(path: Path) -> bytes:
    """The first four bytes of a file, which show its format."""
    with path.open("rb") as file:
        return file.read(4)


def is_zip_of_files(path: Path) -> bool:
    """Whether it is a zip archive other than an Excel workbook."""
    if first_bytes(path) != ZIP:
        return False
    with zipfile.ZipFile(path) as archive:
        return "xl/workbook.xml" not in archive.namelist()


@contextmanager
def opened_download(
    path: Path,
    pattern: re.Pattern[str],
    what: str,
    preferred: Sequence[str] = (),
    progress: Progress = lambda _: None,
) -> Iterator[tuple[str, BinaryIO]]:
    """The name and content of a file, inflated where it is gzip, or of the only member of a zip that fits.

    CMS states in names what a file covers.

    Args: what, preferred: as ``only_member``.
    """
    name, magic = path.name, first_bytes(path)
    with ExitStack() as opened:
        if magic == PARQUET:
            raise UsageError("a Parquet file; use the zip or csv that CMS publishes")
        if is_zip_of_files(path):
            archive = opened.enter_context(zipfile.ZipFile(path))
            name = only_member(archive, pattern, what, preferred)
            stream: Any = open_member(archive, archive.getinfo(name))
        elif magic.startswith(GZIP):
            stream = igzip.IGzipFile(path, "rb")  # type: ignore[no-untyped-call]
        else:
            stream = path.open("rb")
        counted = CountedStream(opened.enter_context(stream), on_read=progress)
        yield PurePath(name).name, cast(BinaryIO, io.BufferedReader(counted, 64 << 10))


def read_download(path: Path, pattern: re.Pattern[str], what: str, preferred: Sequence[str] = ()) -> bytes:
    """The content of a small file, as ``opened_download``; failures name the file."""
    with naming(path), opened_download(path, pattern, what, preferred) as (_, stream):
        return stream.read()


def only_member(archive: zipfile.ZipFile, pattern: re.Pattern[str], what: str, preferred: Sequence[str] = ()) -> str:
    """The name of the member that fits.

    Args:
        what: it is, for the error.
        preferred: of several members, those whose names have the first of these words that any has.
    """
    fitting = [name for name in archive.namelist() if pattern.fullmatch(name)]
    named = ([name for name in fitting if word in name.lower()] for word in preferred)
    found = next(filter(None, named), fitting)
    if len(found) == 1:
        return found[0]
    inside = ", ".join(found or archive.namelist()[:10])
    raise UsageError(f"{len(found) or 'no'} {what} in the zip, expected one; it holds {inside}")

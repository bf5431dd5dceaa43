"""CMS's downloads opened by their content (zip, gzip or plain), and failures of reading that name the file."""

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from isal import igzip, isal_zlib

from schemas.table import SchemaError
from transforms.errors import UsageError
from transforms.read.containers import open_member

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
    with naming(path), path.open("rb") as file:
        return file.read(4)


@contextmanager
def opened_csv(
    path: Path, pattern: re.Pattern[str], what: str, progress: Progress, preferred: str = ""
) -> Iterator[tuple[str, BinaryIO]]:
    """A csv, as a stream and its name (CMS states what it covers in it): a file, gzip, or the only member that fits.

    Args: preferred: of several members, one whose name has this.
    """
    magic = first_bytes(path)
    if magic == ZIP:
        with zipfile.ZipFile(path) as archive:
            member = only_member(archive, pattern, what, preferred)
            with open_member(archive, archive.getinfo(member)) as file:
                yield Path(member).name, _counted(file, progress)
    elif magic.startswith(GZIP):
        with igzip.IGzipFile(path, "rb") as inflated:  # type: ignore[no-untyped-call]
            yield path.name, _counted(inflated, progress)
    elif magic == PARQUET:
        raise UsageError("a Parquet file; use the zip or csv that CMS publishes")
    else:
        with path.open("rb") as file:
            yield path.name, _counted(file, progress)


def member_or_file(path: Path, pattern: re.Pattern[str], what: str, preferred: str = "") -> bytes:
    """The content of a file, or of the only member of a zip that fits. An Excel workbook is a file, not a zip.

    Args: preferred: of several members, one whose name has this.
    """
    content = path.read_bytes()
    if not content.startswith(ZIP):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if "xl/workbook.xml" in archive.namelist():
            return content
        return archive.read(only_member(archive, pattern, what, preferred))


def only_member(archive: zipfile.ZipFile, pattern: re.Pattern[str], what: str, preferred: str = "") -> str:
    """The name of the member that fits."""
    fitting = [name for name in archive.namelist() if pattern.fullmatch(name)]
    found = [name for name in fitting if preferred in name.lower()] or fitting
    if len(found) == 1:
        return found[0]
    inside = ", ".join(found or archive.namelist()[:10])
    raise UsageError(f"{len(found) or 'no'} {what} in the zip, expected one; it holds {inside}")


def _counted(stream: Any, progress: Progress) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Counted(stream, progress), 64 << 10))


class _Counted(io.RawIOBase):
    """A stream that reports the bytes that pass."""

    def __init__(self, stream: io.BufferedIOBase, progress: Progress) -> None:
        self._stream = stream
        self._progress = progress

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer from the stream."""
        size = self._stream.readinto(buffer)
        self._progress(size)
        return size

"""What a published file's bytes are, by their content and never by their name, and the JSON documents inside.

gzip (of any number of members), zip (of any number of members, nested too), zstd, plain JSON with or without a BOM.
Anything else is named for what it is. A container that does not end properly is a ``BadFileError``.
Memory: constant; a zip that can't be sought is spooled to a temporary file.
"""

import io
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO, TypeVar, cast

from isal import igzip, igzip_lib

from transforms.errors import BadFileError
from transforms.spool import OpenTemporary

Taken = TypeVar("Taken", int, bytes)

HEAD_BYTES = 512
COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class ContainerLimits:
    """Limits that protect the machine; every one is a setting."""

    nesting: int = 3  # containers within containers
    zip_members: int = 100_000
    inflated_bytes: int = 4 << 40
    inflate_ratio: int = 2_000  # gzip's own bound is 1,032 per layer; real files reach 23
    ratio_from_bytes: int = 1 << 30  # below this an absurd ratio harms nobody


@dataclass(frozen=True)
class Document:
    """One JSON document of a source: its name inside the container ("" at the top) and its bytes as a stream."""

    name: str
    stream: BinaryIO


_GZIP = b"\x1f\x8b"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_ZSTD = b"\x28\xb5\x2f\xfd"
_BOM = b"\xef\xbb\xbf"
_REFUSED = (
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: repack it as gzip or zip"),
    (b"Rar!", "a RAR archive: repack it as gzip or zip"),
    (b"BZh", "bzip2: repack it as gzip or zip"),
    (b"\xfd7zXZ", "xz: repack it as gzip or zip"),
    (b"PK\x07\x08", "a spanned zip archive: join its parts first"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF document"),
    (b"\xff\xfe", "UTF-16 text: TiC files are UTF-8"),
    (b"\xfe\xff", "UTF-16 text: TiC files are UTF-8"),
)


class PeekedStream(io.RawIOBase):
    """A stream whose first bytes were looked at; counts what passes, and bounds it."""

    def __init__(self, stream: BinaryIO, head: bytes = b"") -> None:
        self._stream = stream
        self._head = head
        self.bytes = 0

    @classmethod
    def peek(cls, stream: BinaryIO) -> tuple[bytes, "PeekedStream"]:
        """The first bytes of a stream, and a stream that still gives them."""
        head = b""
        while len(head) < HEAD_BYTES and (more := stream.read(HEAD_BYTES - len(head))):
            head += more
        return head, cls(stream, head)

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes; everything when negative."""
        if self._head:
            data = self._head if size < 0 else self._head[:size]
            self._head = self._head[len(data) :]
            if size < 0:
                data += self._stream.read()
        else:
            data = self._stream.read(size)
        self.bytes += len(data)
        return data

    def readinto(self, buffer: object) -> int:
        """As ``read``, into a buffer; without a copy once the head has been given."""
        view = memoryview(buffer)  # type: ignore[arg-type]
        direct: Callable[[memoryview], int] | None = getattr(self._stream, "readinto", None)
        if direct is not None and not self._head:
            count = direct(view)
            self.bytes += count
            return count
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)


class InflatedStream(io.RawIOBase):
    """Turns a decompressor's errors into ours, with the place, and stops a bomb."""

    def __init__(self, inflated: BinaryIO, packed: PeekedStream, kind: str, limits: "_Limited") -> None:
        self._inflated = inflated
        self._packed = packed
        self._kind = kind
        self._limits = limits
        # GzipFile's own readinto reads, then copies: a tenth of the time that inflating takes; its buffer does not
        self._direct: Callable[[memoryview], int] | None = getattr(getattr(inflated, "_buffer", None), "readinto", None)
        self.bytes = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: object) -> int:
        """As ``read``, into a buffer."""
        view = memoryview(buffer)  # type: ignore[arg-type]
        if self._direct is not None:
            direct = self._direct
            return self._counted(lambda: direct(view), int)
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """Inflated bytes; ``BadFileError`` where the container is broken or inflates beyond the limits."""
        return self._counted(lambda: self._inflated.read(size), len)

    def _counted(self, take: Callable[[], Taken], size_of: Callable[[Taken], int]) -> Taken:
        try:
            data = take()
        except EOFError as error:
            raise BadFileError(
                f"the {self._kind} ends before its trailer {self._place()}: it is truncated, fetch it again"
            ) from error
        except (OSError, zlib.error, igzip_lib.IsalError, zipfile.BadZipFile) as error:  # type: ignore[misc]
            raise BadFileError(f"the {self._kind} is damaged {self._place()}: {error}; fetch it again") from error
        self.bytes += size_of(data)
        self._limits.inflated += size_of(data)
        self._check()
        return data

    def _place(self) -> str:
        return f"(at or before byte {self._packed.bytes:,} of the file, JSON byte {self.bytes:,})"

    def _check(self) -> None:
        limits = self._limits.limits
        if self._limits.inflated > limits.inflated_bytes:
            raise BadFileError(f"inflates beyond {limits.inflated_bytes:,} bytes (limit inflated_bytes)")
        if self.bytes > limits.ratio_from_bytes and self.bytes > limits.inflate_ratio * max(self._packed.bytes, 1):
            raise BadFileError(f"inflates more than {limits.inflate_ratio:,}-fold (limit inflate_ratio)")


@dataclass
class _Limited:
    """The limits of one published file, and what all its layers and members have inflated to so far."""

    limits: ContainerLimits
    inflated: int = 0


def open_documents(
    raw: BinaryIO, open_temporary: OpenTemporary, limits: ContainerLimits | None = None
) -> Iterator[Document]:
    """The JSON documents of one published file, one after the other; each is to be read to its end before the next.

    Raises:
        BadFileError: not a container or text that can hold TiC JSON, or damaged; says what it is and the next step.
    """
    yield from _open_layer(raw, "", open_temporary, _Limited(limits or ContainerLimits()), 0)


def _open_layer(
    raw: BinaryIO, name: str, open_temporary: OpenTemporary, limits: _Limited, depth: int
) -> Iterator[Document]:
    if depth > limits.limits.nesting:
        raise BadFileError(f"containers nested more than {limits.limits.nesting} deep (limit nesting)")
    head, stream = PeekedStream.peek(raw)
    if not head:
        raise BadFileError("the file is empty: fetch it again")
    if head.startswith(_GZIP):
        inflated = igzip.IGzipFile(fileobj=stream, mode="rb")  # type: ignore[no-untyped-call]
        layer = InflatedStream(cast("BinaryIO", inflated), stream, "gzip", limits)
        yield from _open_layer(cast("BinaryIO", layer), name, open_temporary, limits, depth + 1)
        _expect_end(cast("BinaryIO", layer))
    elif head.startswith(_ZSTD):
        import pyarrow as pa  # late: it takes longer to import than most files take to read

        inflated = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd")
        layer = InflatedStream(inflated, stream, "zstd", limits)
        yield from _open_layer(cast("BinaryIO", layer), name, open_temporary, limits, depth + 1)
        _expect_end(cast("BinaryIO", layer))
    elif head.startswith(_ZIP):
        yield from _open_zip(raw, stream, name, open_temporary, limits, depth)
    else:
        yield Document(name, _as_json(head, stream))


def _expect_end(stream: BinaryIO) -> None:
    """Read on to the container's own end, so that its trailer is checked."""
    if stream.read(1):
        raise BadFileError("the container goes on after the document in it")


def _open_zip(
    raw: BinaryIO,
    stream: PeekedStream,
    name: str,
    open_temporary: OpenTemporary,
    limits: _Limited,
    depth: int,
) -> Iterator[Document]:
    with closing(_seekable(raw, stream, open_temporary)) as whole:
        try:
            archive = zipfile.ZipFile(whole)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise BadFileError(f"the zip is damaged or truncated: {error}; fetch it again") from error
        members = [member for member in archive.infolist() if not _is_litter(member)]
        most = limits.limits.zip_members
        if len(members) > most:
            raise BadFileError(f"a zip of {len(members):,} members (limit zip_members is {most:,})")
        if not members:
            raise BadFileError("the zip holds no file")
        for member in members:
            inner = f"{name}!{member.filename}" if name else member.filename
            if member.flag_bits & 0x1:
                raise BadFileError(f"zip member {inner} is encrypted")
            try:
                opened = archive.open(member)
            except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
                raise BadFileError(f"zip member {inner} can't be opened: {error}; fetch it again") from error
            packed = PeekedStream(cast("BinaryIO", io.BytesIO()))
            packed.bytes = member.compress_size
            layer = cast("BinaryIO", InflatedStream(cast("BinaryIO", opened), packed, f"zip member {inner}", limits))
            with opened:
                yield from _open_layer(layer, inner, open_temporary, limits, depth + 1)
                _expect_end(layer)


def _is_litter(member: zipfile.ZipInfo) -> bool:
    """Folders, and what macOS adds to every zip."""
    return member.is_dir() or member.filename.startswith("__MACOSX/") or member.filename.endswith(".DS_Store")


def _seekable(raw: BinaryIO, stream: PeekedStream, open_temporary: OpenTemporary) -> BinaryIO:
    if getattr(raw, "seekable", lambda: False)():
        raw.seek(0)
        return cast("BinaryIO", _Unclosed(raw))
    spooled = open_temporary()
    shutil.copyfileobj(stream, spooled, COPY_BYTES)
    spooled.seek(0)
    return spooled


class _Unclosed:
    """The caller's own file: closing the zip leaves it open."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> object:
        return getattr(self._raw, name)

    def close(self) -> None:
        """Leave it open."""


def _as_json(head: bytes, stream: PeekedStream) -> BinaryIO:
    for magic, what in _REFUSED:
        if head.startswith(magic):
            raise BadFileError(f"the file is {what}")
    if head.startswith(_BOM):
        stream.read(len(_BOM))
        head = head[len(_BOM) :]
    text = head.lstrip()
    if text.startswith(b"<"):
        kind = "an HTML page" if b"<html" in text[:400].lower() or b"<!doctype html" in text.lower() else "XML"
        raise BadFileError(f"the file is {kind}, not JSON: the address may have expired; read it anew")
    if text and not text.startswith((b"{", b"[")):
        raise BadFileError(f"the file is no JSON object: it begins with {text[:20]!r}")
    return cast("BinaryIO", stream)

"""What a published file's bytes are, by their content and never by their name, and the JSON documents inside.

gzip (of any number of members), zip (of any number of members, nested too), zstd, plain JSON with or without a BOM.
Anything else is named for what it is. A container that does not end properly is a ``BadFileError``.
Members of a zip that are no JSON (a README, a PDF) are set aside, as long as one member is JSON.
No member of a zip is ever written under its name, which only serves to say which one is meant.
Memory: constant, and a zip's directory: 1 KiB for each member allowed; one that can't be sought is spooled to a
temporary file.
"""

import copy
import io
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import IO, BinaryIO, TypeVar, cast

from isal import igzip, igzip_lib, isal_zlib

from transforms.errors import BadFileError
from transforms.limits import Limits, crossed
from transforms.read.spool import OpenTemporary

Answer = TypeVar("Answer", int, bytes)

HEAD_BYTES = 512
COPY_BYTES = 1 << 20
PACKED_BYTES = 64 << 10
DIRECTORY_BYTES = 1_024  # of a zip member's entry: names of 100 to 200 characters are usual
LABEL_CHARS = 200

SetAside = Callable[[str], None]  # is called with the name of a zip's member that is no JSON, and what it is


class NotJsonError(BadFileError):
    """Content that can't be JSON, by its first bytes; not other archives and encodings, which may hold some."""


@dataclass(frozen=True)
class Document:
    """One JSON document of a source: its name inside the container ("" at the top) and its bytes as a stream.

    ``first``: the number of bytes in front of those, which are a byte order mark.
    """

    name: str
    stream: BinaryIO
    first: int


_GZIP = b"\x1f\x8b"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_ZSTD = b"\x28\xb5\x2f\xfd"
_BOM = b"\xef\xbb\xbf"
_OF_ISAL = cast("type[Exception]", igzip_lib.IsalError)
_OF_ZIPFILE = (zipfile.BadZipFile, ValueError, RuntimeError, struct.error)  # the last three: a wrong directory
_DAMAGE = (OSError, OverflowError, zlib.error, _OF_ISAL, *_OF_ZIPFILE)  # Overflow: an endless header
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)  # lzma may ask for gigabytes of memory
_ENTRY = b"PK\x01\x02"
_LEAST_DIRECTORY_BYTES = 1 << 20
_REFUSED = (
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: repack it as gzip or zip"),
    (b"Rar!", "a RAR archive: repack it as gzip or zip"),
    (b"BZh", "bzip2: repack it as gzip or zip"),
    (b"\xfd7zXZ", "xz: repack it as gzip or zip"),
    (b"PK\x07\x08", "a spanned zip archive: join its parts first"),
    (b"\xff\xfe", "UTF-16 text: TiC files are UTF-8"),
    (b"\xfe\xff", "UTF-16 text: TiC files are UTF-8"),
)
_NOT_JSON = ((b"PAR1", "a Parquet file"), (b"%PDF", "a PDF document"))


class CountedStream(io.RawIOBase):
    """A stream that counts the bytes that pass, and begins with those that were read ahead."""

    def __init__(self, stream: BinaryIO, head: bytes = b"", on_read: Callable[[int], None] = lambda _: None) -> None:
        """Args: on_read: called with the number of bytes just read."""
        self._stream = stream
        self._head = head
        self._on_read = on_read
        self.bytes = 0

    @classmethod
    def peek(cls, stream: BinaryIO) -> tuple[bytes, "CountedStream"]:
        """The first bytes of a stream, and a stream that still begins with them."""
        head = b""
        while len(head) < HEAD_BYTES and (more := stream.read(HEAD_BYTES - len(head))):
            head += more
        return head, cls(stream, head)

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes; everything when negative."""
        ahead = len(self._head) if size < 0 else size
        data, self._head = self._head[:ahead], self._head[ahead:]
        if size < 0 or not data:
            data += self._stream.read(size)
        self._count(len(data))
        return data

    def readinto(self, buffer: object) -> int:
        """As ``read``, into a buffer; without a copy once the head has been read."""
        view = memoryview(buffer)  # type: ignore[arg-type]
        direct: Callable[[memoryview], int] | None = getattr(self._stream, "readinto", None)
        if direct is not None and not self._head:
            count = direct(view)
            self._count(count)
            return count
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def _count(self, size: int) -> None:
        self.bytes += size
        self._on_read(size)


class InflatedStream(io.RawIOBase):
    """A decompressor's bytes; its errors name the place, and so does the one for a file that inflates too far."""

    def __init__(self, inflated: BinaryIO, packed: CountedStream, kind: str, limits: "_Limited") -> None:
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

    def _counted(self, read: Callable[[], Answer], size_of: Callable[[Answer], int]) -> Answer:
        try:
            data = read()
        except EOFError as error:
            raise BadFileError(
                f"the {self._kind} ends before its trailer {self._place()}: it is truncated, fetch it again"
            ) from error
        except _DAMAGE as error:
            raise BadFileError(f"the {self._kind} is damaged {self._place()}: {error}; fetch it again") from error
        self.bytes += size_of(data)
        self._limits.inflated += size_of(data)
        self._check()
        return data

    def _place(self) -> str:
        return f"(at or before byte {self._packed.bytes:,} of the file, JSON byte {self.bytes:,})"

    def _check(self) -> None:
        limits, inflated = self._limits.limits, self._limits.inflated
        if inflated > limits.inflated_bytes:
            raise crossed(limits, "inflated_bytes", f"inflates to more bytes {self._place()}")
        packed = max(self._limits.packed(), 1)
        if inflated > limits.ratio_from_bytes and inflated > limits.inflate_ratio * packed:
            what = f"inflates {inflated // packed:,}-fold, to {inflated:,} bytes so far {self._place()}"
            raise crossed(limits, "inflate_ratio", what)


@dataclass
class _Limited:
    """The limits of one published file, and what all its layers and members have inflated to so far."""

    limits: Limits
    set_aside: SetAside
    open_temporary: OpenTemporary
    packed: Callable[[], int] = int  # the file's own bytes: those read so far, or all of them where it is sought
    inflated: int = 0
    members: int = 0


def open_documents(
    raw: BinaryIO,
    open_temporary: OpenTemporary,
    limits: Limits | None = None,
    set_aside: SetAside = lambda _: None,
) -> Iterator[Document]:
    """The JSON documents of one published file, one after the other; each is to be read to its end before the next.

    Raises:
        BadFileError: not a container or text that can hold TiC JSON, or damaged; says what it is and the next step.
    """
    yield from _open_layer(raw, "", _Limited(limits or Limits(), set_aside, open_temporary), 0)


def _open_layer(raw: BinaryIO, name: str, limits: _Limited, depth: int) -> Iterator[Document]:
    if depth > limits.limits.nesting:
        raise crossed(limits.limits, "nesting", f"more containers in containers (at {name or 'the top'})")
    head, stream = CountedStream.peek(raw)
    if not depth:
        limits.packed = lambda: stream.bytes
    if not head:
        raise BadFileError("the file is empty: fetch it again")
    if head.startswith(_ZIP):
        yield from _open_zip(raw, stream, name, limits, depth)
    elif head.startswith((_GZIP, _ZSTD)):
        kind = "gzip" if head.startswith(_GZIP) else "zstd"
        layer = cast("BinaryIO", InflatedStream(_inflated(stream, kind), stream, kind, limits))
        yield from _open_layer(layer, name, limits, depth + 1)
        _expect_end(layer)
    else:
        yield Document(name, *_as_json(head, stream))


def _inflated(stream: CountedStream, kind: str) -> BinaryIO:
    if kind == "gzip":
        return cast("BinaryIO", igzip.IGzipFile(fileobj=stream, mode="rb"))  # type: ignore[no-untyped-call]
    import pyarrow as pa  # late: it takes longer to import than most files take to read

    return cast("BinaryIO", pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd"))


def _expect_end(stream: BinaryIO) -> None:
    """Read on to the container's own end, so that its trailer is checked."""
    if stream.read(1):
        raise BadFileError("the container goes on after the document in it")


def _open_zip(raw: BinaryIO, stream: CountedStream, name: str, limits: _Limited, depth: int) -> Iterator[Document]:
    with _seekable(raw, stream, limits.open_temporary) as whole:
        with _explaining("the zip is damaged or truncated"):
            archive = zipfile.ZipFile(cast("BinaryIO", _MeasuredDirectory(whole, limits)))
        members = [member for member in archive.infolist() if not _is_litter(member)]
        limits.members += len(members)
        if limits.members > limits.limits.zip_members:
            raise crossed(limits.limits, "zip_members", f"zips of {limits.members:,} members together")
        if not members:
            raise NotJsonError("the zip holds no file")
        size = whole.seek(0, io.SEEK_END)
        if not depth:
            limits.packed = lambda: size
        if sum(member.compress_size for member in members) > size:
            raise BadFileError("the zip's members overlap: it is damaged, or made to inflate without end")
        found, refusal = False, ""
        for member in members:
            shown = _shown(member.filename)
            inner = f"{name}!{shown}" if name else shown
            opened = _open_member(archive, member, inner)
            packed = CountedStream(cast("BinaryIO", io.BytesIO()))
            packed.bytes = member.compress_size
            layer = cast("BinaryIO", InflatedStream(cast("BinaryIO", opened), packed, f"zip member {inner}", limits))
            with opened:
                try:
                    for document in _open_layer(layer, inner, limits, depth + 1):
                        found = True
                        yield document
                    _expect_end(layer)
                except NotJsonError as error:
                    refusal = refusal or f"{inner}: {error}"
                    limits.set_aside(f"{inner}: {error}")
                    while layer.read(COPY_BYTES):  # to its end, so that its checksum is compared
                        pass
        if not found:
            raise NotJsonError(f"the zip holds no JSON ({refusal})")


@contextmanager
def _explaining(what: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise BadFileError(f"{what}: {error}; fetch it again") from error


def _open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, inner: str) -> IO[bytes]:
    if member.flag_bits & _ENCRYPTED:
        raise BadFileError(f"zip member {inner} is encrypted: ask the payer for an open one")
    if member.compress_type not in _METHODS:
        what = f"by method {member.compress_type}"
        raise BadFileError(f"zip member {inner} is compressed {what}: repack it with deflate, or as gzip")
    with _explaining(f"zip member {inner} can't be opened"):
        return open_member(archive, member)


def open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    """A member's bytes, as ``archive.open`` gives them; inflated by isal where they are deflated."""
    if member.compress_type != zipfile.ZIP_DEFLATED:
        return archive.open(member)
    packed = copy.copy(member)  # as if it were stored: opened, it is the packed bytes
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, member.compress_size
    del packed.CRC
    return cast("IO[bytes]", _InflatedMember(archive.open(packed), member))


class _InflatedMember(io.BufferedIOBase):
    def __init__(self, packed: IO[bytes], member: zipfile.ZipInfo) -> None:
        self._packed, self._member = packed, member
        self._inflate = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
        self._seen = (0, 0)  # length and checksum

    def close(self) -> None:
        self._packed.close()
        super().close()

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return b"".join(iter(partial(self.read, COPY_BYTES), b""))
        data = b""
        while size and not data and not self._inflate.eof:
            packed = self._packed.read(PACKED_BYTES) if self._inflate.needs_input else b""
            if self._inflate.needs_input and not packed:
                raise EOFError("its compressed data end too early")
            try:
                data = self._inflate.decompress(packed, size)
            except _OF_ISAL as error:  # as ``archive.open`` has it
                raise zlib.error(str(error)) from error
        self._seen = self._seen[0] + len(data), isal_zlib.crc32(data, self._seen[1])
        if self._inflate.eof and self._seen != (self._member.file_size, self._member.CRC):
            raise zipfile.BadZipFile(f"Bad CRC-32 for file {self._member.filename!r}")
        return data


def _shown(filename: str) -> str:
    """A member's name as a label: no line ends or other signs that a terminal obeys, no more than fit a line."""
    text = "".join(sign if sign.isprintable() else "?" for sign in filename[:LABEL_CHARS])
    return text if len(filename) <= LABEL_CHARS else f"{text}..."


class _MeasuredDirectory:
    """A zip whose directory is measured before ``zipfile`` makes a kilobyte of objects of each of its entries."""

    def __init__(self, raw: BinaryIO, limits: _Limited) -> None:
        self._raw = raw
        self._limits = limits

    def __getattr__(self, name: str) -> object:
        return getattr(self._raw, name)

    def read(self, size: int = -1) -> bytes:
        """As a file's ``read``; the directory is read at once."""
        limits = self._limits.limits
        if size > max(limits.zip_members * DIRECTORY_BYTES, _LEAST_DIRECTORY_BYTES):
            what = f"a zip directory of {size:,} bytes, more than {DIRECTORY_BYTES:,} for each member allowed"
            raise crossed(limits, "zip_members", what)
        data = self._raw.read(size)
        if data.startswith(_ENTRY) and data.count(_ENTRY) > limits.zip_members:
            raise crossed(limits, "zip_members", f"a zip of {data.count(_ENTRY):,} members")
        return data


def _is_litter(member: zipfile.ZipInfo) -> bool:
    """Folders, and what macOS adds to every zip."""
    return member.filename.endswith(("/", ".DS_Store")) or member.filename.startswith("__MACOSX/")


def _seekable(raw: BinaryIO, stream: CountedStream, open_temporary: OpenTemporary) -> AbstractContextManager[BinaryIO]:
    """The caller's own file, left open; or a temporary one with the same bytes, closed with the context."""
    if getattr(raw, "seekable", lambda: False)():
        raw.seek(0)
        return nullcontext(raw)
    spooled = open_temporary()
    shutil.copyfileobj(stream, spooled, COPY_BYTES)
    spooled.seek(0)
    return spooled


def _as_json(head: bytes, stream: CountedStream) -> tuple[BinaryIO, int]:
    """The stream behind a byte order mark, and how long that is."""
    for error, signs in ((BadFileError, _REFUSED), (NotJsonError, _NOT_JSON)):
        for magic, what in signs:
            if head.startswith(magic):
                raise error(f"the file is {what}")
    mark = len(_BOM) if head.startswith(_BOM) else 0
    if mark:
        stream.read(mark)
    text = head[mark:].lstrip()
    if text.startswith(b"<"):
        kind = "an HTML page" if b"<html" in text[:400].lower() or b"<!doctype html" in text.lower() else "XML"
        raise NotJsonError(f"the file is {kind}, not JSON: the address may have expired; read it anew")
    if text and not text.startswith((b"{", b"[")):
        raise NotJsonError(f"the file is no JSON object: it begins with {text[:20]!r}")
    return cast("BinaryIO", stream), mark

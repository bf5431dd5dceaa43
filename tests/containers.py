"""Ways in which the same JSON bytes are published, sound and broken ones, by name."""

import gzip
import io
import zipfile
from collections.abc import Callable, Mapping

import pyarrow as pa

Wrap = Callable[[bytes], bytes]

NO_MATCH = b'{"reporting_entity_name": "Acme Health Plan", "in_network": []}'
BOM = b"\xef\xbb\xbf"
SEVEN_ZIP_MAGIC = b"7z\xbc\xaf\x27\x1c"


def gzipped(data: bytes) -> bytes:
    """One gzip member, the same bytes every time."""
    return gzip.compress(data, mtime=0)


def gzip_members(data: bytes) -> bytes:
    """Three members that split the JSON anywhere, as ``cat a.gz b.gz`` and block gzip do."""
    third = len(data) // 3
    return gzipped(data[:third]) + gzipped(data[third : 2 * third]) + gzipped(data[2 * third :])


def gzip_with_name(data: bytes) -> bytes:
    """The header carries a file name, as ``gzip FILE`` writes it."""
    out = io.BytesIO()
    with gzip.GzipFile("in-network-rates.json", "wb", fileobj=out, mtime=0) as file:
        file.write(data)
    return out.getvalue()


def gzip_bad_crc(data: bytes) -> bytes:
    """The trailer's CRC is another one."""
    sound = gzipped(data)
    return sound[:-8] + bytes([sound[-8] ^ 1]) + sound[-7:]


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these members, the same bytes every time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


class _Pipe(io.RawIOBase):
    """An output that cannot seek: zipfile then writes lengths and CRC behind the data."""

    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.written += memoryview(data)  # type: ignore[arg-type]
        return len(memoryview(data))  # type: ignore[arg-type]


def zip_streamed(data: bytes) -> bytes:
    """A zip written to a pipe: local headers without lengths, data descriptors."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("rates.json"), data, zipfile.ZIP_DEFLATED)
    return bytes(pipe.written)


def zip_many(data: bytes) -> bytes:
    """Forty members, a folder among them; the rates are in one of them."""
    members = {"part/": b""} | {f"part/{n:02d}_of_40.json": NO_MATCH for n in range(40)}
    return zipped(members | {"part/31_of_40.json": data})


def zip_bad_crc(data: bytes) -> bytes:
    """A stored member with one byte changed after its CRC was taken."""
    sound = zipped({"rates.json": data}, zipfile.ZIP_STORED)
    return sound.replace(b"Acme", b"Acne", 1)


def zstd(data: bytes) -> bytes:
    """One zstd frame."""
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(data)
    frame: bytes = out.getvalue().to_pybytes()
    return frame


CONTAINERS: Mapping[str, Wrap] = {
    "plain": lambda data: data,
    "bom": lambda data: BOM + data,
    "gzip": gzipped,
    "gzip-bom": lambda data: gzipped(BOM + data),
    "gzip-members": gzip_members,
    "gzip-empty-member": lambda data: gzipped(data) + gzipped(b""),
    "gzip-named": gzip_with_name,
    "gzip-stored": lambda data: gzip.compress(data, compresslevel=0, mtime=0),
    "zip": lambda data: zipped({"rates.json": data}),
    "zip-stored": lambda data: zipped({"rates.json": data}, zipfile.ZIP_STORED),
    "zip-streamed": zip_streamed,
    "zip-many": zip_many,
    "zip-bom": lambda data: zipped({"rates.json": BOM + data}),
    "zip-nested": lambda data: zipped({"inner.zip": zipped({"rates.json": data})}),
    "zip-with-readme": lambda data: zipped({"README.txt": b"Rates {97026}", "a.json": data, "b.pdf": b"%PDF-1.7\n"}),
    "gzip-in-zip": lambda data: zipped({"rates.json.gz": gzipped(data)}),
    "zstd": zstd,
    # broken from here on
    "gzip-no-trailer": lambda data: gzipped(data)[:-8],
    "gzip-half-trailer": lambda data: gzipped(data)[:-4],
    "gzip-one-byte-short": lambda data: gzipped(data)[:-1],
    "gzip-cut": lambda data: gzipped(data)[: len(gzipped(data)) // 2],
    "gzip-header-only": lambda data: gzipped(data)[:10],
    "gzip-bad-crc": gzip_bad_crc,
    "gzip-bad-length": lambda data: gzipped(data)[:-1] + b"\x7f",
    "gzip-garbage-after": lambda data: gzipped(data) + b"<html>",
    "gzip-second-member-cut": lambda data: gzip_members(data)[:-12],
    "gzip-document-twice": lambda data: gzipped(data) + gzipped(data),
    "zip-cut": lambda data: zipped({"rates.json": data})[:-30],
    "zip-bad-crc": zip_bad_crc,
    "zip-empty": lambda data: zipped({}),
    "zip-without-json": lambda data: zipped({"README.txt": b"see " + data[:0], "b.pdf": b"%PDF-1.7\n"}),
    "zip-one-member-truncated": lambda data: zipped({"good.json": data, "cut.json": data[:-20]}),
    "zstd-cut": lambda data: zstd(data)[:-10],
    "7z": lambda data: SEVEN_ZIP_MAGIC + b"\x00\x04" + data,
}

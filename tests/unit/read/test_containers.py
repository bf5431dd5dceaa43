"""Every limit of the containers, crossed by a small one; each refusal names the limit."""

import io
import re
import struct
import sys
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import BinaryIO, cast

import msgspec
import pytest

from flows.storage.cache_entries import decode_record
from tests.containers import gzip_members, gzipped, zipped, zstd
from tests.documents import document as in_network
from tests.json_text import json_bytes
from tests.pipeline import extract_bytes, open_temporary
from transforms.errors import BadFileError
from transforms.limits import Limits
from transforms.read.account import SourceAccount
from transforms.read.containers import open_documents, open_member

TEXT = b'{"in_network": [], "x": "' + b"a" * 100_000 + b'"}'
ONE_LAYER = ("gzip", "zip", "zstd", "gzip members")


def packed(kind: str) -> bytes:
    match kind:
        case "zip":
            return zipped({"rates.json": TEXT})
        case "zstd":
            return zstd(TEXT)
        case "gzip members":
            return gzip_members(TEXT)
        case _:
            return gzipped(TEXT)


def read_all(published: bytes, limits: Limits) -> list[bytes]:
    def documents() -> Iterator[bytes]:
        for document in open_documents(io.BytesIO(published), open_temporary, limits):
            pieces = []
            while piece := document.stream.read(1_000):
                pieces.append(piece)
            yield b"".join(pieces)

    return list(documents())


@pytest.mark.parametrize("kind", ONE_LAYER)
def test_within_the_limits_everything_is_read(kind: str) -> None:
    assert read_all(packed(kind), Limits(nesting=1, inflated_bytes=len(TEXT))) == [TEXT]


@pytest.mark.parametrize("kind", ONE_LAYER)
def test_inflating_beyond_the_total_is_refused(kind: str) -> None:
    with pytest.raises(BadFileError, match=r"limit inflated_bytes"):
        read_all(packed(kind), Limits(inflated_bytes=len(TEXT) - 1))


@pytest.mark.parametrize("kind", ONE_LAYER)
def test_inflating_beyond_the_ratio_is_refused(kind: str) -> None:
    with pytest.raises(BadFileError, match=r"limit inflate_ratio is 10;"):
        read_all(packed(kind), Limits(inflate_ratio=10, ratio_from_bytes=20_000))


@pytest.mark.parametrize("kind", ONE_LAYER)
def test_an_absurd_ratio_of_few_bytes_is_read(kind: str) -> None:
    assert read_all(packed(kind), Limits(inflate_ratio=2, ratio_from_bytes=len(TEXT))) == [TEXT]


@pytest.mark.parametrize(
    "published",
    [gzipped(gzipped(TEXT)), zipped({"inner.zip": zipped({"a.json": TEXT})}), zipped({"a.gz": gzipped(TEXT)})],
    ids=["gzip in gzip", "zip in zip", "gzip in zip"],
)
def test_containers_in_containers_are_read_to_the_limit_and_refused_beyond(published: bytes) -> None:
    assert read_all(published, Limits(nesting=2)) == [TEXT]
    with pytest.raises(BadFileError, match=r"more containers in containers .*limit nesting is 1;"):
        read_all(published, Limits(nesting=1))


def test_too_many_zip_members_are_refused() -> None:
    published = zipped({f"{number}.json": b'{"in_network": []}' for number in range(4)})
    assert len(read_all(published, Limits(zip_members=4))) == 4
    with pytest.raises(BadFileError, match=r"a zip of 4 members: limit zip_members is 3;"):
        read_all(published, Limits(zip_members=3))


def test_the_total_holds_for_all_zip_members_together() -> None:
    published = zipped({f"{number}.json": TEXT for number in range(4)})
    with pytest.raises(BadFileError, match=r"limit inflated_bytes"):
        read_all(published, Limits(inflated_bytes=3 * len(TEXT)))


# ---- Bombs and traps ------------------------------------------------------------------------------------------------


class Unseekable(io.RawIOBase):
    """As a file comes from a server."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        return self._stream.readinto(buffer)  # type: ignore[arg-type]


def read_from_server(published: bytes, limits: Limits) -> int:
    """How many bytes were read; whatever was read is thrown away."""
    total = 0
    for document in open_documents(cast("BinaryIO", Unseekable(published)), open_temporary, limits):
        while piece := document.stream.read(1 << 20):
            total += len(piece)
    return total


@pytest.mark.parametrize("read", [read_from_server, read_all])
def test_every_reason_names_the_limit_its_value_and_the_setting(read: Callable[[bytes, Limits], object]) -> None:
    bomb = gzipped(b'{"x": "' + b"a" * 8_000_000 + b'"}')
    with pytest.raises(BadFileError) as refused:
        read(bomb, Limits(ratio_from_bytes=1 << 20, inflate_ratio=100))
    assert re.fullmatch(
        r"inflates [0-9]{3}-fold, to [0-9,]+ bytes so far \(at or before byte [0-9,]+ of the file, JSON byte [0-9,]+\)"
        r": "
        r"limit inflate_ratio is 100; to change it, set \[limits\] inflate_ratio in tic-rates\.toml or "
        r"TIC_RATES_LIMITS_INFLATE_RATIO",
        str(refused.value),
    )


@pytest.mark.parametrize("read", [read_from_server, read_all])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda data: gzipped(gzipped(data)),
        lambda data: zipped({"a.gz": gzipped(data)}),
        lambda data: gzipped(zstd(data)),
    ],
    ids=["gzip in gzip", "gzip in zip", "zstd in gzip"],
)
def test_layers_that_are_each_within_the_ratio_are_not_together(
    wrap: Callable[[bytes], bytes], read: Callable[[bytes, Limits], object]
) -> None:
    data = b'{"x": "' + b"a" * 3_000_000 + b'"}'
    once = len(data) / len(gzipped(data))
    with pytest.raises(BadFileError, match="limit inflate_ratio is 1,200;"):
        assert once < 1_200
        read(wrap(data), Limits(ratio_from_bytes=1 << 20, inflate_ratio=1_200))


def overlapping(members: int, data: bytes) -> bytes:
    """A zip whose directory names one and the same deflated member many times."""
    packed = zipped({"a.json": data})
    start = packed.index(b"PK\x01\x02")
    end = packed.index(b"PK\x05\x06")
    directory = packed[start:end] * members
    counts = struct.pack("<HH", members, members)
    return (
        packed[:start]
        + directory
        + packed[end : end + 8]
        + counts
        + struct.pack("<II", len(directory), start)
        + b"\0\0"
    )


def test_zip_members_that_share_their_bytes_are_refused() -> None:
    assert len(read_all(overlapping(1, TEXT), Limits())) == 1
    with pytest.raises(BadFileError, match="the zip's members overlap"):
        read_all(overlapping(500, TEXT), Limits())


def test_a_directory_of_a_million_members_is_refused_before_it_is_unpacked() -> None:
    entry = zipped({"a": b""})
    entry = entry[entry.index(b"PK\x01\x02") : entry.index(b"PK\x05\x06")]
    directory = entry * 1_000_000
    head = zipped({"a": b"{}"})
    head = head[: head.index(b"PK\x01\x02")]
    zip64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 10**6, 10**6, len(directory), len(head))
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(head) + len(directory), 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    published = head + directory + zip64 + locator + end
    tracemalloc.start()
    try:
        with pytest.raises(BadFileError, match="a zip of 1,000,000 members: limit zip_members is 100,000;"):
            read_all(published, Limits())
        assert tracemalloc.get_traced_memory()[1] < 2 * len(directory)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [0x7FFFFFFF, 0xFFFFFFFE])
def test_a_directory_that_claims_gigabytes_is_not_read(size: int) -> None:
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, size, 0, 0)
    with pytest.raises(BadFileError, match=r"damaged|limit zip_members is 100,000;"):
        read_all(b"PK\x03\x04" + end, Limits())
    huge = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 1 << 62, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 4, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    with pytest.raises(BadFileError, match=r"damaged|limit zip_members is 100,000;"):
        read_all(b"PK\x03\x04" + huge + locator + end, Limits())


def test_members_count_in_all_zips_of_a_file_together() -> None:
    inner = zipped({f"{number}.json": b"{}" for number in range(3)})
    published = zipped({"a.zip": inner, "b.zip": inner})
    assert len(read_all(published, Limits(zip_members=8))) == 6
    with pytest.raises(BadFileError, match=r"zips of 8 members together: limit zip_members is 7;"):
        read_all(published, Limits(zip_members=7))


HOSTILE_NAMES = [
    "/etc/cron.d/x",
    "../../outside.json",
    "..\\..\\x",
    "C:\\x",
    "a/../../b",
    "nul\x01l\x1b[31m\nname",
    "x" * 60_000,
    "",
]


def test_a_members_name_is_a_label_and_never_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spools").mkdir()
    published = zipped(dict.fromkeys(HOSTILE_NAMES, TEXT))
    opened: list[object] = []
    sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" and watching else None)
    watching = [True]
    names = []
    for document in open_documents(io.BytesIO(published), open_temporary, Limits()):
        names.append(document.name)
        assert document.stream.read() == TEXT
    watching.clear()
    assert [path for path in opened if isinstance(path, str) and not path.startswith(tempfile.gettempdir())] == []
    assert [path.name for path in tmp_path.iterdir()] == ["spools"]
    assert all(name.isprintable() and len(name) <= 203 for name in names)


def test_a_link_in_a_zip_is_its_text_and_leads_nowhere() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo("rates.json")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BadFileError, match=r"no JSON object: it begins with b'/etc/passwd'"):
        read_all(out.getvalue(), Limits())


def test_what_can_not_be_unpacked_is_said_with_the_next_step() -> None:
    with pytest.raises(BadFileError, match="compressed by method 14: repack it with deflate"):
        read_all(zipped({"a.json": TEXT}, zipfile.ZIP_LZMA), Limits())
    assert read_all(zipped({"a.json": TEXT}, zipfile.ZIP_BZIP2), Limits()) == [TEXT]
    sound = zipped({"a.json": TEXT})
    directory = sound.index(b"PK\x01\x02")
    for flag, reason in ((0x1, "is encrypted: ask the payer"), (0x20, "can't be opened"), (0x40, "can't be opened")):
        patched = bytearray(sound)
        patched[6] |= flag
        patched[directory + 8] |= flag
        with pytest.raises(BadFileError, match=reason):
            read_all(bytes(patched), Limits())


def test_a_zip_damaged_anywhere_in_its_frame_is_refused_and_never_a_crash() -> None:
    sound = zipped({"ä.json": b'{"in_network": []}', "b/": b""})
    frame = [*range(60), *range(sound.index(b"PK\x01\x02"), len(sound))]
    for at in frame:
        for value in (0x00, 0x80, 0xFF):
            with suppress(BadFileError):
                read_all(sound[:at] + bytes([value]) + sound[at + 1 :], Limits())
    for size in range(len(sound)):
        with suppress(BadFileError):
            read_all(sound[:size], Limits())


def test_a_gzip_header_without_end_is_not_held() -> None:
    head = b"\x1f\x8b\x08\x08" + b"\0" * 6  # a file name follows, up to a zero byte
    with pytest.raises(BadFileError, match=r"the gzip is damaged .*header exceeds"):
        read_from_server(head + b"n" * 3_000_000, Limits())


def read_with_set_aside(published: bytes) -> tuple[list[bytes], list[str]]:
    set_aside: list[str] = []
    documents = open_documents(io.BytesIO(published), open_temporary, None, set_aside.append)
    return [document.stream.read() for document in documents], set_aside


README, PDF = b"Rates as of June {97026}", b"%PDF-1.7\n"


def test_members_that_are_no_json_are_set_aside_and_told() -> None:
    inner = zipped({"README": README})
    members = {"a/README.txt": README, "r.json": TEXT, "b.pdf": PDF, "c.html": b"<html>", "d.zip": inner}
    found, set_aside = read_with_set_aside(zipped(members | {"e.gz": gzipped(README)}))
    assert found == [TEXT]
    assert [told.split(": ")[0] for told in set_aside] == [
        "a/README.txt",
        "b.pdf",
        "c.html",
        "d.zip!README",
        "d.zip",
        "e.gz",
    ]
    assert "a PDF document" in set_aside[1]


def test_a_zip_without_any_json_is_refused_by_what_it_holds() -> None:
    with pytest.raises(BadFileError, match=r"the zip holds no JSON \(README: the file is no JSON object"):
        read_with_set_aside(zipped({"README": README, "b.pdf": PDF}))


@pytest.mark.parametrize(
    "member", [b"", b"7z\xbc\xaf\x27\x1c", TEXT.decode().encode("utf-16"), TEXT[:-1] + b"]", gzipped(README)[:-3]]
)
def test_what_may_hold_json_is_not_set_aside(member: bytes) -> None:
    with pytest.raises(BadFileError):
        extract_bytes(zipped({"a.json": json_bytes(in_network()), "b": member}))


def test_a_member_set_aside_is_read_to_its_checksum() -> None:
    sound = zipped({"a.json": TEXT, "README": README}, zipfile.ZIP_STORED)
    with pytest.raises(BadFileError, match="zip member README is damaged"):
        read_with_set_aside(sound.replace(b"June", b"July"))


def test_members_set_aside_are_counted_with_the_source() -> None:
    account = extract_bytes(zipped({"1.pdf": PDF, "a.json": json_bytes(in_network()), "2.pdf": PDF})).account
    assert "a zip member that is no JSON x 2" in account.quirks
    assert decode_record(msgspec.json.encode(account), SourceAccount) == account


def member_read(content: bytes, sizes: list[int]) -> bytes | str:
    """The bytes of a zip's first member, read in pieces of these sizes; or what is wrong with it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive, open_member(archive, archive.infolist()[0]) as member:
        try:
            return b"".join(map(member.read, sizes))
        except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
            return type(error).__name__


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_member_is_read_in_pieces_of_any_size(method: int) -> None:
    data = Random(1).randbytes(200_000) + bytes(300_000)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        archive.writestr("a.json", data)
        archive.writestr("empty.json", b"")
    for sizes in ([-1], [1, 0, 7, 100_000, -1], [10] * 60_000, [1 << 20]):
        found = member_read(content.getvalue(), [*sizes, -1])
        assert found == data
    with zipfile.ZipFile(content) as archive, open_member(archive, archive.infolist()[1]) as member:
        assert member.read() == b""


@pytest.mark.parametrize("field", [14, 22])  # of the directory's entry, behind its mark and versions: checksum, length
def test_a_member_with_another_checksum_or_length_is_refused(field: int) -> None:
    content = bytearray(zipped({"a.json": b"[1, 2]" * 1000}))
    entry = content.index(b"PK\x01\x02") + field + 2
    content[entry] ^= 1
    assert member_read(bytes(content), [-1]) == "BadZipFile"
    assert member_read(bytes(content), [100] * 100) == "BadZipFile"

"""Sequences of answers that no correct server sends: the content read from them is right or refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import cast

import pytest

from flows.download.http_client import HttpClient
from flows.download.resumable_download import ResumableDownload
from flows.download.sources import Source
from flows.settings.values import Fetching
from transforms.errors import AnswerLostError, BadFileError, ContentChangedError

BODY = Random(3).randbytes(1000)
TAG = {"ETag": '"a"'}


@dataclass
class Scripted:
    """An answer of these pieces; ``breaks``: the connection breaks after them."""

    status: int
    headers: Mapping[str, str]
    pieces: list[bytes] = field(default_factory=list)
    breaks: bool = False

    def next(self) -> bytes:
        if self.pieces:
            return self.pieces.pop(0)
        if self.breaks:
            raise AnswerLostError("the connection broke")
        return b""

    def close(self) -> None:
        self.pieces, self.breaks = [b"read after it was closed"], False


@dataclass
class Client:
    """Returns these answers, one for each request; ``sent``: the headers of the requests."""

    fetching: Fetching
    answers: list[Scripted]
    sent: list[Mapping[str, str]] = field(default_factory=list)

    def get(self, source: Source, headers: Mapping[str, str]) -> Scripted:
        self.sent.append(headers)
        return self.answers.pop(0)

    def wait(self, seconds: float) -> None:
        """Takes no time."""


def whole(end: int = 1000, *, breaks: bool = False, headers: Mapping[str, str] = TAG) -> Scripted:
    return Scripted(200, {"Content-Length": "1000"} | dict(headers), [BODY[:end]], breaks)


def part(start: int, end: int, said: str | None = None, *, breaks: bool = False, body: bytes = BODY) -> Scripted:
    said = f"bytes {start}-{end - 1}/1000" if said is None else said
    return Scripted(206, TAG | {"Content-Range": said}, [body[start:end]], breaks)


def read(*answers: Scripted, attempts: int = 3) -> tuple[bytes, list[Mapping[str, str]]]:
    """The content, read in odd pieces, and the headers of the requests."""
    client = Client(Fetching(attempts=attempts), list(answers))
    download = ResumableDownload(cast("HttpClient", client), Source("http://x/y"))
    download.open()
    data = b"".join(iter(lambda: download.read(97), b""))
    download.close()
    assert not client.answers, "no more requests than needed"
    return data, client.sent


def test_parts_shorter_than_asked_for_are_followed_by_the_next() -> None:
    data, sent = read(whole(100, breaks=True), part(100, 400), part(400, 900), part(900, 1000))
    assert data == BODY
    assert [headers.get("Range") for headers in sent] == [None, "bytes=100-", "bytes=400-", "bytes=900-"]


def test_parts_state_the_total_that_chunks_did_not() -> None:
    chunked = Scripted(200, TAG, [BODY[:100]], breaks=True)
    assert read(chunked, part(100, 400), part(400, 1000))[0] == BODY


def test_a_content_without_a_total_ends_with_the_answer() -> None:
    chunked = Scripted(200, TAG, [BODY[:100]], breaks=True)
    assert read(chunked, part(100, 1000, "bytes 100-999/*"))[0] == BODY


@pytest.mark.parametrize("said", ["bytes 90-999/1000", "bytes 101-999/1000", "bytes */1000", "", "lines 100-999/1000"])
def test_another_part_than_the_one_asked_for_is_refused(said: str) -> None:
    with pytest.raises(ContentChangedError, match="byte 100 was requested, the server sends another part"):
        read(whole(100, breaks=True), part(100, 1000, said))


@pytest.mark.parametrize(
    "headers", [{"Content-Range": "bytes 100-999/1001"}, {"Content-Range": "bytes 100-999/1000", "ETag": '"b"'}]
)
def test_a_part_of_another_content_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ContentChangedError, match="changed on the server before byte 100"):
        read(whole(100, breaks=True), Scripted(206, TAG | headers, [BODY[100:]]))


@pytest.mark.parametrize("said", ["bytes */999", "bytes */2000", ""])
def test_a_range_beyond_the_end_of_a_shorter_or_longer_content_is_refused(said: str) -> None:
    with pytest.raises(ContentChangedError):
        read(whole(100, breaks=True), Scripted(416, {"Content-Range": said}))


def test_a_part_that_continues_after_the_total_is_refused() -> None:
    with pytest.raises(ContentChangedError, match=r"1,001 bytes came where 1,000 were announced"):
        read(whole(100, breaks=True), part(100, 1001, body=BODY + b"x"))


def test_reading_received_bytes_again_may_break_off_too() -> None:
    broken = [whole(end, breaks=True) for end in (300, 200, 299, 700, 10)]
    assert read(*broken, whole(), attempts=4)[0] == BODY


def test_breaks_without_a_new_byte_are_counted() -> None:
    broken = [whole(end, breaks=True) for end in (300, 200, 300, 10)]
    with pytest.raises(BadFileError, match=r"beyond byte 300 \(3 attempts: the connection broke\)"):
        read(*broken)


@pytest.mark.parametrize("status", [204, 206, 300, 304, 416])
def test_a_first_answer_without_the_content_is_refused(status: int) -> None:
    with pytest.raises(BadFileError, match=f"the server answers {status}"):
        read(Scripted(status, TAG))


def test_a_complete_content_needs_no_further_byte() -> None:
    chunked = Scripted(200, TAG, [BODY], breaks=True)
    data, sent = read(chunked, Scripted(416, {"Content-Range": "bytes */1000"}))
    assert (data, sent) == (BODY, [{}, {"Range": "bytes=1000-", "If-Range": '"a"'}])

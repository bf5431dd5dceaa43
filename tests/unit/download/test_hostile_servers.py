"""Servers that drip, never end, lie, or redirect to private networks: each download fails with a reason."""

import re
import socket
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from threading import Semaphore

import pytest

from flows.download.http_client import is_public
from flows.download.http_validators import ContentRange, Validators
from flows.download.resumable_download import Pace, open_url, retry_after
from flows.download.sources import Source, resolve_location
from flows.extract.provider_references import RemoteReferences
from flows.settings.values import Fetching
from flows.storage.layout import Layout
from flows.storage.redaction import redact_unresolved
from tests.command_line import PATIENCE_SECONDS
from tests.http_server import Page, serve, serve_raw
from transforms.errors import BadFileError
from transforms.limits import Limits

BODY = b'{"in_network": []}'
HEAD = b"HTTP/1.1 200 OK\r\n"
METADATA = "http://169.254.169.254/latest/meta-data"
ONCE = Fetching(attempts=1)


def fetch(url: str, fetching: Fetching = ONCE, *, contents: str | None = None, public_only: bool = False) -> bytes:
    source = Source(url, contents=contents)
    with open_url(source, fetching, wait=lambda _: None, public_only=public_only) as stream:
        data = stream.read(1 << 20)
        while more := stream.read(1 << 20):
            data += more
        return data


def refusal(url: str, fetching: Fetching = ONCE, **how: object) -> str:
    with pytest.raises(BadFileError) as refused:
        fetch(url, fetching, **how)  # type: ignore[arg-type]
    return str(refused.value)


def within(**limits: int) -> Fetching:
    return Fetching(attempts=1, bounds=Limits(**limits))


# ---- Where it leads -------------------------------------------------------------------------------------------------

PRIVATE = """127.0.0.1 127.8.9.10 0.0.0.0 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 198.18.0.1
    224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255 :: ::1 fc00::1 fd12::1 fe80::1 fe80::1%eth0 fec0::1 ff02::1
    ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe
    64:ff9b:1::1 2002:7f00:1:: 2002:a9fe:a9fe:: 2001::1 2001:db8::1 100::1 ::ffff:0:127.0.0.1""".split()
PUBLIC = "93.184.215.14 8.8.8.8 2606:2800:21f::1 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1".split()


def test_private_addresses_are_known_in_every_family() -> None:
    assert [address for address in PRIVATE if is_public(address)] == []
    assert [address for address in PUBLIC if not is_public(address)] == []


@pytest.mark.parametrize(
    "host",
    "127.0.0.1 2130706433 0177.0.0.1 0x7f.1 0x7f000001 127.1 localhost LOCALHOST 0.0.0.0 0 [::1] [::ffff:127.0.0.1] "
    "[::ffff:7f00:1] [0:0:0:0:0:0:0:1] [::]".split(),
)
def test_no_spelling_of_a_loopback_address_is_a_public_host(host: str) -> None:
    with serve({"/x": BODY}) as server:
        port = server.url.rpartition(":")[2]
        reason = refusal(f"http://{host}:{port}/x", public_only=True)
        assert (
            "limit allow_private is false; to change it, set [http] allow_private" in reason or "InvalidURL" in reason
        )
        assert not server.asked


@pytest.fixture
def here_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's server stands for one on the internet."""
    monkeypatch.setattr("flows.download.http_client.is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr("flows.download.http_client.is_private_host", lambda host: host != "127.0.0.1")


@pytest.mark.usefixtures("here_is_public")
@pytest.mark.parametrize(
    "target", [METADATA, "http://10.0.0.1/", "http://[fd00::1]/", "http://2851995649/", "//10.0.0.1/"]
)
def test_a_public_server_can_not_redirect_to_a_private_network(target: str) -> None:
    pages = {"/x": Page(b"", redirect="/y"), "/y": Page(b"", redirect=target)}
    with serve(pages) as server:
        for how in ({}, {"public_only": True}, {"contents": server.url + "/index.json"}):
            assert "is a private address" in refusal(f"{server.url}/x", **how)
        reason = refusal(target.replace("//", "http://", target.startswith("//")), contents=server.url + "/index.json")
        assert "is a private address" in reason, "what its table of contents lists is as foreign"


@pytest.mark.usefixtures("here_is_public")
def test_files_that_a_public_index_lists_are_read(tmp_path: Path) -> None:
    with serve({"/x": BODY}) as server:
        assert fetch(server.url + "/x", contents="https://public.example.com/index.json") == BODY


def test_what_a_private_table_of_contents_or_address_leads_to_may_be_private() -> None:
    pages = {"/x": Page(BODY), "/y": Page(b"", redirect="/x")}
    with serve(pages) as server:
        assert fetch(server.url + "/y") == BODY
        assert fetch(server.url + "/y", contents=server.url + "/index.json") == BODY
        for contents in ("/data/index.json", "https://93.184.215.14/index.json"):
            assert "is a private address" in refusal(server.url + "/x", contents=contents)
            assert fetch(server.url + "/x", Fetching(allow_private=True), contents=contents) == BODY


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:application/json,{}", "gopher://x", "unix:/run/x", "x:"]
)
def test_redirects_lead_to_http_only(target: str) -> None:
    with serve({"/x": Page(b"", redirect=target)}) as server:
        reason = refusal(server.url + "/x")
        assert ("not http(s)" in reason or "InvalidURL" in reason) and "passwd" not in reason


def test_redirects_in_a_circle_end_at_the_limit() -> None:
    with serve({"/a": Page(b"", redirect="/b?sig=1"), "/b": Page(b"", redirect="/a?sig=2")}) as server:
        reason = refusal(server.url + "/a", within(redirects=7))
        assert reason.endswith(
            "limit redirects is 7; to change it, set [limits] redirects in tic-rates.toml or TIC_RATES_LIMITS_REDIRECTS"
        )
        assert "sig" not in reason and len(server.asked) == 8
        assert "limit redirects is 0;" in refusal(server.url + "/a", within(redirects=0))


WRONG = [
    "file:///etc/passwd",
    "https:/etc/passwd",
    "https:///etc/passwd",
    "https:etc/passwd",
    "ftp://a/b",
    "data:,x",
    "x\0y",
    "z" * 5_000,
    "http://[::1",
    "http://a:b:c/",
    "../../../etc/passwd",
]


def test_a_location_that_leads_nowhere_is_unresolved(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.prepare()
    remote = RemoteReferences(layout, ONCE)
    for location in WRONG:
        for base in (str(tmp_path / "rates.json"), "https://rates.example.com/a/b.json"):
            resolved = resolve_location(location, Source(base))
            if resolved is None:
                remote.note_unresolvable(location)
            else:
                assert re.match("https?://[a-z.]", resolved), "a path would be read here"
    assert set(remote.failed.values()) >= {"neither http(s) nor a file beside the one that cites it"}


@pytest.mark.parametrize(
    "location",
    [
        "x.json?sig=S",
        "https:/a/x?sig=S",
        "https:u:S@a/x",
        "//u:S@a/x?sig=S",
        "https://u:S@a/x?S#S",
        "ftp://u:S@a/x",
        "data:,S",
    ],
)
def test_an_unresolved_location_is_shown_without_secrets(location: str) -> None:
    assert "S" not in redact_unresolved(location)


# ---- How much, how slowly -------------------------------------------------------------------------------------------


class Clock:
    """A second passes whenever the time is looked at, and a server that drips sends one more piece."""

    def __init__(self) -> None:
        self._seconds = count()
        self._passed = Semaphore(0)

    def monotonic(self) -> float:
        self._passed.release()
        return float(next(self._seconds))

    def drip(self, head: bytes, piece: bytes) -> Callable[[socket.socket], None]:
        def answer(connection: socket.socket) -> None:
            connection.sendall(head)
            for _ in range(1_000):
                if not self._passed.acquire(timeout=PATIENCE_SECONDS):
                    return  # the client looks at the time no more: what it says is judged by the test
                connection.sendall(piece)

        return answer

    def run_on(self) -> None:
        """Let servers that still wait send on, to a connection that is closed."""
        self._passed.release(1_000_000)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The time by which waits and speeds are limited."""
    clock = Clock()
    for module in ("http_client", "resumable_download"):
        monkeypatch.setattr(f"flows.download.{module}.time", clock)
    yield clock
    clock.run_on()


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"H"),
        (HEAD, b"X"),
        (HEAD + b"X: ", b"y"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: ", b"y"),
    ],
    ids=["no status", "no header", "one header", "100s", "103s", "chunk extension", "trailer"],
)
def test_a_wait_for_bytes_that_are_no_answer_ends(head: bytes, piece: bytes, clock: Clock) -> None:
    with serve_raw(clock.drip(head, piece)) as url:
        reason = refusal(url, Fetching(attempts=1, connect_seconds=20, read_seconds=30))
        assert "no byte of use within 30 seconds, [http] read_seconds" in reason


@pytest.mark.parametrize("header", [b"Content-Length: 1000\r\n\r\n", b"Connection: close\r\n\r\n"])
def test_a_body_that_drips_is_refused_by_its_limit(header: bytes, clock: Clock) -> None:
    with serve_raw(clock.drip(HEAD + header, b"x")) as url:
        reason = refusal(url, within(min_bytes_per_second=2, rate_seconds=30))
        assert "limit min_bytes_per_second is 2; to change it, set [limits] min_bytes" in reason


def test_pace_is_measured_over_periods_of_waiting() -> None:
    pace = Pace(Limits(min_bytes_per_second=1_000, rate_seconds=300))
    for _ in range(1_000):
        pace.add(0.3001, 301)
    for _ in range(299):
        pace.add(1.0, 999)
    with pytest.raises(BadFileError, match="the server sent 298,701 bytes in 300 seconds: limit min_bytes_per_second"):
        pace.add(1.0, 0)
    off = Pace(Limits(min_bytes_per_second=0, rate_seconds=1))
    off.add(1_000.0, 0)


def test_one_byte_for_each_connection_is_too_slow() -> None:
    numbers = count(1)

    def answer(connection: socket.socket) -> None:
        start = next(numbers) - 1
        status = f"HTTP/1.1 206 OK\r\nContent-Range: bytes {start}-1999/2000\r\n" if start else "HTTP/1.1 200 OK\r\n"
        connection.sendall(f'{status}ETag: "a"\r\nContent-Length: {2_000 - start}\r\n\r\nx'.encode())

    fetching = Fetching(bounds=Limits(min_bytes_per_second=100, rate_seconds=20))
    with serve_raw(answer) as url:
        assert "limit min_bytes_per_second is 100;" in refusal(url, fetching)
    assert next(numbers) < 100


def endless(head: bytes, piece: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(20_000):
            connection.sendall(piece)

    return answer


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4_096 + b"\r\n"),
        (HEAD + b"Connection: close\r\n\r\n", b"x" * 4_096),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["chunks for ever", "until it closes", "tiny chunks"],
)
def test_a_body_without_end_is_refused_at_the_limit(head: bytes, piece: bytes) -> None:
    with serve_raw(endless(head, piece)) as url:
        reason = refusal(url, within(body_bytes=10_000))
        assert "the server has sent " in reason and "limit body_bytes is 10,000; to change it, set [limits]" in reason


def test_a_body_that_announces_more_than_the_limit_is_not_read() -> None:
    with serve({"/x": b"y" * 20_000}) as server:
        assert "the server announces 20,000 bytes: limit body_bytes is 19,999;" in refusal(
            server.url + "/x", within(body_bytes=19_999)
        )
        assert fetch(server.url + "/x", within(body_bytes=20_000)) == b"y" * 20_000


@pytest.mark.parametrize(
    "headers",
    [
        b"X-A: " + b"a" * 3_000,
        b"\r\n".join([b"X-%d: y" % n for n in range(300)]),
        b"X: " + b"y" * 500_000,
        b"X: y\r\n" * 90_000,
    ],
    ids=["one long", "many", "one without end", "many without end"],
)
def test_headers_beyond_the_limit_are_refused_by_name(headers: bytes) -> None:
    with serve_raw(lambda connection: connection.sendall(HEAD + headers + b"\r\nContent-Length: 0\r\n\r\n")) as url:
        reason = refusal(url, within(header_bytes=2_048))
        assert "limit header_bytes is 2,048; to change it, set [limits] header_bytes" in reason


def test_an_encoding_that_was_not_requested_is_recognised_by_its_bytes_or_refused() -> None:
    def answer(encoding: bytes) -> Callable[[socket.socket], None]:
        head = HEAD + b"Content-Encoding: " + encoding + b"\r\nContent-Length: 3\r\n\r\nabc"
        return lambda connection: connection.sendall(head)

    for encoding in (b"gzip", b"identity", b"GZIP"):
        with serve_raw(answer(encoding)) as url:
            assert fetch(url) == b"abc", "as it came: the reader unpacks it"
    for encoding in (b"br", b"deflate", b"gzip, br", b"x" * 200):
        with serve_raw(answer(encoding)) as url:
            assert "which was not requested; ask the payer" in refusal(url)


# ---- What servers say in numbers ------------------------------------------------------------------------------------


def test_headers_may_contain_numbers_of_any_length() -> None:
    huge = "9" * 5_000
    assert ContentRange.parse(f"bytes 0-1/{huge}") is None
    assert ContentRange.parse(f"bytes {huge}-{huge}/*") is None
    assert Validators.of_whole({"Content-Length": huge}).length is None
    assert retry_after(huge) > 0
    for date in (
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 99 Jan 2026",
        huge + " Jan 2026 00:00:00 GMT",
        "\0",
        "a b",
    ):
        assert retry_after(date) == 0.0

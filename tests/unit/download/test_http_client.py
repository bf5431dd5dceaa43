"""Downloads from a real server: broken ones resume, changed content starts over, and secrets are not shown."""

import hashlib
import logging
import socket
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import NoReturn

import pytest

from flows.download.http_validators import ContentRange, Validators
from flows.download.resumable_download import open_url, retry_after, seconds_before_retry
from flows.download.sources import Source
from flows.extract.payer_listing import list_payer
from flows.settings.values import Fetching, HostLimits, PayerSource
from flows.storage.layout import Layout
from flows.storage.redaction import redact_url
from tests.http_server import LATER, LONG_AGO, Fault, Page, Server, in_turn, now_and_then, once, serve
from tests.json_text import json_bytes
from transforms.errors import BadFileError, ContentChangedError, UnchangedError

BODY = Random(7).randbytes(100_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
PATH = "/rates.json.gz"
CANARY = "canary0secret"
REBOUND = Source("http://rates.example.com/rates.json")
ONCE = Fetching(attempts=1)


class Waits(list[float]):
    """Waits that take no time: their seconds."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def fetch(server: Server, path: str = PATH, **changes: object) -> str:
    """The sha256 of what is read."""
    with open_url(Source(server.url + path), wait=Waits(), **changes) as stream:  # type: ignore[arg-type]
        return stream.finish()


@pytest.mark.parametrize("position", [0, 1, 2, 4095, 8192, 50_000, 99_999])
@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_a_broken_connection_is_resumed_at_any_byte(kind: str, position: int) -> None:
    with serve({PATH: BODY}, once(Fault(kind, position))) as server:
        assert fetch(server) == SHA256
        assert server.requests[PATH] == 2
        if kind == "cut":
            assert server.body_bytes[PATH] == len(BODY), "not a byte is fetched twice"
            assert server.asked[1].range == (f"bytes={position}-" if position else None)


@pytest.mark.parametrize(
    "page",
    [
        Page(BODY, etag=None),
        Page(BODY, etag='W/"weak"'),
        Page(BODY, chunked=True),
        Page(BODY, chunked=True, etag=None),
        Page(BODY, last_modified=None),
    ],
    ids=["by date", "weak ETag", "chunked", "chunked by date", "by ETag alone"],
)
def test_a_range_is_conditional_on_any_validator(page: Page) -> None:
    with serve({PATH: page}, in_turn(Fault("cut", 30_000), Fault("cut", 1))) as server:
        assert fetch(server) == SHA256
        strong = page.tag if page.tag and not page.tag.startswith("W/") else page.last_modified
        assert [asked.headers.get("If-Range") for asked in server.asked] == [None, strong, strong]
        assert server.body_bytes[PATH] == len(BODY)


@pytest.mark.parametrize("page", [Page(BODY, ranges=False), Page(BODY, etag=None, last_modified=None)])
def test_without_ranges_or_validators_the_received_bytes_are_read_again_and_compared(page: Page) -> None:
    with serve({PATH: page}, in_turn(Fault("cut", 30_000), Fault("cut", 20_000), Fault("cut", 70_000))) as server:
        assert fetch(server) == SHA256
        assert server.body_bytes[PATH] == 30_000 + 20_000 + 70_000 + len(BODY)


def test_another_content_without_validators_is_detected() -> None:
    page = Page(BODY, etag=None, last_modified=None)
    other = Page(BODY[:10] + b"x" + BODY[11:], etag=None, last_modified=None)
    with serve({PATH: page}, once(Fault("changed", 30_000, page=other))) as server, pytest.raises(ContentChangedError):
        fetch(server)


@pytest.mark.parametrize("page", [Page(b"x" * 100_000), Page(b"x" * 100_000, ranges=False), Page(BODY + b"more")])
def test_content_that_changed_midway_is_never_mixed(page: Page) -> None:
    with (
        serve({PATH: BODY}, once(Fault("changed", 30_000, page=page))) as server,
        pytest.raises(ContentChangedError, match=r"changed on the server before byte 30,000"),
    ):
        fetch(server)


def test_a_length_announced_too_long_is_corrected_by_416() -> None:
    with serve({PATH: BODY}, once(Fault("longer", 17))) as server:
        assert fetch(server) == SHA256
        assert server.asked[1].range == f"bytes={len(BODY)}-"


def test_attempts_are_counted_since_the_last_progress() -> None:
    faults = [Fault("status"), Fault("status"), Fault("cut", 1_000), Fault("status"), Fault("status"), Fault("cut", 5)]
    with serve({PATH: BODY}, in_turn(*faults)) as server:
        assert fetch(server, fetching=Fetching(attempts=3)) == SHA256


def test_after_the_last_attempt_the_reason_names_place_and_next_step() -> None:
    faults = [Fault("cut", 1_000), *[Fault("status", status=502)] * 5]
    with (
        serve({PATH: BODY}, in_turn(*faults)) as server,
        pytest.raises(BadFileError, match=r"beyond byte 1,000 \(3 attempts: the server answers 502\); run again later"),
    ):
        fetch(server, fetching=Fetching(attempts=3))


@pytest.mark.parametrize("status", [404, 400, 405])
def test_final_answers_are_not_requested_again(status: int) -> None:
    with serve({PATH: BODY}, once(Fault("status", status=status))) as server:
        with pytest.raises(BadFileError, match=f"answers {status}"):
            fetch(server)
        assert server.requests[PATH] == 1


def test_retry_after_is_obeyed_up_to_the_longest_wait() -> None:
    waits = Waits()
    faults = [Fault("status", status=429, headers={"Retry-After": seconds}) for seconds in ("7", "100000", "soon")]
    with (
        serve({PATH: BODY}, in_turn(*faults)) as server,
        open_url(Source(server.url + PATH), Fetching(first_wait_seconds=0, longest_wait_seconds=60), wait=waits) as got,
    ):
        assert got.finish() == SHA256
    assert waits == [7, 60, 0]


def test_retry_after_may_be_a_date() -> None:
    now = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
    assert retry_after("Mon, 01 Jun 2026 12:01:30 GMT", now) == 90
    assert retry_after("Mon, 01 Jun 2026 11:00:00 GMT", now) == 0
    assert [retry_after(text) for text in (None, "", "-1", "soon")] == [0, 0, 0, 0]


def test_waits_double_with_jitter_and_are_bounded() -> None:
    fetching = Fetching(first_wait_seconds=1, longest_wait_seconds=10)
    waits = [seconds_before_retry(fetching, failures, random=Random(1)) for failures in (1, 2, 3, 4, 5, 500)]
    for wait, longest in zip(waits, (1, 2, 4, 8, 10, 10), strict=True):
        assert longest / 2 <= wait <= longest


def renew_to(location: str | None) -> object:
    return lambda source: location


def test_a_download_resumes_after_its_expired_signature_is_renewed() -> None:
    old, new = "?sig=old", "?sig=new"
    with serve({PATH: Page(BODY, signature="old")}, once(Fault("cut", 30_000))) as server:
        source = Source(server.url + PATH + old, contents="https://example.org/index.json")
        asked: list[Source] = []

        def renew(source: Source) -> str:
            asked.append(source)
            return server.url + PATH + new

        with open_url(source, Fetching(allow_private=True), wait=Waits(), renew=renew) as stream:
            stream.read(10)
            server.change(PATH, signature="new")
            assert stream.finish() == SHA256
        assert asked == [source]
        assert server.body_bytes[PATH] == len(BODY)


@pytest.mark.parametrize(
    ("contents", "renewed", "reason"),
    [
        (None, None, r"answers 403; the signature may have expired: read its table of contents again"),
        ("https://example.org/index.json", None, r"answers 403, and its table of contents lists no other address"),
        ("https://example.org/index.json", "?sig=bad", r"answers 403 to the address newly listed too"),
    ],
)
def test_a_refusal_despite_renewal_names_the_next_step(contents: str | None, renewed: str | None, reason: str) -> None:
    with serve({PATH: Page(BODY, signature="right")}) as server:
        source = Source(f"{server.url}{PATH}?sig={CANARY}", contents=contents)
        location = None if renewed is None else server.url + PATH + renewed
        fetching = Fetching(allow_private=True)
        with pytest.raises(BadFileError, match=reason), open_url(source, fetching, renew=lambda source: location):
            pass


@pytest.mark.parametrize("page", [Page(BODY), Page(BODY, conditional=False), Page(BODY, etag=None, conditional=False)])
def test_known_content_is_not_read(page: Page) -> None:
    known = Validators(page.tag, page.last_modified, len(BODY))
    with serve({PATH: page}) as server:
        with pytest.raises(UnchangedError):
            fetch(server, known=known)
        (asked,) = server.asked
        assert (asked.headers.get("If-None-Match"), asked.headers["If-Modified-Since"]) == (page.tag, LONG_AGO)


@pytest.mark.parametrize("page", [Page(BODY, etag='W/"weak"'), Page(BODY, etag='"new"')])
def test_content_that_may_be_another_is_read(page: Page) -> None:
    known = Validators('"old"', LONG_AGO, len(BODY))
    with serve({PATH: page}) as server:
        assert fetch(server, known=known) == SHA256


def test_redirects_are_followed_five_times_and_relative_ones_too() -> None:
    hops = {f"/{n}": Page(b"", redirect=f"{n + 1}") for n in range(5)} | {"/5": Page(BODY)}
    with serve(hops) as server:
        assert fetch(server, "/0") == SHA256
        server.pages |= {"/5": Page(b"", redirect="/6"), "/6": Page(BODY)}
        with pytest.raises(BadFileError, match=r"more redirects, the last one to http.*/6: limit redirects is 5;"):
            fetch(server, "/0")


def test_a_redirect_leads_to_http_only() -> None:
    with (
        serve({PATH: Page(b"", redirect=f"file:///etc/passwd?{CANARY}")}) as server,
        pytest.raises(BadFileError, match=r"leads to an address of the kind 'file', not http\(s\)"),
    ):
        fetch(server)


def test_a_table_of_contents_can_not_send_headers_to_hosts_that_the_configuration_does_not_name() -> None:
    header = ("Authorization", f"Bearer {CANARY}")
    with serve({PATH: Page(BODY)}) as other, serve({}) as server:
        listed = json_bytes({"in_network_files": [{"location": other.url + PATH}, {"location": "/own"}]})
        server.pages |= {"/toc": Page(listed, require=header), "/own": Page(BODY, require=header)}
        found = list_payer(PayerSource("Acme", (f"{server.url}/toc",), headers=(header,)), date(2026, 6, 1))
        for source in found.sources:
            with open_url(source) as stream:
                assert stream.finish() == SHA256
        assert "Authorization" not in other.asked[0].headers


def test_a_sources_headers_go_to_its_own_host_only() -> None:
    header = ("Authorization", f"Bearer {CANARY}")
    with serve({PATH: Page(BODY)}) as other, serve({"/same": Page(BODY, require=header)}) as server:
        server.pages["/to-same"] = Page(b"", redirect="/same", require=header)
        server.pages["/to-other"] = Page(b"", redirect=other.url + PATH, require=header)
        for path in ("/to-same", "/to-other"):
            with open_url(Source(server.url + path, headers=(header,))) as stream:
                assert stream.finish() == SHA256
        assert "Authorization" not in other.asked[0].headers


def test_credentials_in_an_address_go_to_its_own_host_only() -> None:
    with serve({PATH: Page(BODY)}) as other, serve({"/to-other": Page(b"", redirect=other.url + PATH)}) as server:
        with open_url(Source(server.url.replace("//", f"//user:{CANARY}@") + "/to-other")) as stream:
            assert stream.finish() == SHA256
        assert server.asked[0].headers["Authorization"].startswith("Basic ")
        assert "Authorization" not in other.asked[0].headers


def test_requests_state_the_user_agent_and_the_identity_encoding() -> None:
    with serve({PATH: BODY}) as server:
        fetch(server, fetching=Fetching(user_agent="tic-rates/test (ops@example.org)"))
        assert server.asked[0].headers["User-Agent"] == "tic-rates/test (ops@example.org)"
        assert server.asked[0].headers["Accept-Encoding"] == "identity"


def test_private_addresses_are_refused_after_redirects_too() -> None:
    with serve({PATH: BODY}) as server:
        with pytest.raises(BadFileError, match=r"127\.0\.0\.1 is a private address .*allow_private"):
            fetch(server, public_only=True)
        assert not server.asked


def test_a_name_that_leads_to_a_private_address_only_when_asked_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    led_to: list[tuple[str, int]] = []
    one_moment = [[(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 0))]]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: one_moment.pop())

    def refuse(address: tuple[str, int], *_: object, **__: object) -> NoReturn:
        led_to.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(BadFileError, match="no connection"), open_url(REBOUND, ONCE, public_only=True):
        pass
    assert led_to == [("93.184.215.14", 80)], "what was judged is what is connected to: the name is not asked again"


@pytest.mark.parametrize(
    "location",
    [
        "http://user:{c}@127.0.0.1:1/rates?sig={c}",
        "http://user:{c}@127.0.0.1:{c}/rates?sig={c}",
        "http://[{c}/rates",
        "http://name.invalid/rates?sig={c}",
    ],
    ids=["no server", "no port", "no address", "no such host"],
)
def test_nothing_secret_in_reasons_logs_and_representations(
    location: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    source = Source(location.format(c=CANARY), headers=(("Authorization", CANARY + "\n"),))
    with pytest.raises(BadFileError) as refused, open_url(source, Fetching(attempts=2), wait=Waits()):
        pass
    told = str(refused.value) + repr(refused.value) + repr(source) + source.name + caplog.text
    assert CANARY not in told
    assert refused.value.__cause__ is None


def test_httpx_logs_no_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="httpx")
    with serve({PATH: Page(BODY, signature=CANARY)}) as server:
        assert fetch(server, f"{PATH}?sig={CANARY}") == SHA256
    assert [record for record in caplog.records if record.name.startswith("http")] == []


def test_requests_to_a_host_keep_their_interval(tmp_path: Path) -> None:
    waits = Waits()
    fetching = Fetching(hosts=(("127.0.0.1", HostLimits(requests_per_second=0.01)),))
    with serve({PATH: BODY}) as server:
        for _ in range(3):
            with open_url(Source(server.url + PATH), fetching, Layout(tmp_path), wait=waits) as stream:
                stream.finish()
    assert [round(wait / 100) for wait in waits] == [1, 2], "booked ahead, for nothing waited in this test"


def test_a_connection_is_free_again_after_a_reading_that_stops_early(tmp_path: Path) -> None:
    fetching = Fetching(limits=HostLimits(connections=1))
    with serve({PATH: BODY}) as server:
        for _ in range(3):
            with open_url(Source(server.url + PATH), fetching, Layout(tmp_path), wait=Waits()) as stream:
                stream.read(1)


def test_an_address_that_cannot_be_parsed_is_not_quoted() -> None:
    assert redact_url(f"https://[{CANARY}") == "https://(an address that can't be parsed)"


def test_content_ranges() -> None:
    assert ContentRange.parse("bytes 5-9/10") == ContentRange(5, 10)
    assert ContentRange.parse("bytes 5-9/*") == ContentRange(5, None)
    assert ContentRange.parse("bytes */10") == ContentRange(None, 10)
    assert [ContentRange.parse(text) for text in (None, "", "lines 1-2/3")] == [None, None, None]


def test_only_a_strong_etag_or_date_and_length_promise_the_same_content() -> None:
    strong, weak, dated = (
        Validators('"a"', LONG_AGO, 5),
        Validators('W/"a"', LONG_AGO, 5),
        Validators(None, LONG_AGO, 5),
    )
    assert strong.prove_same(strong) and dated.prove_same(dated)
    assert not weak.prove_same(weak) and not strong.prove_same(dated)
    assert not Validators(None, LONG_AGO).prove_same(Validators(None, LONG_AGO))
    assert not Validators().prove_same(Validators())
    assert not strong.prove_changed(weak) and not strong.prove_changed(Validators())
    assert strong.prove_changed(Validators('"b"', LONG_AGO, 5)) and strong.prove_changed(Validators('"a"', LONG_AGO, 6))


@pytest.mark.parametrize("seed", range(40))
def test_no_server_behaviour_leads_to_a_mixture_of_contents(seed: int) -> None:
    random = Random(seed)
    page = Page(
        random.randbytes(random.randint(1, 60_000)),
        etag=random.choice(("auto", "auto", 'W/"weak"', None)),
        last_modified=random.choice((LONG_AGO, None)),
        ranges=random.random() < 0.7,
        chunked=random.random() < 0.4,
    )
    contents = [page.body]

    def another(page: Page) -> Page:
        contents.append(random.randbytes(random.choice((len(page.body), random.randint(1, 60_000)))))
        return replace(page, body=contents[-1], last_modified=page.last_modified and LATER)

    with serve({PATH: page}, now_and_then(seed, 0.6, another)) as server:
        try:
            read = fetch(server)
        except BadFileError as error:
            assert isinstance(error, ContentChangedError) or "attempts" in str(error)
        else:
            assert read in [hashlib.sha256(content).hexdigest() for content in contents]

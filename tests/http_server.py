"""A real HTTP server on 127.0.0.1, as strict and as faulty as a test wants it, that counts what it is asked and sends.

Faults are chosen by a function of the request, mostly by a seeded ``Random``: the same seed, the same faults for the
same order of requests.
"""

import hashlib
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

LONG_AGO = "Mon, 01 Jun 2026 00:00:00 GMT"
LATER = "Tue, 02 Jun 2026 00:00:00 GMT"
PIECE = 8192
NO_LINGER = struct.pack("ii", 1, 0)  # close sends a reset


def etag_of(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:16]}"'


@dataclass(frozen=True)
class Page:
    """One file as the server has it. ``etag`` "auto": a strong one, of the body."""

    body: bytes
    etag: str | None = "auto"
    last_modified: str | None = LONG_AGO
    signature: str | None = None  # 403 unless ?sig= is this one
    ranges: bool = True
    chunked: bool = False
    redirect: str | None = None
    require: tuple[str, str] | None = None  # 401 unless this header is sent
    conditional: bool = True  # answers 304

    @property
    def tag(self) -> str | None:
        return etag_of(self.body) if self.etag == "auto" else self.etag


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer. ``at``: after so many bytes of its body."""

    kind: str  # cut, reset, delay, longer, status, changed, stall
    at: int = 0
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    page: Page | None = None  # what it changes to


@dataclass(frozen=True)
class Asked:
    """One request as it came. ``path``: as its page is known by."""

    path: str
    query: str
    headers: Mapping[str, str]

    @property
    def range(self) -> str | None:
        return self.headers.get("Range")


ChooseFault = Callable[[Asked, Page], Fault | None]


class Server:
    """Pages by path, with its query or for any, and what happened to each."""

    def __init__(self, pages: Mapping[str, Page | bytes], fault: ChooseFault | None = None) -> None:
        self.pages = {path: page if isinstance(page, Page) else Page(page) for path, page in pages.items()}
        self.fault = fault
        self.requests: Counter[str] = Counter()
        self.body_bytes: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.asked: list[Asked] = []
        self.times: list[float] = []
        self.most_at_once = 0
        self._now = 0
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.url = ""

    def forget(self) -> None:
        """Count anew."""
        for counter in (self.requests, self.body_bytes, self.faults):
            counter.clear()
        self.asked.clear()
        self.times.clear()

    def change(self, path: str, **changes: Any) -> None:
        """The page is another one from now on."""
        self.pages[path] = replace(self.pages[path], **changes)

    @contextmanager
    def counted(self, asked: Asked) -> Iterator[None]:
        """One request under way."""
        with self.lock:
            self.requests[asked.path] += 1
            self.asked.append(asked)
            self.times.append(time.monotonic())
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            yield
        finally:
            with self.lock:
                self._now -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ours: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path = self.path if self.path in self.ours.pages else parts.path
        asked = Asked(path, parts.query, dict(self.headers))
        with self.ours.counted(asked):
            try:
                self._answer(asked)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self, asked: Asked) -> None:
        page = self.ours.pages.get(asked.path)
        refused = self._refusal(asked, page)
        if page is None or refused is not None:
            return self._status(refused or 404)
        if page.redirect is not None:
            return self._status(302, {"Location": page.redirect})
        with self.ours.lock:
            fault = self.ours.fault(asked, page) if self.ours.fault else None
            if fault is not None:
                self.ours.faults[fault.kind] += 1
        if fault is not None and fault.kind == "status":
            return self._status(fault.status, fault.headers)
        if page.conditional and self._unchanged(page):
            return self._status(304, self._validators(page))
        return self._content(asked, page, fault)

    def _refusal(self, asked: Asked, page: Page | None) -> int | None:
        if page is None:
            return 404
        if page.signature is not None and parse_qs(asked.query).get("sig") != [page.signature]:
            return 403
        if page.require is not None and self.headers.get(page.require[0]) != page.require[1]:
            return 401
        return None

    def _status(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": "0"} | dict(headers or {})).items():
            self.send_header(name, value)
        self.end_headers()

    def _unchanged(self, page: Page) -> bool:
        tags = self.headers.get("If-None-Match")
        if tags is not None:
            return tags == page.tag
        since = self.headers.get("If-Modified-Since")
        return since is not None and since == page.last_modified

    def _validators(self, page: Page) -> dict[str, str]:
        found = {"ETag": page.tag, "Last-Modified": page.last_modified}
        return {name: value for name, value in found.items() if value is not None}

    def _content(self, asked: Asked, page: Page, fault: Fault | None) -> None:
        start = self._start(page)
        if start is not None and start >= len(page.body):
            return self._status(416, {"Content-Range": f"bytes */{len(page.body)}"} | self._validators(page))
        body = page.body[start or 0 :]
        self.send_response(200 if start is None else 206)
        for name, value in self._validators(page).items():
            self.send_header(name, value)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(page.body) - 1}/{len(page.body)}")
        if page.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            more = fault.at if fault is not None and fault.kind == "longer" else 0
            self.send_header("Content-Length", str(len(body) + more))
        self.end_headers()
        return self._send(asked, body, page, fault)

    def _start(self, page: Page) -> int | None:
        """The first byte of the range asked for; None where the whole is sent."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        unless = self.headers.get("If-Range")
        if match is None or not page.ranges or unless not in (None, page.tag, page.last_modified):
            return None
        return int(match[1])

    def _send(self, asked: Asked, body: bytes, page: Page, fault: Fault | None) -> None:
        if fault is not None and fault.kind == "delay":
            time.sleep(fault.seconds)
        breaks = fault is not None and fault.kind in ("cut", "reset", "changed", "longer", "stall")
        end = fault.at if fault is not None and breaks and fault.kind != "longer" else len(body)
        for at in range(0, min(end, len(body)), PIECE):
            self._write(asked, body[at : min(at + PIECE, end)], page)
        if fault is not None and fault.kind == "stall":
            self.ours.ended.wait()
        if fault is not None and fault.page is not None and end < len(body):  # else nobody would miss the old one
            self.ours.pages[asked.path] = fault.page
        if not breaks and page.chunked:
            self.wfile.write(b"0\r\n\r\n")
        if breaks:
            self._break(reset=fault is not None and fault.kind == "reset")

    def _write(self, asked: Asked, piece: bytes, page: Page) -> None:
        with self.ours.lock:
            self.ours.body_bytes[asked.path] += len(piece)  # first: whoever has read it finds it counted
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if page.chunked else piece)

    def _break(self, *, reset: bool) -> None:
        self.wfile.flush()
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        else:
            with suppress(OSError):  # the client has left already
                self.connection.shutdown(socket.SHUT_WR)
        self.close_connection = True


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client may leave whenever it wants; anything else is the test's own mistake."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close without a farewell: a reset must stay one."""
        self.close_request(request)


@contextmanager
def serve(pages: Mapping[str, Page | bytes], fault: ChooseFault | None = None) -> Iterator[Server]:
    """A server while the body runs; ``url`` is where."""
    ours = Server(pages, fault)
    listener = _Listener(("127.0.0.1", 0), type("Handler", (_Handler,), {"ours": ours}))
    ours.url = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield ours
    finally:
        ours.ended.set()
        listener.shutdown()
        listener.server_close()
        thread.join()


def once(fault: Fault) -> ChooseFault:
    """The first answer with content is faulty, the others are not."""
    left = [fault]
    return lambda asked, page: left.pop() if left else None


def in_turn(*faults: Fault | None) -> ChooseFault:
    """These faults, one an answer, then none."""
    left = list(reversed(faults))
    return lambda asked, page: left.pop() if left else None


def now_and_then(seed: int, share: float, another: Callable[[Page], Page]) -> ChooseFault:
    """A share of the answers is faulty in one of all ways; ``another``: what a page's content changes to, once."""
    random = Random(seed)
    changed: set[str] = set()

    def choose(asked: Asked, page: Page) -> Fault | None:
        if random.random() >= share:
            return None
        at = random.randrange(len(page.body))
        fault = random.choice(
            (
                Fault("cut", at),
                Fault("cut", at),
                Fault("reset", at),
                Fault("delay", seconds=0.002),
                Fault("longer", 1 + at),
                Fault("status", status=random.choice((500, 502, 503, 504))),
                Fault("status", status=429, headers={"Retry-After": "0"}),
                Fault("changed", at),
            )
        )
        if fault.kind != "changed":
            return fault
        if asked.path in changed:
            return Fault("cut", at)
        changed.add(asked.path)
        return replace(fault, page=another(page))

    return choose


@contextmanager
def serve_raw(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that answers each connection's first request with whatever bytes ``answer`` sends; its address."""
    listening = socket.create_server(("127.0.0.1", 0))

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65_536)
            answer(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()

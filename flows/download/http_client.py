"""One GET request and its answer, whose body is read piece by piece: host limits, redirects, and readable errors.

No exception or log line quotes a query, credentials or headers. Connections go to public addresses only where that is
required: the address of a name is looked up once, checked, and connected to, so a name that changes its address a
moment later reaches no other host. The limit on a wait holds for servers that drip, too.
"""

import atexit
import ipaddress
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies

import httpcore
import httpx

from flows.download.host_limits import Wait, host_connection
from flows.download.sources import Source
from flows.settings.values import Fetching
from flows.storage.layout import Layout
from flows.storage.redaction import redact_url
from flows.storage.threads import interruptible
from transforms.errors import AnswerLostError, BadFileError, HostFailedError, causes
from transforms.limits import Limits, crossed, environment_name

_ENCODINGS = ("", "identity", "gzip", "x-gzip", "zstd")  # recognised by their first bytes like any file's
_H11_HEADERS_TOO_LONG = "Receive buffer too long"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # the last 32 bits are the IPv4 address that is reached
_deadline = threading.local()


class Answer:
    """The answer to a request: status, headers and body. It occupies a connection of its host until it is closed."""

    def __init__(self, response: httpx.Response, connection: ExitStack, fetching: Fetching) -> None:
        self._response = response
        self._connection = connection
        self._fetching = fetching
        self._pieces = response.iter_raw()
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    def next(self) -> bytes:
        """The next piece of the body, not decoded; empty at its end."""
        with _translated_errors(self._fetching), time_limit(self._fetching.read_seconds):
            return next((piece for piece in self._pieces if piece), b"")

    @property
    def redirect(self) -> str | None:
        """The address of a redirect."""
        return self._response.headers["Location"] if self._response.has_redirect_location else None

    def close(self) -> None:
        """End the request; an answer without a body leaves its connection open for the next request."""
        with self._connection:
            if self.status == httpx.codes.NOT_MODIFIED or self.headers.get("Content-Length") == "0":
                with suppress(AnswerLostError):
                    self.next()


@dataclass(frozen=True)
class HttpClient:
    """Sends requests with these settings."""

    fetching: Fetching = field(default_factory=Fetching)
    layout: Layout | None = None
    public_only: bool = False
    wait: Wait = time.sleep

    def get(self, source: Source, headers: Mapping[str, str]) -> Answer:
        """The answer after redirects. The source's own headers are sent to its origins only.

        Raises:
            AnswerLostError: none came; a repeated request may get one.
            BadFileError: none can come.
        """
        url = source.location
        bounds = self.fetching.bounds
        for redirects in range(bounds.redirects + 1):
            with _translated_errors(self.fetching):
                public_only = self.public_only or not self._may_be_private(source, redirects)
                trusted = source.origins or (source.location,)
                own = dict(source.headers) if any(_is_same_host(each, url) for each in trusted) else {}
                answer = self._get_once(url, own | dict(headers), public_only=public_only)
                if answer.redirect is None:
                    return answer
                answer.close()
                url = urljoin(url, answer.redirect)
        raise crossed(bounds, "redirects", f"more redirects, the last one to {redact_url(url)}")

    def _may_be_private(self, source: Source, redirects: int) -> bool:
        """Whether the address may be private: the user's own may, and those that a private one leads to."""
        if self.fetching.allow_private or (source.contents is None and not redirects):
            return True
        return is_private_host(urlsplit(source.contents or source.location).hostname or "")

    def _get_once(self, url: str, headers: Mapping[str, str], *, public_only: bool) -> Answer:
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname or ""
        if scheme not in _DEFAULT_PORTS:
            raise BadFileError(f"leads to an address of the kind {scheme[:20]!r}, not http(s); give the file itself")
        if public_only and getproxies():  # a proxy resolves the host itself: check the name before
            refuse_private(host)
        fetching = self.fetching
        with ExitStack() as connection:
            if self.layout is not None:
                limits = fetching.limits_of(host)
                connection.enter_context(host_connection(self.layout.hosts, host, limits, self.wait))
            always = {"User-Agent": fetching.user_agent, "Accept-Encoding": "identity"}
            timeout = httpx.Timeout(fetching.read_seconds, connect=fetching.connect_seconds)
            client = pooled_client(public_only=public_only)
            request = client.build_request("GET", url, headers={**always, **headers}, timeout=timeout)
            with time_limit(fetching.connect_seconds + fetching.read_seconds):
                response = client.send(request, stream=True)
            connection.callback(response.close)
            _check_headers(response, fetching.bounds)
            return Answer(response, connection.pop_all(), fetching)


def _check_headers(response: httpx.Response, bounds: Limits) -> None:
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise BadFileError(f"the server encodes it as {encoding[:40]!r}, which was not requested; ask the payer")
    size = sum(len(name) + len(value) + 4 for name, value in response.headers.raw)
    if size > bounds.header_bytes:
        raise crossed(bounds, "header_bytes", f"the server's headers are {size:,} bytes")


def _is_same_host(one: str, other: str) -> bool:
    """Whether host and port are the same; https may follow http on the default ports, http never follows https."""
    first, second = urlsplit(one), urlsplit(other)
    ports = tuple(parts.port or _DEFAULT_PORTS.get(parts.scheme) for parts in (first, second))
    if first.hostname != second.hostname:
        return False
    return ports[0] == ports[1] if first.scheme == second.scheme else (first.scheme, *ports) == ("http", 80, 443)


@contextmanager
def _translated_errors(fetching: Fetching) -> Iterator[None]:
    """Errors of the network as ours; the texts of the libraries can quote addresses and headers."""
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, ValueError) as error:
        raise BadFileError(f"can't be requested ({type(error).__name__}); check its address and headers") from None
    except (httpx.HTTPError, httpx.StreamError, socket.gaierror) as error:
        final = _final_reason(error)
        if final:
            raise HostFailedError(final) from None
        if str(error) == _H11_HEADERS_TOO_LONG:
            raise crossed(fetching.bounds, "header_bytes", "the server's headers go on beyond it") from None
        raise AnswerLostError(_describe(error, fetching), of_host=True) from None


def _final_reason(error: BaseException) -> str | None:
    """The reason why a repeated request can't help; None if it may."""
    for cause in causes(error):
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
            return "can't be fetched: no such host; check the address"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"can't be fetched: the host's certificate is refused ({cause.verify_message}); check the address"
    return None


def _describe(error: BaseException, fetching: Fetching) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return f"no connection within {fetching.connect_seconds:g} seconds, [http] connect_seconds"
    if isinstance(error, httpx.TimeoutException):
        return f"no byte of use within {fetching.read_seconds:g} seconds, [http] read_seconds"
    reason = next((cause.strerror for cause in causes(error) if isinstance(cause, OSError) and cause.strerror), None)
    what = "no connection" if isinstance(error, httpx.ConnectError) else "the connection broke"
    return f"{what} ({reason})" if reason else what


@cache
def pooled_client(*, public_only: bool) -> httpx.Client:
    """This process's client, so that connections are reused and certificates are loaded once.

    Connections to private addresses are not shared with requests that must not use them. A proxy from the environment
    may be private: it resolves the destination itself, so it is not checked. httpx has no setting for the backend that
    makes connections; httpcore, below it, has.
    """
    silence_request_logs()
    client = httpx.Client(follow_redirects=False, limits=httpx.Limits(max_connections=None))
    atexit.register(client.close)
    direct = client._transport
    for transport in (direct, *client._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            transport._pool._network_backend = _Backend(public_only=public_only and transport is direct)
    return client


class _Backend(httpcore.SyncBackend):
    def __init__(self, *, public_only: bool) -> None:
        self._public_only = public_only

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first address that answers; ``BadFileError`` if an address is not allowed."""
        connect, failure = super().connect_tcp, None
        for address in refuse_private(host) if self._public_only else [host]:
            try:
                return _TimedStream(interruptible(connect, address, port, timeout, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError


class _TimedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _time_left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _time_left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> Any:
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, _time_left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End all waits of this thread for connections after so many seconds with httpx's ReadTimeout."""
    _deadline.at = time.monotonic() + seconds
    try:
        yield
    finally:
        _deadline.at = None


def _time_left(timeout: float | None) -> float | None:
    deadline: float | None = getattr(_deadline, "at", None)
    if deadline is None:
        return timeout
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout
    return left if timeout is None else min(left, timeout)


def silence_request_logs() -> None:
    """Log no requests, whatever levels are set: httpx logs whole URLs, and httpcore every header at DEBUG."""
    logging.getLogger("httpx").addFilter(_reject_record)  # added once, however often
    logging.getLogger("httpcore").setLevel(logging.INFO)


def _reject_record(_record: logging.LogRecord) -> bool:
    return False


def refuse_private(host: str) -> list[str]:
    """The addresses of a host; ``BadFileError`` if one is not public."""
    addresses = _addresses_of(host)
    private = sorted(address for address in addresses if not is_public(address))
    if private:
        setting = f"[http] allow_private in tic-rates.toml or {environment_name('allow_private', 'http')}"
        raise BadFileError(
            f"{host} is a private address ({private[0]}): limit allow_private is false; to change it, set {setting}"
        )
    return addresses


def _addresses_of(host: str) -> list[str]:
    """The addresses of a name, or of an address in any spelling that the system accepts."""
    found = interruptible(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


@lru_cache(64)
def is_private_host(host: str) -> bool:
    """Whether a host has an address on a private network; False for a host that can't be found."""
    try:
        return any(not is_public(address) for address in _addresses_of(host))
    except OSError:
        return False


def is_public(text: str) -> bool:
    """Whether an address is on the public internet, also if it is written as IPv4 within IPv6."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(str(inner))
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)

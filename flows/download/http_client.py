"""One request to a server, answered by a body that is read as it comes: turns, redirects, and words for what fails.

What can be secret (query, credentials, headers) stands in no exception and no log line of ours or of httpx.
"""

import atexit
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import BinaryIO, cast
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies

import httpx

from flows.download.host_limits import turn
from flows.download.http_validators import Validators
from flows.download.network import guard, is_private_host, redact_request_logs, refuse_private, within
from flows.download.resumable_download import RemoteFile
from flows.download.retry import Wait
from flows.download.sources import HashingStream, Source
from flows.download.url_renewal import RenewUrl
from flows.settings.fetching import Fetching
from flows.storage.layout import Layout
from flows.storage.redaction import redact_url
from transforms.errors import AnswerLostError, BadFileError, HostFailedError, causes
from transforms.limits import Limits, crossed

_ENCODINGS = ("", "identity", "gzip", "x-gzip", "zstd")  # told by their first bytes like any file's
_H11_HEADERS_TOO_LONG = "Receive buffer too long"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class RemoteStream(HashingStream):
    """A remote file's bytes, whatever happens to the connections that they come by."""

    def __init__(self, remote: RemoteFile) -> None:
        super().__init__(cast("BinaryIO", remote))
        self._remote = remote

    @property
    def validators(self) -> Validators:
        """What the server says this content is known by."""
        return self._remote.validators


@contextmanager
def open_url(
    source: Source,
    fetching: Fetching | None = None,
    layout: Layout | None = None,
    *,
    known: Validators | None = None,
    public_only: bool = False,
    wait: Wait = time.sleep,
    renew: RenewUrl | None = None,
) -> Iterator[RemoteStream]:
    """A GET whose body is read as it comes; ``BadFileError`` for every refusal, with the reason.

    Args:
        layout: whose cache keeps the hosts' turns; None: politeness ends with this one request.
        known: what is had already; ``UnchangedError`` where the server's content is still that.
        public_only: refuse hosts on loopback, link-local and private networks, after redirects too. What a table of
            contents lists, and where the user's own address redirects to, is held to that anyway, unless that table
            or address stands on a private network itself, or ``allow_private`` is set.
        renew: gives a new address for a file whose signature expired; None: the refusal is final.
    """
    web = Web(fetching or Fetching(), layout, public_only=public_only, wait=wait)
    with opened(web, source, known=known, renew=renew) as remote:
        yield RemoteStream(remote)


@contextmanager
def opened(
    web: "Web",
    source: Source,
    *,
    known: Validators | None = None,
    renew: RenewUrl | None = None,
) -> Iterator[RemoteFile]:
    """A remote file with its first answer had; closed with the context."""
    remote = RemoteFile(source, web.ask, web.fetching, known=known, renew=renew, wait=web.wait)
    try:
        remote.open()
        yield remote
    finally:
        remote.close()


class Answer:
    """One answer: status and headers, then the body piece by piece. Holds its host's turn until it is closed."""

    def __init__(self, response: httpx.Response, held: ExitStack, fetching: Fetching) -> None:
        self._response = response
        self._fetching = fetching
        self._held = held
        self._chunks = response.iter_raw()
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    def next(self) -> bytes:
        """The next piece of the body as the server holds it; nothing at its end."""
        with _in_our_words(self._fetching), within(self._fetching.read_seconds):
            return next((chunk for chunk in self._chunks if chunk), b"")

    @property
    def redirect(self) -> str | None:
        """Where it sends us, if anywhere."""
        return self._response.headers["Location"] if self._response.has_redirect_location else None

    def close(self) -> None:
        """End the request, read to its end or not; one without a body leaves its connection to the next."""
        with self._held:
            if self.status == httpx.codes.NOT_MODIFIED or self.headers.get("Content-Length") == "0":
                with suppress(AnswerLostError):
                    self.next()


@dataclass(frozen=True)
class Web:
    """How this process asks."""

    fetching: Fetching = field(default_factory=Fetching)
    layout: Layout | None = None
    public_only: bool = False
    wait: Wait = time.sleep

    def ask(self, source: Source, conditions: Mapping[str, str]) -> Answer:
        """The answer to a GET, after redirects. The source's own headers go to its origins only.

        Raises:
            AnswerLostError: none came; it may come when asked again.
            BadFileError: none can come.
        """
        url = source.location
        bounds = self.fetching.bounds
        for redirects in range(bounds.redirects + 1):
            with _in_our_words(self.fetching):
                public_only = self.public_only or not self._may_be_private(source, redirects)
                trusted = source.origins or (source.location,)
                own = dict(source.headers) if any(_same_host(each, url) for each in trusted) else {}
                answer = self._ask_once(url, own | dict(conditions), public_only=public_only)
                if answer.redirect is None:
                    return answer
                answer.close()
                url = urljoin(url, answer.redirect)
        raise crossed(bounds, "redirects", f"more redirects, the last one to {redact_url(url)}")

    def _may_be_private(self, source: Source, redirects: int) -> bool:
        """Whether the next address may be on a private network: the user's own may, and what one that is leads to."""
        if self.fetching.allow_private or (source.contents is None and not redirects):
            return True
        return is_private_host(urlsplit(source.contents or source.location).hostname or "")

    def _ask_once(self, url: str, headers: Mapping[str, str], *, public_only: bool) -> Answer:
        scheme = urlsplit(url).scheme
        if scheme not in _DEFAULT_PORTS:
            raise BadFileError(f"leads to an address of the kind {scheme[:20]!r}, not http(s); give the file itself")
        with ExitStack() as held:
            host = urlsplit(url).hostname or ""
            if public_only and getproxies():  # that find the host by themselves: it is judged by its name only
                refuse_private(host)
            if self.layout is not None:
                held.enter_context(turn(self.layout.hosts, host, self.fetching.limits_of(host), self.wait))
            fetching = self.fetching
            always = {"User-Agent": fetching.user_agent, "Accept-Encoding": "identity"}
            timeout = httpx.Timeout(fetching.read_seconds, connect=fetching.connect_seconds)
            client = _client(public_only=public_only)
            request = client.build_request("GET", url, headers={**always, **headers}, timeout=timeout)
            with within(fetching.connect_seconds + fetching.read_seconds):
                response = client.send(request, stream=True)
            held.callback(response.close)
            _check_headers(response, fetching.bounds)
            return Answer(response, held.pop_all(), fetching)


def _check_headers(response: httpx.Response, bounds: Limits) -> None:
    packed = response.headers.get("Content-Encoding", "").strip().lower()
    if packed not in _ENCODINGS:
        raise BadFileError(f"the server packs it as {packed[:40]!r}, though asked for it as it is; ask the payer")
    size = sum(len(name) + len(value) + 4 for name, value in response.headers.raw)
    if size > bounds.header_bytes:
        raise crossed(bounds, "header_bytes", f"the server's headers are {size:,} bytes")


@cache
def _client(*, public_only: bool) -> httpx.Client:
    """This process's own: connections are reused, and its certificates are loaded once.

    One for public addresses, one for all: a connection to a private one is never taken up for another purpose.
    """
    redact_request_logs()
    client = httpx.Client(follow_redirects=False, limits=httpx.Limits(max_connections=None))
    atexit.register(client.close)
    return guard(client, public_only=public_only)


def _same_host(one: str, other: str) -> bool:
    """Same host and port, and not from https down to http; up to https on the default ports is the same host."""
    first, second = urlsplit(one), urlsplit(other)
    if first.hostname != second.hostname or (first.scheme, second.scheme) == ("https", "http"):
        return False
    if first.scheme != second.scheme:
        return (_port(one), _port(other)) == (80, 443)
    return _port(one) == _port(other)


def _port(url: str) -> int | None:
    parts = urlsplit(url)
    return parts.port or _DEFAULT_PORTS.get(parts.scheme)


@contextmanager
def _in_our_words(fetching: Fetching) -> Iterator[None]:
    """Errors of the network as ours; their own texts can quote addresses and headers, ours don't."""
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, ValueError) as error:
        raise BadFileError(f"can't be asked for ({type(error).__name__}); check its address and headers") from None
    except (httpx.HTTPError, httpx.StreamError, socket.gaierror) as error:
        final = _final_reason(error)
        if final:
            raise HostFailedError(final) from None
        if str(error) == _H11_HEADERS_TOO_LONG:
            raise crossed(fetching.bounds, "header_bytes", "the server's headers go on beyond it") from None
        raise AnswerLostError(_describe(error, fetching), of_host=True) from None


def _final_reason(error: BaseException) -> str | None:
    """Why asking again is in vain; None where it may help."""
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
    said = next((cause.strerror for cause in causes(error) if isinstance(cause, OSError) and cause.strerror), None)
    what = "no connection" if isinstance(error, httpx.ConnectError) else "the connection broke"
    return f"{what} ({said})" if said else what

"""http(s):// sources and remote provider references, as streams of the bytes that the server holds."""

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import BinaryIO, cast
from urllib.parse import urljoin, urlsplit

import httpx

from flows.fetching import USER_AGENT
from flows.sources import HashingStream, Source, redact
from transforms.errors import BadFileError

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
MAX_REDIRECTS = 5


class _ResponseStream:
    """A response's raw bytes behind ``read``."""

    def __init__(self, response: httpx.Response) -> None:
        self._chunks = response.iter_raw()
        self._held = b""

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes; everything when negative."""
        while size < 0 or not self._held:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._held += chunk
        data, self._held = (self._held, b"") if size < 0 else (self._held[:size], self._held[size:])
        return data


@contextmanager
def open_url(source: Source, *, public_only: bool = False) -> Iterator[HashingStream]:
    """A GET whose body is read as it comes; ``BadFileError`` for every refusal, with the host and the reason.

    Args:
        public_only: refuse hosts on loopback, link-local and private networks, after redirects too.
    """
    try:
        with (
            httpx.Client(headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}, timeout=TIMEOUT) as client,
            closing(_follow(client, source.location, public_only=public_only)) as response,
        ):
            announced = response.headers.get("Content-Length")
            yield HashingStream(cast("BinaryIO", _ResponseStream(response)), int(announced) if announced else None)
    except (httpx.HTTPError, httpx.InvalidURL, socket.gaierror) as error:
        detail = str(error).replace(source.location, source.name)
        raise BadFileError(f"can't be fetched ({type(error).__name__}: {detail}); run again later") from error


def _follow(client: httpx.Client, url: str, *, public_only: bool) -> httpx.Response:
    for _ in range(MAX_REDIRECTS + 1):
        if urlsplit(url).scheme not in ("http", "https"):
            raise BadFileError(f"leads to {redact(url)}, which is not http(s)")
        if public_only:
            _refuse_private(url)
        response = client.send(client.build_request("GET", url), stream=True)
        if response.has_redirect_location:
            url = urljoin(url, response.headers["Location"])
            response.close()
            continue
        if response.status_code != httpx.codes.OK:
            response.close()
            hint = "; the signature may have expired: read the table of contents again"
            expired = response.status_code in (401, 403, 410)
            raise BadFileError(f"the server answers {response.status_code}{hint if expired else ''}")
        return response
    raise BadFileError(f"more than {MAX_REDIRECTS} redirects (limit redirects)")


def _refuse_private(url: str) -> None:
    host = urlsplit(url).hostname or ""
    addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    private = sorted(address for address in addresses if not ipaddress.ip_address(address.split("%")[0]).is_global)
    if private:
        raise BadFileError(f"{host} is a private address ({private[0]}): not fetched (setting allow_private)")

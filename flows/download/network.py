"""Connections as we make them: to public addresses only where that is wanted, and none is waited for without end.

The address that a name leads to is looked up once, judged, and connected to: a name that leads elsewhere a moment
later gains nothing. Every wait has a time by which it is over, however a server drips.
"""

import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import httpcore
import httpx

from flows.storage.redaction import redact_to_host, redact_url
from flows.storage.threads import interruptible
from transforms.errors import BadFileError
from transforms.limits import environment_name

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # the last 32 bits are the IPv4 address that is reached
_patience = threading.local()


class Backend(httpcore.NetworkBackend):
    """httpcore's own, with these two rules."""

    def __init__(self, *, public_only: bool) -> None:
        self._backend = httpcore.SyncBackend()
        self._public_only = public_only

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first address that answers; ``BadFileError`` where one may not be had."""
        addresses = refuse_private(host) if self._public_only else [host]
        for address in addresses[:-1]:
            try:
                return self._connect(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._connect(addresses[-1], port, timeout, local_address, socket_options)

    def _connect(
        self,
        address: str,
        port: int,
        timeout: float | None,
        local_address: str | None,
        socket_options: Iterable[Any] | None,
    ) -> httpcore.NetworkStream:
        connect = self._backend.connect_tcp  # which looks the host up
        return _TimedStream(interruptible(connect, address, port, timeout, local_address, socket_options))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        """Raises: no setting leads to a unix socket."""
        raise AssertionError("no unix sockets")


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
def within(seconds: float) -> Iterator[None]:
    """Whatever this thread waits for on our connections meanwhile is over by then, with httpx's ReadTimeout."""
    _patience.until = time.monotonic() + seconds
    try:
        yield
    finally:
        _patience.until = None


def _time_left(timeout: float | None) -> float | None:
    until: float | None = getattr(_patience, "until", None)
    if until is None:
        return timeout
    left = until - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout
    return left if timeout is None else min(left, timeout)


def redact_request_logs() -> None:
    """What httpx and httpcore log of requests loses queries, credentials and headers, whatever levels are set."""
    logging.getLogger("httpx").addFilter(_redact_record)  # added once, however often
    logging.getLogger("httpcore").setLevel(logging.INFO)  # at DEBUG it logs every header


def _redact_record(record: logging.LogRecord) -> bool:
    """httpx logs every request with its whole URL; of what is sent to a webhook even the path may be a secret."""
    if isinstance(record.args, tuple):
        posts = "POST" in record.args
        record.args = tuple(_redacted(arg, posts) if isinstance(arg, httpx.URL) else arg for arg in record.args)
    return True


def _redacted(url: httpx.URL, posts: bool) -> str:
    return redact_to_host(str(url)) if posts else redact_url(str(url))


def guard(client: httpx.Client, *, public_only: bool) -> httpx.Client:
    """Let the client connect in our way. httpx has no setting for it, httpcore below has.

    A proxy from the environment may be private: it resolves the destination itself, so it is not checked.
    """
    direct = client._transport
    for transport in (direct, *client._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            transport._pool._network_backend = Backend(public_only=public_only and transport is direct)
    return client


def refuse_private(host: str) -> list[str]:
    """The addresses of a host; ``BadFileError`` where one is not public."""
    addresses = addresses_of(host)
    private = sorted(address for address in addresses if not is_public(address))
    if private:
        setting = f"[http] allow_private in tic-rates.toml or {environment_name('allow_private', 'http')}"
        raise BadFileError(
            f"{host} is a private address ({private[0]}): limit allow_private is false; to change it, set {setting}"
        )
    return addresses


def addresses_of(host: str) -> list[str]:
    """What a name, or an address in any spelling that the system takes, leads to."""
    found = interruptible(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


@lru_cache(64)
def is_private_host(host: str) -> bool:
    """Whether a host named by the user stands on a private network; False for one that can't be found."""
    try:
        return any(not is_public(address) for address in addresses_of(host))
    except OSError:
        return False


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet's, also behind the spellings of IPv4 within IPv6."""
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

"""HTTP connections: to public addresses only where that is required, and with a limit on every wait.

The address of a name is looked up once, checked, and connected to, so a name that changes its address a moment later
reaches no other host. The limit on a wait holds for servers that drip, too.
"""

import atexit
import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

import httpcore
import httpx

from flows.storage.threads import interruptible
from transforms.errors import BadFileError
from transforms.limits import environment_name

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # the last 32 bits are the IPv4 address that is reached
_deadline = threading.local()


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

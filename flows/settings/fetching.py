"""How and where sources are read: what a configuration may say, as plain values that travel to worker processes."""

from dataclasses import dataclass, field
from typing import Literal

from transforms.limits import Limits

Engine = Literal["scan", "ijson"]  # the readers
USER_AGENT = "tic-rates/0.1 (reads Transparency in Coverage files)"


@dataclass(frozen=True)
class HostLimits:
    """Limits for one host, shared by all processes of a run."""

    connections: int = 4
    requests_per_second: float | None = None  # None: as fast as connections allow


@dataclass(frozen=True)
class Fetching:
    """How http(s):// sources are fetched."""

    user_agent: str = USER_AGENT
    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    attempts: int = 8  # in a row without a byte of progress
    first_wait_seconds: float = 0.5  # doubled each time, with jitter
    longest_wait_seconds: float = 120.0
    limits: HostLimits = HostLimits()
    hosts: tuple[tuple[str, HostLimits], ...] = field(default=())  # exceptions, by host name
    allow_private: bool = False  # what files lead to may be on loopback, link-local and private networks
    bounds: Limits = field(default_factory=Limits)  # what an answer may ask of this machine

    def limits_of(self, host: str) -> HostLimits:
        """The limits of one host."""
        return dict(self.hosts).get(host, self.limits)


@dataclass(frozen=True)
class ReadSettings:
    """How the sources of a run are read, by whichever process and machine."""

    codes: frozenset[str] = frozenset()
    engine: Engine | None = None  # None: the scanning reader where it can be loaded
    fetching: Fetching = field(default_factory=Fetching)
    workers: int = 0  # 0: as many as there are cores
    force: bool = False  # read again what was read before

    @property
    def limits(self) -> Limits:
        """What one published file may ask of this machine."""
        return self.fetching.bounds


@dataclass(frozen=True)
class Cluster:
    """The Dask cluster that reads files; without an address, this machine does."""

    dask: str | None = None  # the scheduler's address
    machines: int = 1  # that share a host's connections, where the cache can't hold its locks for all of them

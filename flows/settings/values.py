"""A configuration as plain values, which travel to worker processes: how sources are read, payers, gates, nights."""

from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

from flows.settings.addresses import Location
from schemas.codes import DEFAULT_CODES
from transforms.limits import Limits

Engine = Literal["scan", "ijson"]  # the readers
# What a webhook may be sent, and when
EVENTS = {
    "published": "new tables of a month, with nothing left out",
    "partial": "a month with files quarantined, payers not there in time, provider references given up because their "
    "host failed, a commit to the Delta tables that failed, or coverage rules not fetched",
    "withheld": "a month with payers that failed a gate; their last good figures stay",
    "failed": "a month that published nothing; the last good tables stay",
    "stale": "a payer whose newest file has become older than `stale_after_days`; once",
    "changed": "a new edition of coverage rules that changed documents",
    "crashed": "a run in Prefect whose process ended, or sent no sign of life",
}
TEMPLATES = {"{month}": "%Y-%m", "{year}": "%Y", "{mm}": "%m"}


@dataclass(frozen=True)
class HostLimits:
    """Limits for one host, shared by all processes of a run."""

    connections: int = 4
    requests_per_second: float | None = None  # None: as fast as connections allow


@dataclass(frozen=True)
class Fetching:
    """How http(s):// sources are fetched."""

    user_agent: str = "tic-rates/0.1 (reads Transparency in Coverage files)"
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


@dataclass(frozen=True)
class PayerSource:
    """One payer's tables of contents and files. Locations may contain credentials and are left out of its repr."""

    name: str
    contents: tuple[str, ...] = field(default=(), repr=False)
    files: tuple[str, ...] = field(default=(), repr=False)
    include: tuple[str, ...] = ()  # regular expressions; none means all
    exclude: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    plan_market_types: tuple[str, ...] = ()  # of what indexes list: one of these must be stated; none means all
    plan_id_types: tuple[str, ...] = ()
    min_plans: int = 0
    undated: str | None = None  # "any": sources without a month in their address or dates count for every past month


@dataclass(frozen=True)
class Gates:
    """What a month must pass before it replaces the published one; None or False turns a gate off."""

    min_files_read: float | None = 0.9  # of the files listed, the share that was read to its end
    max_rows_change: float | None = 0.5  # of the month before, more or fewer
    max_median_change: float | None = 0.25  # of the month before, up or down
    min_nppes_share: float | None = 0.8  # of the NPIs, the share that NPPES knows
    withhold_vanished: bool = True  # a payer that was published before and has no rows now


@dataclass(frozen=True)
class Nightly:
    """Which months a night covers, and how long it waits for payers."""

    months_back: int = 1  # months before this one
    expect_by_day: int = 20  # of the month; a payer that is not there after it is a failure
    stale_after_days: int | None = 62  # from the newest last_updated_on to today, or the month's last day

    def is_late(self, month: date, today: date) -> bool:
        """Whether the day has passed by which every payer is expected."""
        last = monthrange(month.year, month.month)[1]
        return today > month.replace(day=min(self.expect_by_day, last))


@dataclass(frozen=True)
class EditionAddresses:
    """Where nights fetch editions of coverage rules. They may contain credentials and are left out of its repr."""

    coverage: tuple[str, ...] = field(default=(), repr=False)
    ncci: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Config:
    """A whole configuration, its relative paths resolved."""

    path: Path
    payers: tuple[PayerSource, ...]
    output: Location = Path("output")
    nppes: Location | None = None
    codes: tuple[str, ...] = DEFAULT_CODES
    delta: bool = False  # `summaries` and `providers` as Delta tables, too
    workers: int = 0  # 0: as many as there are cores
    engine: Engine | None = None
    fetching: Fetching = field(default_factory=Fetching)
    gates: Gates = Gates()
    nightly: Nightly = Nightly()
    reference: EditionAddresses = EditionAddresses()
    schedule: str = "0 2 * * *"
    timezone: str = "UTC"
    webhook: str | None = field(default=None, repr=False)
    events: tuple[str, ...] = tuple(EVENTS)  # those that the webhook gets
    metrics_file: Path | None = None  # written after each run
    cluster: Cluster = field(default_factory=Cluster)


def fill_month(location: str, month: date) -> str:
    """``{month}`` as 2025-06, ``{year}`` as 2025, ``{mm}`` as 06."""
    for name, form in TEMPLATES.items():
        location = location.replace(name, month.strftime(form))
    return location


def asks_for_month(location: str) -> bool:
    """Whether ``fill_month`` puts both year and month into it."""
    return "{month}" in location or ("{year}" in location and "{mm}" in location)

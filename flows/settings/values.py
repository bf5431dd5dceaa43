"""A whole configuration as plain values, which travel to worker processes; importing them costs nothing else."""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from flows.settings.addresses import Location
from flows.settings.fetching import Cluster, Engine, Fetching
from schemas.codes import DEFAULT_CODES

DEFAULT_CONFIG = Path("tic-rates.toml")
DEFAULT_SCHEDULE = "0 2 * * *"
DEFAULT_TIMEZONE = "UTC"


@dataclass(frozen=True)
class PayerSource:
    """One payer's tables of contents and files. Locations may carry credentials, so they are not shown either."""

    name: str
    contents: tuple[str, ...] = field(default=(), repr=False)
    files: tuple[str, ...] = field(default=(), repr=False)
    include: tuple[str, ...] = ()  # regular expressions; none means all
    exclude: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    undated: str | None = None  # "any": sources that no address or date places in a month count for every past one


@dataclass(frozen=True)
class Gates:
    """What must hold before a night's month replaces the published one; None or False turns one off."""

    min_files_read: float | None = 0.9  # of the files listed, the share that was read to its end
    max_rows_change: float | None = 0.5  # of the month before, more or fewer
    max_median_change: float | None = 0.25  # of the month before, up or down
    min_nppes_share: float | None = 0.8  # of the NPIs, the share that NPPES knows
    withhold_vanished: bool = True  # a payer that was published before and has no rows now


@dataclass(frozen=True)
class Config:
    """A whole configuration; relative paths are resolved already."""

    path: Path
    payers: tuple[PayerSource, ...]
    output: Location = Path("output")
    nppes: Location | None = None
    codes: tuple[str, ...] = DEFAULT_CODES
    workers: int = 0  # 0: as many as there are cores
    engine: Engine | None = None
    fetching: Fetching = field(default_factory=Fetching)
    gates: Gates = Gates()
    schedule: str = DEFAULT_SCHEDULE
    timezone: str = DEFAULT_TIMEZONE
    webhook: str | None = field(default=None, repr=False)
    cluster: Cluster = field(default_factory=Cluster)


TEMPLATES = {"{month}": "%Y-%m", "{year}": "%Y", "{mm}": "%m"}


def fill_month(location: str, month: date) -> str:
    """``{month}`` as 2025-06, ``{year}`` as 2025, ``{mm}`` as 06."""
    for name, form in TEMPLATES.items():
        location = location.replace(name, month.strftime(form))
    return location


def asks_for_month(location: str) -> bool:
    """Whether what ``fill_month`` puts into it says year and month."""
    return "{month}" in location or ("{year}" in location and "{mm}" in location)

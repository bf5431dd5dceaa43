"""The paths under ``--output``: published tables, and the cache and unfinished work in hidden folders.

An output in object storage has a local working folder (``flows.storage.object_sync``).
"""

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

from flows.settings.addresses import Location, is_object_url
from flows.storage.object_store import Objects
from transforms.errors import UsageError

CACHE_ENVIRONMENT = "TIC_RATES_CACHE"


def month_name(month: date) -> str:
    """``2025-06``."""
    return f"{month:%Y-%m}"


def month_of_name(name: str) -> date:
    """The first day of a month named ``2025-06``."""
    return date.fromisoformat(f"{name}-01")


def this_month(timezone: str, now: datetime | None = None) -> date:
    """The first day of the current month in a time zone such as ``UTC``."""
    return today(timezone, now).replace(day=1)


def today(timezone: str, now: datetime | None = None) -> date:
    """The current date in a time zone."""
    return (now or datetime.now(UTC)).astimezone(ZoneInfo(timezone)).date()


def _path(folder: str, name: str) -> "cached_property[Path]":
    """A path of a layout in one of its folders; cached, since each file of a run asks for several."""
    return cached_property(lambda layout: Path(getattr(layout, folder), name))


@dataclass(frozen=True)
class Layout:
    """The paths of one output folder."""

    root: Path
    store: Objects | None = None  # the output, if that is in object storage
    cache_location: str | None = None  # a folder or URL that may serve several outputs; None: under the root

    @classmethod
    def at(cls, output: Location, cache: str | None = None) -> "Layout":
        """The layout of an output, local or in object storage.

        Args: cache: its location; "": under the output; None: from the environment.
        """
        cache = (os.environ.get(CACHE_ENVIRONMENT) if cache is None else cache) or None
        if not is_object_url(output):
            return cls(Path(output), None, cache)
        objects = Objects.of(str(output))
        return cls(working_folder(objects), objects, cache)

    def __reduce__(self) -> tuple[object, ...]:
        """Another machine has a working folder of its own."""
        return (Layout.at, (self.location, self.cache_location or ""))

    @property
    def location(self) -> Location:
        """The output as the user named it."""
        return self.store.url if self.store else self.root

    def name_of(self, path: Path) -> str:
        """A path under this layout as users see it: in object storage, its address."""
        stored = self.stored(path)
        return str(path) if stored is None else stored[0].full(stored[1])

    @cached_property
    def cache(self) -> Path:
        """Extracts, source ledger, remote references, NPPES lookups; safe to delete, costs a re-read."""
        if self.cache_location is None:
            return self.root / ".cache"
        objects = self._cache_store
        return Path(self.cache_location) if objects is None else working_folder(objects)

    @property
    def _cache_store(self) -> Objects | None:
        """The cache's own place in object storage."""
        location = self.cache_location
        return Objects.of(location) if location is not None and is_object_url(location) else None

    def stored(self, path: Path) -> tuple[Objects, str] | None:
        """The object of a path under this layout; None if it is only local."""
        if self.cache_location is not None and path.is_relative_to(self.cache):
            objects = self._cache_store
            return None if objects is None else (objects, path.relative_to(self.cache).as_posix())
        return None if self.store is None else (self.store, path.relative_to(self.root).as_posix())

    # Of the cache
    extracts = _path("cache", "extracts")  # a folder for each content, list of codes and reader version
    ledger = _path("cache", "sources")  # the digest of each source's content when it was last read
    remote = _path("cache", "remote")  # provider groups fetched from ``location`` references
    payer_builds = _path("cache", "payers")  # a folder for each payer and digest of its inputs: its part of a month
    listings = _path("cache", "listings")  # the files that tables of contents listed when they were last read
    hosts = _path("cache", "hosts")  # the locks of ``flows.download.host_limits``, shared by all processes
    # Reference data that the user built
    reference = _path("root", "reference")
    nppes = _path("reference", "nppes.parquet")  # by `reference nppes`; runs use it if no other is given
    zip_localities = _path("reference", "zip_localities.parquet")  # by `reference localities`
    utilization = _path("reference", "utilization")  # by `reference utilization`: a file for each year
    coverage = _path("reference", "coverage")  # by `reference coverage` and `ncci`: kinds/editions
    # Of the output
    staging = _path("root", ".staging")  # months being built
    runs = _path("root", ".state/runs")  # the record of the last run of each month
    manifest = _path("root", "manifest.json")  # what was read, by which version, with which reference data

    def month_lock(self, month: date) -> Path:
        """The lock of the run that works on a month."""
        return self.staging / f"{month_name(month)}.lock"

    def month(self, table: str, month: date) -> Path:
        """The published folder of one table's month."""
        return self.root / table / f"period={month_name(month)}"

    def prepare(self) -> None:
        """Create the folders; ``UsageError`` if they can't be created."""
        try:
            for folder in (self.extracts, self.ledger, self.remote, self.payer_builds, self.staging):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"can't write under {self.root}: {error.strerror}; give another --output") from error


def working_folder(objects: Objects) -> Path:
    """The local folder for the files of a place in object storage; it may be deleted while no command runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME") or tempfile.gettempdir(), ".cache")
    name = re.sub(r"[^a-z0-9.-]+", "-", objects.url.lower())[:60]
    return Path(base, "tic-rates", f"{name}-{hashlib.sha256(objects.url.encode()).hexdigest()[:12]}")

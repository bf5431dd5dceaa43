"""What is known against releases, looked up in a copy of OSV's records: no network is asked.

The copy is a folder of OSV's .json files, or the archive of them that OSV publishes for PyPI. The rules are those of
the OSV schema, for the one ecosystem whose versions ``packaging`` compares.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from packaging.utils import canonicalize_name, canonicalize_version
from packaging.version import InvalidVersion, Version

from tests.supply.lock import Release


class Finding(NamedTuple):
    """An advisory that a release is affected by; ``fixed``: the releases that cure it, where it says."""

    name: str
    version: str
    ids: frozenset[str]
    fixed: tuple[str, ...]


class Answer(NamedTuple):
    """What a source said, and for which packages it could say anything."""

    looked_up: frozenset[str]
    findings: list[Finding]


class Source(Protocol):
    """Somewhere that advisories can be looked up."""

    def __call__(self, releases: Sequence[Release]) -> Answer | str:
        """The answer, or why there is none."""


def packages(record: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The PyPI packages that a record is about."""
    for affected in record.get("affected", ()):
        package = affected.get("package", {})
        if package.get("ecosystem") == "PyPI":
            yield canonicalize_name(package["name"]), affected


def change(event: Mapping[str, str]) -> tuple[Version, str]:
    """An event of a range: from which version on, and what; "0" is before every version.

    Raises: InvalidVersion: its version is none.
    """
    kind = next(kind for kind in ("introduced", "fixed", "last_affected", "limit") if kind in event)
    return Version("0.dev0" if event[kind] == "0" else event[kind]), kind


def in_range(version: Version, events: Iterable[Mapping[str, str]]) -> bool:
    """The last event that the version has passed decides, wherever it stands in the list."""
    affected = False
    for at, kind in sorted(change(event) for event in events):
        if version > at or (version == at and kind != "last_affected"):
            affected = kind == "introduced"
    return affected


def ranges(affected: Mapping[str, Any]) -> list[list[dict[str, str]]]:
    """The ranges of package versions; those of commits say nothing here."""
    return [one["events"] for one in affected.get("ranges", ()) if one["type"] == "ECOSYSTEM"]


def is_affected(version: str, affected: Mapping[str, Any]) -> bool:
    """Whether a release is named, or lies in a range. What can't be judged counts as affected: a person decides."""
    named = {canonicalize_version(name) for name in affected.get("versions", ())}
    if canonicalize_version(version) in named:
        return True
    try:
        within = any(in_range(Version(version), events) for events in ranges(affected))
    except InvalidVersion:
        return True
    return within or not (named or ranges(affected))


def fixed_in(affected: Mapping[str, Any]) -> tuple[str, ...]:
    """The releases that are said to be cured."""
    return tuple(event["fixed"] for events in ranges(affected) for event in events if "fixed" in event)


def findings(records: Iterable[Mapping[str, Any]], releases: Sequence[Release]) -> Iterator[Finding]:
    """The advisories, withdrawn ones left out, that the releases are affected by."""
    for record in records:
        for name, affected in packages(record):
            for release in releases:
                if release.name == name and not record.get("withdrawn") and is_affected(release.version, affected):
                    ids = frozenset([record["id"], *record.get("aliases", ())])
                    yield Finding(name, release.version, ids, fixed_in(affected))


def records_in(copy: Path) -> Iterator[dict[str, Any]]:
    """The records of a folder of .json files, or of a zip of them.

    Raises: OSError, zipfile.BadZipFile, json.JSONDecodeError: there is no such copy, or it is broken.
    """
    if copy.is_dir():
        yield from (json.loads(path.read_bytes()) for path in sorted(copy.rglob("*.json")))
        return
    with zipfile.ZipFile(copy) as archive:
        yield from (json.loads(archive.read(name)) for name in archive.namelist() if name.endswith(".json"))


def of_copy(copy: Path) -> Source:
    """A source that is all there: a package that no record mentions has nothing known against it."""
    records = list(records_in(copy))
    newest = max((record["modified"] for record in records), default="never")
    print(f"{copy}: {len(records):,} records, the newest of {newest[:10]}")

    def look_up(releases: Sequence[Release]) -> Answer:
        return Answer(frozenset(release.name for release in releases), list(findings(records, releases)))

    return look_up

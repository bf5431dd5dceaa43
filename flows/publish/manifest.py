"""Reading ``manifest.json``: what is published, withheld, awaited and failed. Free of polars, so that it is quick.

The layout version is one number for the folders, records and manifest keys of an output and of a cache. 1: tic-rates
0.1 (`format` in the manifest, no number in the cache). 2: `pruned` in the manifest, and the times of cached files say
when they were last used. Outputs from before 1, with folders named ``month=``, are rewritten by
``flows.publish.older_outputs``.
"""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from importlib.metadata import version
from typing import Any

import msgspec

from flows.storage.atomic_files import write_atomically
from flows.storage.cache_entries import read_record
from flows.storage.layout import Layout, month_name
from flows.storage.object_sync import refresh, upload
from transforms.errors import UsageError

LAYOUT_VERSION = 2
CACHE_RECORD = "layout.json"


class _CacheRecord(msgspec.Struct):
    layout: int
    software: str


def now() -> str:
    """As the manifest writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def full_manifest(layout: Layout) -> dict[str, Any]:
    """The current manifest, with the keys that every manifest has."""
    return fill_manifest(read_manifest(layout))


def read_manifest(layout: Layout) -> dict[str, Any]:
    """The current manifest; empty when nothing was published.

    Raises:
        UsageError: it can't be decoded, or a later version of tic-rates wrote it. No other file has what it says of
            published months.
    """
    return parse_manifest(layout.manifest.read_bytes() if layout.manifest.exists() else None, layout)


def parse_manifest(content: bytes | None, layout: Layout) -> dict[str, Any]:
    """The manifest with this content; empty where there is none. Errors as ``read_manifest``."""
    try:
        manifest = {} if content is None else json.loads(content)
    except ValueError as error:
        raise _unreadable(layout, str(error)) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("months", {}), dict):
        raise _unreadable(layout, "not an object with months")
    check_layout(manifest, layout.name_of(layout.manifest), "give another --output")
    return manifest


def _unreadable(layout: Layout, why: str) -> UsageError:
    place = layout.name_of(layout.manifest)
    return UsageError(f"{place}: can't be decoded ({why}); restore it, or move it away and publish the months again")


def fill_manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with the keys that every manifest has, in the present layout."""
    for name in ("months", "failures", "pruned"):
        manifest.setdefault(name, {})
    manifest.setdefault("publishing", [])
    manifest.pop("format", None)  # of layout 1
    manifest["layout"] = LAYOUT_VERSION
    return manifest


def published_entry(layout: Layout, month: date) -> dict[str, Any]:
    """The manifest's entry of a month; empty when it was never published."""
    months = full_manifest(layout)["months"]
    entry: dict[str, Any] = months.get(month_name(month), {})
    return entry


def previous_entry(layout: Layout, month: date) -> tuple[str, dict[str, Any]]:
    """Name and entry of the last published month before this one; empty when there is none.

    Of a month that was pruned, the entry has what the gates compare with.
    """
    manifest = full_manifest(layout)
    months = manifest["pruned"] | manifest["months"]
    earlier = max((name for name in months if name < month_name(month)), default="")
    return earlier, months.get(earlier, {})


def check_layout(stated: Mapping[str, Any], place: object, elsewhere: str) -> None:
    """Nothing, where this version can use what states its layout version so.

    Args:
        stated: a manifest, or a cache's record.
        elsewhere: what to give instead.

    Raises:
        UsageError: a later version made it.
    """
    found = stated.get("layout", 1)
    if isinstance(found, int) and found <= LAYOUT_VERSION:
        return
    last: Mapping[str, Any] = max(
        stated.get("months", {}).values(), key=lambda entry: str(entry.get("published_at")), default={}
    )
    maker = f"tic-rates {stated.get('software') or last.get('software') or '(a later version)'}"
    raise UsageError(
        f"{place}: has layout version {found}, and this tic-rates {version('tic-rates')} knows versions up to "
        f"{LAYOUT_VERSION}; install the version that wrote it ({maker}), or {elsewhere}"
    )


def check_cache(layout: Layout) -> None:
    """Write the layout version into the cache's folder, where another one or none is there.

    What an earlier version cached stays: an entry that this version would make otherwise has another name.

    Raises:
        UsageError: a later version of tic-rates wrote the cache.
    """
    path = layout.cache / CACHE_RECORD
    stated = read_record(path, _CacheRecord) if refresh(layout, path) else None
    if stated is not None:
        elsewhere = "give another TIC_RATES_CACHE, or delete the folder"
        check_layout(msgspec.structs.asdict(stated), layout.name_of(layout.cache), elsewhere)
    if stated is None or stated.layout != LAYOUT_VERSION:
        write_atomically(path, msgspec.json.encode(_CacheRecord(LAYOUT_VERSION, version("tic-rates"))))
        upload(layout, path)

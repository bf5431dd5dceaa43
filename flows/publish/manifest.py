"""Reading ``manifest.json``: what is published, withheld, awaited and failed. Free of polars, so that it is quick."""

import json
from datetime import UTC, date, datetime
from typing import Any

from flows.publish.layout_version import LAYOUT_VERSION, check_layout
from flows.storage.layout import Layout, month_name
from transforms.errors import UsageError


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

"""The layout version: one number for the folders, records and manifest keys of an output and of a cache.

1: tic-rates 0.1 (`format` in the manifest, no number in the cache). 2: `pruned` in the manifest, and the times of
cached files say when they were last used. Outputs from before 1, with folders named ``month=``, are rewritten by
``flows.publish.older_outputs``.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import msgspec

from flows.storage.atomic_files import write_atomically
from flows.storage.cache_entries import read_record
from flows.storage.layout import Layout
from flows.storage.object_sync import refresh, upload
from transforms.errors import UsageError

LAYOUT_VERSION = 2
CACHE_RECORD = "layout.json"


class _CacheRecord(msgspec.Struct):
    layout: int
    software: str


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

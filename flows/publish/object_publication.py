"""Publishing in object storage: each file is replaced whole, and ``manifest.json`` last.

A store has no rename, and not every store has a conditional write, but each creates an object only where there is none.
So the new files are uploaded under ``.staging/`` first, and then a numbered record of what is to be published is
created. Of two runs that publish at the same time, the second finds its number taken and starts again from the first
one's publication. The files are then copied to their names, and the manifest is written with the record's number.

A run that is killed before its record exists has changed nothing. One that is killed later is finished by the next run
of whatever month: it has the record and the uploads, which stay until the next publication.
"""

import copy
import json
import logging
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flows.download.sources import sha256_of
from flows.publish.manifest import check_layout
from flows.storage.object_store import ObjectMeta, Objects
from flows.storage.threads import map_in_threads
from transforms.errors import UsageError

LOG = logging.getLogger(__name__)
MANIFEST = "manifest.json"
RECORDS = ".state/publications"
STAGED = ".staging"
ABANDONED = timedelta(days=1)  # uploads of a run that was killed before its record
AT_ONCE = 16
ATTEMPTS = 20

Change = Callable[[dict[str, Any]], None]
Files = Mapping[str, Mapping[str, Any]]  # by path under the output: sha256 and bytes

_MONTH = re.compile(r"=(\d{4}-\d{2})/")


def published_manifest(objects: Objects) -> dict[str, Any]:
    """The current manifest; empty where there is none.

    ``publication`` is the number of its record, ``objects`` names every published file.

    Raises:
        UsageError: a later version of tic-rates wrote it.
    """
    manifest: dict[str, Any] = json.loads(objects.get(MANIFEST) or b"{}")
    check_layout(manifest, objects.full(MANIFEST), "give another --output")
    return manifest


def named_files(manifest: Mapping[str, Any], *folders: str) -> Files:
    """The published files that a manifest names in these folders; a folder may be a file."""
    files: Files = manifest.get("objects", {})
    return {path: file for path, file in files.items() if _within(path, folders)}


def publish(objects: Objects, change: Change, files: Mapping[str, Path], replaced: Iterable[str] = ()) -> bytes:
    """Publish files and a change of the manifest; the manifest as it is then.

    Args:
        change: applied to the manifest as it is published by then; once more when another run was first.
        files: by path under the output. A file whose published content is the same is not sent.
        replaced: folders, or files, from which all other files are deleted.
    """
    ours = {path: {"sha256": sha256_of(file), "bytes": file.stat().st_size} for path, file in files.items()}
    for _ in range(ATTEMPTS):
        finish_publication(objects)
        before = published_manifest(objects)
        if before and "publication" not in before:
            what = "does not name its files (copied there from a folder, or of an older version)"
            raise UsageError(f"{objects.full(MANIFEST)}: {what}; use an empty place")
        manifest = copy.deepcopy(before)
        change(manifest)
        there: Files = before.get("objects", {})
        unchanged = {path: file for path, file in there.items() if not _within(path, tuple(replaced))}
        manifest["objects"] = unchanged | ours
        if manifest == before:
            return _json(manifest)
        number = manifest["publication"] = before.get("publication", 0) + 1
        copies = _send(objects, {path: files[path] for path, file in sorted(ours.items()) if there.get(path) != file})
        deleted = sorted(there.keys() - manifest["objects"].keys())
        if _created(objects, number, {"copies": copies, "deleted": deleted, "manifest": manifest}):
            finish_publication(objects)
            return _json(manifest)
        LOG.warning("%s: another run published at the same time; publishing after it", objects.url)
    raise UsageError(f"{objects.url}: others published {ATTEMPTS} times before this run could; run again")


def finish_publication(objects: Objects) -> None:
    """Finish the last publication where that is not done: its run was killed, or is at work.

    A slow run may write over what a later publication has written already. So it looks again at its end, and then
    finishes the later one once more.
    """
    done = published_manifest(objects).get("publication", 0)
    while (number := _latest(objects)) > done:
        done = number if _apply(objects, number) else 0


def _created(objects: Objects, number: int, record: Mapping[str, Any]) -> bool:
    """Whether this is the record of its number, and none is later: those long finished are deleted."""
    key = _record(number)
    if not objects.create(key, _json(record)):
        return False
    if _latest(objects) == number:
        return True
    objects.delete([key])
    return False


def _apply(objects: Objects, number: int) -> bool:
    """Apply a record, the manifest last; False where a later record made that impossible."""
    data = objects.get(_record(number))
    if data is None:
        return False
    record = json.loads(data)
    copies: dict[str, str] = record["copies"]
    months = {found[1] for path in (*copies, *record["deleted"]) if (found := _MONTH.search(path))}
    current = published_manifest(objects)
    if months:  # as in a local folder: readers see that the month's tables are being exchanged
        marked = current | {"publishing": sorted({*current.get("publishing", ()), *months})}
        objects.put(MANIFEST, _json(marked))
    starts = [path for path in copies if path.endswith("index.html")]  # last: what they lead to is there then
    try:
        for paths in ([path for path in copies if path not in starts], starts):
            map_in_threads(paths, lambda path: objects.copy(copies[path], path), AT_ONCE)
    except UsageError:
        if _latest(objects) == number:
            raise
        return False
    objects.delete(record["deleted"])
    objects.put(MANIFEST, _json(record["manifest"]))
    _clean(objects, number, {*copies.values()})
    return True


def _clean(objects: Objects, number: int, needed: set[str]) -> None:
    """Delete earlier records with their uploads, and uploads that never had a record, by the store's own clock."""
    records = {_number(found.key): found for found in objects.list(RECORDS)}
    if number not in records:
        return
    earlier = [found.key for each, found in records.items() if each < number]
    theirs = {key for record in earlier for key in json.loads(objects.get(record) or b"{}").get("copies", {}).values()}
    since = records[number].modified - ABANDONED
    staged = [each for each in objects.list(STAGED) if each.key not in needed]
    objects.delete([*(each.key for each in staged if each.key in theirs or each.modified < since), *earlier])


def abandoned_uploads(objects: Objects) -> list[ObjectMeta]:
    """Uploads of runs that were killed a day ago or longer, before anything could be published of them."""
    records = [json.loads(objects.get(each.key) or b"{}") for each in objects.list(RECORDS)]
    needed = {key for record in records for key in record.get("copies", {}).values()}
    since = datetime.now(UTC) - ABANDONED
    return [each for each in objects.list(STAGED) if each.key not in needed and each.modified < since]


def _latest(objects: Objects) -> int:
    return max((_number(found.key) for found in objects.list(RECORDS)), default=0)


def _record(number: int) -> str:
    return f"{RECORDS}/{number:08}.json"


def _number(key: str) -> int:
    return int(Path(key).stem)


def _send(objects: Objects, files: Mapping[str, Path]) -> dict[str, str]:
    """Upload files under names that no other run has; these, by path."""
    folder = f"{STAGED}/{uuid.uuid4().hex}"
    keys = {path: f"{folder}/{path}" for path in files}
    map_in_threads(keys, lambda path: objects.put(keys[path], files[path]), AT_ONCE)
    return keys


def _within(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, default=str).encode() + b"\n"

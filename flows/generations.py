"""Publishing in object storage: what is published is one numbered object, created only where there is none.

A generation names every published file's version (an object that is never written again), so a
reader that has one generation has one version of everything. Two publishers can't both create the next number: the
second one starts from what the first one published. What a killed publisher sent is in no generation, and is dropped.

The files are copied to the names of the contract after that, for who reads without asking: see ``output/README.md``.
"""

import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from flows.object_store import Found, Objects
from transforms.errors import UsageError

LOG = logging.getLogger(__name__)
FOLDER = "generations"
VERSIONS = "versions"
MANIFEST = "manifest.json"
COPIES = ".state/copies.json"  # which versions stand under the names of the contract
KEPT = timedelta(days=1)  # after it was superseded, for readers at work
KEPT_AT_LEAST = 2
AT_ONCE = 16
ATTEMPTS = 20

Change = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Generation:
    """``files``: by path under the output, ``{"key", "sha256", "bytes"}``. Number 0: nothing was ever published."""

    number: int = 0
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def under(self, *folders: str) -> dict[str, Mapping[str, Any]]:
        """The files in these folders; a folder may be a file."""
        return {path: file for path, file in self.files.items() if _within(path, folders)}


def latest(objects: Objects) -> Generation:
    """What is published now."""
    numbers = [found.key for found in objects.list(FOLDER)]
    return read(objects, max(numbers)) if numbers else Generation()


def read(objects: Objects, key: str) -> Generation:
    """One generation, by its object's key."""
    data = objects.get(key)
    if data is None:
        raise UsageError(f"{objects.full(key)}: gone while it was read; run again")
    stated = json.loads(data)
    return Generation(stated["generation"], stated["files"])


def manifest_of(objects: Objects, generation: Generation) -> dict[str, Any]:
    """The manifest that a generation holds; nothing where none was ever published."""
    file = generation.files.get(MANIFEST)
    if file is None:
        return {}
    data = objects.get(file["key"])
    if data is None:
        raise UsageError(f"{objects.full(file['key'])}: gone while it was read; run again")
    manifest: dict[str, Any] = json.loads(data)
    return manifest


def publish(objects: Objects, change: Change, files: Mapping[str, Path], replaced: Iterable[str] = ()) -> bytes:
    """Publish files and a change of the manifest, all in one instant; the manifest as it is then.

    Args:
        change: applied to the manifest as it is published by then; once more when somebody else was first.
        files: by path under the output.
        replaced: folders, or files, whose content is these files alone.
    """
    ours = {path: _version(path, file) for path, file in files.items()}
    sent: set[str] = set()
    for _ in range(ATTEMPTS):
        before = latest(objects)
        _refuse_strangers(objects, before)
        manifest = manifest_of(objects, before)
        change(manifest)
        data = json.dumps(manifest, indent=1, sort_keys=True, default=str).encode() + b"\n"
        wanted = {path: _known(path, version, before) for path, version in ours.items()}
        wanted[MANIFEST] = _known(MANIFEST, _version(MANIFEST, data), before)
        now = {path: file for path, file in before.files.items() if not _within(path, tuple(replaced))} | wanted
        if now == before.files:
            return data
        contents: dict[str, bytes | Path] = {wanted[path]["key"]: file for path, file in files.items()}
        contents[wanted[MANIFEST]["key"]] = data
        _send(objects, contents, sent | {file["key"] for file in before.files.values()})
        sent |= contents.keys()
        stated = {"format": 1, "generation": before.number + 1, "files": dict(sorted(now.items()))}
        if objects.create(f"{FOLDER}/{before.number + 1:08}.json", json.dumps(stated, indent=1).encode()):
            return data
        LOG.warning("%s: another run published meanwhile; publishing after it", objects.url)
    raise UsageError(f"{objects.url}: others published {ATTEMPTS} times before this run could; run again")


def _send(objects: Objects, contents: Mapping[str, bytes | Path], there: set[str]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda key: objects.put(key, contents[key]), contents.keys() - there))


def _version(path: str, content: bytes | Path) -> dict[str, Any]:
    """A file as a generation names it. Its key is like no other's: one that is being deleted is never sent anew."""
    if isinstance(content, bytes):
        digest, size = hashlib.sha256(content).hexdigest(), len(content)
    else:
        with content.open("rb") as file:
            digest, size = hashlib.file_digest(file, "sha256").hexdigest(), content.stat().st_size
    name = f"{digest[:16]}-{uuid.uuid4().hex[:8]}{path[path.rindex('.') :]}"
    return {"key": "/".join(filter(None, (VERSIONS, path.rpartition("/")[0], name))), "sha256": digest, "bytes": size}


def _known(path: str, version: Mapping[str, Any], before: Generation) -> Mapping[str, Any]:
    """The version that stands already, where the content is the same."""
    standing = before.files.get(path)
    return standing if standing is not None and standing["sha256"] == version["sha256"] else version


def _refuse_strangers(objects: Objects, generation: Generation) -> None:
    if generation.number == 0 and objects.head(MANIFEST) is not None:
        raise UsageError(
            f"{objects.full(MANIFEST)}: not published by a run to object storage (copied there?), which would forget "
            "its months; give an empty place"
        )


def settle(objects: Objects) -> None:
    """The names of the contract stand for the latest generation; what no generation needs is dropped.

    Whoever is last sees the latest, and begins again where there is one by then. A run that was killed in the middle
    is followed by one that ends it.
    """
    while True:
        generation = latest(objects)
        noted = json.loads(objects.get(COPIES) or b"{}")
        if generation.number in (0, noted.get("generation")):
            return
        _copy(objects, generation, noted.get("files", {}))
        drop_unused(objects)


def _copy(objects: Objects, generation: Generation, copied: Mapping[str, str]) -> None:
    public = {path: file["key"] for path, file in generation.files.items() if not path.startswith(".")}
    changed = [path for path, key in public.items() if copied.get(path) != key and path != MANIFEST]
    begun = {**copied, **dict.fromkeys(changed, "")}  # if we are killed, these may stand there, of any version
    objects.put(COPIES, _json({"generation": None, "files": begun}))
    manifest = manifest_of(objects, generation)
    months = {part.removeprefix("month=") for path in changed for part in path.split("/") if part.startswith("month=")}
    objects.put(MANIFEST, _json(manifest | {"publishing": sorted({*manifest.get("publishing", ()), *months})}))
    starts = [path for path in changed if path.endswith("index.html")]  # last: what they lead to is there then
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for paths in ([path for path in changed if path not in starts], starts):
            list(threads.map(lambda path: objects.copy(public[path], path), paths))
    objects.delete(sorted(copied.keys() - public.keys()))
    objects.copy(public[MANIFEST], MANIFEST)
    objects.put(COPIES, _json({"generation": generation.number, "files": public}))


def drop_unused(objects: Objects, kept: timedelta = KEPT) -> None:
    """Delete generations superseded a day ago, but for the last two, and versions that no other names.

    All times are the store's own. A version that is new may belong to a publication that is under way.
    """
    generations = sorted(objects.list(FOLDER), key=lambda found: found.key)
    now = generations[-1].modified
    live = _live(generations, now - kept)
    if len(live) == len(generations):
        return
    needed = {file["key"] for found in live for file in read(objects, found.key).files.values()}
    old = [found.key for found in objects.list(VERSIONS) if found.key not in needed and found.modified < now - kept]
    objects.delete([*old, *(found.key for found in generations if found not in live)])


def _live(generations: list[Found], since: datetime) -> list[Found]:
    """Those not superseded at that time, and the last two."""
    gone = [found for found, following in pairwise(generations) if following.modified < since]
    return [found for found in generations if found not in gone or found in generations[-KEPT_AT_LEAST:]]


def published_files(url: str, *folders: str) -> list[str]:
    """The URLs of published files, all of one version: ``published_files(url, "rates/month=2025-06")``.

    Args:
        url: the output, such as ``s3://bucket/output``.
        folders: paths as under a local output; files of all of them are of one version too.
    """
    objects = Objects.of(url)
    return [objects.full(file["key"]) for _, file in sorted(latest(objects).under(*folders).items())]


def _within(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"

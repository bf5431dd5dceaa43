"""Cache entries that no run used for some days: extracts, payers' builds, listings, lookups, remote references.

A run marks what it uses by the file's time. What the newest published month is made of stays, and so do the remote
references that an extract cites which stays: their hosts may not have them any more. Object storage has no marks: there
an entry's age counts from when it was written, and remote references and the ledger of sources stay.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from flows.download.sources import Source
from flows.extract.extract_source import ACCOUNT
from flows.extract.ledger import ledger_path, stated_content
from flows.extract.provider_references import cited_digests
from flows.extract.readers import reading_version
from flows.operations.retained_files import File, list_files
from flows.storage.layout import Layout
from flows.tables.payer_builds import FIGURES

LOG = logging.getLogger(__name__)
DAY_SECONDS = 86_400
SHA256_DIGITS = 64
Entries = dict[Path, list[File]]  # files of each entry, by its path


def unused_entries(layout: Layout, newest: Mapping[str, Any], days: int) -> dict[str, Entries]:
    """By kind, the entries that no run used for so many days.

    Args: newest: the manifest's entry of the newest published month, whose entries stay.
    """
    since = time.time() - days * DAY_SECONDS
    contents = {file["source_id"] for file in newest.get("files", ())}
    builds = {payer["build"] for payer in newest.get("payers", {}).values()}
    lookup = (newest.get("nppes") or {}).get("lookup")

    def is_read(path: Path) -> bool:
        return path.name[:SHA256_DIGITS] in contents and path.name.endswith(reading_version())

    extracts = _entries(layout, layout.extracts)
    unused = _unused(extracts, since, is_read, ACCOUNT)
    lookups = _entries(layout, layout.cache / "nppes")
    found = {
        "extracts": unused,
        "builds": _unused(_entries(layout, layout.payer_builds), since, lambda path: path.name in builds, FIGURES),
        "listings": _unused(_entries(layout, layout.listings), since),
        "lookups": _unused(lookups, since, lambda path: path.name == lookup or _is_hashed_since(layout, path, since)),
    }
    if layout.stored(layout.remote) is None:
        found |= _unused_references(layout, extracts.keys() - unused.keys(), since)
    return found


def _entries(layout: Layout, folder: Path) -> Entries:
    """The entries in a folder of the cache, but for temporary ones."""
    found: Entries = {}
    for file in list_files(layout, folder):
        name = file.path.relative_to(folder).parts[:1]
        if name and not name[0].startswith("."):
            found.setdefault(folder / name[0], []).append(file)
    return found


def _unused(
    entries: Entries, since: float, stays: Callable[[Path], bool] = lambda _: False, record: str = ""
) -> Entries:
    """Those not used since then. Args: record: the name of the file whose time says when an entry was last used."""
    return {
        path: files
        for path, files in entries.items()
        if not stays(path)
        and max([file.modified for file in files if file.path.name == record] or [each.modified for each in files])
        < since
    }


def _is_hashed_since(layout: Layout, path: Path, since: float) -> bool:
    """Whether a run asked for the digest of a lookup since then."""
    record = ledger_path(Source(str(path)).digest, layout)
    return record.exists() and record.stat().st_mtime >= since


def _unused_references(layout: Layout, extracts: Iterable[Path], since: float) -> dict[str, Entries]:
    """Remote references and the ledger's records, but for those that these extracts cite."""
    cited = {digest for folder in extracts for digest in _cited(folder)}
    contents = {stated_content(ledger_path(digest, layout)) for digest in cited}
    sources, remote = _entries(layout, layout.ledger), _entries(layout, layout.remote)
    return {
        "sources": _unused(sources, since, lambda path: path.stem in cited),
        "remote_references": _unused(remote, since, lambda path: path.name[:SHA256_DIGITS] in contents),
    }


def _cited(folder: Path) -> set[str]:
    try:
        return cited_digests(folder)
    except (pl.exceptions.PolarsError, OSError) as error:  # the next run reads the source again
        LOG.warning("%s: a damaged extract: %s", folder, str(error).splitlines()[0])
        return set()

"""Editions of coverage rules at the configuration's addresses: fetched and built when one of a group changed."""

import logging
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from flows.download.http_validators import Validators
from flows.download.open_source import open_source
from flows.download.sources import Source
from flows.extract.ledger import Entry, recall, remember
from flows.settings.values import EditionAddresses, Fetching
from flows.storage.atomic_files import unfinished_folder
from flows.storage.layout import Layout
from flows.storage.object_sync import refresh_folder, upload
from flows.tables.coverage_editions import build_coverage, build_ncci, find_editions
from schemas.coverage import MUE, PTP
from transforms.errors import BadFileError, OutOfResourcesError, TicRatesError, UnchangedError

LOG = logging.getLogger(__name__)
_PIECE_BYTES = 1 << 20

Build = Callable[[Sequence[Path], Path, Collection[str]], dict[str, Any]]


@dataclass(frozen=True)
class _Fetched:
    """A downloaded file and what identifies its content."""

    path: Path
    sha256: str
    bytes: int
    validators: Validators


def fetch_editions(
    addresses: EditionAddresses, layout: Layout, codes: Collection[str], fetching: Fetching
) -> list[tuple[str, str]]:
    """The files that could not be fetched or loaded, and why; loads the editions of groups in which a file changed.

    A group is fetched whole: LCDs need their articles, and PTP edits are split over files. The loaded editions stay
    where it fails.
    """
    failed = []
    groups: tuple[tuple[Sequence[str], bool, Build], ...] = (
        (addresses.coverage, False, build_coverage),
        (addresses.ncci, True, build_ncci),
    )
    refresh_folder(layout, layout.coverage)
    for locations, is_ncci, build in groups:
        sources = [Source(location) for location in locations]
        loaded = [each for each in find_editions(layout.coverage) if (each.kind in (PTP, MUE)) == is_ncci]
        is_loaded = any(set(codes) <= set(each.codes) for each in loaded)
        try:
            _fetch_group(sources, is_loaded, build, layout, codes, fetching)
        except OutOfResourcesError:
            raise
        except TicRatesError as error:
            names = ", ".join(source.name for source in sources)
            LOG.error("%s: %s; the loaded editions stay", names, error)
            failed.append((names, str(error)))
    return failed


def _fetch_group(
    sources: Sequence[Source], is_loaded: bool, build: Build, layout: Layout, codes: Collection[str], fetching: Fetching
) -> None:
    known = [recall(source, layout) if is_loaded else None for source in sources]
    if not any(_may_differ(source, entry, layout, fetching) for source, entry in zip(sources, known, strict=True)):
        return
    with unfinished_folder(layout.staging) as folder:
        fetched = [_fetch(source, folder / str(n), layout, fetching) for n, source in enumerate(sources)]
        if [each.sha256 for each in fetched] != [entry and entry.sha256 for entry in known]:
            figures = build([each.path for each in fetched], layout.coverage, codes)
            LOG.info("coverage rules: %s", ", ".join(figures["editions"]))
            upload(layout, *figures["paths"], dated=True)
        for source, each in zip(sources, fetched, strict=True):
            remember(source, layout, each.sha256, each.bytes, each.validators, unvalidated=True)


def _may_differ(source: Source, known: Entry | None, layout: Layout, fetching: Fetching) -> bool:
    """Whether the content may be another one than when it was loaded; asks the server, without reading it."""
    if known is None or not source.is_url:
        return known is None
    try:
        with open_source(source, fetching, layout, known=known.validators):
            return True
    except UnchangedError:
        return False


def _fetch(source: Source, folder: Path, layout: Layout, fetching: Fetching) -> _Fetched:
    """A source's bytes under its own name, which may state the edition."""
    folder.mkdir()
    location = urlsplit(source.location).path if source.is_url else source.location
    path = folder / (PurePosixPath(location).name or "download")
    try:
        with open_source(source, fetching, layout) as stream, path.open("wb") as file:
            shutil.copyfileobj(stream, file, _PIECE_BYTES)
            return _Fetched(path, stream.finish(), stream.bytes, stream.validators)
    except BadFileError as error:
        raise BadFileError(f"{source.name}: {error}") from error

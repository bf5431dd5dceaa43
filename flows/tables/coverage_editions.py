"""Editions of coverage rules: built from CMS's exports, NCCI files and csv of policies, one slim file each, all kept.

``reference/coverage/KIND/DATE.parquet`` is ``COVERAGE_EDITION``, with its codes, parts and sources in the metadata.
"""

import json
import logging
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePath
from typing import IO, Any

import polars as pl

from flows.storage.parquet import metadata_of, replace_table
from flows.tables.cms_files import ZIP, first_bytes, is_zip_of_files, naming, only_member, opened_download
from schemas.coding import coding_of
from schemas.coverage import ARTICLE, COVERAGE_EDITION, LCD, POLICY, PTP
from transforms.cms.coverage_exports import Export, Lcds, read_articles, read_lcds, read_ncds
from transforms.cms.coverage_history import Edition, counted_editions, list_changes, read_histories
from transforms.cms.coverage_rules import Rules
from transforms.cms.ncci import read_ncci, text_rows
from transforms.cms.policies import read_policies
from transforms.cms.sheets import sheet_rows, workbook_rows
from transforms.errors import UsageError

LOG = logging.getLogger(__name__)
MOST_LOGGED = 20
_IN_PARTS = (PTP, POLICY)  # kinds of which one edition may be loaded file by file
_INNER = re.compile(r"(?:.*/)?[^/]*_csv\.zip", re.IGNORECASE)
_NAMED_DATE = re.compile(r"(?<!\d)(20\d\d)-?(\d\d)-?(\d\d)(?!\d)")
_SHEET = re.compile(r"(?:.*/)?(?!\.|__MACOSX)[^/]+\.(?:txt|csv|xlsx)", re.IGNORECASE)


@dataclass(frozen=True)
class StoredEdition:
    """A built edition: its file, what it is of, and the downloads that it was made from."""

    path: Path
    kind: str
    date: date
    codes: tuple[str, ...]
    parts: tuple[str, ...]
    made_from: tuple[str, ...]

    def read(self) -> Edition:
        """Its rows, too."""
        codes, parts = frozenset(self.codes), frozenset(self.parts)
        return Edition(self.kind, self.date, codes, parts, pl.read_parquet(self.path))


Found = tuple[Path, date, Rules]  # a download, its edition, what it says


def build_coverage(
    sources: Sequence[Path], target_dir: Path, codes: Collection[str], edition: date | None = None
) -> dict[str, Any]:
    """Builds editions of the Medicare Coverage Database's exports, or of csv of payers' policies.

    Memory: some 200 MiB for the exports of a week. The inner zip is copied to the disk.

    Args:
        sources: LCDs need the articles beside them.
        codes: the wanted codes.
        edition: in place of what the downloads state.

    Returns:
        editions (rows and rows left out of each), paths, seconds, output.

    Raises:
        UsageError: a file is none of these, cut, without a needed table or column, or of no known edition.
    """
    started = time.monotonic()
    with ExitStack() as opened:
        exports: dict[str, tuple[Path, Export]] = {}
        found = []
        for source in sources:
            with naming(source):
                if is_zip_of_files(source):
                    export = opened.enter_context(_opened_export(source))
                    if export.kind in exports:
                        raise UsageError(f"an export of the same kind as {exports[export.kind][0]}; give one edition")
                    exports[export.kind] = (source, export)
                else:
                    rules = read_policies(sheet_rows(source.read_bytes()), codes)
                    found.append((source, _edition(edition, None, source), rules))
        if LCD in exports and ARTICLE not in exports:
            raise UsageError(
                f"{exports[LCD][0]}: LCDs have no codes; give current_article.zip of the same week with it"
            )
        found += _read_exports(exports, codes, edition)
    return _store(found, target_dir, codes, started)


def build_ncci(
    sources: Sequence[Path], target_dir: Path, codes: Collection[str], edition: date | None = None
) -> dict[str, Any]:
    """Builds editions of NCCI's PTP edits and MUE values of practitioners; arguments and result as ``build_coverage``.

    Memory: some 150 MiB, also for workbooks.
    """
    started = time.monotonic()
    found = []
    for source in sources:
        with naming(source), _opened_rows(source, codes) as (name, rows):
            rules, stated = read_ncci(rows, codes, f"{source.name} {name}", PurePath(name).stem.lower())
            found.append((source, _edition(edition, stated, source), rules))
    return _store(found, target_dir, codes, started)


@contextmanager
def _opened_export(source: Path) -> Iterator[Export]:
    """The csv tables of a download: of the zip in it, or of the inner zip itself."""
    with ExitStack() as opened:
        archive = opened.enter_context(zipfile.ZipFile(source))
        if any(_INNER.fullmatch(name) for name in archive.namelist()):
            member = only_member(archive, _INNER, "zip of csv")
            with naming(f"{member} in it"):
                archive = opened.enter_context(zipfile.ZipFile(opened.enter_context(_spooled(archive.open(member)))))
        yield Export(archive)


@contextmanager
def _spooled(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """The same on the disk: a zip is read from its end."""
    with stream, tempfile.TemporaryFile() as spooled:
        shutil.copyfileobj(stream, spooled, 1 << 20)
        spooled.seek(0)
        yield spooled


def _read_exports(
    exports: Mapping[str, tuple[Path, Export]], codes: Collection[str], edition: date | None
) -> Iterator[Found]:
    lcds: Lcds = {}
    week = None
    for kind, (source, export) in sorted(exports.items()):  # articles before LCDs
        with naming(source):
            stated = export.edition
            week = week or stated
            if kind == ARTICLE:
                rules, lcds = read_articles(export, codes)
            elif kind == LCD:
                rules = read_lcds(export, lcds)
            else:
                rules = read_ncds(export, _sections(codes))
            yield source, _edition(edition, stated, source, week), rules


def _sections(codes: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The sections of the NCD manual that the reviewed coding file names for each code."""
    codings = {code: coding_of(code) for code in codes}
    found = {code: coding.ncd_sections for code, coding in codings.items() if coding is not None}
    if missing := [code for code in codings if not found.get(code)]:
        LOG.warning("no NCDs of %s: schemas/coding.json names no section for it", ", ".join(missing))
    return found


@contextmanager
def _opened_rows(source: Path, codes: Collection[str]) -> Iterator[tuple[str, Iterable[Sequence[str]]]]:
    """The name and rows of a text or workbook, or of the one in a zip: of several, the text.

    Of a workbook, at least the heading's rows and those that name one of the codes.
    """
    with opened_download(source, _SHEET, "text or xlsx", [".txt", ".csv"]) as (name, file):
        if first_bytes(source) == ZIP and not name.lower().endswith((".txt", ".csv")):
            with _spooled(file) as workbook:
                yield name, workbook_rows(workbook, codes)
        else:
            yield name, text_rows(file)


def _edition(given: date | None, stated: date | None, source: Path, week: date | None = None) -> date:
    """The edition as given, as the file states it, as its name does, or that of the exports beside it."""
    named = _NAMED_DATE.search(source.name)
    try:
        found = given or stated or (None if named is None else date(*map(int, named.groups())))
    except ValueError:
        found = None
    found = found or week
    if found is None:
        raise UsageError("neither the file nor its name states its edition; give --edition YYYY-MM-DD")
    return found


def _store(found: Sequence[Found], target_dir: Path, codes: Collection[str], started: float) -> dict[str, Any]:
    editions: dict[tuple[str, date], tuple[Rules, list[Path]]] = {}
    for source, edition, own in found:
        rules, sources = editions.setdefault((own.kind, edition), (Rules(own.kind), []))
        rules.rows += own.rows
        rules.left_out += own.left_out
        rules.parts |= own.parts
        sources.append(source)
    figures, paths = {}, []
    for (kind, edition), (rules, sources) in sorted(editions.items(), key=lambda item: item[0]):
        with naming(", ".join(map(str, sources))):
            stored, rows = _write(rules, edition, [source.name for source in sources], target_dir, codes)
        _warn(rules, stored, target_dir)
        figures[f"{kind} {edition}"] = {"rows": rows, "left out": len(rules.left_out)}
        paths.append(stored.path)
    seconds = round(time.monotonic() - started, 3)
    return {"editions": figures, "paths": paths, "seconds": seconds, "output": str(target_dir)}


def _write(
    rules: Rules, edition: date, sources: Sequence[str], target_dir: Path, codes: Collection[str]
) -> tuple[StoredEdition, int]:
    """The edition, written in place of an older file; other parts of the same edition stay."""
    path = target_dir / rules.kind / f"{edition}.parquet"
    table, parts, made_from = rules.table(), set(rules.parts), set(sources)
    if rules.kind in _IN_PARTS and path.exists():
        before = _stored(path)
        others = set(before.parts) - parts
        if others and set(before.codes) != set(codes):
            raise UsageError(
                f"{path} has {', '.join(sorted(others))} of {', '.join(before.codes)} alone; "
                f"load all files of {edition} at once"
            )
        if others:
            kept = pl.read_parquet(path).filter(pl.col("part").is_in(others))
            table = pl.concat([table, kept]).unique(COVERAGE_EDITION.grain, keep="first", maintain_order=True)
            parts, made_from = parts | others, made_from | set(before.made_from)
    stated = {"codes": sorted(codes), "parts": sorted(parts), "made_from": sorted(made_from)}
    metadata = {name: json.dumps(value) for name, value in stated.items()}
    rows = replace_table(path, COVERAGE_EDITION, [table.sort(COVERAGE_EDITION.grain)], **metadata)
    return _stored(path), rows


def _warn(rules: Rules, stored: StoredEdition, target_dir: Path) -> None:
    """Log what was left out, and an edition that seems to lack files."""
    for reason in rules.left_out[:MOST_LOGGED]:
        LOG.warning("%s %s: left out: %s", stored.kind, stored.date, reason)
    if len(rules.left_out) > MOST_LOGGED:
        LOG.warning("%s %s: %d more left out", stored.kind, stored.date, len(rules.left_out) - MOST_LOGGED)
    if rules.kind == PTP:
        others = [len(each.parts) for each in find_editions(target_dir) if each.kind == PTP]
        if len(stored.parts) < max(others):
            LOG.warning(
                "%s %s: %d file(s), another edition has %d; load the others too, or their edits count as withdrawn",
                *(stored.kind, stored.date, len(stored.parts), max(others)),
            )


def find_editions(folder: Path, month: date | None = None) -> tuple[StoredEdition, ...]:
    """The built editions by kind and date; with a month, those that count for it (``counted_editions``).

    Raises:
        UsageError: the file of one is not readable.
    """
    editions = [_stored(path) for path in sorted(folder.glob("*/????-??-??.parquet"))]
    if month is not None:
        counted = counted_editions([(each.kind, each.date) for each in editions], month)
        editions = [each for each in editions if (each.kind, each.date) in counted]
    return tuple(editions)


def find_changes(folder: Path, codes: Collection[str]) -> list[dict[str, Any]]:
    """``list_changes`` of all built editions, for these codes."""
    return list_changes(read_histories(each.read() for each in find_editions(folder)), codes)


def find_new_changes(
    editions: Sequence[StoredEdition], published: Iterable[Mapping[str, Any]], codes: Collection[str]
) -> list[dict[str, Any]]:
    """``list_changes`` of the editions that are not published yet, for these codes.

    Args: published: entries of the manifest's ``coverage``.
    """
    known = {(each["kind"], each["edition"]) for each in published}
    new = {(each.kind, each.date) for each in editions} - {(kind, date.fromisoformat(day)) for kind, day in known}
    if not new:
        return []
    changes = list_changes(read_histories(each.read() for each in editions), codes)
    return [each for each in changes if (each["kind"], each["edition"]) in new]


def _stored(path: Path) -> StoredEdition:
    stated = metadata_of(path, COVERAGE_EDITION)
    try:
        codes, parts, made_from = (tuple(json.loads(stated[name])) for name in (b"codes", b"parts", b"made_from"))
        return StoredEdition(path, path.parent.name, date.fromisoformat(path.stem), codes, parts, made_from)
    except (KeyError, ValueError):
        how = "delete it, and load the edition again with tic-rates reference coverage or reference ncci"
        raise UsageError(f"{path}: not an edition of coverage rules of this version; {how}") from None

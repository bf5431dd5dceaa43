"""Writes the demo's market to disk: payer files in their containers, CMS's downloads. Same seed, same bytes."""

import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from transforms.demo.documents import Document, write_documents
from transforms.demo.market import Market
from transforms.demo.nppes import write_nppes
from transforms.demo.rules import RuleFiles, write_rules
from transforms.demo.utilization import write_utilization

UNITS = "billing_code,units\n97026,1200\n97028,350\n"  # a year, of the practice whose page the demo ends with
_ZIP_DATE = (2020, 1, 1, 0, 0, 0)
_GZIP_MEMBER = 200_000  # bytes of JSON in each member of a file that has several


@dataclass(frozen=True)
class EditionFiles:
    """The files of one edition of coverage rules: for `reference coverage`, and for `reference ncci`."""

    coverage: tuple[Path, ...]
    ncci: tuple[Path, ...]


@dataclass(frozen=True)
class DemoFiles:
    """Where everything was written."""

    sources: tuple[Path, ...]
    nppes: Path
    utilization: tuple[Path, ...]  # one for each year
    volumes: Path
    editions: tuple[EditionFiles, ...]  # the earlier one first


def write_market(folder: Path, market: Market) -> DemoFiles:
    """Payer files under ``folder/mrf``, CMS's downloads and ``units.csv`` beside them.

    Files of the same names are replaced; nothing else in the folder is touched.
    """
    sources = folder / "mrf"
    sources.mkdir(parents=True, exist_ok=True)
    written = []
    for document in write_documents(market):
        written.append(sources / document.name)
        written[-1].write_bytes(_pack(document))
    nppes = folder / "nppes" / f"NPPES_Data_Dissemination_{market.month:%Y_%m}_V2.zip"
    nppes.parent.mkdir(exist_ok=True)
    nppes.write_bytes(_zip(write_nppes(market, _nppes_columns()).items()))
    services = folder / "utilization"
    services.mkdir(exist_ok=True)
    for name, content in write_utilization(market.services, market.month.year).items():
        (services / name).write_bytes(content)
    volumes = folder / "units.csv"
    volumes.write_text(UNITS, encoding="utf-8")
    editions = write_editions(folder / "rules" / f"{market.month:%Y-%m}", market.month)
    years = tuple(sorted(services.glob("*.csv")))
    return DemoFiles(tuple(written), nppes, years, volumes, editions)


def write_editions(folder: Path, month: date) -> tuple[EditionFiles, ...]:
    """The two editions of coverage rules of a month, the earlier one first."""
    named = zip(("earlier", "later"), write_rules(month), strict=True)
    return tuple(_write_edition(folder / name, files) for name, files in named)


def _write_edition(folder: Path, files: RuleFiles) -> EditionFiles:
    """Each export as CMS packs it: its csv in a zip, and that in another one, beside a readme."""
    exports = {}
    for name, tables in files.exports.items():
        inner = _zip((f"{table}.csv", content) for table, content in tables.items())
        exports[f"{name}.zip"] = _zip([("readme.txt", b"An export of the demo."), (f"{name}_csv.zip", inner)])
    return EditionFiles(_write(folder, {**exports, **files.policies}), _write(folder, files.ncci))


def _write(folder: Path, files: Mapping[str, bytes]) -> tuple[Path, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return tuple(folder / name for name in files)


def _nppes_columns() -> list[str]:
    return files("schemas").joinpath("reference", "nppes_columns.txt").read_text(encoding="utf-8").splitlines()


def _pack(document: Document) -> bytes:
    content = document.content
    if document.file.container == "gzip":
        return gzip.compress(content, compresslevel=6, mtime=0)
    if document.file.container == "gzip members":
        starts = range(0, len(content), _GZIP_MEMBER)
        return b"".join(gzip.compress(content[at : at + _GZIP_MEMBER], compresslevel=6, mtime=0) for at in starts)
    if document.file.container == "zip":
        return _zip([(Path(document.name).with_suffix(".json").name, content)])
    return content


def _zip(members: Iterable[tuple[str, bytes]]) -> bytes:
    packed = BytesIO()
    with ZipFile(packed, "w") as archive:
        for name, content in members:
            info = ZipInfo(name, _ZIP_DATE)
            archive.writestr(info, content, ZIP_DEFLATED)
    return packed.getvalue()

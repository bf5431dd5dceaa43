"""Years of Medicare's fee schedule and of the localities of ZIP codes: those of the package, and those built."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import polars as pl

from flows.storage.atomic_files import exchange_folders, unfinished_folder, write_atomically
from flows.storage.parquet import replace_table
from flows.tables.cms_files import naming, read_download
from schemas.reference import MEDICARE_TABLES, ZIP_LOCALITIES, load_reference, parse_reference
from transforms.cms.fee_schedule import read_fee_schedule
from transforms.cms.localities import read_zip_localities
from transforms.cms.medicare import MedicareReference

_PPRRVU = re.compile(r"(?:.*/)?PPRRVU[^/]*\.csv", re.IGNORECASE)
_ZIP5 = re.compile(r"(?:.*/)?ZIP5(?!lyout)[^/]*\.(?:csv|xlsx|txt)", re.IGNORECASE)
_GPCI = re.compile(r"(?:.*/)?GPCI[^/]*\.csv", re.IGNORECASE)


def build_medicare(
    rvu: Path, gpci: Path, year: int, target_dir: Path, codes: Collection[str] | None = None
) -> dict[str, Any]:
    """Builds one fee schedule year into ``target_dir/YEAR``: three small csv files in the packaged layout.

    Args:
        rvu: PPRRVU csv, or CMS's zip; of 2026's two files the one of clinicians who are not qualifying APM
            participants (nonQPP).
        gpci: GPCI csv, or the zip.
        year: fee schedule year.
        target_dir: folder of built years.
        codes: codes to include; all unless given.

    Returns:
        year, codes, localities, conversion_factor, left_out (rows whose total is not its parts), output.
    """
    rvu_csv = read_download(rvu, _PPRRVU, "PPRRVU csv", ["nonqpp"])
    gpci_csv = read_download(gpci, _GPCI, "GPCI csv")
    with naming(f"{rvu}, {gpci}"):
        reference, left_out = read_fee_schedule(rvu_csv, gpci_csv, year, codes)
    folder = target_dir / str(year)
    with unfinished_folder(target_dir) as unfinished:
        for table, frame in zip(MEDICARE_TABLES, reference.frames, strict=True):
            write_atomically(unfinished / table.path, frame.write_csv().encode())
        exchange_folders(unfinished, folder)
    return {
        "year": year,
        "codes": len(reference.rvus),
        "localities": len(reference.gpcis),
        "conversion_factor": float(reference.conversion_factors["conversion_factor"][0]),
        "left_out": left_out,
        "output": str(folder),
    }


def load_medicare(target_dir: Path | None = None) -> MedicareReference:
    """The packaged years, overlaid by those built into ``target_dir`` (None or absent: the packaged years only)."""
    reference = MedicareReference.packaged()
    for folder in sorted(target_dir.glob("[0-9][0-9][0-9][0-9]")) if target_dir else ():
        with naming(folder):
            frames = [parse_reference((folder / table.path).read_bytes(), table) for table in MEDICARE_TABLES]
        reference = reference.with_year(MedicareReference(*frames))
    return reference


def build_localities(source: Path, target: Path) -> dict[str, Any]:
    """Adds an edition of CMS's ZIP Code to Carrier Locality file to ``target``, in place of one of the same year.

    Args: source: the ZIP5 file as xlsx, csv or txt, or CMS's zip.

    Returns:
        year, quarter, zips, output.
    """
    content = read_download(source, _ZIP5, "ZIP5 xlsx, csv or txt", [".xlsx"])
    with naming(source):
        edition = read_zip_localities(content)
    year, quarter = edition.select("year", "quarter").row(0)
    built = pl.concat([_other_years(_built_localities(target), edition), edition]).sort(ZIP_LOCALITIES.grain)
    replace_table(target, ZIP_LOCALITIES, [built])
    return {"year": year, "quarter": quarter, "zips": edition.height, "output": str(target)}


def load_localities(built: Path) -> pl.DataFrame:
    """``ZIP_LOCALITIES``: the packaged editions, and in place of those of the same year the ones built."""
    ours = _built_localities(built)
    return pl.concat([_other_years(load_reference(ZIP_LOCALITIES), ours), ours])


def _built_localities(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path) if path.exists() else ZIP_LOCALITIES.empty()


def _other_years(editions: pl.DataFrame, newer: pl.DataFrame) -> pl.DataFrame:
    return editions.join(newer.select("year").unique(), on="year", how="anti")

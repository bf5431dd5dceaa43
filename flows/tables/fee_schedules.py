"""Years of Medicare's fee schedule: those of the package, and those built from CMS's relative value and GPCI files."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from flows.storage.atomic_files import exchange_folders, unfinished_folder, write_atomically
from flows.tables.cms_files import member_or_file, naming
from schemas.reference import MEDICARE_TABLES, parse_reference
from transforms.cms.fee_schedule import read_fee_schedule
from transforms.cms.medicare import MedicareReference

_PPRRVU = re.compile(r"(?:.*/)?PPRRVU[^/]*\.csv", re.IGNORECASE)
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
    with naming(rvu):
        rvu_csv = member_or_file(rvu, _PPRRVU, "PPRRVU csv", preferred="nonqpp")
    with naming(gpci):
        gpci_csv = member_or_file(gpci, _GPCI, "GPCI csv")
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

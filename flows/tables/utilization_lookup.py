"""Utilization: services by NPI and code, a slim file for each year, built from CMS's download or another csv."""

import logging
import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from flows.storage.atomic_files import remove_abandoned, unfinished_file
from flows.storage.parquet import metadata_of, write_table
from flows.tables.cms_files import Progress, naming, opened_download
from schemas.code_families import CodeRange, families_of, family_of
from schemas.reference import UTILIZATION
from transforms.benchmark.evidence import evidence_year
from transforms.cms.utilization import ServicesByProvider, read_utilization, year_of_name
from transforms.errors import UsageError

LOG = logging.getLogger(__name__)
UTILIZATION_DOWNLOAD = (
    "https://data.cms.gov/provider-summary-by-type-of-service/"
    "medicare-physician-other-practitioners/medicare-physician-other-practitioners-by-provider-and-service"
)
_CSV = re.compile(r"(?:.*/)?(?!\.|__MACOSX)[^/]+\.csv", re.IGNORECASE)


@dataclass(frozen=True)
class Utilization:
    """A built year: its file, the code ranges that it holds, the downloads that it was made from."""

    path: Path
    year: int
    families: tuple[CodeRange, ...]
    made_from: str

    def evidence_codes(self, billing_codes: Iterable[str]) -> tuple[str, ...]:
        """Those of the codes whose families it holds: for others it has no evidence."""
        return tuple(code for code in billing_codes if any(held.includes(family_of(code)) for held in self.families))


def build_utilization(
    sources: Sequence[Path],
    target_dir: Path,
    codes: Collection[str],
    year: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Builds ``target_dir/YEAR.parquet`` (``UTILIZATION``, sorted) of each year in the files, in place of an older one.

    Memory: some 600 MiB for a full-sized file (10 million rows, 3 GB).

    Args:
        sources: CMS's csv or its zip, or a csv with npi, billing_code, services; one for each year.
        codes: the wanted codes; the codes of their families are kept too.
        year: of a file that states none.
        progress: called with the bytes just read.

    Returns:
        years, families, rows (read), left_out (rows whose values can't be read), npis, bytes (of csv), seconds, output.

    Raises:
        UsageError: a file is missing, cut, without a needed column, or of no known year; the text names the file.
    """
    started = time.monotonic()
    families = families_of(codes)
    figures = {"rows": 0, "left_out": 0, "npis": 0, "bytes": 0}
    held = ",".join(map(str, families))
    built: dict[int, tuple[Path, Path]] = {}  # by year: its source, the file that is not in place yet
    target_dir.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target_dir)

    def count(size: int) -> None:
        figures["bytes"] += size
        if progress is not None:
            progress(size)

    with ExitStack() as stack:
        for source in sources:
            services = ServicesByProvider(families)
            with naming(source), opened_download(source, _CSV, "csv", ["prov"], count) as (name, stream):
                before = figures["rows"]
                for frame in read_utilization(stream, year or year_of_name(source.name) or year_of_name(name)):
                    figures["rows"] += frame.height
                    figures["left_out"] += services.add(frame)
                npis_by_year = services.npis_by_year()
                _check_years(npis_by_year, source, figures["rows"] - before, year, built)
            for own, npis in npis_by_year.items():
                unfinished = stack.enter_context(unfinished_file(target_dir))
                write_table(unfinished, UTILIZATION, services.frames(own, npis), made_from=name, families=held)
                figures["npis"] += len(npis)
                built[own] = (source, unfinished)
        for own, (_, unfinished) in built.items():
            unfinished.replace(target_dir / f"{own}.parquet")
    seconds = round(time.monotonic() - started, 3)
    return {"years": sorted(built), "families": held, **figures, "seconds": seconds, "output": str(target_dir)}


def _check_years(
    years: Iterable[int], source: Path, rows: int, year: int | None, built: Mapping[int, tuple[Path, Path]]
) -> None:
    found = list(years)
    if not found:
        raise UsageError(f"none of {rows:,} rows has an NPI, a code, services and a year that can be read")
    for own in found:
        if year is not None and own != year:
            raise UsageError(f"it has services of {own}, but --year is {year}; leave --year out")
        if own in built:
            raise UsageError(f"it has services of {own}, which {built[own][0]} has too; give one file for each year")


def find_utilization(folder: Path, month: date) -> Utilization | None:
    """The built year that counts for a month (``evidence_year``); None where there is none.

    Raises:
        UsageError: its file is not readable.
    """
    paths = {int(path.stem): path for path in folder.glob("[0-9][0-9][0-9][0-9].parquet")}
    year = evidence_year(paths, month)
    if year is None:
        return None
    path = paths[year]
    stated = metadata_of(path, UTILIZATION)
    try:
        made_from, families = stated[b"made_from"].decode(), stated[b"families"].decode().split(",")
    except KeyError:
        raise UsageError(
            f"{path}: not a utilization lookup; build it again: tic-rates reference utilization FILE --year {year}, "
            f"with the csv of {UTILIZATION_DOWNLOAD}"
        ) from None
    LOG.info("utilization: services of %d, from %s", year, path)
    return Utilization(path, year, tuple(CodeRange(*held.split("-")) for held in families), made_from)

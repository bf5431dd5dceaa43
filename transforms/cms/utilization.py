"""Utilization files: how many services each NPI billed in a year, from CMS's yearly file or any csv of the same facts.

A loader is a function from a file to rows of npi, billing_code, services, year. ``read_utilization`` is the loader of
csv files: it finds their columns by the names of a ``Layout``; a further kind of csv is a further layout.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import BinaryIO

import polars as pl

from schemas.code_families import CodeRange
from schemas.reference import UTILIZATION
from transforms.cms.large_csv import read_columns, read_header, trimmed
from transforms.errors import UsageError

ROWS = pl.Schema({"npi": pl.Int64(), "billing_code": pl.String(), "services": pl.Float64(), "year": pl.Int32()})
PIECE_NPIS = 100_000  # summed at a time
_THOUSANDTHS = 1000  # whole numbers: the order of a sum changes no bit
_CMS_YEAR = re.compile(r"_D(\d\d)(?!\d)", re.IGNORECASE)  # MUP_PHY_R25_P05_V20_D23_Prov_Svc.csv: services of 2023
_YEAR = re.compile(r"(?<!\d)20\d\d(?!\d)")


@dataclass(frozen=True)
class Layout:
    """The names of a file's columns, in upper case; ``year`` is None where it has no such column."""

    name: str
    npi: str
    billing_code: str
    services: str
    year: str | None = None

    @property
    def needed(self) -> tuple[str, str, str]:
        """The columns without which it can't be read."""
        return self.npi, self.billing_code, self.services


LAYOUTS = (
    Layout("Medicare Physician & Other Practitioners, by Provider and Service", "RNDRNG_NPI", "HCPCS_CD", "TOT_SRVCS"),
    Layout("a csv of npi, billing_code and services", "NPI", "BILLING_CODE", "SERVICES", "YEAR"),
)


def year_of_name(name: str) -> int | None:
    """The year that a file's name states: CMS's ``_D23_``, or the only year in it; None where it states none."""
    years = {2000 + int(digits) for digits in _CMS_YEAR.findall(name)} or set(map(int, _YEAR.findall(name)))
    return years.pop() if len(years) == 1 else None


def read_utilization(stream: BinaryIO, year: int | None) -> Iterator[pl.DataFrame]:
    """``ROWS`` in file order from an open csv; what can't be read in a row is null.

    Columns are found by name, in any case. Services are of one place of service each, as in the file.

    Args:
        year: of the file, if it has no column of years.

    Raises:
        UsageError: a needed column is missing, the year is not known, a record of another width (a cut file).
    """
    header, beginning = read_header(stream)
    names = [name.upper() for name in header]
    layout = _layout_of(names, beginning)
    stated = layout.year if layout.year in names else None
    if stated is None and year is None:
        raise UsageError("neither its name nor a column states the year of its services; give --year, such as 2023")
    wanted = [*layout.needed, *([] if stated is None else [stated])]
    for texts in read_columns(stream, names, wanted, "utilization file"):
        yield texts.select(
            npi=_digits(layout.npi, r"[12]\d{9}"),
            billing_code=trimmed(layout.billing_code).str.to_uppercase(),
            services=trimmed(layout.services).str.replace_all(",", "").cast(pl.Float64, strict=False),
            year=pl.lit(year, pl.Int32) if stated is None else _digits(stated, r"20\d\d").cast(pl.Int32),
        )


def _layout_of(names: Collection[str], beginning: str) -> Layout:
    """The layout that has most of its columns in the header."""
    found = max(LAYOUTS, key=lambda layout: len({*layout.needed} & {*names}))
    missing = [name for name in found.needed if name not in names]
    if len(missing) == len(found.needed):
        kinds = "; or ".join(f"{layout.name}: {', '.join(layout.needed)}" for layout in LAYOUTS)
        raise UsageError(f"not a utilization file: its first line begins {beginning!r}; expected {kinds}")
    repeated = [name for name in (*found.needed, found.year) if [*names].count(str(name)) > 1]
    if missing or repeated:
        what = f"is missing: {', '.join(missing)}" if missing else f"is there twice: {', '.join(map(str, repeated))}"
        raise UsageError(f"read as {found.name}, a column {what}")
    return found


def _digits(column: str, pattern: str) -> pl.Expr:
    """A whole number, also one that went through a spreadsheet (``.0``); null for another text."""
    text = pl.col(column).str.strip_chars().str.strip_suffix(".0")
    return pl.when(text.str.contains(rf"^{pattern}$")).then(text).cast(pl.Int64)


class ServicesByProvider:
    """Sums services per year, NPI and code; of other codes than the wanted ones, the NPI alone.

    Memory: 12 bytes for each NPI, 24 for each NPI and code, and ``PIECE_NPIS`` NPIs while they are summed.
    """

    def __init__(self, families: Iterable[CodeRange]) -> None:
        """Args: families: the wanted codes."""
        self._is_wanted = reduce(or_, (family.holds(pl.col("billing_code")) for family in families))
        self._npis: list[pl.DataFrame] = [pl.DataFrame(schema={"year": pl.Int32, "npi": pl.Int64})]
        self._sums: list[pl.DataFrame] = []

    def add(self, rows: pl.DataFrame) -> int:
        """The number of rows that are left out, because a value of theirs can't be read; adds the others."""
        is_readable = pl.all_horizontal(pl.col(ROWS.names()).is_not_null()) & (pl.col("services") >= 0)
        usable = rows.filter(is_readable & pl.col("services").is_finite())
        self._npis.append(usable.select("year", "npi").unique())
        thousandths = (pl.col("services") * _THOUSANDTHS).round(mode="half_away_from_zero").cast(pl.Int64)
        wanted = usable.filter(self._is_wanted & (pl.col("services") > 0))
        self._sums.append(
            wanted.group_by("year", "npi", pl.col("billing_code").cast(pl.Categorical)).agg(
                thousandths=thousandths.sum()
            )
        )
        return rows.height - usable.height

    def npis_by_year(self) -> dict[int, pl.Series]:
        """The distinct NPIs of each year, sorted."""
        parts = pl.concat(self._npis).unique().partition_by("year", as_dict=True)
        return {int(year): own["npi"].sort() for (year,), own in sorted(parts.items())}

    def frames(self, year: int, npis: pl.Series) -> Iterator[pl.DataFrame]:
        """A year's ``UTILIZATION``, sorted, in pieces: an NPI without services of the wanted codes has one row.

        Args: npis: of ``npis_by_year``.
        """
        for first in range(0, len(npis), PIECE_NPIS):
            own = npis.slice(first, PIECE_NPIS)
            in_piece = (pl.col("year") == year) & pl.col("npi").is_between(own[0], own[-1])
            added = pl.concat([part.filter(in_piece) for part in self._sums])
            sums = added.group_by("npi", pl.col("billing_code").cast(pl.String)).agg(pl.col("thousandths").sum())
            without = own.to_frame("npi").join(sums, on="npi", how="anti")
            # numpy's division is the nearest float; polars' by a constant is a product, off in its last bit
            services = sums.with_columns(services=sums["thousandths"].to_numpy() / _THOUSANDTHS)
            rows = pl.concat([services, without], how="diagonal").sort("npi", "billing_code")
            yield rows.lazy().with_columns(year=pl.lit(year)).pipe(UTILIZATION.conform).collect()

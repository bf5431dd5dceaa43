"""Medicare's own fee: relative values, indices and conversion factors to US dollars per locality, exact to the cent.

42 CFR 414.20: (work RVU x work GPCI + PE RVU x PE GPCI + MP RVU x MP GPCI) x conversion factor, here with the
non-facility practice expense. All arithmetic is ``Decimal``, rounded half-up to the cent once, at the end.
"""

import calendar
import datetime
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property

import polars as pl

from schemas.reference import LOCALITY_AMOUNTS, MEDICARE_TABLES, NATIONAL_AMOUNTS, load_reference
from schemas.table import Table
from transforms.errors import UsageError

THERAPY_INDICATOR = "5"  # multiple procedure indicator 5: the second therapy service of a day is paid half its PE part
PAID_STATUSES = frozenset({"A", "R", "T"})  # active, restricted coverage, paid only alone; N, I, B, C, X, ... are not

_VALUES = "billing_code status_code multiple_procedure_indicator work_rvu pe_nonfacility_rvu mp_rvu".split()
_LOCALITY = "mac state locality locality_name work_gpci pe_gpci mp_gpci".split()
_CENT = Decimal("0.01")
_HALF = Decimal("0.5")
Gpcis = tuple[Decimal, Decimal, Decimal]  # work, practice expense, malpractice
_UNADJUSTED = (Decimal(1), Decimal(1), Decimal(1))


class UnknownServiceError(UsageError):
    """A code, state or year that no loaded fee schedule prices; the text names what is available."""


@dataclass(frozen=True)
class RelativeValues:
    """A code's relative value units outside facilities, in one year."""

    billing_code: str
    status_code: str
    multiple_procedure_indicator: str
    work_rvu: Decimal
    pe_rvu: Decimal
    mp_rvu: Decimal

    @property
    def total_rvu(self) -> Decimal:
        """What CMS prints as the non-facility total."""
        return self.work_rvu + self.pe_rvu + self.mp_rvu

    @property
    def therapy(self) -> bool:
        """Whether the therapy multiple procedure payment reduction applies."""
        return self.multiple_procedure_indicator == THERAPY_INDICATOR


@dataclass(frozen=True)
class Locality:
    """A Medicare locality and its indices in one year."""

    mac: str
    state: str
    locality: str
    locality_name: str
    gpcis: Gpcis


@dataclass(frozen=True)
class MedicareReference:
    """The fee schedule as three frames: ``MEDICARE_RVUS``, ``MEDICARE_GPCIS``, ``MEDICARE_CONVERSION_FACTORS``."""

    rvus: pl.DataFrame
    gpcis: pl.DataFrame
    conversion_factors: pl.DataFrame

    @property
    def frames(self) -> tuple[pl.DataFrame, ...]:
        """In the order of ``schemas.reference.MEDICARE_TABLES``."""
        return self.rvus, self.gpcis, self.conversion_factors

    @classmethod
    def packaged(cls) -> "MedicareReference":
        """2020 to 2026, as it travels with the package: the two default codes."""
        return cls(*map(load_reference, MEDICARE_TABLES))

    def with_year(self, year: "MedicareReference") -> "MedicareReference":
        """Overlay a year built by the user: its codes replace those of ours, its localities and factors all of ours."""
        return replace(
            self,
            rvus=_overlay(self.rvus, year.rvus, ["year", "billing_code"]),
            gpcis=_overlay(self.gpcis, year.gpcis, ["year"]),
            conversion_factors=_overlay(self.conversion_factors, year.conversion_factors, ["year"]),
        )

    @cached_property
    def years(self) -> tuple[int, ...]:
        """Years that have relative values, indices and a conversion factor, ascending."""
        return tuple(sorted(set.intersection(*(set(frame["year"]) for frame in self.frames))))

    def relative_values(self, year: int, codes: Iterable[str] | None = None) -> list[RelativeValues]:
        """The priced codes of a year (those of ``codes``, or all), sorted by code.

        Excluded, bundled and carrier-priced codes have no Medicare amount, even where CMS prints relative values.
        """
        is_paid = pl.col("status_code").is_in(PAID_STATUSES)
        wanted = self.rvus.filter(pl.col("year") == year, is_paid).sort("billing_code")
        if codes is not None:
            wanted = wanted.filter(pl.col("billing_code").is_in(sorted(set(codes))))
        found = (
            RelativeValues(code, status, indicator or "", Decimal(work), Decimal(pe), Decimal(mp))
            for code, status, indicator, work, pe, mp in wanted.select(_VALUES).iter_rows()
        )
        return [values for values in found if values.total_rvu]

    def localities(self, year: int) -> list[Locality]:
        """The localities of a year, sorted by state and number."""
        gpcis = self.gpcis.filter(pl.col("year") == year).sort("state", "locality", "mac")
        return [
            Locality(mac, state, number, name, (Decimal(work), Decimal(pe), Decimal(mp)))
            for mac, state, number, name, work, pe, mp in gpcis.select(_LOCALITY).iter_rows()
        ]


def _overlay(below: pl.DataFrame, above: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    return pl.concat([below.join(above, on=key, how="anti"), above])


def medicare_year_for(reference: MedicareReference, month: datetime.date) -> int | None:
    """The month's year, or the latest loaded year before it; None when there is none."""
    return max((year for year in reference.years if year <= month.year), default=None)


def conversion_factor_for(reference: MedicareReference, month: datetime.date) -> Decimal | None:
    """US dollars per RVU in force on the month's last day; of an earlier year, its last one; None without a year."""
    year = medicare_year_for(reference, month)
    if year is None:
        return None
    last_day = month.replace(day=calendar.monthrange(month.year, month.month)[1])
    of_year = reference.conversion_factors.filter(pl.col("year") == year).sort("effective_from")
    in_force = of_year.filter(pl.col("effective_from") <= last_day)
    return Decimal((of_year if in_force.is_empty() else in_force)["conversion_factor"].to_list()[-1])


def price_localities(reference: MedicareReference, codes: Iterable[str], month: datetime.date) -> pl.DataFrame:
    """One row per code x locality (``LOCALITY_AMOUNTS``), sorted by its grain; empty when no year covers the month.

    Codes that Medicare does not price have no row.
    """
    year = medicare_year_for(reference, month)
    places = [] if year is None else reference.localities(year)
    located = [((place.mac, place.state, place.locality, place.locality_name), place.gpcis) for place in places]
    return _price(reference, codes, month, located, LOCALITY_AMOUNTS)


def national_amounts(reference: MedicareReference, codes: Iterable[str], month: datetime.date) -> pl.DataFrame:
    """One row per code (``NATIONAL_AMOUNTS``), all GPCIs 1: what the outlier rule compares with."""
    return _price(reference, codes, month, [((), _UNADJUSTED)], NATIONAL_AMOUNTS)


def _price(
    reference: MedicareReference,
    codes: Iterable[str],
    month: datetime.date,
    places: Iterable[tuple[tuple[str, ...], Gpcis]],
    table: Table,
) -> pl.DataFrame:
    year, factor = medicare_year_for(reference, month), conversion_factor_for(reference, month)
    if year is None or factor is None:
        return table.empty()
    rows = [
        (values.billing_code, year, *described, float(full), None if reduced is None else float(reduced))
        for values in reference.relative_values(year, codes)
        for described, gpcis in places
        for full, reduced in [amounts(values, gpcis, factor)]
    ]
    return pl.DataFrame(rows, schema=table.polars, orient="row").sort(table.grain)


def amounts(values: RelativeValues, gpcis: Gpcis, conversion_factor: Decimal) -> tuple[Decimal, Decimal | None]:
    """US dollars of a day's first service, and of a further one where the therapy reduction applies, else None."""
    full = amount(values, gpcis, conversion_factor)
    return full, amount(values, gpcis, conversion_factor, pe_share=_HALF) if values.therapy else None


def amount(values: RelativeValues, gpcis: Gpcis, conversion_factor: Decimal, pe_share: Decimal = Decimal(1)) -> Decimal:
    """US dollars of one service, rounded half-up to the cent; ``pe_share`` is the part of the PE that is paid."""
    work_gpci, pe_gpci, mp_gpci = gpcis
    units = values.work_rvu * work_gpci + values.pe_rvu * pe_gpci * pe_share + values.mp_rvu * mp_gpci
    return (units * conversion_factor).quantize(_CENT, ROUND_HALF_UP)


@dataclass(frozen=True)
class LocalityPrice:
    """What Medicare pays for ``units`` of a service on one day in one locality, US dollars."""

    locality: Locality
    amount_usd: Decimal  # one unit
    units_usd: Decimal  # all units, no reduction
    therapy_reduced_usd: Decimal | None  # one unit after the first therapy service of the day; None: does not apply
    units_reduced_usd: Decimal | None  # the first unit in full, each further one reduced


@dataclass(frozen=True)
class ServicePrice:
    """The answer of the ``rvu`` command: relative values, factor, and amounts per locality of the state."""

    values: RelativeValues
    year: int
    state: str
    units: int
    conversion_factor: Decimal  # the last one of the year
    localities: tuple[LocalityPrice, ...]


def price_service(reference: MedicareReference, code: str, units: int, state: str, year: int) -> ServicePrice:
    """Medicare's amounts for ``units`` of ``code`` in every locality of ``state``.

    Raises:
        UnknownServiceError: the year, state or code is not in the fee schedule; names those that are.
    """
    if units < 1:
        raise UnknownServiceError(f"invalid units {units}: expected 1 or more")
    if year not in reference.years:
        loaded = ", ".join(map(str, reference.years))
        raise UnknownServiceError(
            f"no fee schedule of {year}; loaded: {loaded}. Add one: tic-rates reference medicare --rvu FILE "
            f"--gpci FILE --year {year}"
        )
    places = [place for place in reference.localities(year) if place.state == state.strip().upper()]
    if not places:
        states = ", ".join(sorted({place.state for place in reference.localities(year)}))
        raise UnknownServiceError(f"no Medicare locality of {state!r} in {year}; there are: {states}")
    values = _only(reference, code.strip().upper(), year)
    factor = conversion_factor_for(reference, datetime.date(year, 12, 1))
    assert factor is not None  # the year is loaded, so it has one
    prices = tuple(_price_in(values, place, units, factor) for place in places)
    return ServicePrice(values, year, places[0].state, units, factor, prices)


def _only(reference: MedicareReference, code: str, year: int) -> RelativeValues:
    found = reference.relative_values(year, [code])
    if found:
        return found[0]
    known = [values.billing_code for values in reference.relative_values(year)]
    few = ", ".join(known[:10]) + (f" and {len(known) - 10} more" if len(known) > 10 else "")
    raise UnknownServiceError(
        f"code {code!r} has no Medicare amount in {year}; priced: {few}. Others come with "
        f"tic-rates reference medicare --rvu FILE --gpci FILE --year {year}"
    )


def _price_in(values: RelativeValues, place: Locality, units: int, factor: Decimal) -> LocalityPrice:
    full, reduced = amounts(values, place.gpcis, factor)
    return LocalityPrice(
        locality=place,
        amount_usd=full,
        units_usd=full * units,
        therapy_reduced_usd=reduced,
        units_reduced_usd=None if reduced is None else full + reduced * (units - 1),
    )

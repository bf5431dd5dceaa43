"""Real ZIP codes for the demo's providers, and Medicare's amount at each: plain Python over the packaged tables.

Nothing here calls the pipeline's transforms, so agreement with it is independent evidence.
"""

from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Any

from schemas.reference import MEDICARE_CONVERSION_FACTORS, MEDICARE_GPCIS, MEDICARE_RVUS, ZIP_LOCALITIES, load_reference
from schemas.table import Table

ZIP_YEAR = 2026  # of the packaged ZIP to locality file


def practice_zip(state: str, npi: int) -> str:
    """A ZIP code in one of the state's Medicare localities; empty for a state that has none of its own."""
    zips = _zips().get(state, [""])
    return zips[npi % len(zips)]


@cache
def local_usd(billing_code: str, zip5: str, year: int) -> float | None:
    """Medicare's amount for a code at a ZIP code's locality, to the cent; None in years without a ZIP file."""
    place = _places().get(zip5)
    if place is None or year != ZIP_YEAR:
        return None
    (values,) = (row for row in _rows(MEDICARE_RVUS) if row["billing_code"] == billing_code)
    (factor,) = (row["conversion_factor"] for row in _rows(MEDICARE_CONVERSION_FACTORS))
    pairs = (("work_rvu", "work_gpci"), ("pe_nonfacility_rvu", "pe_gpci"), ("mp_rvu", "mp_gpci"))
    units = sum((Decimal(values[rvu]) * Decimal(place[gpci]) for rvu, gpci in pairs), Decimal(0))
    return float((units * Decimal(factor)).quantize(Decimal("0.01"), ROUND_HALF_UP))


@cache
def _zips() -> dict[str, list[str]]:
    """By state, the first ZIP code of each locality."""
    first: dict[tuple[str, str], str] = {}
    for zip5, place in sorted(_places().items()):
        first.setdefault((place["state"], place["locality"]), zip5)
    by_state: dict[str, list[str]] = {}
    for (state, _), zip5 in first.items():
        by_state.setdefault(state, []).append(zip5)
    return by_state


@cache
def _places() -> dict[str, dict[str, Any]]:
    """By ZIP code, the row of its locality in the GPCI table."""
    gpcis = {(row["mac"], row["locality"]): row for row in _rows(MEDICARE_GPCIS)}
    return {row["zip5"]: gpcis[row["mac"], row["locality"]] for row in _rows(ZIP_LOCALITIES)}


def _rows(table: Table) -> list[dict[str, Any]]:
    return [row for row in load_reference(table).iter_rows(named=True) if row["year"] == ZIP_YEAR]

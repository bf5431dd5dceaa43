"""Figures for the report's RVU calculator: what ``tic-rates rvu`` answers for one unit, in whole cents.

The page's script only multiplies and adds cents, so its results are those of ``transforms.cms.medicare.price_service``.
"""

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from transforms.cms.medicare import Locality, MedicareReference, RelativeValues, amounts, conversion_factor_for

CALCULATOR_COLUMNS = (
    *("year", "state", "locality", "locality_name", "billing_code"),
    *("work_rvu", "pe_nonfacility_rvu", "mp_rvu", "total_rvu"),
    *("conversion_factor", "amount_usd", "therapy_reduced_usd"),
)
_LAST_MONTH = 12  # the factor in force at the end of the year, which the command uses too


def calculator_figures(reference: MedicareReference, codes: Sequence[str]) -> dict[str, Any]:
    """By year: conversion factor, relative values by code, and every locality with its cents by code."""
    return {
        "codes": list(codes),
        "years": {str(year): _year_figures(reference, codes, year) for year in reference.years},
    }


def calculator_rows(figures: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """The same as rows, of ``CALCULATOR_COLUMNS``: year, state, locality and code; US dollars, null without a price."""
    for year, of_year in figures["years"].items():
        for state, locality, name, cents in of_year["places"]:
            for code, (full, reduced) in cents.items():
                amounts = (None if amount is None else f"{Decimal(amount) / 100:.2f}" for amount in (full, reduced))
                yield (int(year), state, locality, name, code, *of_year["rvus"][code], of_year["factor"], *amounts)


def only_state(figures: Mapping[str, Any], state: str) -> dict[str, Any]:
    """The same for one state; years without a locality there are left out."""
    years = {
        year: of_year | {"places": places}
        for year, of_year in figures["years"].items()
        if (places := [place for place in of_year["places"] if place[0] == state])
    }
    return {**figures, "years": years}


def pack(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The same for the page's script, in fewer bytes: each name once, and a locality's cents in a row.

    Returns: a locality is state, number, the place of its name in ``names``, and for each code of ``codes`` two cents,
        null where the code has no price.
    """
    names: dict[str, int] = {}
    years = {
        year: of_year
        | {
            "places": [
                [state, number, names.setdefault(name, len(names)), [cents.get(code) for code in figures["codes"]]]
                for state, number, name, cents in of_year["places"]
            ]
        }
        for year, of_year in figures["years"].items()
    }
    return {**figures, "years": years, "names": [*names]}


def _year_figures(reference: MedicareReference, codes: Iterable[str], year: int) -> dict[str, Any]:
    factor = conversion_factor_for(reference, datetime.date(year, _LAST_MONTH, 1))
    assert factor is not None  # the year is one of those loaded
    priced = reference.relative_values(year, codes)
    return {
        "factor": str(factor),
        "rvus": {
            values.billing_code: [str(x) for x in (values.work_rvu, values.pe_rvu, values.mp_rvu, values.total_rvu)]
            for values in priced
        },
        "places": [
            [
                *(place.state, place.locality, place.locality_name),
                {values.billing_code: _cents(values, place, factor) for values in priced},
            ]
            for place in reference.localities(year)
        ],
    }


def _cents(values: RelativeValues, place: Locality, factor: Decimal) -> list[int | None]:
    """One unit in full; one unit after the first therapy service of the day, None where that rule does not apply."""
    full, reduced = amounts(values, place.gpcis, factor)
    return [int(full * 100), None if reduced is None else int(reduced * 100)]

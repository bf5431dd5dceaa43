"""The calculator's figures are the command's, for every locality of every year."""

import json
from decimal import Decimal
from itertools import product

from schemas.codes import DEFAULT_CODES
from transforms.cms.medicare import MedicareReference, price_service
from transforms.report.calculator import CALCULATOR_COLUMNS, calculator_figures, calculator_rows, only_state, pack

REFERENCE = MedicareReference.packaged()
FIGURES = calculator_figures(REFERENCE, DEFAULT_CODES)


def test_every_state_and_year_has_the_amounts_that_the_command_gives() -> None:
    for year in REFERENCE.years:
        of_year = FIGURES["years"][str(year)]
        states = sorted({place.state for place in REFERENCE.localities(year)})
        for state, code in product(states, DEFAULT_CODES):
            price = price_service(REFERENCE, code, 3, state, year)
            assert of_year["factor"] == str(price.conversion_factor)
            assert of_year["rvus"][code][3] == str(price.values.total_rvu)
            places = [place for place in of_year["places"] if place[0] == state]
            for (_, number, name, cents), expected in zip(places, price.localities, strict=True):
                full, reduced = cents[code]
                assert (number, name) == (expected.locality.locality, expected.locality.locality_name)
                assert Decimal(full) / 100 == expected.amount_usd
                assert Decimal(full * 3) / 100 == expected.units_usd
                assert Decimal(full + reduced * 2) / 100 == expected.units_reduced_usd


def test_what_the_script_reads_has_the_same_amounts_in_fewer_bytes() -> None:
    packed = pack(FIGURES)
    for year, of_year in FIGURES["years"].items():
        assert packed["years"][year]["rvus"] == of_year["rvus"]
        places = [
            [state, number, packed["names"][name], dict(zip(packed["codes"], cents, strict=True))]
            for state, number, name, cents in packed["years"][year]["places"]
        ]
        assert places == of_year["places"]
    assert len(json.dumps(packed)) < 0.75 * len(json.dumps(FIGURES))
    assert pack(calculator_figures(REFERENCE, ["99999"]))["years"]["2025"]["places"][0][3] == [None]


def test_one_state_keeps_its_own_localities_alone() -> None:
    alaska = only_state(FIGURES, "AK")
    assert {place[0] for year in alaska["years"].values() for place in year["places"]} == {"AK"}
    assert only_state(FIGURES, "ZZ")["years"] == {}


def test_rows_have_every_locality_of_every_year_and_code() -> None:
    rows = [dict(zip(CALCULATOR_COLUMNS, row, strict=True)) for row in calculator_rows(FIGURES)]
    assert len(rows) == sum(len(REFERENCE.localities(year)) for year in REFERENCE.years) * len(DEFAULT_CODES)
    alaska = [row for row in rows if (row["year"], row["state"], row["billing_code"]) == (2025, "AK", "97026")]
    assert [(row["amount_usd"], row["therapy_reduced_usd"], row["total_rvu"]) for row in alaska] == [
        ("8.00", "5.55", "0.21")
    ]


def test_a_code_that_medicare_does_not_price_has_no_figures() -> None:
    of_year = calculator_figures(REFERENCE, ["99999"])["years"]["2025"]
    assert of_year["rvus"] == {}
    assert of_year["places"][0][3] == {}

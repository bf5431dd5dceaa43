import datetime
from dataclasses import replace
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from schemas.reference import LOCALITY_AMOUNTS, MEDICARE_CONVERSION_FACTORS, MEDICARE_GPCIS, MEDICARE_RVUS
from tests.shared_files import shared_path
from transforms.cms.medicare import (
    MedicareReference,
    RelativeValues,
    UnknownServiceError,
    amount,
    conversion_factor_for,
    medicare_year_for,
    national_amounts,
    price_localities,
    price_service,
)

CODES = ["97026", "97028"]
REFERENCE = MedicareReference.packaged()


def month(text: str) -> datetime.date:
    return datetime.date.fromisoformat(f"{text}-01")


def fee_schedule(year: int, codes: list[str], factor: str = "40") -> MedicareReference:
    rvus = [(year, code, "A", "0", "1.00", "1.00", "0.50", "0.00") for code in codes]
    gpcis = [(year, "00001", "AK", "01", "ALASKA", "1", "1", "1")]
    factors = [(year, datetime.date(year, 1, 1), datetime.date(year, 12, 31), factor)]
    return MedicareReference(
        pl.DataFrame(rvus, schema=MEDICARE_RVUS.polars, orient="row"),
        pl.DataFrame(gpcis, schema=MEDICARE_GPCIS.polars, orient="row"),
        pl.DataFrame(factors, schema=MEDICARE_CONVERSION_FACTORS.polars, orient="row"),
    )


def test_every_official_locality_amount_of_2020_to_2025_is_reproduced_to_the_cent() -> None:
    official = pl.read_csv(
        shared_path("reference/mpfs_locality_amounts_2020_2025.csv"),
        schema_overrides={"hcpcs": pl.String, "mac": pl.String, "locality": pl.String, "effective_from": pl.Date},
    )
    compared = 0
    for (effective_from,), rows in official.group_by("effective_from"):
        assert isinstance(effective_from, datetime.date)
        in_force = effective_from.replace(month=2 if effective_from == datetime.date(2024, 1, 1) else 12, day=1)
        ours = price_localities(REFERENCE, CODES, in_force)
        both = rows.join(ours, left_on=["hcpcs", "mac", "locality"], right_on=["billing_code", "mac", "locality"])
        assert len(both) == len(rows) == len(ours)
        assert both.filter(pl.col("nonfac_amount") != pl.col("amount_usd")).is_empty()
        assert both.filter(pl.col("therapy_mppr_amount") != pl.col("therapy_reduced_usd")).is_empty()
        assert both.filter(pl.col("state") != pl.col("state_right")).is_empty()
        compared += len(both)
    assert compared == len(official) == 1550


def test_state_amounts_agree_with_the_official_summary() -> None:
    official = pl.read_csv(
        shared_path("reference/mpfs_state_amounts_2023_2025.csv"),
        schema_overrides={"hcpcs": pl.String, "effective_from": pl.Date},
    )
    compared = 0
    for (effective_from,), rows in official.group_by("effective_from"):
        assert isinstance(effective_from, datetime.date)
        in_force = effective_from.replace(month=2 if effective_from == datetime.date(2024, 1, 1) else 12, day=1)
        amounts = pl.col("amount_usd")
        ours = price_localities(REFERENCE, CODES, in_force)
        states = ours.group_by("billing_code", "state").agg(
            amounts.len().alias("n"),
            amounts.min().alias("low"),
            amounts.mean().alias("average"),
            amounts.median().alias("middle"),
            amounts.max().alias("high"),
        )
        both = rows.join(states, left_on=["hcpcs", "state"], right_on=["billing_code", "state"])
        for row in both.iter_rows(named=True):
            assert (row["count"], row["min"], row["max"]) == (row["n"], row["low"], row["high"])
            assert row["mean"] == pytest.approx(row["average"], abs=0.0051)
            assert row["median"] == pytest.approx(row["middle"], abs=0.0051)
        compared += len(both)
    assert compared == len(official) == 424


def test_alaska_2025_agrees_with_the_carrier_file() -> None:
    lines = shared_path("reference/PFAK25A_rows_97022_97028.txt").read_text().splitlines()
    fields = [[cell.strip('" ') for cell in line.split('","')] for line in lines]
    official = {cells[3]: (float(cells[5]), float(cells[11])) for cells in fields if cells[3] in CODES}
    alaska = price_localities(REFERENCE, CODES, month("2025-07")).filter(pl.col("state") == "AK")
    ours = {code: (full, half) for code, full, half in alaska.select(
        "billing_code", "amount_usd", "therapy_reduced_usd").iter_rows()}  # fmt: skip
    assert ours == official


def test_alaska_and_the_us_have_the_check_values_of_the_contract() -> None:
    priced = price_localities(REFERENCE, CODES, month("2025-03"))
    alaska = priced.filter(pl.col("state") == "AK")
    assert alaska.select("amount_usd", "therapy_reduced_usd").rows() == [(8.00, 5.55), (9.67, 6.87)]
    infrared = priced.filter(pl.col("billing_code") == "97026")["amount_usd"]
    assert len(infrared) == 109
    assert round(float(infrared.to_numpy().mean()), 2) == 6.98
    assert round(float(infrared.quantile(0.5, "linear") or 0), 2) == 6.92


def test_2026_has_the_check_values_of_the_contract() -> None:
    priced = price_localities(REFERENCE, CODES, month("2026-11"))
    alaska = priced.filter(pl.col("state") == "AK")
    assert alaska.select("amount_usd", "therapy_reduced_usd").rows() == [(7.81, 5.50), (9.88, 7.04)]
    for code, mean, median in (("97026", 6.86, 6.82), ("97028", 8.59, 8.51)):
        amounts = priced.filter(pl.col("billing_code") == code)["amount_usd"].to_numpy()
        assert len(amounts) == 109
        assert (round(float(amounts.mean()), 2), round(float(np.median(amounts)), 2)) == (mean, median)


@pytest.mark.parametrize(
    ("of_month", "factor"),
    [
        ("2020-06", "36.0896"),
        ("2024-01", "32.7442"),
        ("2024-02", "32.7442"),
        ("2024-03", "33.2875"),
        ("2024-12", "33.2875"),
        ("2025-01", "32.3465"),
        ("2026-01", "33.4009"),
        ("2027-02", "33.4009"),
    ],
)
def test_the_conversion_factor_is_the_one_of_the_months_last_day(of_month: str, factor: str) -> None:
    assert conversion_factor_for(REFERENCE, month(of_month)) == Decimal(factor)


def test_an_earlier_year_is_priced_with_its_last_conversion_factor() -> None:
    until_2024 = MedicareReference(
        *(
            frame.filter(pl.col("year") <= 2024)
            for frame in (REFERENCE.rvus, REFERENCE.gpcis, REFERENCE.conversion_factors)
        )
    )
    assert medicare_year_for(until_2024, month("2026-01")) == 2024
    assert conversion_factor_for(until_2024, month("2026-01")) == Decimal("33.2875")


def test_the_year_is_the_months_or_the_latest_before_it_or_none() -> None:
    assert medicare_year_for(REFERENCE, month("2023-05")) == 2023
    assert medicare_year_for(REFERENCE, month("2027-05")) == 2026
    assert medicare_year_for(REFERENCE, month("2019-12")) is None
    assert price_localities(REFERENCE, CODES, month("2019-12")).is_empty()
    assert national_amounts(REFERENCE, CODES, month("2019-12")).is_empty()


def test_a_year_without_indices_does_not_count() -> None:
    no_gpcis = MedicareReference(
        REFERENCE.rvus, REFERENCE.gpcis.filter(pl.col("year") != 2025), REFERENCE.conversion_factors
    )
    assert medicare_year_for(no_gpcis, month("2025-05")) == 2024
    assert conversion_factor_for(no_gpcis, month("2025-05")) == Decimal("33.2875")


def test_a_factor_of_the_months_last_day_is_in_force() -> None:
    both = fee_schedule(2026, ["99213"], "40")
    later = [(2026, datetime.date(2026, 6, 30), datetime.date(2026, 12, 31), "41")]
    factors = pl.DataFrame(later, schema=MEDICARE_CONVERSION_FACTORS.polars, orient="row")
    both = replace(both, conversion_factors=pl.concat([both.conversion_factors, factors]))
    assert [conversion_factor_for(both, month(text)) for text in ("2026-05", "2026-06")] == [40, 41]


@pytest.mark.parametrize(
    ("year", "infrared", "ultraviolet"),
    [
        (2020, (6.50, 4.51), (8.30, 5.77)),
        (2023, (6.78, 4.57), (8.47, 5.76)),
        (2025, (6.79, 4.53), (8.09, 5.50)),
        (2026, (6.68, 4.51), (8.35, 5.68)),
    ],
)
def test_national_amounts_are_unadjusted(
    year: int, infrared: tuple[float, float], ultraviolet: tuple[float, float]
) -> None:
    found = national_amounts(REFERENCE, CODES, datetime.date(year, 6, 1))
    assert found.select("amount_usd", "therapy_reduced_usd").rows() == [infrared, ultraviolet]
    assert found["medicare_year"].to_list() == [year, year]


def test_amounts_round_half_up_once() -> None:
    values = RelativeValues("X", "A", "5", Decimal("0.125"), Decimal(0), Decimal(0))
    assert amount(values, (Decimal(1), Decimal(1), Decimal(1)), Decimal(1)) == Decimal("0.13")
    thirds = RelativeValues("X", "A", "5", Decimal("0.004"), Decimal("0.004"), Decimal("0.004"))
    assert amount(thirds, (Decimal(1), Decimal(1), Decimal(1)), Decimal(1)) == Decimal("0.01")


def test_unpriced_codes_have_no_row_and_no_codes_no_rows() -> None:
    assert set(price_localities(REFERENCE, ["97026", "99999"], month("2025-01"))["billing_code"]) == {"97026"}
    assert price_localities(REFERENCE, [], month("2025-01")).equals(LOCALITY_AMOUNTS.empty())


def test_codes_with_nothing_but_zeros_are_unpriced() -> None:
    zero = fee_schedule(2026, ["00100"])
    zero = MedicareReference(
        zero.rvus.with_columns(pl.lit("0.00").alias(name) for name in ("work_rvu", "pe_nonfacility_rvu")),
        zero.gpcis,
        zero.conversion_factors,
    )
    assert price_localities(zero, ["00100"], month("2026-01")).is_empty()


def test_codes_that_medicare_does_not_pay_are_unpriced_though_they_have_relative_values() -> None:
    excluded = fee_schedule(2026, ["58300"])
    rvus = excluded.rvus.with_columns(pl.lit("N").alias("status_code"))
    assert price_localities(replace(excluded, rvus=rvus), ["58300"], month("2026-01")).is_empty()


def test_a_year_of_the_users_own_overlays_the_packaged_ones() -> None:
    both = REFERENCE.with_year(fee_schedule(2026, ["97110"]))
    assert both.years == (2020, 2021, 2022, 2023, 2024, 2025, 2026)
    row = price_localities(both, ["97110"], month("2026-05")).row(0, named=True)
    assert (row["medicare_year"], row["amount_usd"], row["therapy_reduced_usd"]) == (2026, 80.0, None)
    assert len(price_localities(both, CODES, month("2025-05"))) == 218


def test_a_user_year_that_is_packaged_too_replaces_it_and_keeps_the_codes_it_lacks() -> None:
    both = REFERENCE.with_year(fee_schedule(2025, ["97026"]))
    priced = price_localities(both, CODES, month("2025-05"))
    assert priced["state"].to_list() == ["AK", "AK"]
    assert priced["amount_usd"].to_list() == [80.0, 10.0]  # 97028: 0.25 RVU x 40


def test_units_of_a_therapy_service_are_reduced_after_the_first() -> None:
    price = price_service(REFERENCE, "97026", 3, "ak", 2025)
    (alaska,) = price.localities
    assert (price.values.total_rvu, price.conversion_factor, price.state) == (Decimal("0.21"), Decimal("32.3465"), "AK")
    assert (alaska.amount_usd, alaska.units_usd) == (Decimal("8.00"), Decimal("24.00"))
    assert (alaska.therapy_reduced_usd, alaska.units_reduced_usd) == (Decimal("5.55"), Decimal("19.10"))


def test_a_service_that_is_no_therapy_has_no_reduction() -> None:
    (alaska,) = price_service(fee_schedule(2026, ["99213"]), "99213", 2, "AK", 2026).localities
    assert (alaska.units_usd, alaska.therapy_reduced_usd, alaska.units_reduced_usd) == (Decimal("160.00"), None, None)


def test_codes_and_states_may_be_padded_and_in_lower_case() -> None:
    price = price_service(fee_schedule(2026, ["G0283"]), " g0283 ", 1, " ak ", 2026)
    assert (price.values.billing_code, price.state) == ("G0283", "AK")


def test_every_locality_of_the_state_is_priced() -> None:
    assert len(price_service(REFERENCE, "97028", 1, "CA", 2025).localities) > 20


@pytest.mark.parametrize(
    ("code", "units", "state", "year", "says"),
    [
        ("97026", 1, "AK", 2031, "loaded: 2020, 2021, 2022, 2023, 2024, 2025"),
        ("97026", 1, "ZZ", 2025, "AK, AL, AR"),
        ("97110", 1, "AK", 2025, "priced: 97026, 97028"),
        ("97026", 0, "AK", 2025, "expected 1 or more"),
    ],
)
def test_an_unknown_service_names_what_is_available(code: str, units: int, state: str, year: int, says: str) -> None:
    with pytest.raises(UnknownServiceError, match=says):
        price_service(REFERENCE, code, units, state, year)


def test_a_long_list_of_priced_codes_is_shortened_and_says_by_how_much() -> None:
    codes = [f"001{number:02}" for number in range(12)]
    for number, ending in ((12, "00109 and 2 more. "), (11, "00109 and 1 more. "), (10, "00109. ")):
        with pytest.raises(UnknownServiceError, match=f"priced: 00100, 00101, .*{ending}Others come with"):
            price_service(fee_schedule(2026, codes[:number]), "97026", 1, "AK", 2026)


def test_the_order_of_the_reference_tables_changes_nothing() -> None:
    shuffled = MedicareReference(
        REFERENCE.rvus.reverse(), REFERENCE.gpcis.reverse(), REFERENCE.conversion_factors.reverse()
    )
    for text in ("2024-02", "2024-03", "2025-05"):
        assert price_localities(shuffled, CODES, month(text)).equals(price_localities(REFERENCE, CODES, month(text)))
        assert conversion_factor_for(shuffled, month(text)) == conversion_factor_for(REFERENCE, month(text))
        assert price_localities(shuffled, CODES, month(text)).equals(
            price_localities(shuffled, CODES, month(text)).sort(LOCALITY_AMOUNTS.grain)
        )
    assert [values.billing_code for values in shuffled.relative_values(2025)] == CODES
    places = [(place.state, place.locality, place.mac) for place in shuffled.localities(2025)]
    assert places == sorted(places) and len(places) == 109


def test_relative_values_are_those_of_the_year_with_blanks_for_what_it_does_not_state() -> None:
    (values,) = REFERENCE.relative_values(2025, ["97026"])
    assert (values.status_code, values.multiple_procedure_indicator, values.therapy) == ("R", "5", True)
    blank = fee_schedule(2026, ["99213"])
    rvus = blank.rvus.with_columns(multiple_procedure_indicator=pl.lit(None, pl.String))
    (values,) = replace(blank, rvus=rvus).relative_values(2026)
    assert (values.status_code, values.multiple_procedure_indicator, values.therapy) == ("A", "", False)
    assert (values.work_rvu, values.pe_rvu, values.mp_rvu) == (Decimal(1), Decimal(1), Decimal(0))

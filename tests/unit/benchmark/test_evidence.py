"""Evidence of NPIs by code, the year that counts, and how often services count."""

from datetime import date

import polars as pl
import pytest

from transforms.benchmark.evidence import evidence_year, find_evidence, repeat_by_services, times_counted

UTILIZATION = pl.LazyFrame(
    [
        (1, "97026", 12.5),
        (1, "97110", 30.0),
        (2, "97799", 11.0),
        (3, None, None),
        (4, "97028", 2.0),
        (5, "97026", 7.0),
    ],
    schema={"npi": pl.Int64, "billing_code": pl.String, "services": pl.Float64},
    orient="row",
)


def test_evidence_is_of_the_code_then_of_its_family_then_none_and_null_for_who_is_absent() -> None:
    found = find_evidence(UTILIZATION, pl.Series([1, 2, 3, 4, 6, 6, None]), ["97026", "97028"])
    assert set(found.rows()) == {
        (1, "97026", "billed", 12.5),
        (2, "97026", "related", None),
        (3, "97026", "none", None),
        (4, "97026", "related", None),
        (1, "97028", "related", None),
        (2, "97028", "related", None),
        (3, "97028", "none", None),
        (4, "97028", "billed", 2.0),
    }
    assert find_evidence(UTILIZATION, pl.Series([2]), ["97036"]).rows() == [(2, "97036", "none", None)]
    assert find_evidence(UTILIZATION, pl.Series([1]), []).is_empty()


@pytest.mark.parametrize(
    ("years", "year"), [((), None), ((2027,), None), ((2022, 2024, 2027), 2024), ((2026, 2020), 2026)]
)
def test_the_year_is_the_months_or_the_latest_before_it(years: tuple[int, ...], year: int | None) -> None:
    assert evidence_year(years, date(2026, 6, 1)) == year


def test_services_count_rounded_half_up_and_at_least_once() -> None:
    services = pl.DataFrame({"services": [0.001, 0.4, 0.5, 1.49, 1.5, 2.5, 12.0, 1e7]})
    counted = services.select(times_counted(pl.col("services"))).to_series().to_list()
    assert counted == [1, 1, 1, 1, 2, 3, 12, 10_000_000]


def test_an_npi_counts_by_its_services_once_whatever_its_tins() -> None:
    npis = pl.DataFrame({"stratum_no": [7, 7, 8], "npi": [1, 2, 1], "rate_usd": [9.0, 9.0, 5.0]})
    billed = pl.DataFrame(
        {"stratum_no": [7, 7, 7, 8], "npi": [1, 1, 2, 1], "tin_no": [3, 4, 3, 3], "services": [1.5, 1.5, 0.2, 12.0]}
    )
    counted = repeat_by_services(npis, billed)
    assert set(counted.rows()) == {(7, 9.0, 2 + 1), (8, 5.0, 12)}

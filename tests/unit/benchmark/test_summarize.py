"""Percentiles against numpy's on the same observations; order and repetition of the input change nothing."""

from datetime import date
from decimal import Decimal
from math import fsum
from random import Random
from statistics import median

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codes import PERCENTILES
from schemas.published import PROVIDERS
from transforms.benchmark.percentiles import cell_percentiles
from transforms.benchmark.rates import PLACES
from transforms.benchmark.representative_rates import FILES_BEHIND, MedicareAmounts, observe_providers
from transforms.benchmark.summarize import Comparison, Observed, summarize

STABLE = settings(max_examples=3, deadline=None, derandomize=True, database=None)
MONTH = date(2026, 6, 1)
MEDICARE = Comparison(
    pl.DataFrame(
        {"billing_code": ["97026"] * 3, "state": ["AK", "AK", "NY"], "amount_usd": [8.0, 8.5, 7.25]},
        schema={"billing_code": pl.String, "state": pl.String, "amount_usd": pl.Float64},
    ),
    2025,
)
JUNE = date(2026, 6, 1)
PAYERS = ("Aetna", "Cigna", "Acme Health Plan")
Row = tuple[str, str, str, str | None, int, str, None, str | None, str, float, float | None, int, str | None, list[str]]
LOCAL: dict[tuple[str, str | None], float] = {
    ("97026", "AK 01"): 8.0,
    ("97026", "NY 01"): 7.25,
    ("97028", "NY 01"): 9.5,
}
SCHEMA = {name: kind for name, kind in PROVIDERS.polars.items() if name != "month"} | {"source_ids": pl.List(pl.String)}


def locality_of(npi: int) -> str | None:
    return ("AK 01", "NY 01", None, "NY 02")[npi % 4]


ROWS = st.builds(
    lambda payer, code, billing_class, tin, npi, cents, n, outlier, files: (
        *(payer, code, billing_class, tin, 1_000_000_000 + npi),
        *(("AK", "NY", "PR")[npi % 3], None, locality_of(npi), ("strict", "balanced", "other")[npi % 4 % 3]),
        *(cents / 100, LOCAL.get((code, locality_of(npi))), n, "outlier" if outlier else None, sorted(files)),
    ),
    payer=st.sampled_from(PAYERS),
    code=st.sampled_from(("97026", "97028")),
    billing_class=st.sampled_from(("professional", "professional", "institutional", "")),
    tin=st.sampled_from(("000000001", "000000002", "000000003", None)),
    npi=st.integers(0, 12),
    cents=st.integers(1, 10_000),
    n=st.integers(1, 5),
    outlier=st.sampled_from((False, False, False, True)),
    files=st.sets(st.sampled_from("abc"), min_size=1),
)


def observed(rows: list[Row]) -> Observed:
    frame = pl.LazyFrame(rows, schema=SCHEMA, orient="row")
    counted = frame.filter(pl.col("exclusion").is_null()).with_columns(has_tin=pl.col("tin").is_not_null())
    files = counted.explode("source_ids").rename({"source_ids": "source_id"}).select(FILES_BEHIND).unique()
    return Observed(frame.drop("source_ids"), files)


@st.composite
def provider_rows(draw: st.DrawFn) -> list[Row]:
    """Rows of distinct grain."""
    rows: list[Row] = draw(st.lists(ROWS, min_size=1, max_size=40))
    return list({row[:5]: row for row in rows}.values())


@STABLE
@given(provider_rows(), st.randoms(use_true_random=False))
def test_the_order_of_providers_changes_no_bit(rows: list[Row], chance: Random) -> None:
    shuffled = chance.sample(rows, len(rows))
    one, other = (summarize(observed(r), MONTH, MEDICARE, with_nppes=True) for r in (rows, shuffled))
    assert one.equals(other)


@STABLE
@given(provider_rows())
def test_every_figure_is_numpys_on_the_same_observations(rows: list[Row]) -> None:
    summaries = summarize(observed(rows), MONTH, MEDICARE, with_nppes=True)
    commercial = summaries.filter(pl.col("payer_kind") != "benchmark")
    for cell in commercial.iter_rows(named=True):
        values = np.array(observations(rows, cell))
        expected = [float(np.quantile(values, p / 100, method="linear")) for p in PERCENTILES]
        assert [cell[f"p{p}_usd"] for p in PERCENTILES] == pytest.approx(expected, rel=1e-13)
        assert cell["mean_usd"] == pytest.approx(float(np.mean(values)), rel=1e-13)
        assert (cell["min_usd"], cell["max_usd"]) == (values.min(), values.max())


@STABLE
@given(provider_rows())
def test_every_count_is_of_what_stands_behind_the_figures(rows: list[Row]) -> None:
    summaries = summarize(observed(rows), MONTH, MEDICARE, with_nppes=True)
    for cell in summaries.filter(pl.col("payer_kind") != "benchmark").iter_rows(named=True):
        behind = rows_behind(rows, cell)
        counts = (
            len({row[4] for row in behind}),
            len({row[3] for row in behind} - {None}),
            sum(row[11] for row in behind),
            len({file for row in behind for file in row[13]}),
        )
        assert (cell["n_npi"], cell["n_tin"], cell["n_rates"], cell["n_files"]) == counts


@STABLE
@given(provider_rows())
def test_rates_are_compared_with_medicare_at_each_providers_own_locality(rows: list[Row]) -> None:
    summaries = summarize(observed(rows), MONTH, MEDICARE, with_nppes=True)
    for cell in summaries.iter_rows(named=True):
        located = [row for row in rows_behind(rows, cell) if row[10] is not None]
        amounts = {row[4]: row[10] or 0.0 for row in located}
        rates: dict[tuple[str, int], list[float]] = {}
        for row in located:
            rates.setdefault((row[0], row[4]), []).append(row[9])
        percents = [100 * median(group) / amounts[npi] for (_, npi), group in rates.items()]
        expected = median(percents) if percents and cell["weighting"] == "npi" else None
        assert cell["pct_of_local_medicare"] == pytest.approx(expected)


def rows_behind(rows: list[Row], cell: dict[str, object]) -> list[Row]:
    """Those that a cell counts; a price without TIN has no holder to weight by."""
    tiers = {"strict": {"strict"}, "balanced": {"strict", "balanced"}}.get(str(cell["taxonomy_tier"]))
    composites = {"BUCA": {"Aetna", "Cigna"}, "All commercial": set(PAYERS)}
    return [
        row
        for row in rows
        if row[1:3] == (cell["billing_code"], cell["billing_class"])
        and row[0] in composites.get(str(cell["payer"]), {cell["payer"]})
        and cell["geography"] in ("US", row[5])
        and (tiers is None or row[8] in tiers)
        and row[12] is None
        and (cell["weighting"] == "npi" or row[3] is not None)
    ]


def observations(rows: list[Row], cell: dict[str, object]) -> list[float]:
    groups: dict[tuple[object, ...], list[float]] = {}
    for row in rows_behind(rows, cell):
        groups.setdefault((row[0], row[4] if cell["weighting"] == "npi" else row[3]), []).append(row[9])
    return [median(group) for group in groups.values()]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 10, 11, 100, 1_001])
def test_percentiles_of_any_number_of_observations_are_numpys(count: int) -> None:
    values = [round(Random(count + n).uniform(0.01, 500), 2) for n in range(count)]
    cell = {name: ["x"] * count for name in ("billing_code", "billing_class", "payer", "geography", "taxonomy_tier")}
    counted = pl.DataFrame(cell | {"rate_usd": values, "count": [1] * count})
    found = cell_percentiles(counted, list(cell))
    for p in PERCENTILES:
        assert found[f"p{p}_usd"][0] == pytest.approx(float(np.quantile(values, p / 100)), rel=1e-14)
    assert found["mean_usd"][0] == pytest.approx(float(np.mean(values)), rel=1e-14)


@pytest.mark.parametrize("seed", range(20))
def test_the_mean_is_the_exact_sum_over_the_number_whatever_the_order(seed: int) -> None:
    """A float sum of these differs in its last digits from order to order, and from the exact one."""
    chance = Random(seed)
    values = [round(chance.uniform(0.01, 500), chance.choice((2, 3, 7))) for _ in range(997)]
    counts = [chance.randrange(1, 9) for _ in values]
    expected = fsum(value for value, count in zip(values, counts, strict=True) for _ in range(count)) / sum(counts)
    counted = pl.DataFrame({"cell": ["x"] * len(values), "rate_usd": values, "count": counts})
    assert cell_percentiles(counted, ["cell"])["mean_usd"].to_list() == [expected]
    assert cell_percentiles(counted.reverse(), ["cell"])["mean_usd"].to_list() == [expected]


def test_means_of_sums_beyond_exact_integers_are_plain_ones() -> None:
    counted = pl.DataFrame({"cell": ["x", "x", "y"], "rate_usd": [1.0, 1e30, 1e300], "count": [3, 1, 2]})
    assert cell_percentiles(counted, ["cell"])["mean_usd"].to_list() == [1e30 / 4, 1e300]


def test_values_stay_in_order_within_many_cells() -> None:
    chance = Random(1)
    values = [(chance.randrange(5), round(chance.uniform(1, 900), 2)) for _ in range(60_000)]
    frame = pl.DataFrame(values, schema=["cell", "rate_usd"], orient="row").with_columns(count=pl.lit(1, pl.Int64))
    for row in cell_percentiles(frame, ["cell"]).iter_rows(named=True):
        of_cell = sorted(rate for cell, rate in values if cell == row["cell"])
        expected = [float(np.quantile(of_cell, p / 100)) for p in PERCENTILES]
        assert [row[f"p{p}_usd"] for p in PERCENTILES] == pytest.approx(expected, rel=1e-13)
        assert (row["min_usd"], row["max_usd"]) == (of_cell[0], of_cell[-1])


RATE_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "month": pl.Date,
    "payer": pl.String,
    "billing_code": pl.String,
    "billing_class": pl.String,
    "tin": pl.String,
    "npi": pl.Int64,
    "negotiated_type": pl.String,
    "negotiated_rate": pl.Float64,
    "state": pl.String,
    "taxonomy_tier": pl.String,
    "source_ids": pl.List(pl.String),
    "exclusion": pl.String,
}


LOCAL_AMOUNTS = {"billing_code": pl.String, "locality": pl.String, "medicare_usd": pl.Float64}
NO_PLACES = pl.DataFrame(schema=PLACES)


def compared_with(national: pl.DataFrame) -> MedicareAmounts:
    return MedicareAmounts(national, pl.DataFrame(schema=LOCAL_AMOUNTS))


def test_the_representative_rate_is_the_median_as_a_person_writes_it() -> None:
    """Half of 0.698 and 5.25 is 2.974; interpolating gives 2.9739999999999998."""
    rates = pl.DataFrame(
        [
            (JUNE, "Aetna", "97026", "both", "1", ANY, kind, usd, None, None, ["a"], None)
            for kind, usd in (("derived", 0.698), ("derived", 5.25), ("derived", 5.25), ("fee schedule", 1.0))
        ],
        schema=RATE_SCHEMA,
        orient="row",
    )
    amounts = pl.DataFrame({"billing_code": ["97026"], "amount_usd": [7.0]})
    (row,) = observe_providers(rates, NO_PLACES, compared_with(amounts)).iter_rows(named=True)
    assert (row["representative_rate_usd"], row["billing_class"], row["n_rates"]) == (2.974, "professional", 4)


ANY = 1_000_000_004


def test_the_representative_rate_of_many_rates_in_any_order_is_their_median() -> None:
    for seed, size in ((1, 2), (2, 3), (3, 50), (4, 301)):
        chance = Random(seed)
        usd = [round(chance.uniform(1, 60), 2) for _ in range(size)]
        rows = [(JUNE, "Aetna", "97026", "both", "1", ANY, "derived", rate, None, None, ["a"], None) for rate in usd]
        amounts = pl.DataFrame({"billing_code": ["97026"], "amount_usd": [7.0]})
        (row,) = observe_providers(
            pl.DataFrame(rows, schema=RATE_SCHEMA, orient="row"), NO_PLACES, compared_with(amounts)
        ).iter_rows(named=True)
        assert row["representative_rate_usd"] == median(set(usd))


def test_the_outlier_bounds_are_those_a_person_computes_whatever_binary_fractions_say() -> None:
    """10% of 6.79 is 0.679, and 0.679 is not below it; as binary fractions it is. Every amount up to 40 dollars."""
    cents = range(100, 4_000)
    rates = {
        code: (amount, usd, outlier)
        for cent in cents
        for amount in [Decimal(cent) / 100]
        for code, usd, outlier in (
            (f"{cent} low", amount / 10, None),
            (f"{cent} lower", amount / 10 - Decimal("0.0001"), "outlier"),
            (f"{cent} high", amount * 10, None),
            (f"{cent} higher", amount * 10 + Decimal("0.0001"), "outlier"),
        )
    }
    rows = [
        (JUNE, "Aetna", code, "both", "1", ANY, "negotiated", float(usd), None, None, ["a"], None)
        for code, (_, usd, _) in rates.items()
    ]
    amounts = pl.DataFrame(
        {"billing_code": list(rates), "amount_usd": [float(amount) for amount, *_ in rates.values()]}
    )
    found = observe_providers(pl.DataFrame(rows, schema=RATE_SCHEMA, orient="row"), NO_PLACES, compared_with(amounts))
    assert dict(found.select("billing_code", "exclusion").iter_rows()) == {
        code: outlier for code, (*_, outlier) in rates.items()
    }
    assert any(float(amount) * 0.1 > float(amount / 10) for amount, *_ in rates.values())  # or the test says nothing
    assert any(float(amount) * 10.0 < float(amount * 10) for amount, *_ in rates.values())

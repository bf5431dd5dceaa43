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
from tests.plain_evidence import times
from transforms.benchmark.percentiles import cell_percentiles
from transforms.benchmark.rates import PLACES
from transforms.benchmark.representative_rates import FILES_BEHIND, MedicareAmounts, observe_providers
from transforms.benchmark.summarize import (
    COMPOSITES,
    STRATUM,
    Comparison,
    Observed,
    _disjoint_parts,
    list_memberships,
    summarize,
)

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
Row = tuple[
    *tuple[str, str, str, str | None, int, str, None, str | None, str, str | None, float | None],
    *tuple[float, float | None, int, str | None, list[str]],
]
LOCAL: dict[tuple[str, str | None], float] = {
    ("97026", "AK 01"): 8.0,
    ("97026", "NY 01"): 7.25,
    ("97028", "NY 01"): 9.5,
}
SCHEMA = {name: kind for name, kind in PROVIDERS.polars.items() if name != "month"} | {"source_ids": pl.List(pl.String)}


def locality_of(npi: int) -> str | None:
    return ("AK 01", "NY 01", None, "NY 02")[npi % 4]


def evidence_of(npi: int, code: str) -> tuple[str | None, float | None]:
    """Of seven providers, three billed 97026 and four billed 97028."""
    services = {("97026", 0): 1.5, ("97026", 1): 0.2, ("97026", 2): 12.0}.get((code, npi % 7))
    if code == "97028":
        services = {0: 3.0, 2: 40.49, 4: 2.5, 5: 1.0}.get(npi % 7)
    return ("billed", services) if services is not None else ((None, "related", "none")[npi % 3], None)


ROWS = st.builds(
    lambda payer, code, billing_class, tin, npi, cents, n, outlier, files: (
        *(payer, code, billing_class, tin, 1_000_000_000 + npi),
        *(("AK", "NY", "PR")[npi % 3], None, locality_of(npi), ("strict", "balanced", "other")[npi % 4 % 3]),
        *evidence_of(npi, code),
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


def many_rows(chance: Random, count: int) -> list[Row]:
    """Rows of distinct grain, in no order: each TIN has several NPIs of each stratum, each NPI several TINs."""
    rows: list[Row] = []
    for _ in range(count):
        code, npi = chance.choice(("97026", "97028")), chance.randrange(60)
        tin, cents = chance.choice(("000000001", "000000002", "000000003", None)), chance.randrange(1, 10_000)
        rows.append(
            (
                *(chance.choice(PAYERS), code, chance.choice(("professional", "institutional")), tin),
                *(1_000_000_000 + npi, ("AK", "NY", "PR")[npi % 3], None, locality_of(npi)),
                *(("strict", "balanced", "other")[npi % 4 % 3], *evidence_of(npi, code)),
                *(cents / 100, LOCAL.get((code, locality_of(npi))), 1, None, ["a"]),
            )
        )
    return list({row[:5]: row for row in rows}.values())


def test_many_rows_in_parts_give_the_figures_of_few_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other tests see all cells at once."""
    rows = many_rows(Random(1), 1_500)
    at_once = summarize(observed(rows), MONTH, MEDICARE, with_nppes=True)
    monkeypatch.setattr("transforms.benchmark.summarize.ROWS_AT_ONCE", 0)
    assert summarize(observed(rows), MONTH, MEDICARE, with_nppes=True).equals(at_once)


@STABLE
@given(provider_rows())
def test_no_row_is_joined_twice_in_one_part_of_many_rows(rows: list[Row]) -> None:
    providers = observed(rows).providers.filter(pl.col("billing_class") != "")
    strata = providers.select(STRATUM).unique().collect().with_row_index("stratum_no")
    memberships = list_memberships(strata, COMPOSITES, with_nppes=True)
    parts = _disjoint_parts(memberships)
    assert pl.concat([memberships.clear().select("stratum_no", "cell_no"), *parts]).height == memberships.height
    for part in parts:
        assert part["stratum_no"].is_unique().all()


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


def test_numpys_percentiles_of_repeated_observations_are_those_of_weighting_services() -> None:
    """Fractions count half up and at least once: 1.5 twice, 0.2 once, 12 twelve times."""
    rows: list[Row] = [
        (
            *("Aetna", "97026", "professional", "1", 1_000_000_000 + npi, "AK", None, "AK 01", "strict"),
            *(*evidence_of(npi, "97026"), usd, 8.0, 1, None, ["a"]),
        )
        for npi, usd in ((0, 9.0), (1, 5.0), (2, 7.5), (10, 100.0))
    ]
    summaries = summarize(observed(rows), MONTH, MEDICARE, with_nppes=True)
    values = [9.0] * 2 + [5.0] + [7.5] * 12
    for tier in ("billed", "strict", "balanced", "all"):
        (cell,) = summaries.filter(payer="Aetna", geography="US", taxonomy_tier=tier, weighting="services").iter_rows(
            named=True
        )
        expected = [float(np.quantile(values, p / 100)) for p in PERCENTILES]
        assert [cell[f"p{p}_usd"] for p in PERCENTILES] == pytest.approx(expected, rel=1e-14)
        assert (cell["mean_usd"], cell["n_npi"], cell["n_rates"]) == (pytest.approx(np.mean(values)), 3, 3)
    by_evidence = summaries.filter(payer="Aetna", geography="US", taxonomy_tier="billed", weighting="npi")
    assert by_evidence.select("n_npi", "max_usd").rows() == [(4, 100.0)], "evidence related is in the tier"


def test_without_evidence_there_is_neither_the_tier_nor_the_weighting() -> None:
    rows: list[Row] = [
        (
            *("Aetna", "97026", "professional", "1", 1_000_000_000, "AK", None, None, "strict"),
            *(evidence, None, 9.0, None, 1, None, ["a"]),
        )
        for evidence in (None, "none")
    ]
    summaries = summarize(observed(rows), MONTH, MEDICARE, with_nppes=True).filter(payer_kind="payer")
    assert set(summaries["taxonomy_tier"]) == {"strict", "balanced", "all"}
    assert set(summaries["weighting"]) == {"npi", "tin"}
    with_services: list[Row] = [(*row[:9], "billed", 3.0, *row[11:]) for row in rows[:1]]
    without_nppes = summarize(observed(with_services), MONTH, MEDICARE, with_nppes=False).filter(payer_kind="payer")
    assert set(without_nppes["taxonomy_tier"]) == {"all"}


@STABLE
@given(provider_rows())
def test_every_count_is_of_what_stands_behind_the_figures(rows: list[Row]) -> None:
    summaries = summarize(observed(rows), MONTH, MEDICARE, with_nppes=True)
    for cell in summaries.filter(pl.col("payer_kind") != "benchmark").iter_rows(named=True):
        behind = rows_behind(rows, cell)
        counts = (
            len({row[4] for row in behind}),
            len({row[3] for row in behind} - {None}),
            sum(row[13] for row in behind),
            len({file for row in behind for file in row[15]}),
        )
        assert (cell["n_npi"], cell["n_tin"], cell["n_rates"], cell["n_files"]) == counts


@STABLE
@given(provider_rows())
def test_rates_are_compared_with_medicare_at_each_providers_own_locality(rows: list[Row]) -> None:
    summaries = summarize(observed(rows), MONTH, MEDICARE, with_nppes=True)
    for cell in summaries.iter_rows(named=True):
        located = [row for row in rows_behind(rows, cell) if row[12] is not None]
        percents = repeated_percents(located, cell)
        expected = median(percents) if percents and cell["weighting"] != "tin" else None
        assert cell["pct_of_local_medicare"] == pytest.approx(expected)


def repeated_percents(located: list[Row], cell: dict[str, object]) -> list[float]:
    """100 x the median rate of each payer's NPI / Medicare's amount there, as often as it counts."""
    rates: dict[tuple[str, int], list[Row]] = {}
    for row in located:
        rates.setdefault((row[0], row[4]), []).append(row)
    return [
        100 * median(row[11] for row in group) / (group[0][12] or 0.0)
        for group in rates.values()
        for _ in range(times(group[0][10]) if cell["weighting"] == "services" else 1)
    ]


def rows_behind(rows: list[Row], cell: dict[str, object]) -> list[Row]:
    """Those that a cell counts; a price without TIN has no holder, one without services nothing to weight by."""
    tiers = {"strict": {"strict"}, "balanced": {"strict", "balanced"}}.get(str(cell["taxonomy_tier"]))
    composites = {"BUCA": {"Aetna", "Cigna"}, "All commercial": set(PAYERS)}
    return [
        row
        for row in rows
        if row[1:3] == (cell["billing_code"], cell["billing_class"])
        and row[0] in composites.get(str(cell["payer"]), {cell["payer"]})
        and cell["geography"] in ("US", row[5])
        and (tiers is None or row[8] in tiers)
        and (cell["taxonomy_tier"] != "billed" or row[9] in ("billed", "related"))
        and row[14] is None
        and {"npi": True, "tin": row[3] is not None, "services": row[10] is not None}[str(cell["weighting"])]
    ]


def observations(rows: list[Row], cell: dict[str, object]) -> list[float]:
    """For weighting ``services``, each as often as its services."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows_behind(rows, cell):
        groups.setdefault((row[0], row[3] if cell["weighting"] == "tin" else row[4]), []).append(row)
    return [
        median(row[11] for row in group)
        for group in groups.values()
        for _ in range(times(group[0][10]) if cell["weighting"] == "services" else 1)
    ]


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


@pytest.mark.parametrize("rate", [5.25, 7.5, 9.1, 33.33])
def test_providers_of_one_kind_alone_have_the_same_local_percent_as_among_others(rate: float) -> None:
    """Every row has then the same Medicare amount, by whose reciprocal polars multiplies."""
    cells = summarize(observed([local_row(n, rate + n) for n in (-1, 0, 1)]), MONTH, MEDICARE, with_nppes=True)
    found = cells.filter(pl.col("payer") == "Aetna")["pct_of_local_medicare"].drop_nulls()
    assert set(found) == {100 * rate / 9.88}


def local_row(npi: int, rate: float) -> Row:
    who = ("Aetna", "97026", "professional", "000000001", 1_000_000_000 + npi)
    return *who, "AK", None, "AK 01", "strict", None, None, rate, 9.88, 1, None, ["a"]


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

"""Practices: every NPI of the demo's market against a plain computation from its published rates, and small cases."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codes import GEOGRAPHIES
from schemas.practices import PRACTICES, VOLUMES
from schemas.published import PROVIDERS, RATES
from tests.conftest import DEMO_MONTH
from tests.effort import usually
from tests.plain_practices import Key, PlainMarket, PlainStanding
from transforms.benchmark.market_position import (
    choose_tiers,
    compare_practice,
    locate,
    observe_market,
    yearly_units,
)
from transforms.benchmark.practice import CELL, Practice, list_absent, observe_practice

NATIONAL = {"97026": 6.68, "97028": 8.35}  # 2026, all indices 1


class Tables:
    """The demo's published tables, and the plain reading of its rates."""

    def __init__(self, output: Path) -> None:
        read = {name: pl.read_parquet(output / name / "**/*.parquet", hive_partitioning=False) for name in NAMES}
        self.rates, self.providers, self.summaries = (read[name] for name in NAMES)
        local = {(r["npi"], r["billing_code"]): r["medicare_usd"] for r in self.providers.iter_rows(named=True)}
        tiers = {(row["npi"], row["billing_code"], row["taxonomy_tier"]) for row in self.rates.iter_rows(named=True)}
        evidence = self.providers.select("npi", "billing_code", "evidence").iter_rows()
        members = {
            "balanced": {(npi, code) for npi, code, tier in tiers if tier in ("strict", "balanced")},
            "billed": {(npi, code) for npi, code, found in evidence if found in ("billed", "related")},
        }
        rows = self.rates.to_dicts()
        self.plain = {tier: PlainMarket(rows, NATIONAL, local, found) for tier, found in members.items()}
        states = [*GEOGRAPHIES, "US"]
        self.market = observe_market(self.providers.lazy(), states, choose_tiers(self.summaries))

    def check(self, practice: Practice, npis: Iterable[int]) -> set[str]:
        """Compare all rows of a practice of these NPIs with the plain reading; the statuses that there are."""
        compared, statuses = self.compare(practice), set()
        assert {*compared["taxonomy_tier"]} <= {*self.plain}
        for tier, plain in self.plain.items():
            expected = plain.standings(npis, practice.tins)
            check(compared.filter(taxonomy_tier=tier), expected)
            statuses |= {standing.status for standing in expected.values()}
        return statuses

    def compare(self, practice: Practice, volumes: pl.DataFrame | None = None) -> pl.DataFrame:
        """As the command does, of tables in memory."""
        national = pl.DataFrame({"billing_code": list(NATIONAL), "amount_usd": list(NATIONAL.values())})
        own = observe_practice(self.rates.filter(practice.rows), self.providers.filter(practice.rows), national)
        payers = self.summaries.filter(pl.col("payer_kind") == "payer")
        own = pl.concat([own, list_absent(own, payers)], how="diagonal")
        return compare_practice(practice.name, DEMO_MONTH, own, self.market, self.summaries, volumes)


NAMES = ("rates", "providers", "summaries")


@pytest.fixture(scope="module")
def tables(demo_output: Path) -> Tables:
    return Tables(demo_output)


def check(rows: pl.DataFrame, expected: dict[Key, PlainStanding]) -> None:
    named = {
        (*(row[name] for name in CELL), row["level"], row["npi"], row["tin"], row["network_name"]): row
        for row in rows.iter_rows(named=True)
    }
    assert len(named) == rows.height
    assert set(named) == set(expected)
    for key, plain in expected.items():
        row = named[key]
        for name, value in vars(plain).items():
            assert row[name] == (pytest.approx(value) if isinstance(value, float) else value), (key, name)
        if plain.status == "rated":
            assert row["own_rate_usd"] == plain.own_rate_usd  # an order statistic or a mean of two: exact
        for name in ("p25", "p50", "p75", "medicare"):
            base = row[f"{name}_usd"]
            gap = None if plain.status != "rated" or base is None else row["own_rate_usd"] - base
            assert row[f"gap_{name}_usd"] == gap
            assert row[f"gap_{name}_pct"] == (None if gap is None else pytest.approx(100 * gap / base))
            assert row[f"gap_{name}_yearly_usd"] is None


@pytest.mark.slow
def test_every_npi_of_the_market_is_where_the_plain_reading_puts_it(tables: Tables) -> None:
    npis = sorted(npi for npi in {*tables.rates["npi"]} - {None} if npi > 0)
    assert len(npis) > 600
    statuses = set()
    outliers = tables.providers.filter(exclusion="outlier")["npi"]
    for npi in sorted({*npis[:: usually(9, 1)], *outliers}):
        statuses |= tables.check(Practice((npi,)), [npi])
    assert statuses == {"rated", "outlier", "excluded", "absent"}


@pytest.mark.slow
def test_groups_and_contract_holders_are_where_the_plain_reading_puts_them(tables: Tables) -> None:
    npis = sorted({*tables.providers["npi"]})
    groups = [tuple(npis[start::step]) for start, step in ((0, 3), (1, 40), (5, 97))] + [tuple(npis[:2])]
    for group in groups:
        tables.check(Practice(group), group)
    for tin in sorted({*tables.providers["tin"]} - {None})[::20]:
        listed = sorted({*tables.rates.filter(pl.col("tin") == tin)["npi"]} - {None})
        tables.check(Practice((), (tin,)), listed)
        tables.check(Practice((listed[0], npis[0]), (tin,)), [listed[0], npis[0]])


def test_the_markets_are_those_of_the_summaries(tables: Tables) -> None:
    """n_market is n_npi, and a provider's own observation is in its market."""
    cells = tables.summaries.filter((pl.col("weighting") == "npi") & (pl.col("taxonomy_tier") == "balanced"))
    sizes = tables.market.filter(taxonomy_tier="balanced").group_by(CELL).agg(n=pl.col("count").sum())
    joined = cells.filter(pl.col("payer_kind") == "payer", pl.col("geography") != "US").join(sizes, on=CELL, how="left")
    assert joined.height > 300
    assert (joined["n"] == joined["n_npi"]).all()


def test_units_of_a_year_count_where_the_npi_has_a_rate(tables: Tables) -> None:
    both = tables.providers.filter(pl.col("exclusion").is_null(), billing_class="professional", billing_code="97026")
    npis = tuple(sorted({*both.filter(payer="Aetna")["npi"]} & {*both.filter(payer="Cigna")["npi"]})[:3])
    state = {*both.filter(pl.col("npi").is_in(npis))["state"]}
    rows = [(None, npi, "97026", 100.0 * place) for place, npi in enumerate(npis, 1)] + [
        ("Aetna", npis[0], "97026", 7.5)
    ]
    compared = tables.compare(Practice(npis), pl.DataFrame(rows, schema=VOLUMES.polars, orient="row"))
    common = {"level": "practice", "billing_code": "97026", "billing_class": "professional", "status": "rated"}
    ours = compared.filter(taxonomy_tier="balanced", **common)
    units = {payer: sum(part["yearly_units"]) for (payer,), part in ours.partition_by("payer", as_dict=True).items()}
    assert state and units["Cigna"] == 600.0
    assert units["Aetna"] == 607.5
    for row in ours.iter_rows(named=True):
        for name in ("p25", "p50", "p75", "medicare"):
            assert row[f"gap_{name}_yearly_usd"] == row[f"gap_{name}_usd"] * row["yearly_units"]
    assert compared.filter(pl.col("level") != "practice")["yearly_units"].null_count() > 0
    assert (
        compared.filter((pl.col("level") != "practice") | (pl.col("billing_code") == "97028"))["yearly_units"]
        .drop_nulls()
        .is_empty()
    )


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.floats(0.5, 7).map(lambda x: round(x, 1)))
def test_rank_and_percentile_count_who_is_above_below_and_equal(values: list[int], own: float) -> None:
    cell: dict[str, Any] = {"payer": "A", "billing_code": "97026", "billing_class": "professional", "geography": "AK"}
    market = pl.DataFrame([cell | {"taxonomy_tier": "all", "rate_usd": float(v), "count": 1} for v in values])
    row = locate(pl.DataFrame([cell | {"taxonomy_tier": "all", "status": "rated", "own_rate_usd": own}]), market).row(
        0, named=True
    )
    above, equal = sum(value > own for value in values), sum(value == own for value in values)
    assert row["rank"] == 1 + above
    assert row["percentile"] == pytest.approx(100 * (len(values) - above - equal / 2) / len(values))
    assert row["n_market"] == len(values)


def test_a_practice_has_one_name_whatever_the_order() -> None:
    assert Practice((1234567893,)).name == "1234567893"
    assert Practice((), ("123456789",)).name == "tin-123456789"
    group = Practice((2, 1), ("9",)).name
    assert group == Practice((1, 2), ("9",)).name
    assert group != Practice((1, 2)).name
    assert group.startswith("group-1-")


def test_prices_of_a_tin_alone_are_excluded_rows_of_it(tables: Tables) -> None:
    row = tables.rates.filter(exclusion="no_npi").drop_nulls("tin").row(0, named=True)
    found = tables.compare(Practice((), (row["tin"],))).filter(level="practice", payer=row["payer"])
    assert any("no_npi" in rules for rules in found["exclusions"])


def test_tables_of_no_rows_give_none(tables: Tables) -> None:
    national = pl.DataFrame({"billing_code": ["97026"], "amount_usd": [6.68]})
    own = observe_practice(RATES.empty(), PROVIDERS.empty(), national)
    assert own.is_empty()
    assert yearly_units(own, VOLUMES.empty()).is_empty()
    assert compare_practice("x", DEMO_MONTH, own, tables.market, tables.summaries).schema == PRACTICES.polars

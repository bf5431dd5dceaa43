"""Provider observations to percentile summaries: payers, composites, geographies, tiers, weightings (CONTRACT 4).

Order-free: percentiles are order statistics, counts are integers, and the mean is an exact sum. Nothing here depends
on the order of rows, on threads or on how the input was split.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import polars as pl

from schemas.codes import (
    BUCA,
    COMPOSITE_ALL,
    COMPOSITE_BUCA,
    LOW_SAMPLE_NPI,
    LOW_SAMPLE_TIN,
    MEDICARE,
    METHODOLOGY,
    PERCENTILES,
)
from schemas.published import SUMMARIES
from transforms.observe import median

CLASSES = ("professional", "institutional")
TIERS = {"strict": ("strict",), "balanced": ("strict", "balanced")}
CELL = ["billing_code", "billing_class", "payer", "geography", "taxonomy_tier"]

_EXACT = 2.0**60  # a float64 of at least 2**-8 dollars times this is a whole number: its Int128 sum is exact
_EXACT_BELOW_USD = 1e12  # beyond this (only ever in a code that Medicare does not price) Int128 could overflow


@dataclass(frozen=True)
class Comparison:
    """What Medicare pays, per locality: billing_code, state, amount_usd; and the fee schedule's year."""

    localities: pl.DataFrame
    year: int | None


def summarize(providers: pl.LazyFrame, month: date, medicare: Comparison, *, with_nppes: bool) -> pl.DataFrame:
    """``schemas.SUMMARIES`` of one month, sorted by its grain.

    Args:
        providers: ``schemas.PROVIDERS`` with source_ids (list), all payers, US dollars.
        medicare: compared with; its localities become the Medicare rows.
        with_nppes: False: no state rows, tier ``all`` only.
    """
    counted = providers.filter(pl.col("exclusion").is_null() & pl.col("billing_class").is_in(CLASSES))
    benchmark = summarize_medicare(medicare)
    tiers = (*TIERS, "all") if with_nppes else ("all",)
    commercial = [
        _figures(pooled, geography)
        for tier in tiers
        for pooled in pool(_of_tier(counted, tier))
        for geography in (("US", "state") if with_nppes else ("US",))
    ]
    return (
        pl.concat([*commercial, benchmark], how="diagonal")
        .join(_medicare_medians(benchmark), on=["billing_code", "geography"], how="left")
        .with_columns(
            month=pl.lit(month),
            iqr_usd=pl.col("p75_usd") - pl.col("p25_usd"),
            pct_of_medicare=100 * pl.col("p50_usd") / pl.col("medicare_usd"),
            low_sample=((pl.col("n_npi") < LOW_SAMPLE_NPI) | (pl.col("n_tin") < LOW_SAMPLE_TIN)).fill_null(value=False),
            medicare_year=pl.lit(medicare.year, pl.Int32),
            methodology=pl.lit(METHODOLOGY),
        )
        .pipe(SUMMARIES.conform)
        .sort(SUMMARIES.grain)
        .collect()
    )


def _of_tier(providers: pl.LazyFrame, tier: str) -> pl.LazyFrame:
    kept = providers.filter(pl.col("taxonomy_tier").is_in(TIERS[tier])) if tier in TIERS else providers
    return kept.with_columns(taxonomy_tier=pl.lit(tier))


def pool(providers: pl.LazyFrame) -> Iterator[pl.LazyFrame]:
    """Each payer by itself, then the composites; ``member`` stays the payer, so that payers' observations add up."""
    own = providers.with_columns(member=pl.col("payer"))
    yield own.with_columns(payer_kind=pl.lit("payer"))
    composite = own.with_columns(payer_kind=pl.lit("composite"))
    yield composite.filter(pl.col("member").is_in(BUCA)).with_columns(payer=pl.lit(COMPOSITE_BUCA))
    yield composite.with_columns(payer=pl.lit(COMPOSITE_ALL))


def _figures(providers: pl.LazyFrame, geography: str) -> pl.LazyFrame:
    """Both weightings of one pool and one kind of geography, with the counts behind them.

    A price without TIN has no contract holder: it counts by NPI only.
    """
    if geography == "US":
        placed = providers.with_columns(geography=pl.lit("US"))
    else:
        placed = providers.with_columns(geography=pl.col("state")).filter(pl.col("geography").is_not_null())
    return pl.concat(_weighted(placed.filter(pl.col(holder).is_not_null()), holder) for holder in ("npi", "tin"))


def _weighted(held: pl.LazyFrame, holder: str) -> pl.LazyFrame:
    return distribution(observe(held, holder)).with_columns(weighting=pl.lit(holder)).join(_counts(held), on=CELL)


def _counts(providers: pl.LazyFrame) -> pl.LazyFrame:
    files = (
        providers.select(*CELL, "source_ids")
        .unique()
        .explode("source_ids")
        .group_by(CELL)
        .agg(pl.col("source_ids").n_unique().cast(pl.Int64).alias("n_files"))
    )
    counts = providers.group_by(*CELL, "payer_kind").agg(
        pl.col("npi").n_unique().cast(pl.Int64).alias("n_npi"),
        pl.col("tin").drop_nulls().n_unique().cast(pl.Int64).alias("n_tin"),
        pl.col("n_rates").sum(),
    )
    return counts.join(files, on=CELL)


def observe(providers: pl.LazyFrame, holder: str) -> pl.LazyFrame:
    """One observation per cell, payer and ``npi`` (median over its TINs) or ``tin`` (median over its NPIs there)."""
    return providers.group_by(*CELL, "member", holder).agg(rate_usd=median(pl.col("representative_rate_usd")))


def distribution(observations: pl.LazyFrame) -> pl.LazyFrame:
    """Mean, extremes and percentiles per cell, linear between order statistics (Hyndman-Fan type 7)."""
    rate = pl.col("rate_usd")
    exact_sum = (rate * _EXACT).cast(pl.Int128, strict=False).sum()
    exact_mean = exact_sum.cast(pl.Float64) / _EXACT / pl.len()
    return observations.group_by(CELL).agg(
        pl.when(rate.max() < _EXACT_BELOW_USD).then(exact_mean).otherwise(rate.sort().mean()).alias("mean_usd"),
        rate.min().alias("min_usd"),
        *(rate.quantile(p / 100, interpolation="linear").alias(f"p{p}_usd") for p in PERCENTILES),
        rate.max().alias("max_usd"),
    )


def summarize_medicare(medicare: Comparison) -> pl.LazyFrame:
    """Medicare's rows: a state's observations are its localities, ``US`` is all of them."""
    localities = medicare.localities.lazy().rename({"amount_usd": "rate_usd"})
    placed = pl.concat(
        [
            localities.with_columns(geography=pl.lit("US")),
            localities.with_columns(geography=pl.col("state")),
        ]
    ).with_columns(payer=pl.lit(MEDICARE), billing_class=pl.lit("professional"), taxonomy_tier=pl.lit("all"))
    return (
        distribution(placed)
        .join(placed.group_by(CELL).agg(n_rates=pl.len().cast(pl.Int64)), on=CELL)
        .with_columns(
            *(pl.lit(None, pl.Int64).alias(name) for name in ("n_npi", "n_tin", "n_files")),
            payer_kind=pl.lit("benchmark"),
            weighting=pl.lit("locality"),
        )
    )


def _medicare_medians(benchmark: pl.LazyFrame) -> pl.LazyFrame:
    return benchmark.select("billing_code", "geography", medicare_usd=pl.col("p50_usd"))

"""Exact percentiles and means from counts of distinct values."""

import polars as pl

from schemas.codes import PERCENTILES

_EXACT = 2.0**60  # a float64 of at least 2**-8 dollars times this is a whole number: its Int128 sum is exact
_EXACT_BELOW_USD = 1e9  # beyond this (only ever in a code that Medicare does not price) Int128 could overflow


def count_values(observations: pl.LazyFrame, key: list[str]) -> pl.DataFrame:
    """How often each distinct ``rate_usd`` stands in each group: key, rate_usd, count. Unsorted."""
    return observations.group_by(*key, "rate_usd").agg(count=pl.len().cast(pl.Int64)).collect(engine="streaming")


def distribution(counted: pl.DataFrame, cell: list[str]) -> pl.DataFrame:
    """Mean, extremes and percentiles per cell, linear between order statistics (Hyndman-Fan type 7).

    Args:
        counted: cell, rate_usd, count; a value may stand in several rows of a cell.

    Returns: cell, mean_usd, min_usd, p10_usd ... p90_usd, max_usd. Unsorted.
    """
    rate, up_to = pl.col("rate_usd"), pl.col("up_to")
    number = up_to.last()

    def order_statistic(position: pl.Expr) -> pl.Expr:
        """The value at a zero-based position among the sorted observations."""
        return rate.gather(up_to.search_sorted(position, side="right"))

    def percentile(p: int) -> pl.Expr:
        # (number - 1) * p / 100 in whole numbers, so that no rounding decides between two observations
        place = (number - 1) * p
        low = place // 100
        high = pl.min_horizontal(low + 1, number - 1)
        share = (place % 100) / 100
        below, above = order_statistic(low).first(), order_statistic(high).first()
        return (below + (above - below) * share.first()).alias(f"p{p}_usd")

    exact_sum = ((rate * _EXACT).cast(pl.Int128, strict=False) * pl.col("count").cast(pl.Int128)).sum()
    exact_mean = exact_sum.cast(pl.Float64) / _EXACT / number
    plain_mean = (rate * pl.col("count")).sum() / number
    return (
        counted.lazy()
        .group_by(*cell, "rate_usd")
        .agg(pl.col("count").sum())
        .sort(*cell, "rate_usd")
        .with_columns(up_to=pl.col("count").cum_sum().over(cell))
        .group_by(cell, maintain_order=True)
        .agg(
            pl.when(rate.max() < _EXACT_BELOW_USD).then(exact_mean).otherwise(plain_mean).alias("mean_usd"),
            rate.min().alias("min_usd"),
            *(percentile(p) for p in PERCENTILES),
            rate.max().alias("max_usd"),
        )
        .collect()
    )

"""Medians of many small groups, and exact percentiles and means from counts of distinct values."""

import numpy as np
import polars as pl

from schemas.codes import PERCENTILES

_EXACT = 2.0**60  # a float64 of at least 2**-8 dollars times this is a whole number: its Int128 sum is exact
_EXACT_BELOW_USD = 1e9  # beyond this (only ever in a code that Medicare does not price) Int128 could overflow


def group_medians(rows: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """The median ``rate_usd`` of every group: key, rate_usd; sorted by key.

    By one sort: groups are many and small, and an aggregation of each takes four times as long.
    """
    ordered = rows.select(*key, "rate_usd").sort(*key, "rate_usd")
    starts = starts_of(ordered, key)
    return ordered.select(pl.col(key).gather(starts)).with_columns(
        rate_usd=medians_between(ordered["rate_usd"], starts)
    )


def middle(ordered: pl.Expr) -> pl.Expr:
    """The median of sorted lists as a person writes it: of two middle values their mean, to the last digit."""
    length = ordered.list.len()
    return (ordered.list.get((length - 1) // 2) + ordered.list.get(length // 2)) / 2


def medians_between(rate: pl.Series, starts: pl.Series) -> pl.Series:
    """The median of every group of values, sorted within groups, that begin at ``starts``."""
    sizes = sizes_of(starts, len(rate))
    return (rate.gather(starts + (sizes - 1) // 2) + rate.gather(starts + sizes // 2)) / 2


def starts_of(ordered: pl.DataFrame, key: list[str]) -> pl.Series:
    """Row numbers at which groups begin, in rows sorted by key."""
    first = pl.int_range(pl.len()) == 0
    changed = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in key)
    return ordered.select((first | changed).arg_true()).to_series().cast(pl.Int64)


def sizes_of(starts: pl.Series, height: int) -> pl.Series:
    """How many rows each group has."""
    return starts.shift(-1, fill_value=height) - starts


def count_values(observations: pl.LazyFrame, key: list[str]) -> pl.DataFrame:
    """How often each distinct ``rate_usd`` stands in each group: key, rate_usd, count; sorted by ``rate_usd`` alone."""
    counted = observations.group_by(*key, "rate_usd").agg(count=pl.len().cast(pl.Int64))
    return counted.collect(engine="streaming").sort("rate_usd")


def distribution(counted: pl.DataFrame, cell: list[str]) -> pl.DataFrame:
    """Mean, extremes and percentiles per cell, linear between order statistics (Hyndman-Fan type 7).

    Args:
        counted: cell, rate_usd, count; a value may stand in several rows of a cell.

    Returns: cell, mean_usd, min_usd, p10_usd ... p90_usd, max_usd; sorted by cell.
    """
    ordered = counted.sort("rate_usd").sort(*cell, maintain_order=True)  # two single keys: twice as fast as one of two
    starts = starts_of(ordered, cell)
    ends = starts + sizes_of(starts, ordered.height) - 1
    rate, up_to = ordered["rate_usd"].to_numpy(), ordered["count"].cum_sum().to_numpy()
    last = up_to[ends.to_numpy()]
    before = np.concatenate([[0], last[:-1]])[: len(last)]  # observations of all cells before this one
    number = last - before
    place = (number - 1) * np.array(PERCENTILES)[:, np.newaxis]  # in hundredths: no rounding decides between two
    low = place // 100
    high = np.minimum(low + 1, number - 1)
    below, above = (rate[np.searchsorted(up_to, before + position, side="right")] for position in (low, high))
    percentiles = below + (above - below) * ((place % 100) / 100)
    return ordered.select(pl.col(cell).gather(starts)).with_columns(
        _means(ordered, cell),
        pl.Series("min_usd", rate[starts.to_numpy()]),
        *(pl.Series(f"p{p}_usd", figures) for p, figures in zip(PERCENTILES, percentiles, strict=True)),
        pl.Series("max_usd", rate[ends.to_numpy()]),
    )


def _means(ordered: pl.DataFrame, cell: list[str]) -> pl.Series:
    """By cell, in the order of ``ordered``: an exact sum, so that no order of adding shows in the last digit."""
    rate, count = pl.col("rate_usd"), pl.col("count")
    exact_sum = ((rate * _EXACT).cast(pl.Int128, strict=False) * count.cast(pl.Int128)).sum()
    exact = exact_sum.cast(pl.Float64) / _EXACT / count.sum()
    plain = (rate * count).sum() / count.sum()
    mean = pl.when(rate.max() < _EXACT_BELOW_USD).then(exact).otherwise(plain)
    return ordered.group_by(cell, maintain_order=True).agg(mean_usd=mean)["mean_usd"]

"""Percentiles: medians of many small groups, and exact percentiles and means from counts of distinct values.

CONTRACT sections 3 and 4: percentiles interpolate linearly between order statistics (Hyndman-Fan type 7, numpy's
default). All values are US dollars, without nulls.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from schemas.codes import PERCENTILES

_EXACT = 2.0**60  # a float64 of at least 2**-8 dollars times this is a whole number: its Int128 sum is exact
_EXACT_BELOW_USD = 1e9  # beyond this (only ever in a code that Medicare does not price) Int128 could overflow


def group_medians(rows: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """The median ``rate_usd`` of every group: key, rate_usd; sorted by key.

    Sorts once, because an aggregation of many small groups takes four times as long.
    """
    return sorted_medians(rows.select(*key, "rate_usd").sort(*key, "rate_usd"), key)


def sorted_medians(ordered: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """The median ``rate_usd`` of every group: the middle value, or (a + b) / 2 of the two middle ones: key, rate_usd.

    Args: ordered: the rows of each group one after the other, sorted by ``rate_usd``.
    """
    starts = group_starts(ordered, key)
    sizes = group_sizes(starts, ordered.height)
    rate = ordered["rate_usd"]
    medians = (rate.gather(starts + (sizes - 1) // 2) + rate.gather(starts + sizes // 2)) / 2
    return ordered.select(pl.col(key).gather(starts)).with_columns(rate_usd=medians)


def is_first(key: Sequence[str]) -> pl.Expr:
    """Whether a row is the first one of its group, in rows whose groups stand one after the other."""
    changed = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in key)
    return (pl.int_range(pl.len()) == 0) | changed


def group_starts(ordered: pl.DataFrame, key: Sequence[str]) -> pl.Series:
    """The row number of each group's first row."""
    return ordered.select(is_first(key).arg_true()).to_series().cast(pl.Int64)


def group_sizes(starts: pl.Series, height: int) -> pl.Series:
    """The number of rows of each group."""
    return starts.shift(-1, fill_value=height) - starts


def count_values(observations: pl.LazyFrame, key: list[str], times: pl.Expr | None = None) -> pl.DataFrame:
    """The count of each distinct ``rate_usd`` in each group: key, rate_usd, count; sorted by ``rate_usd`` only.

    Args: times: how often each observation counts, an integer; once unless given.
    """
    count = pl.len() if times is None else times.sum()
    counted = observations.group_by(*key, "rate_usd").agg(count=count.cast(pl.Int64))
    return counted.collect(engine="streaming").sort("rate_usd")


def cell_percentiles(counted: pl.DataFrame, cell: list[str]) -> pl.DataFrame:
    """Mean, extremes and percentiles per cell, linear between order statistics (Hyndman-Fan type 7).

    Args:
        counted: cell, rate_usd, count; a value may have several rows in a cell.

    Returns: cell, mean_usd, min_usd, p10_usd ... p90_usd, max_usd; sorted by cell.
    """
    ordered = counted.sort("rate_usd").sort(*cell, maintain_order=True)  # two sorts by one key each: twice as fast
    starts = group_starts(ordered, cell)
    ends = starts + group_sizes(starts, ordered.height) - 1
    rate, running = ordered["rate_usd"].to_numpy(), ordered["count"].cum_sum().to_numpy()
    last = running[ends.to_numpy()]
    before = np.concatenate([[0], last[:-1]])[: len(last)]  # observations of all cells before this one
    size = last - before
    position = (size - 1) * np.array(PERCENTILES)[:, np.newaxis]  # in hundredths of a rank: integers, so exact
    low = position // 100
    high = np.minimum(low + 1, size - 1)
    below, above = (rate[np.searchsorted(running, before + rank, side="right")] for rank in (low, high))
    percentiles = below + (above - below) * ((position % 100) / 100)
    return ordered.select(pl.col(cell).gather(starts)).with_columns(
        _means(ordered, cell),
        ordered["rate_usd"].gather(starts).alias("min_usd"),
        *(
            pl.Series(f"p{p}_usd", figures.tolist(), pl.Float64)
            for p, figures in zip(PERCENTILES, percentiles, strict=True)
        ),
        ordered["rate_usd"].gather(ends).alias("max_usd"),
    )


def _means(ordered: pl.DataFrame, cell: list[str]) -> pl.Series:
    """``mean_usd`` by cell, ordered as ``ordered``. The sum is exact: the order of summation changes no digit."""
    rate, count = pl.col("rate_usd"), pl.col("count")
    exact_sum = ((rate * _EXACT).cast(pl.Int128, strict=False) * count.cast(pl.Int128)).sum()
    exact = exact_sum.cast(pl.Float64) / _EXACT / count.sum()
    plain = (rate * count).sum() / count.sum()
    mean = pl.when(rate.max() < _EXACT_BELOW_USD).then(exact).otherwise(plain)
    return ordered.group_by(cell, maintain_order=True).agg(mean_usd=mean)["mean_usd"]

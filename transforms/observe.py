"""Eligible rate rows to provider observations: the representative rate and the outlier rule (CONTRACT section 4)."""

import polars as pl

from schemas.codes import NEGOTIATED_TYPES, OUTLIER_HIGH, OUTLIER_LOW, PROFESSIONAL_CLASSES
from schemas.published import PROVIDERS

_BEST_FIRST = {name: rank for rank, name in enumerate(NEGOTIATED_TYPES)}
_BINARY_ERROR_USD = 1e-9  # 10% of 6.98 is 0.698 to the reader, and 0.698 is not below it: binary floats disagree


def published_class(billing_class: pl.Expr) -> pl.Expr:
    """``professional`` and ``both`` are one class."""
    return pl.when(billing_class.is_in(PROFESSIONAL_CLASSES)).then(pl.lit("professional")).otherwise(billing_class)


def median(values: pl.Expr) -> pl.Expr:
    """The middle value, or half the sum of the two: 0.698 and 5.25 give 2.974, not the float beside it."""
    return (values.quantile(0.5, "lower") + values.quantile(0.5, "higher")) / 2


def observe_providers(rates: pl.LazyFrame, national_amounts: pl.LazyFrame) -> pl.LazyFrame:
    """One row per (payer, billing_code, billing_class, tin, npi), unsorted.

    Args:
        rates: rate rows of ``schemas.RATES``, whole (tin, npi) groups, US dollars.
        national_amounts: billing_code, amount_usd (Medicare, all GPCIs 1); a code it lacks is not trimmed.

    Returns: ``schemas.PROVIDERS`` and source_ids (list), the files behind the row.
    """
    rank = pl.col("negotiated_type").replace_strict(_BEST_FIRST, default=None, return_dtype=pl.Int8)
    best = pl.col("rank") == pl.col("rank").min()
    rate, amount = pl.col("representative_rate_usd"), pl.col("amount_usd")
    low = rate < amount * OUTLIER_LOW - _BINARY_ERROR_USD
    high = rate > amount * OUTLIER_HIGH + _BINARY_ERROR_USD
    return (
        rates.filter(pl.col("exclusion").is_null())
        .with_columns(billing_class=published_class(pl.col("billing_class")), rank=rank)
        .group_by(PROVIDERS.grain)
        .agg(
            pl.col("state").first(),
            pl.col("taxonomy_tier").first(),
            median(pl.col("negotiated_rate").filter(best).unique()).alias("representative_rate_usd"),
            pl.len().cast(pl.Int64).alias("n_rates"),
            pl.col("source_ids").explode().unique().sort(),
        )
        .join(national_amounts, on="billing_code", how="left")
        .with_columns(
            exclusion=pl.when(low | high).then(pl.lit("outlier")),
        )
        .select(*PROVIDERS.names, "source_ids")
    )

"""Eligible rate rows to provider observations: the representative rate and the outlier rule (CONTRACT section 4)."""

import polars as pl

from schemas.codes import NEGOTIATED_TYPES, OUTLIER_HIGH, OUTLIER_LOW, PROFESSIONAL_CLASSES
from schemas.published import PROVIDERS

_BEST_FIRST = {name: rank for rank, name in enumerate(NEGOTIATED_TYPES)}
FILES_BEHIND = ["payer", "billing_code", "billing_class", "state", "taxonomy_tier", "has_tin", "source_id"]

_BINARY_ERROR_USD = 1e-9  # 10% of 6.98 is 0.698 to the reader, and 0.698 is not below it: binary floats disagree


def published_class(billing_class: pl.Expr) -> pl.Expr:
    """``professional`` and ``both`` are one class."""
    return pl.when(billing_class.is_in(PROFESSIONAL_CLASSES)).then(pl.lit("professional")).otherwise(billing_class)


def observe_providers(rates: pl.LazyFrame, national_amounts: pl.LazyFrame) -> pl.LazyFrame:
    """One row per (payer, billing_code, billing_class, tin, npi), unsorted.

    Args:
        rates: rate rows of ``schemas.RATES``, whole (tin, npi) groups, US dollars.
        national_amounts: billing_code, amount_usd (Medicare, all GPCIs 1); a code it lacks is not trimmed.

    Returns: ``schemas.PROVIDERS``.
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
            pl.col("negotiated_rate").filter(best).unique().median().alias("representative_rate_usd"),
            pl.len().cast(pl.Int64).alias("n_rates"),
        )
        .join(national_amounts, on="billing_code", how="left")
        .with_columns(
            exclusion=pl.when(low | high).then(pl.lit("outlier")),
        )
        .pipe(PROVIDERS.conform)
    )


def list_files(rates: pl.LazyFrame, providers: pl.LazyFrame) -> pl.LazyFrame:
    """Which files stand behind the counted providers: distinct, ``FILES_BEHIND`` columns, outliers left out.

    Args:
        rates: the rows that ``providers`` was observed from.
    """
    outliers = providers.filter(pl.col("exclusion").is_not_null()).select(PROVIDERS.grain)
    return (
        rates.filter(pl.col("exclusion").is_null())
        .with_columns(billing_class=published_class(pl.col("billing_class")), has_tin=pl.col("tin").is_not_null())
        .join(outliers, on=PROVIDERS.grain, how="anti", nulls_equal=True)
        .select(*FILES_BEHIND[:-1], "source_ids")
        .unique()
        .explode("source_ids")
        .rename({"source_ids": "source_id"})
        .unique()
    )

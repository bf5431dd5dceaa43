"""Eligible rate rows to provider observations: the representative rate and the outlier rule (CONTRACT section 4)."""

import polars as pl

from schemas.codes import NEGOTIATED_TYPES, OUTLIER_HIGH, OUTLIER_LOW, PROFESSIONAL_CLASSES
from schemas.published import PROVIDERS
from transforms.distribution import group_medians, sizes_of, starts_of

_PROVIDER = ["payer_no", "billing_code_no", "billing_class_no", "tin_no", "npi"]
_BEST_FIRST = {name: rank for rank, name in enumerate(NEGOTIATED_TYPES)}
FILES_BEHIND = ["payer", "billing_code", "billing_class", "state", "taxonomy_tier", "has_tin", "source_id"]

_BINARY_ERROR_USD = 1e-9  # 10% of 6.98 is 0.698 to the reader, and 0.698 is not below it: binary floats disagree


def published_class(billing_class: pl.Expr) -> pl.Expr:
    """``professional`` and ``both`` are one class."""
    is_professional = billing_class.is_in(PROFESSIONAL_CLASSES)
    return pl.when(is_professional).then(pl.lit("professional")).otherwise(billing_class).alias("billing_class")


def observe_providers(rates: pl.DataFrame, national_amounts: pl.DataFrame) -> pl.DataFrame:
    """One row per (payer, billing_code, billing_class, tin, npi), unsorted.

    Args:
        rates: rate rows of ``schemas.RATES``, whole (tin, npi) groups, US dollars.
        national_amounts: billing_code, amount_usd (Medicare, all GPCIs 1); a code it lacks is not trimmed.

    Returns: ``schemas.PROVIDERS``.
    """
    eligible = rates.filter(pl.col("exclusion").is_null()).with_columns(published_class(pl.col("billing_class")))
    ordered = _by_provider(eligible)
    starts = starts_of(ordered, _PROVIDER)
    best = ordered["rank"].gather(starts)
    grouped = ordered.with_columns(provider_no=pl.struct(_PROVIDER).rle_id())
    of_best_type = grouped.filter(grouped["rank"] == best.gather(grouped["provider_no"]))
    representative = group_medians(of_best_type.unique(["provider_no", "rate_usd"]), ["provider_no"])["rate_usd"]
    rate, amount = pl.col("representative_rate_usd"), pl.col("amount_usd")
    low = rate < amount * OUTLIER_LOW - _BINARY_ERROR_USD
    high = rate > amount * OUTLIER_HIGH + _BINARY_ERROR_USD
    return (
        eligible[ordered["row"].gather(starts)]
        .lazy()
        .with_columns(
            representative.alias("representative_rate_usd"), sizes_of(starts, ordered.height).alias("n_rates")
        )
        .join(national_amounts.lazy(), on="billing_code", how="left", maintain_order="left")
        .with_columns(exclusion=pl.when(low | high).then(pl.lit("outlier")))
        .pipe(PROVIDERS.conform)
        .collect()
    )


def _by_provider(eligible: pl.DataFrame) -> pl.DataFrame:
    """Rows as numbers, sorted by provider and best type first: _PROVIDER, rank, rate_usd, row."""
    names = ["payer", "billing_code", "billing_class", "tin"]
    numbers = eligible.select(
        *(pl.col(name).cast(pl.Categorical).to_physical().alias(f"{name}_no") for name in names),
        "npi",
        pl.col("negotiated_type").replace_strict(_BEST_FIRST, return_dtype=pl.Int8).alias("rank"),
        pl.col("negotiated_rate").alias("rate_usd"),
    ).with_row_index("row")
    return numbers.sort(*_PROVIDER, "rank")


def list_files(rates: pl.LazyFrame, providers: pl.LazyFrame) -> pl.LazyFrame:
    """Which files stand behind the counted providers: distinct, ``FILES_BEHIND`` columns, outliers left out.

    Args:
        rates: the rows that ``providers`` was observed from.
    """
    outliers = providers.filter(pl.col("exclusion").is_not_null()).select(PROVIDERS.grain)
    return (
        rates.filter(pl.col("exclusion").is_null())
        .with_columns(published_class(pl.col("billing_class")), has_tin=pl.col("tin").is_not_null())
        .join(outliers, on=PROVIDERS.grain, how="anti", nulls_equal=True)
        .select(*FILES_BEHIND[:-1], "source_ids")
        .unique()
        .explode("source_ids")
        .rename({"source_ids": "source_id"})
        .unique()
    )

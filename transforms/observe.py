"""Eligible rate rows to provider observations: the representative rate and the outlier rule (CONTRACT section 4)."""

import polars as pl

from schemas.codes import NEGOTIATED_TYPES, OUTLIER_HIGH, OUTLIER_LOW, PROFESSIONAL_CLASSES
from schemas.published import PROVIDERS
from transforms.distribution import medians_between, sizes_of, starts_of
from transforms.packing import sort_packed

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
    eligible = rates.filter(pl.col("exclusion").is_null()).select(
        *("payer", "billing_code", "tin", "npi", "state", "taxonomy_tier", "negotiated_type", "negotiated_rate"),
        published_class(pl.col("billing_class")),
    )
    ordered, provider = sort_packed(_in_numbers(eligible), _PROVIDER, "rank", "rate_usd")
    starts = starts_of(ordered, provider)
    best = ordered["rank"].gather(starts).gather(ordered.select(pl.struct(provider).rle_id()).to_series())
    of_best_type = ordered.filter(ordered["rank"] == best)
    repeated = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in [*provider, "rate_usd"])
    distinct = of_best_type.filter(~repeated)
    representative = medians_between(distinct["rate_usd"], starts_of(distinct, provider))
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


def _in_numbers(eligible: pl.DataFrame) -> pl.DataFrame:
    """_PROVIDER, rank (0: the best type), rate_usd."""
    return eligible.select(
        *(
            pl.col(name).cast(pl.Categorical).to_physical().alias(f"{name}_no")
            for name in ("payer", "billing_code", "billing_class", "tin")
        ),
        "npi",
        pl.col("negotiated_type").replace_strict(_BEST_FIRST, return_dtype=pl.Int8).alias("rank"),
        pl.col("negotiated_rate").alias("rate_usd"),
    )


def list_files(rates: pl.DataFrame, providers: pl.DataFrame) -> pl.DataFrame:
    """Which files stand behind the counted providers: distinct, ``FILES_BEHIND`` columns, outliers left out. Unsorted.

    Args:
        rates: the rows that ``providers`` was observed from.
    """
    outliers = providers.filter(pl.col("exclusion").is_not_null()).select(PROVIDERS.grain)
    rows = rates.filter(pl.col("exclusion").is_null()).select(
        *("payer", "billing_code", "tin", "npi", "state", "taxonomy_tier", "source_ids"),
        published_class(pl.col("billing_class")),
        has_tin=pl.col("tin").is_not_null(),
    )
    suspect = pl.col("npi").is_in(outliers["npi"].unique().implode(), nulls_equal=True)  # a join of all takes longer
    cleared = rows.filter(suspect).join(outliers, on=PROVIDERS.grain, how="anti", nulls_equal=True)
    behind = pl.concat([rows.filter(~suspect), cleared]).lazy().select(*FILES_BEHIND[:-1], "source_ids").unique()
    return behind.explode("source_ids").rename({"source_ids": "source_id"}).unique().collect(engine="streaming")

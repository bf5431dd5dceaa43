"""Representative rates: eligible rate rows to the rows of ``providers`` (CONTRACT 4, Representative rate, Outliers)."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from schemas.codes import NEGOTIATED_TYPES, OUTLIER_HIGH, OUTLIER_LOW, PROFESSIONAL_CLASSES
from schemas.published import PROVIDERS
from transforms.benchmark.evidence import NO_EVIDENCE
from transforms.benchmark.percentiles import sorted_list_median

_BEST_FIRST = {name: rank for rank, name in enumerate(NEGOTIATED_TYPES)}
FILES_BEHIND = ["payer", "billing_code", "billing_class", "state", "taxonomy_tier", "evidence", "has_tin", "source_id"]

_BINARY_ERROR_USD = 1e-9  # in binary floats 0.698 is below 10% of 6.98; the rule is meant in decimals


def published_class(billing_class: pl.Expr) -> pl.Expr:
    """The published class: ``professional`` for ``professional`` and ``both``, else as stated (CONTRACT section 3)."""
    is_professional = billing_class.is_in(PROFESSIONAL_CLASSES)
    return pl.when(is_professional).then(pl.lit("professional")).otherwise(billing_class).alias("billing_class")


@dataclass(frozen=True)
class MedicareAmounts:
    """Medicare's amounts, US dollars.

    national: billing_code, amount_usd (all GPCIs 1): what the outlier rule compares with; a missing code has no
        outliers.
    local: billing_code, locality, medicare_usd.
    """

    national: pl.DataFrame
    local: pl.DataFrame


def observe_providers(
    rates: pl.DataFrame, places: pl.DataFrame, medicare: MedicareAmounts, evidence: pl.DataFrame = NO_EVIDENCE
) -> pl.DataFrame:
    """One row per (month, payer, billing_code, billing_class, tin, npi), unsorted.

    The representative rate is the median of the distinct rates of the best ``negotiated_type`` among the eligible rows
    (``negotiated``, then ``derived``, then ``fee schedule``). ``exclusion`` is ``outlier`` or null. Rows
    of an NPI without TIN are one provider with null ``tin``.

    Args:
        rates: rate rows of ``schemas.RATES``, whole (tin, npi) groups, US dollars.
        places: npi, zip5, locality.
        evidence: of ``find_evidence``.

    Returns: ``schemas.PROVIDERS``.
    """
    return (
        represent(rates.lazy().filter(pl.col("exclusion").is_null()), PROVIDERS.grain)
        .join(medicare.national.lazy(), on="billing_code", how="left")
        .join(places.lazy(), on="npi", how="left")
        .join(evidence.lazy(), on=["npi", "billing_code"], how="left")
        .join(medicare.local.lazy(), on=["billing_code", "locality"], how="left")
        .with_columns(exclusion=pl.when(is_outlier(pl.col("representative_rate_usd"))).then(pl.lit("outlier")))
        .pipe(PROVIDERS.conform)
        .collect()
    )


def represent(eligible: pl.LazyFrame, key: Sequence[str]) -> pl.LazyFrame:
    """The representative rate of each group: key, state, taxonomy_tier, representative_rate_usd, n_rates; unsorted.

    Args:
        eligible: eligible rows of ``schemas.RATES``, whole groups; an NPI has one group or several.
    """
    of_best_type = pl.col("rank") == pl.col("rank").min()
    return (
        eligible.with_columns(
            published_class(pl.col("billing_class")),
            rank=pl.col("negotiated_type").replace_strict(_BEST_FIRST, return_dtype=pl.Int8),
        )
        .group_by(key)
        .agg(
            pl.col("state", "taxonomy_tier").first(),  # the NPI's: the same in every row
            rates_usd=pl.col("negotiated_rate").filter(of_best_type).unique().sort(),
            n_rates=pl.len().cast(pl.Int64),
        )
        .with_columns(representative_rate_usd=sorted_list_median(pl.col("rates_usd")))
    )


def is_outlier(rate_usd: pl.Expr) -> pl.Expr:
    """Whether a rate is below 10% or above 1000% of ``amount_usd``; null where Medicare has no amount."""
    amount = pl.col("amount_usd")
    return (rate_usd < amount * OUTLIER_LOW - _BINARY_ERROR_USD) | (
        rate_usd > amount * OUTLIER_HIGH + _BINARY_ERROR_USD
    )


def list_files(rates: pl.DataFrame, providers: pl.DataFrame, evidence: pl.DataFrame = NO_EVIDENCE) -> pl.DataFrame:
    """The source files of the providers that are not outliers: distinct rows of ``FILES_BEHIND``, unsorted.

    Args:
        rates: the rows from which ``providers`` was computed.
        evidence: of ``find_evidence``.
    """
    outliers = providers.filter(pl.col("exclusion").is_not_null()).select(PROVIDERS.grain)
    eligible = rates.filter(pl.col("exclusion").is_null())
    rows = eligible.join(evidence, on=["npi", "billing_code"], how="left").select(
        *("month", "payer", "billing_code", "tin", "npi", "state", "taxonomy_tier", "evidence", "source_ids"),
        published_class(pl.col("billing_class")),
        has_tin=pl.col("tin").is_not_null(),
    )
    with_outlier = pl.col("npi").is_in(outliers["npi"].unique().implode())  # joining all rows takes longer
    without_outliers = rows.filter(with_outlier).join(outliers, on=PROVIDERS.grain, how="anti", nulls_equal=True)
    behind = (
        pl.concat([rows.filter(~with_outlier), without_outliers])
        .lazy()
        .select(*FILES_BEHIND[:-1], "source_ids")
        .unique()
    )
    return behind.explode("source_ids").rename({"source_ids": "source_id"}).unique().collect(engine="streaming")

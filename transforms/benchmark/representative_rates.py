"""Representative rates: eligible rate rows to the rows of ``providers`` (CONTRACT 4, Representative rate, Outliers)."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import polars.selectors as cs

from schemas.codes import NEGOTIATED_TYPES, OUTLIER_HIGH, OUTLIER_LOW, PROFESSIONAL_CLASSES
from schemas.published import PROVIDERS
from transforms.benchmark.evidence import NO_EVIDENCE
from transforms.benchmark.percentiles import group_sizes, is_first, sorted_medians

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
        represent(rates.filter(pl.col("exclusion").is_null()), PROVIDERS.grain)
        .lazy()
        .join(medicare.national.lazy(), on="billing_code", how="left")
        .join(places.lazy(), on="npi", how="left")
        .join(evidence.lazy(), on=["npi", "billing_code"], how="left")
        .join(medicare.local.lazy(), on=["billing_code", "locality"], how="left")
        .with_columns(exclusion=pl.when(is_outlier(pl.col("representative_rate_usd"))).then(pl.lit("outlier")))
        .pipe(PROVIDERS.conform)
        .collect()
    )


def represent(eligible: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """The representative rate of each group: key, state, taxonomy_tier, representative_rate_usd, n_rates; unsorted.

    Sorts numbers once, because an aggregation of many small groups takes three times as long.

    Args:
        eligible: eligible rows of ``schemas.RATES``, whole groups; an NPI has one group or several.
    """
    rows = eligible.with_columns(published_class(pl.col("billing_class")))
    ordered = (
        _as_numbers(rows, key)
        .sort(*reversed(key), "rank", "rate_usd")  # the last column of a key has the most values: it decides first
        .select("row_no", "rank", "rate_usd", first=is_first(key))
        .with_columns(group_no=pl.col("first").cum_sum(), best_rank=pl.when("first").then("rank").forward_fill())
    )
    starts = ordered["first"].arg_true().cast(pl.Int64)
    is_distinct = pl.col("first") | (pl.col("rate_usd") != pl.col("rate_usd").shift())
    rates = ordered.filter((pl.col("rank") == pl.col("best_rank")) & is_distinct)
    of_npi = ("state", "taxonomy_tier")  # the same in every row of the group
    return rows.select(pl.col(*key, *of_npi).gather(ordered["row_no"].gather(starts))).with_columns(
        sorted_medians(rates, ["group_no"])["rate_usd"].alias("representative_rate_usd"),
        group_sizes(starts, ordered.height).alias("n_rates"),
    )


def _as_numbers(rows: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """row_no, key with numbers for texts, rank (0: the best negotiated type), rate_usd."""
    rank = pl.col("negotiated_type").replace_strict(_BEST_FIRST, return_dtype=pl.Int8)
    numbers = rows.select(*key, rank=rank, rate_usd="negotiated_rate").with_columns(
        cs.string().cast(pl.Categorical).to_physical()
    )
    return numbers.with_row_index("row_no")


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
    rows = (
        rates.lazy()
        .filter(pl.col("exclusion").is_null())
        .select(
            *("month", "payer", "billing_code", "tin", "npi", "state", "taxonomy_tier", "source_ids"),
            published_class(pl.col("billing_class")),
            has_tin=pl.col("tin").is_not_null(),
        )
    )
    with_outlier = pl.col("npi").is_in(outliers["npi"].unique().implode())  # joining all rows takes longer
    without_outliers = rows.filter(with_outlier).join(outliers.lazy(), on=PROVIDERS.grain, how="anti", nulls_equal=True)
    behind = (
        pl.concat([rows.filter(~with_outlier), without_outliers])
        .join(evidence.lazy(), on=["npi", "billing_code"], how="left")
        .select(*FILES_BEHIND[:-1], "source_ids")
        .unique()
    )
    return behind.explode("source_ids").rename({"source_ids": "source_id"}).unique().collect(engine="streaming")

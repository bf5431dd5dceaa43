"""Position: where a practice's rates stand among the providers of its state (``schemas.PRACTICES``).

The market of a row is the observations of weighting ``npi`` behind the same payer's cell of ``summaries``: each NPI
once, the median over its TINs, without outliers. Rank 1 is the highest rate. The percentile is the share of the
observations below the rate, half of those equal to it added (the mid-rank): of 4 observations 5, 6, 6, 7 a rate of 6
has 100 x (1 + 2 / 2) / 4 = 50. P25, P50 and P75 are those of ``summaries`` (Hyndman-Fan type 7).
"""

from collections.abc import Sequence
from datetime import date

import polars as pl

from schemas.codes import EVIDENCE_OF_TIER
from schemas.practices import PRACTICES, VOLUMES
from transforms.benchmark.percentiles import count_values, group_medians
from transforms.benchmark.practice import CELL
from transforms.benchmark.summarize import TIER_BY_EVIDENCE, TIERS, US

BENCHMARKS = ("p25", "p50", "p75", "medicare")
_MARKET = [*CELL, "taxonomy_tier"]
_FIGURES = ("p25_usd", "p50_usd", "p75_usd", "low_sample")


def choose_tiers(summaries: pl.DataFrame) -> list[str]:
    """The tiers of markets that a month has: ``balanced`` and ``billed``, or ``all`` where it has neither."""
    there = set(summaries.filter(pl.col("weighting") == "npi")["taxonomy_tier"])
    return [tier for tier in ("balanced", TIER_BY_EVIDENCE) if tier in there] or ["all"]


def observe_market(providers: pl.LazyFrame, geographies: Sequence[str], tiers: Sequence[str]) -> pl.DataFrame:
    """The observations of each market: payer, billing_code, billing_class, geography, taxonomy_tier, rate_usd, count.

    Memory: the providers of these states.

    Args: providers: ``schemas.PROVIDERS`` of one month.
    """
    here = pl.lit(value=True) if US in geographies else pl.col("state").is_in(geographies)
    counted = providers.filter(pl.col("exclusion").is_null() & here)
    states = counted.with_columns(geography=pl.col("state"))
    places = pl.concat([states, counted.with_columns(geography=pl.lit(US))]) if US in geographies else states
    rows = pl.concat(places.filter(_is_in(tier)).with_columns(taxonomy_tier=pl.lit(tier)) for tier in tiers)
    found = rows.select(*_MARKET, "npi", pl.col("representative_rate_usd").alias("rate_usd")).collect()
    return count_values(group_medians(found, [*_MARKET, "npi"]).lazy(), _MARKET)


def _is_in(tier: str) -> pl.Expr:
    if tier == TIER_BY_EVIDENCE:
        return pl.col("evidence").is_in(EVIDENCE_OF_TIER)
    return pl.col("taxonomy_tier").is_in(TIERS[tier], nulls_equal=True)


def compare_practice(
    name: str,
    month: date,
    own: pl.DataFrame,
    market: pl.DataFrame,
    summaries: pl.DataFrame,
    volumes: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """``schemas.PRACTICES`` of one practice: its rates in each tier's market, sorted by the grain.

    Args:
        own: of ``observe_practice`` and ``list_absent``.
        market: of ``observe_market``; its tiers are those compared with.
        summaries: ``schemas.SUMMARIES`` of the month.
        volumes: ``schemas.VOLUMES``; None: no units.
    """
    figures = summaries.filter(pl.col("weighting") == "npi").select(*_MARKET, *_FIGURES)
    tiers = pl.DataFrame({"taxonomy_tier": choose_tiers(summaries)})
    units = yearly_units(own, VOLUMES.empty() if volumes is None else volumes)
    return (
        locate(own.join(tiers, how="cross"), market)
        .join(figures, on=_MARKET, how="left", nulls_equal=True)
        .join(units, on=["level", *CELL], how="left", nulls_equal=True)
        .with_columns(gap for name in BENCHMARKS for gap in _gaps(name))
        .with_columns(month=pl.lit(month), practice=pl.lit(name))
        .lazy()
        .with_columns(
            (pl.col(f"gap_{each}_usd") * pl.col("yearly_units")).alias(f"gap_{each}_yearly_usd") for each in BENCHMARKS
        )
        .pipe(PRACTICES.conform)
        .sort(PRACTICES.grain)
        .collect()
    )


def locate(own: pl.DataFrame, market: pl.DataFrame) -> pl.DataFrame:
    """The rows with rank, percentile and n_market; without rank and percentile where they are not ``rated``."""
    sizes = market.group_by(_MARKET).agg(n_market=pl.col("count").sum())
    running = (
        market.group_by(*_MARKET, "rate_usd")
        .agg(pl.col("count").sum())
        .sort("rate_usd")
        .with_columns(up_to=pl.col("count").cum_sum().over(_MARKET))
    )
    rated = (
        own.filter(pl.col("status") == "rated")
        .sort("own_rate_usd")
        .join_asof(
            running.with_columns(at_usd=pl.col("rate_usd")),
            left_on="own_rate_usd",
            right_on="rate_usd",
            by=_MARKET,
            check_sortedness=False,  # both are sorted
        )
    )
    others = own.filter(pl.col("status") != "rated")
    up_to, size = pl.col("up_to").fill_null(0), pl.col("n_market")
    equal = pl.when(pl.col("at_usd") == pl.col("own_rate_usd")).then(pl.col("count")).otherwise(0)
    return (
        pl.concat([rated, others], how="diagonal")
        .join(sizes, on=_MARKET, how="left", nulls_equal=True)
        .with_columns(
            n_market=size.fill_null(0),
            rank=pl.when((pl.col("status") == "rated") & (size > 0)).then(1 + size - up_to),
            percentile=pl.when((pl.col("status") == "rated") & (size > 0)).then(100 * (up_to - equal / 2) / size),
        )
    )


def yearly_units(own: pl.DataFrame, volumes: pl.DataFrame) -> pl.DataFrame:
    """The units behind each rate of level ``practice``: level, CELL, yearly_units.

    Units of an NPI count where its own rate does.

    Args: volumes: ``schemas.VOLUMES``.
    """
    rated = own.filter((pl.col("status") == "rated") & (pl.col("billing_class") == "professional"))
    ours = pl.col("volume_payer").is_null() | (pl.col("volume_payer") == pl.col("payer"))
    given = volumes.rename({"payer": "volume_payer"})
    by_npi = rated.filter(pl.col("level") == "npi").join(given.drop_nulls("npi"), on=["billing_code", "npi"])
    whole = rated.filter(pl.col("level") == "practice").join(
        given.filter(pl.col("npi").is_null()).drop("npi"), on="billing_code"
    )
    return (
        pl.concat(rows.filter(ours).select(*CELL, "units") for rows in (by_npi, whole))
        .group_by(CELL)
        .agg(yearly_units=pl.col("units").sum())
        .with_columns(level=pl.lit("practice"))
    )


def _gaps(name: str) -> tuple[pl.Expr, pl.Expr]:
    """Own rate less a benchmark, in dollars and in percent of it; null where the rate is not ``rated``."""
    benchmark = pl.col(f"{name}_usd")
    gap = pl.when(pl.col("status") == "rated").then(pl.col("own_rate_usd") - benchmark)
    return gap.alias(f"gap_{name}_usd"), (100 * gap / benchmark).alias(f"gap_{name}_pct")

"""Provider observations to percentile summaries: payers, composites, geographies, tiers, weightings (CONTRACT 4).

An observation's value does not depend on the pool it is counted in, so each is made once and turned into counts of
distinct values; pools, tiers and geographies are sums of such counts, and every percentile is read off them exactly.
Order-free: percentiles are order statistics, counts are integers, and the mean is an exact sum.
Memory: one pass over the providers per weighting, tier and geography; the counts are small, because rates repeat.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import polars as pl

from schemas.codes import (
    BUCA,
    COMPOSITE_ALL,
    COMPOSITE_BUCA,
    LOW_SAMPLE_NPI,
    LOW_SAMPLE_TIN,
    MEDICARE,
    METHODOLOGY,
)
from schemas.published import SUMMARIES
from transforms.distribution import count_values, distribution

CLASSES = ("professional", "institutional")
TIERS = {"strict": ("strict",), "balanced": ("strict", "balanced")}
CELL = ["billing_code", "billing_class", "payer", "geography", "taxonomy_tier"]

_SERVICE = ["billing_code", "billing_class", "payer"]
_PLACED = [*_SERVICE, "state", "taxonomy_tier"]


@dataclass(frozen=True)
class Observed:
    """The month's observations.

    providers: ``schemas.PROVIDERS``, all payers, US dollars.
    files: payer, billing_code, billing_class, state, taxonomy_tier, has_tin, source_id: which files stand behind
        which providers, distinct, without outliers.
    """

    providers: pl.LazyFrame
    files: pl.LazyFrame


@dataclass(frozen=True)
class Comparison:
    """What Medicare pays, per locality: billing_code, state, amount_usd; and the fee schedule's year."""

    localities: pl.DataFrame
    year: int | None


def summarize(observed: Observed, month: date, medicare: Comparison, *, with_nppes: bool) -> pl.DataFrame:
    """``schemas.SUMMARIES`` of one month, sorted by its grain.

    Args:
        medicare: compared with; its localities become the Medicare rows.
        with_nppes: False: no state rows, tier ``all`` only.
    """
    benchmark = summarize_medicare(medicare)
    return (
        pl.concat([*_commercial(observed, with_nppes=with_nppes), benchmark], how="diagonal")
        .lazy()
        .join(
            benchmark.lazy().select("billing_code", "geography", medicare_usd=pl.col("p50_usd")),
            on=["billing_code", "geography"],
            how="left",
        )
        .with_columns(
            month=pl.lit(month),
            iqr_usd=pl.col("p75_usd") - pl.col("p25_usd"),
            pct_of_medicare=100 * pl.col("p50_usd") / pl.col("medicare_usd"),
            low_sample=((pl.col("n_npi") < LOW_SAMPLE_NPI) | (pl.col("n_tin") < LOW_SAMPLE_TIN)).fill_null(value=False),
            medicare_year=pl.lit(medicare.year, pl.Int32),
            methodology=pl.lit(METHODOLOGY),
        )
        .pipe(SUMMARIES.conform)
        .sort(SUMMARIES.grain)
        .collect()
    )


def _commercial(observed: Observed, *, with_nppes: bool) -> Iterator[pl.DataFrame]:
    """Every payer and composite, weighting, tier and geography, with the counts behind them."""
    geographies = ("US", "state") if with_nppes else ("US",)
    for tier in (*TIERS, "all") if with_nppes else ("all",):
        kept = _reduce(observed, tier)
        for geography in geographies:
            for weighting in ("npi", "tin"):
                counted = _values(kept, weighting, geography)
                members = kept.of(weighting)
                for name, payers in _POOLS.items():
                    figures = distribution(_place(_pool(counted, name, payers), geography), CELL)
                    counts = _counts(members, name, payers, geography)
                    kind = "payer" if name is None else "composite"
                    yield figures.join(counts, on=CELL).with_columns(
                        weighting=pl.lit(weighting), payer_kind=pl.lit(kind), taxonomy_tier=pl.lit(tier)
                    )


_POOLS: dict[str | None, tuple[str, ...] | None] = {None: None, COMPOSITE_BUCA: BUCA, COMPOSITE_ALL: None}


@dataclass(frozen=True)
class _Reduced:
    """One tier's providers, and what is distinct in them: small enough to count again for every pool.

    npis: _PLACED, npi, has_tin, rate_usd (the npi observation). tins: _PLACED, tin. rates: _PLACED, has_tin, n_rates.
    files: as ``Observed.files``.
    """

    providers: pl.LazyFrame
    npis: pl.DataFrame
    tins: pl.DataFrame
    rates: pl.DataFrame
    files: pl.DataFrame

    def of(self, weighting: str) -> "_Reduced":
        """Those behind a weighting's figures: a price without TIN has no contract holder, it counts by NPI only."""
        if weighting == "npi":
            return self
        held = pl.col("has_tin")
        return _Reduced(
            self.providers, self.npis.filter(held), self.tins, self.rates.filter(held), self.files.filter(held)
        )


def _reduce(observed: Observed, tier: str) -> _Reduced:
    of_tier = pl.col("taxonomy_tier").is_in(TIERS[tier]) if tier in TIERS else pl.lit(value=True)
    as_tier = pl.lit(tier).alias("taxonomy_tier")
    counted = pl.col("exclusion").is_null() & pl.col("billing_class").is_in(CLASSES)
    providers = observed.providers.filter(counted & of_tier).with_columns(
        as_tier, has_tin=pl.col("tin").is_not_null(), rate_usd=pl.col("representative_rate_usd")
    )
    npis = providers.group_by(*_PLACED, "npi").agg(pl.col("rate_usd").median(), pl.col("has_tin").any())
    tins = providers.filter(pl.col("has_tin")).select(*_PLACED, "tin").unique()
    rates = providers.group_by(*_PLACED, "has_tin").agg(pl.col("n_rates").sum())
    files = observed.files.filter(pl.col("billing_class").is_in(CLASSES) & of_tier).with_columns(as_tier)
    return _Reduced(
        providers,
        npis=npis.collect(engine="streaming"),
        tins=tins.collect(engine="streaming"),
        rates=rates.collect(engine="streaming"),
        files=files.collect(),
    )


def _values(kept: _Reduced, weighting: str, geography: str) -> pl.DataFrame:
    """Counts of distinct observation values, by payer (and state): the median over an NPI's TINs, or a TIN's NPIs."""
    key = _PLACED if geography == "state" else [name for name in _PLACED if name != "state"]
    if weighting == "npi":
        return count_values(kept.npis.lazy(), key)
    held = kept.providers.filter(pl.col("has_tin"))
    return count_values(held.group_by(*key, "tin").agg(pl.col("rate_usd").median()), key)


def _pool(rows: pl.DataFrame, name: str | None, payers: tuple[str, ...] | None) -> pl.DataFrame:
    """Each payer by itself (no name), or several under the composite's name."""
    if name is None:
        return rows
    kept = rows if payers is None else rows.filter(pl.col("payer").is_in(payers))
    return kept.with_columns(payer=pl.lit(name))


def _place(rows: pl.DataFrame, geography: str) -> pl.DataFrame:
    if geography == "US":
        return rows.with_columns(geography=pl.lit("US"))
    return rows.filter(pl.col("state").is_not_null()).with_columns(geography=pl.col("state"))


def _counts(kept: _Reduced, name: str | None, payers: tuple[str, ...] | None, geography: str) -> pl.DataFrame:
    """CELL, n_npi, n_tin, n_rates, n_files: distinct over the pool's payers."""

    def pooled(rows: pl.DataFrame) -> pl.LazyFrame:
        return _place(_pool(rows, name, payers), geography).lazy()

    def distinct(rows: pl.DataFrame, column: str, counted: str) -> pl.LazyFrame:
        return pooled(rows).group_by(CELL).agg(pl.col(column).n_unique().cast(pl.Int64).alias(counted))

    return (
        pooled(kept.rates)
        .group_by(CELL)
        .agg(pl.col("n_rates").sum())
        .join(distinct(kept.npis, "npi", "n_npi"), on=CELL, how="left")
        .join(distinct(kept.tins, "tin", "n_tin"), on=CELL, how="left")
        .join(distinct(kept.files, "source_id", "n_files"), on=CELL, how="left")
        .with_columns(pl.col("n_tin").fill_null(0))
        .collect()
    )


def summarize_medicare(medicare: Comparison) -> pl.DataFrame:
    """Medicare's rows: a state's observations are its localities, ``US`` is all of them."""
    localities = medicare.localities.rename({"amount_usd": "rate_usd"}).with_columns(
        payer=pl.lit(MEDICARE), billing_class=pl.lit("professional"), taxonomy_tier=pl.lit("all")
    )
    counted = count_values(localities.lazy(), _PLACED)
    placed = pl.concat([_place(counted, geography) for geography in ("US", "state")], how="diagonal")
    return (
        distribution(placed, CELL)
        .join(placed.group_by(CELL).agg(n_rates=pl.col("count").sum()), on=CELL)
        .with_columns(
            *(pl.lit(None, pl.Int64).alias(name) for name in ("n_npi", "n_tin", "n_files")),
            payer_kind=pl.lit("benchmark"),
            weighting=pl.lit("locality"),
        )
    )

"""Summaries: representative rates to percentiles by payer, geography, tier and weighting (CONTRACT section 4).

Three steps:

1. *Observations.* ``npi``: per payer, code, class and NPI the median over its TINs. ``tin``: per payer, code, class,
   TIN and geography the median over its NPIs of the tier. ``services``: each ``npi`` observation as often as the
   services of the code that the NPI billed; who billed none does not count.
2. *Membership.* A stratum is a combination of code, class, payer, state, taxonomy tier, evidence and Medicare
   locality; a cell is a row of ``summaries``. A stratum counts in several cells: for its payer and the composites
   that pool it, for ``US`` and its state, and for each tier that includes its own. ``list_memberships`` has a row for
   each stratum and cell; a join with it puts every observation into all of its cells.
3. *Figures.* Percentiles, mean and counts of each cell.

The result does not depend on the order of the rows: percentiles are order statistics, counts are integers, and the
mean is an exact sum. Memory: the month's providers that are not outliers, six numbers each, and one sorted copy.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from schemas.codes import (
    BILLED,
    BUCA,
    COMPOSITE_ALL,
    COMPOSITE_BUCA,
    EVIDENCE_OF_TIER,
    LOW_SAMPLE_NPI,
    LOW_SAMPLE_TIN,
    MEDICARE,
    METHODOLOGY,
)
from schemas.published import SUMMARIES
from transforms.benchmark.evidence import repeat_by_services
from transforms.benchmark.percentiles import cell_percentiles, count_values, group_medians, sorted_medians

CLASSES = ("professional", "institutional")
TIERS = {"strict": ("strict",), "balanced": ("strict", "balanced"), "all": ("strict", "balanced", "other", None)}
TIER_BY_EVIDENCE = "billed"
Composites = Mapping[str, tuple[str, ...] | None]  # the payers that each pools; None: every payer
COMPOSITES: Composites = {COMPOSITE_BUCA: BUCA, COMPOSITE_ALL: None}
CELL = ["billing_code", "billing_class", "payer", "geography", "taxonomy_tier"]
US = "US"
ROWS_AT_ONCE = 4_000_000

FILES_STRATUM = ["billing_code", "billing_class", "payer", "state", "taxonomy_tier", "evidence"]
STRATUM = [*FILES_STRATUM, "locality"]
_POOL = pl.when(pl.col("payer_kind") == "composite").then("payer").alias("pool")


@dataclass(frozen=True)
class Observed:
    """The month's observations.

    providers: ``schemas.PROVIDERS``, all payers, US dollars.
    files: ``representative_rates.FILES_BEHIND``: the source files of the providers that are not outliers, distinct.
    """

    providers: pl.LazyFrame
    files: pl.LazyFrame


@dataclass(frozen=True)
class Comparison:
    """Medicare's amounts per locality (billing_code, state, amount_usd), and the fee schedule's year."""

    localities: pl.DataFrame
    year: int | None


def summarize(observed: Observed, month: date, medicare: Comparison, *, with_nppes: bool) -> pl.DataFrame:
    """``schemas.SUMMARIES`` of one month, sorted by its grain.

    Args:
        medicare: its localities become the Medicare rows, with which the others are compared.
        with_nppes: False: no state rows, tier ``all`` only.
    """
    benchmark = summarize_medicare(medicare.localities)
    rows = pl.concat([summarize_payers(observed, COMPOSITES, with_nppes=with_nppes), benchmark], how="diagonal")
    return (
        compare_with_medicare(rows, benchmark, month, medicare.year)
        .pipe(SUMMARIES.conform)
        .sort(SUMMARIES.grain)
        .collect()
    )


def compare_with_medicare(
    summaries: pl.DataFrame, benchmark: pl.DataFrame, month: date, year: int | None
) -> pl.LazyFrame:
    """Summaries with the columns that follow from their figures, from Medicare's, and from the month.

    Args:
        benchmark: of ``summarize_medicare``.
        year: of the fee schedule.
    """
    return (
        summaries.lazy()
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
            medicare_year=pl.lit(year, pl.Int32),
            methodology=pl.lit(METHODOLOGY),
        )
    )


def summarize_payers(
    observed: Observed,
    composites: Composites,
    *,
    with_nppes: bool,
    wanted: pl.Expr | None = None,
    npi_only: bool = False,
) -> pl.DataFrame:
    """One row per cell of payers and composites, with figures and counts; columns of SUMMARIES.

    Args:
        wanted: true for the geographies and tiers that are wanted; None: all.
        npi_only: only the weighting ``npi``.
    """
    strata, providers = _number_strata(observed.providers)
    memberships = list_memberships(strata, composites, with_nppes=with_nppes)
    memberships = memberships if wanted is None else memberships.filter(wanted)
    files = observed.files.join(strata.lazy(), on=FILES_STRATUM, nulls_equal=True)
    npis = observe_npis(providers)
    npi_values = count_values(npis.lazy(), ["stratum_no"])
    has_tin, has_services = pl.col("tin_no").is_not_null(), pl.col("services").is_not_null()
    local, n_tin = _compare_locally(npi_values, strata, memberships), _count_tins(providers, memberships)
    weighted = [("npi", pl.lit(value=True), _percentiles_by_cell(npi_values, memberships), local, n_tin, files)]
    if not npi_only:
        billed = providers.filter(has_services)
        service_values = repeat_by_services(npis, billed)
        weighted += [
            ("tin", has_tin, _summarize_tins(providers, memberships), local.clear(), n_tin, files.filter("has_tin")),
            (
                "services",
                has_services,
                _percentiles_by_cell(service_values, memberships),
                _compare_locally(service_values, strata, memberships),
                _count_tins(billed, memberships),
                files.filter(pl.col("evidence") == BILLED),
            ),
        ]
    cells = memberships.select("cell_no", *CELL, "payer_kind").unique()
    return pl.concat(
        cells.join(percentiles, on="cell_no")
        .join(_count_rates(providers.lazy().filter(counts), memberships), on="cell_no")
        .join(_count_npis(providers.lazy().filter(counts), memberships), on="cell_no")
        .join(_count_files(files_behind, memberships), on="cell_no")
        .join(holders, on="cell_no", how="left")
        .join(compared, on="cell_no", how="left")
        .drop("cell_no")
        .with_columns(pl.col("n_tin").fill_null(0), weighting=pl.lit(weighting))
        for weighting, counts, percentiles, compared, holders, files_behind in weighted
    )


def _number_strata(providers: pl.LazyFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The providers that count (no outliers, two classes), with integers for strata and TINs: later steps are faster.

    Returns:
        strata: stratum_no, STRATUM, medicare_usd.
        providers: stratum_no, tin_no, npi, rate_usd, services, n_rates.
    """
    counted = providers.filter(pl.col("exclusion").is_null() & pl.col("billing_class").is_in(CLASSES))
    strata = counted.group_by(STRATUM).agg(pl.col("medicare_usd").first()).collect().with_row_index("stratum_no")
    numbered = counted.join(strata.lazy(), on=STRATUM, nulls_equal=True).select(
        "stratum_no",
        pl.col("tin").cast(pl.Categorical).to_physical().alias("tin_no"),
        "npi",
        pl.col("representative_rate_usd").alias("rate_usd"),
        "services",
        "n_rates",
    )
    return strata, numbered.collect()


def list_memberships(strata: pl.DataFrame, composites: Composites, *, with_nppes: bool) -> pl.DataFrame:
    """One row per stratum and cell in which it counts: stratum_no, cell_no, CELL, payer_kind.

    A stratum counts for its payer and the composites that pool it (``_pools``), and in the geographies and tiers of
    its providers (``_scopes``).
    """
    joined = strata.join(_pools(strata, composites), on="payer").join(
        _scopes(strata, with_nppes=with_nppes), on=["state", "taxonomy_tier", "evidence"], nulls_equal=True
    )
    memberships = joined.select(
        "stratum_no", "billing_code", "billing_class", "geography", "payer_kind", payer="pool", taxonomy_tier="tier"
    )
    return memberships.join(memberships.select(CELL).unique().with_row_index("cell_no"), on=CELL)


def _pools(strata: pl.DataFrame, composites: Composites) -> pl.DataFrame:
    """The payers and composites in which a payer counts: payer, pool, payer_kind."""
    payers = strata.select("payer").unique()
    own = payers.with_columns(pool=pl.col("payer"), payer_kind=pl.lit("payer"))
    pools = [
        (payers if pooled is None else payers.filter(pl.col("payer").is_in(pooled))).with_columns(
            pool=pl.lit(name), payer_kind=pl.lit("composite")
        )
        for name, pooled in composites.items()
    ]
    return pl.concat([own, *pools])


def _scopes(strata: pl.DataFrame, *, with_nppes: bool) -> pl.DataFrame:
    """The geographies and tiers in which a provider counts: state, taxonomy_tier, evidence, geography, tier.

    A provider without a state counts in ``US`` only. Without NPPES there are only ``US`` and tier ``all``.
    """
    pairs = [(tier, own) for tier, included in TIERS.items() for own in included if with_nppes or tier == "all"]
    tiers = pl.DataFrame(pairs, schema={"tier": pl.String, "taxonomy_tier": pl.String}, orient="row")
    own = strata.select("state", "taxonomy_tier", "evidence").unique()
    geographies = [own.with_columns(geography=pl.lit(US))]
    if with_nppes:
        geographies.append(own.with_columns(geography=pl.col("state")).drop_nulls("geography"))
    places = pl.concat(geographies)
    by_evidence = places.filter(pl.col("evidence").is_in(EVIDENCE_OF_TIER) & pl.lit(with_nppes))
    return pl.concat(
        [
            places.join(tiers, on="taxonomy_tier", nulls_equal=True),
            by_evidence.with_columns(tier=pl.lit(TIER_BY_EVIDENCE)),
        ]
    )


def _parts(rows: int, memberships: pl.DataFrame) -> list[pl.DataFrame]:
    """``stratum_no, cell_no`` in the parts with which so many rows of strata are joined.

    All of it, where that is fast and small enough; else parts in which each stratum has at most one cell: a join with
    one of them adds no rows. This bounds the memory of percentiles, medians per TIN and distinct NPIs.
    """
    every_cell = memberships.select("stratum_no", "cell_no")
    return [every_cell] if _fits_at_once(rows, memberships) else _disjoint_parts(memberships)


def _fits_at_once(rows: int, memberships: pl.DataFrame) -> bool:
    return rows * max(memberships["stratum_no"].value_counts()["count"], default=0) <= ROWS_AT_ONCE


def _disjoint_parts(memberships: pl.DataFrame) -> list[pl.DataFrame]:
    """``stratum_no, cell_no`` in parts in which each stratum has at most one cell."""
    parts = memberships.select("stratum_no", "cell_no", "taxonomy_tier", _POOL, national=pl.col("geography") == US)
    return [part.select("stratum_no", "cell_no") for part in parts.partition_by("taxonomy_tier", "pool", "national")]


def observe_npis(providers: pl.DataFrame) -> pl.DataFrame:
    """Per payer, code, class and NPI the median over its TINs: stratum_no, npi, rate_usd.

    An NPI has one state, one locality and, for a code, one tier and evidence: it is in one stratum of a payer.
    """
    return group_medians(providers, ["stratum_no", "npi"])


def observe_tins(providers: pl.DataFrame, memberships: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Per payer, code, class, TIN, geography and tier the median over its NPIs, by cells: cell_no, tin_no, rate_usd."""
    with_tin = providers.lazy().drop_nulls("tin_no").select("stratum_no", "tin_no", "rate_usd")
    own = memberships.filter(pl.col("payer_kind") == "payer")
    if _fits_at_once(providers.height, own):
        rows = with_tin.join(own.lazy().select("stratum_no", "cell_no"), on="stratum_no").collect()
        yield group_medians(rows, ["cell_no", "tin_no"])
    else:
        yield from _observe_many_tins(with_tin, own)


def _observe_many_tins(with_tin: pl.LazyFrame, own: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The providers are sorted once for ``US`` and once for the states; those of a tier are in the same order."""
    market = [name for name in CELL if name != "taxonomy_tier"]
    markets = own.select(market).unique().with_row_index("market_no")
    of_strata = own.join(markets, on=market).with_columns(national=pl.col("geography") == US)
    for tiers in of_strata.partition_by("national"):
        ordered = (
            with_tin.join(tiers.lazy().select("stratum_no", "market_no").unique(), on="stratum_no")
            .sort("market_no", "tin_no", "rate_usd")
            .collect()
        )
        for tier in _disjoint_parts(tiers):
            rows = ordered.join(tier, on="stratum_no", maintain_order="left")
            yield sorted_medians(rows, ["cell_no", "tin_no"])


def _summarize_tins(providers: pl.DataFrame, memberships: pl.DataFrame) -> pl.DataFrame:
    """``cell_percentiles`` of the TINs' observations. Composites pool their payers' observations."""
    pooled = _pooled_cells(memberships)
    counted = (count_values(tins.lazy(), ["cell_no"]) for tins in observe_tins(providers, memberships))
    return pl.concat(
        cell_percentiles(values.join(pooled, on="cell_no").select("rate_usd", "count", cell_no="pooled"), ["cell_no"])
        for values in counted
    )


def _pooled_cells(memberships: pl.DataFrame) -> pl.DataFrame:
    """The cells in which the observations of a payer's own cell count: cell_no, pooled."""
    alike = ["stratum_no", "geography", "taxonomy_tier"]
    own = memberships.filter(pl.col("payer_kind") == "payer").select(*alike, "cell_no")
    pools = memberships.select(*alike, pooled="cell_no")
    return own.join(pools, on=alike).select("cell_no", "pooled").unique()


def _percentiles_by_cell(values: pl.DataFrame, memberships: pl.DataFrame) -> pl.DataFrame:
    """``cell_percentiles`` of each cell, from the counted values of strata: stratum_no, rate_usd, count."""
    return pl.concat(
        cell_percentiles(values.join(part, on="stratum_no"), ["cell_no"]) for part in _parts(values.height, memberships)
    )


def _compare_locally(npi_values: pl.DataFrame, strata: pl.DataFrame, memberships: pl.DataFrame) -> pl.DataFrame:
    """The median of 100 x rate / Medicare's amount at the provider's locality: cell_no, pct_of_local_medicare.

    Providers without a known locality do not count.
    """
    local = npi_values.join(strata.select("stratum_no", "medicare_usd").drop_nulls(), on="stratum_no")
    # by numpy: polars multiplies by the reciprocal where every row has the same amount, which may be one bit off
    percents = 100 * local["rate_usd"].to_numpy() / local["medicare_usd"].to_numpy()
    values = local.with_columns(rate_usd=pl.Series(percents, dtype=pl.Float64))
    return _percentiles_by_cell(values, memberships).select("cell_no", pct_of_local_medicare="p50_usd")


def _count_rates(providers: pl.LazyFrame, memberships: pl.DataFrame) -> pl.DataFrame:
    """The number of rate rows: cell_no, n_rates."""
    return _sum_strata(providers.group_by("stratum_no").agg(pl.col("n_rates").sum()), memberships)


def _count_npis(providers: pl.LazyFrame, memberships: pl.DataFrame) -> pl.DataFrame:
    """The number of distinct NPIs, those of several pooled payers counted once: cell_no, n_npi."""
    npis = providers.select("stratum_no", "npi").unique().collect()
    by_stratum = npis.lazy().group_by("stratum_no").agg(n_npi=pl.len().cast(pl.Int64))
    is_own = pl.col("payer_kind") == "payer"
    own = _sum_strata(by_stratum, memberships.filter(is_own))  # an NPI is in one stratum of a payer's cell
    pooled = _count_distinct(npis, "npi", memberships.filter(~is_own))
    return pl.concat([own, pooled.rename({"n": "n_npi"})])


def _count_tins(providers: pl.DataFrame, memberships: pl.DataFrame) -> pl.DataFrame:
    """The number of distinct TINs: cell_no, n_tin."""
    tins = providers.drop_nulls("tin_no").select("stratum_no", "tin_no").unique()
    return _count_distinct(tins, "tin_no", memberships).rename({"n": "n_tin"})


def _sum_strata(by_stratum: pl.LazyFrame, memberships: pl.DataFrame) -> pl.DataFrame:
    """Numbers of strata, added up by cell. Args: by_stratum: stratum_no, and what is added up."""
    cells = memberships.lazy().select("stratum_no", "cell_no")
    return by_stratum.join(cells, on="stratum_no").drop("stratum_no").group_by("cell_no").sum().collect()


def _count_distinct(values: pl.DataFrame, column: str, memberships: pl.DataFrame) -> pl.DataFrame:
    """The number of distinct NPIs or TINs, those of several strata and pooled payers counted once: cell_no, n."""
    return pl.concat(
        values.select("stratum_no", column).join(part, on="stratum_no").group_by("cell_no").agg(n=_distinct(column))
        for part in _parts(values.height, memberships)
    )


def _count_files(files: pl.LazyFrame, memberships: pl.DataFrame) -> pl.DataFrame:
    """The number of distinct source files: cell_no, n_files."""
    behind = files.select("stratum_no", "source_id").join(
        memberships.lazy().select("stratum_no", "cell_no"), on="stratum_no"
    )
    return behind.group_by("cell_no").agg(n_files=_distinct("source_id")).collect()


def _distinct(name: str) -> pl.Expr:
    return pl.col(name).n_unique().cast(pl.Int64)


def summarize_medicare(localities: pl.DataFrame) -> pl.DataFrame:
    """Medicare's rows: the observations of a state are its localities, those of ``US`` all localities.

    Args: localities: billing_code, state, amount_usd.
    """
    localities = localities.select("billing_code", "state", rate_usd=pl.col("amount_usd"))
    by_geography = pl.concat(
        [
            localities.select("billing_code", "rate_usd", geography=pl.lit(US)),
            localities.select("billing_code", "rate_usd", geography="state"),
        ]
    ).with_columns(payer=pl.lit(MEDICARE), billing_class=pl.lit("professional"), taxonomy_tier=pl.lit("all"))
    counted = count_values(by_geography.lazy(), CELL)
    return (
        cell_percentiles(counted, CELL)
        .join(counted.group_by(CELL).agg(n_rates=pl.col("count").sum()), on=CELL)
        .with_columns(
            *(pl.lit(None, pl.Int64).alias(name) for name in ("n_npi", "n_tin", "n_files")),
            pct_of_local_medicare=pl.lit(None, pl.Float64),
            payer_kind=pl.lit("benchmark"),
            weighting=pl.lit("locality"),
        )
    )

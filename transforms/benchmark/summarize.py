"""Provider observations to percentile summaries: payers, composites, geographies, tiers, weightings (CONTRACT 4).

Three steps, in the methodology's words:

1. *Observations.* ``npi``: per payer, code, class and NPI the median over its TINs. ``tin``: per payer, code, class,
   TIN and geography the median over its NPIs of the tier.
2. *Membership.* An observation of a payer, state and taxonomy tier counts in several cells: for its payer and the
   composites it belongs to, for ``US`` and its state, for each tier that includes its own. The table of
   ``list_members`` says which; a join with it puts every observation into all of its cells.
3. *Figures.* Percentiles, mean and counts of each cell.

The result does not depend on the order of the rows: percentiles are order statistics, counts are integers, and the
mean is an exact sum. Memory: the month's counted providers as a few numbers each, and one sorted copy of them.
"""

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
from transforms.benchmark.distribution import count_values, distribution, group_medians

CLASSES = ("professional", "institutional")
TIERS = {"strict": ("strict",), "balanced": ("strict", "balanced"), "all": ("strict", "balanced", "other", None)}
COMPOSITES: dict[str, tuple[str, ...] | None] = {COMPOSITE_BUCA: BUCA, COMPOSITE_ALL: None}  # None: every payer
CELL = ["billing_code", "billing_class", "payer", "geography", "taxonomy_tier"]
US = "US"

_PLACE = ["billing_code", "billing_class", "payer", "state", "taxonomy_tier"]


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
        pl.concat([_summarize_payers(observed, with_nppes=with_nppes), benchmark], how="diagonal")
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


def _summarize_payers(observed: Observed, *, with_nppes: bool) -> pl.DataFrame:
    """Every cell of payers and composites, with the counts behind its figures."""
    places, providers = _number_places(observed.providers)
    members = list_members(places, with_nppes=with_nppes)
    with_tin = providers.filter(pl.col("tin_no").is_not_null())
    files = observed.files.join(places.lazy(), on=_PLACE, nulls_equal=True)
    npi_values = count_values(observe_npis(providers).lazy(), ["place_no"])
    tins = observe_tins(with_tin, members)
    n_tin = tins.group_by("cell_no").agg(n_tin=_distinct("tin_no"))
    weighted = (
        ("npi", npi_values.join(members.select("place_no", "cell_no"), on="place_no"), providers, files),
        ("tin", count_values(tins.lazy(), ["cell_no"]), with_tin, files.filter("has_tin")),
    )
    cells = members.select("cell_no", *CELL, "payer_kind").unique()
    return pl.concat(
        cells.join(distribution(values, ["cell_no"]), on="cell_no")
        .join(_count_rates(behind, members), on="cell_no")
        .join(_count_npis(behind, members), on="cell_no")
        .join(_count_files(files_behind, members), on="cell_no")
        .join(n_tin, on="cell_no", how="left")
        .drop("cell_no")
        .with_columns(pl.col("n_tin").fill_null(0), weighting=pl.lit(weighting))
        for weighting, values, behind, files_behind in weighted
    )


def _number_places(providers: pl.LazyFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What is counted (no outliers, the two classes) as numbers, so that the steps that follow are fast.

    Returns:
        places: place_no, billing_code, billing_class, payer, state, taxonomy_tier.
        providers: place_no, tin_no, npi, rate_usd, n_rates.
    """
    counted = providers.filter(pl.col("exclusion").is_null() & pl.col("billing_class").is_in(CLASSES))
    places = counted.select(_PLACE).unique().collect().with_row_index("place_no")
    numbered = counted.join(places.lazy(), on=_PLACE, nulls_equal=True).select(
        "place_no",
        pl.col("tin").cast(pl.Categorical).to_physical().alias("tin_no"),
        "npi",
        pl.col("representative_rate_usd").alias("rate_usd"),
        "n_rates",
    )
    return places, numbered.collect()


def list_members(places: pl.DataFrame, *, with_nppes: bool) -> pl.DataFrame:
    """The cells that each place counts in, one row for each pair: place_no, cell_no, CELL, payer_kind.

    A place counts for its payer and the composites that its payer belongs to (``_pools``), and in the geographies and
    tiers of its providers (``_scopes``).
    """
    joined = places.join(_pools(places), on="payer").join(
        _scopes(places, with_nppes=with_nppes), on=["state", "taxonomy_tier"], nulls_equal=True
    )
    members = joined.select(
        "place_no", "billing_code", "billing_class", "geography", "payer_kind", payer="pool", taxonomy_tier="tier"
    )
    return members.join(members.select(CELL).unique().with_row_index("cell_no"), on=CELL)


def _pools(places: pl.DataFrame) -> pl.DataFrame:
    """The names under which a payer counts, its own and those of composites: payer, pool, payer_kind."""
    payers = places.select("payer").unique()
    own = payers.with_columns(pool=pl.col("payer"), payer_kind=pl.lit("payer"))
    composites = [
        (payers if pooled is None else payers.filter(pl.col("payer").is_in(pooled))).with_columns(
            pool=pl.lit(name), payer_kind=pl.lit("composite")
        )
        for name, pooled in COMPOSITES.items()
    ]
    return pl.concat([own, *composites])


def _scopes(places: pl.DataFrame, *, with_nppes: bool) -> pl.DataFrame:
    """The geographies and tiers in which a provider counts: state, taxonomy_tier, geography, tier.

    A provider without a state counts in ``US`` only. Without NPPES there are only ``US`` and tier ``all``.
    """
    pairs = [(tier, own) for tier, included in TIERS.items() for own in included if with_nppes or tier == "all"]
    tiers = pl.DataFrame(pairs, schema={"tier": pl.String, "taxonomy_tier": pl.String}, orient="row")
    own = places.select("state", "taxonomy_tier").unique()
    geographies = [own.with_columns(geography=pl.lit(US))]
    if with_nppes:
        geographies.append(own.with_columns(geography=pl.col("state")).drop_nulls("geography"))
    return pl.concat(geographies).join(tiers, on="taxonomy_tier", nulls_equal=True)


def _views(members: pl.DataFrame) -> list[pl.DataFrame]:
    """``place_no, cell_no`` in parts within which a place is in one cell at most: a join adds no rows.

    They bound the memory of what must be done on providers themselves: medians per TIN, distinct NPIs.
    """
    pool = pl.when(pl.col("payer_kind") == "composite").then("payer").alias("pool")
    parts = members.select("place_no", "cell_no", "taxonomy_tier", pool, national=pl.col("geography") == US)
    return [part.select("place_no", "cell_no") for part in parts.partition_by("taxonomy_tier", "pool", "national")]


def observe_npis(providers: pl.DataFrame) -> pl.DataFrame:
    """Per payer, code, class and NPI the median over its TINs: place_no, npi, rate_usd.

    An NPI has one state and, for a code, one tier: it stands in one place of a payer.
    """
    return group_medians(providers, ["place_no", "npi"])


def observe_tins(with_tin: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """Per payer, code, class, TIN, geography and tier the median over its NPIs: cell_no, tin_no, rate_usd.

    Composites pool their payers' observations.
    """
    own = members.filter(pl.col("payer_kind") == "payer")
    none = pl.DataFrame(schema={"cell_no": pl.UInt32, "tin_no": pl.UInt32, "rate_usd": pl.Float64})
    observed = [group_medians(with_tin.join(view, on="place_no"), ["cell_no", "tin_no"]) for view in _views(own)]
    return (
        pl.concat([none, *observed])
        .join(_pooled_cells(members), on="cell_no")
        .drop("cell_no")
        .rename({"pooled": "cell_no"})
    )


def _pooled_cells(members: pl.DataFrame) -> pl.DataFrame:
    """The cells in which the observations of a payer's own cell count: cell_no, pooled."""
    alike = ["place_no", "geography", "taxonomy_tier"]
    own = members.filter(pl.col("payer_kind") == "payer").select(*alike, "cell_no")
    return own.join(members.select(*alike, pooled="cell_no"), on=alike).select("cell_no", "pooled").unique()


def _count_rates(providers: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """cell_no, n_rates: rate rows."""
    by_place = providers.group_by("place_no").agg(pl.col("n_rates").sum())
    return (
        by_place.join(members.select("place_no", "cell_no"), on="place_no")
        .group_by("cell_no")
        .agg(pl.col("n_rates").sum())
    )


def _count_npis(providers: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """cell_no, n_npi: distinct NPIs; one that several payers of a composite have counts once."""
    npis = providers.select("place_no", "npi").unique()
    none = pl.DataFrame(schema={"cell_no": pl.UInt32, "n_npi": pl.Int64})
    counts = [
        npis.join(view, on="place_no").group_by("cell_no").agg(n_npi=_distinct("npi")) for view in _views(members)
    ]
    return pl.concat([none, *counts])


def _count_files(files: pl.LazyFrame, members: pl.DataFrame) -> pl.DataFrame:
    """cell_no, n_files: distinct source files."""
    behind = files.select("place_no", "source_id").join(members.lazy().select("place_no", "cell_no"), on="place_no")
    return behind.group_by("cell_no").agg(n_files=_distinct("source_id")).collect()


def _distinct(name: str) -> pl.Expr:
    return pl.col(name).n_unique().cast(pl.Int64)


def summarize_medicare(medicare: Comparison) -> pl.DataFrame:
    """Medicare's rows: a state's observations are its localities, ``US`` is all of them."""
    localities = medicare.localities.select("billing_code", "state", rate_usd=pl.col("amount_usd"))
    placed = pl.concat(
        [
            localities.with_columns(geography=pl.lit("US")).select("billing_code", "geography", "rate_usd"),
            localities.select("billing_code", pl.col("state").alias("geography"), "rate_usd"),
        ]
    ).with_columns(
        payer=pl.lit(MEDICARE),
        billing_class=pl.lit("professional"),
        taxonomy_tier=pl.lit("all"),
    )
    counted = count_values(placed.lazy(), CELL)
    return (
        distribution(counted, CELL)
        .join(counted.group_by(CELL).agg(n_rates=pl.col("count").sum()), on=CELL)
        .with_columns(
            *(pl.lit(None, pl.Int64).alias(name) for name in ("n_npi", "n_tin", "n_files")),
            payer_kind=pl.lit("benchmark"),
            weighting=pl.lit("locality"),
        )
    )

"""Provider observations to percentile summaries: payers, composites, geographies, tiers, weightings (CONTRACT 4).

An observation's value does not depend on the pool it is counted in, so each is made once and turned into counts of
distinct values; pools, tiers and geographies are sums of such counts, and every percentile is read off them exactly.
Order-free: percentiles are order statistics, counts are integers, and the mean is an exact sum.
Memory: the month's counted providers as six numbers each; counts of values are small, because rates repeat.
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
from transforms.distribution import count_values, distribution, group_medians

CLASSES = ("professional", "institutional")
TIERS = {"strict": ("strict",), "balanced": ("strict", "balanced"), "all": ("strict", "balanced", "other", None)}
CELL = ["billing_code", "billing_class", "payer", "geography", "taxonomy_tier"]

_PLACE = ["billing_code", "billing_class", "payer", "state", "taxonomy_tier"]
_POOLS: dict[str | None, tuple[str, ...] | None] = {None: None, COMPOSITE_BUCA: BUCA, COMPOSITE_ALL: None}


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
    """Every payer and composite, in every tier, geography and weighting, with the counts behind the figures."""
    counted = _Counted.of(observed)
    for tier in TIERS if with_nppes else ("all",):
        for geography in ("US", "state") if with_nppes else ("US",):
            tins = counted.observe_tins(tier, geography)
            for name, payers in _POOLS.items():
                pool = _Pool(name, payers, tier, geography)
                for weighting in ("npi", "tin"):
                    figures = counted.by_npi(pool) if weighting == "npi" else tins.by_tin(pool)
                    counts = counted.counts(pool, tins, weighting)
                    yield figures.join(counts, on=CELL).with_columns(
                        payer_kind=pl.lit("payer" if name is None else "composite"), weighting=pl.lit(weighting)
                    )


@dataclass(frozen=True)
class _Pool:
    """Whose rows are counted together, where: each payer by itself (no name), or several under a composite's name."""

    name: str | None
    payers: tuple[str, ...] | None
    tier: str
    geography: str

    def take(self, rows: pl.DataFrame) -> pl.LazyFrame:
        """Rows of the pool's payers, tier and geography, under its own payer, tier and geography."""
        kept = rows.lazy().filter(pl.col("taxonomy_tier").is_in(TIERS[self.tier], nulls_equal=True))
        if self.payers is not None:
            kept = kept.filter(pl.col("payer").is_in(self.payers))
        if self.geography == "state":
            kept = kept.filter(pl.col("state").is_not_null())
        return kept.with_columns(
            pl.col("payer") if self.name is None else pl.lit(self.name).alias("payer"),
            geography=pl.lit("US") if self.geography == "US" else pl.col("state"),
            taxonomy_tier=pl.lit(self.tier),
        )

    def cells(self, places: pl.DataFrame) -> "_Cells":
        """The pool's cells, numbered, and which of them each place belongs to."""
        placed = self.take(places).collect()
        cells = placed.select(CELL).unique().with_row_index("cell_no")
        return _Cells(cells, placed.join(cells, on=CELL).select("place_no", "cell_no"))


@dataclass(frozen=True)
class _Cells:
    """cells: cell_no, CELL. members: place_no, cell_no."""

    cells: pl.DataFrame
    members: pl.DataFrame

    def number(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Rows by place_no as rows by cell_no; those of other places leave."""
        return rows.join(self.members.lazy(), on="place_no").drop("place_no")

    def name(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows by cell_no as rows by CELL."""
        return rows.join(self.cells, on="cell_no").drop("cell_no")


@dataclass(frozen=True)
class _Tins:
    """The tin observations of one tier and kind of geography: place_no (one per cell of a payer), tin_no, rate_usd."""

    places: pl.DataFrame
    observations: pl.DataFrame

    def by_tin(self, pool: _Pool) -> pl.DataFrame:
        """CELL and figures."""
        cells = pool.cells(self.places)
        counted = count_values(cells.number(self.observations.lazy()), ["cell_no"])
        return cells.name(distribution(counted, ["cell_no"]))

    def count(self, pool: _Pool) -> pl.LazyFrame:
        """CELL, n_tin."""
        cells = pool.cells(self.places)
        tins = cells.number(self.observations.lazy().select("place_no", "tin_no"))
        tins = tins if pool.name is None else tins.unique()
        return cells.name(tins.group_by("cell_no").agg(n_tin=pl.len().cast(pl.Int64)).collect()).lazy()


@dataclass(frozen=True)
class _Counted:
    """What is counted: no outliers, the two classes; and what can be told from it once for all pools.

    providers: place_no, tin_no (null: none), npi, rate_usd. places: place_no and _PLACE.
    npi_values: place_no, rate_usd, count: the npi observations. npis: place_no, npi, has_tin.
    rates: _PLACE, has_tin, n_rates. files: as ``Observed.files``.
    """

    providers: pl.DataFrame
    places: pl.DataFrame
    npi_values: pl.DataFrame
    npis: pl.DataFrame
    rates: pl.DataFrame
    files: pl.DataFrame

    @classmethod
    def of(cls, observed: Observed) -> "_Counted":
        """Number places and TINs: the passes that follow are over integers."""
        counted = observed.providers.filter(pl.col("exclusion").is_null() & pl.col("billing_class").is_in(CLASSES))
        places = counted.select(_PLACE).unique().collect().with_row_index("place_no")
        numbered = counted.join(places.lazy(), on=_PLACE, nulls_equal=True)
        providers = numbered.select(
            "place_no",
            pl.col("tin").cast(pl.Categorical).to_physical().alias("tin_no"),
            "npi",
            pl.col("representative_rate_usd").alias("rate_usd"),
            "n_rates",
        ).collect()
        has_tin = pl.col("tin_no").is_not_null()
        observations = group_medians(providers, ["place_no", "npi"])
        with_tin = providers.lazy().filter(has_tin).select("place_no", "npi", has_tin=pl.lit(value=True)).unique()
        npis = observations.lazy().select("place_no", "npi").join(with_tin, on=["place_no", "npi"], how="left")
        rates = providers.lazy().group_by("place_no", has_tin=has_tin).agg(pl.col("n_rates").sum())
        return cls(
            providers=providers.drop("n_rates"),
            places=places,
            npi_values=count_values(observations.lazy(), ["place_no"]),
            npis=npis.with_columns(pl.col("has_tin").fill_null(value=False)).collect(),
            rates=rates.collect().join(places, on="place_no"),
            files=observed.files.filter(pl.col("billing_class").is_in(CLASSES)).collect(),
        )

    def observe_tins(self, tier: str, geography: str) -> _Tins:
        """Per TIN (and state) the median over its NPIs of the tier; a price without TIN has no contract holder."""
        own = _Pool(None, None, tier, geography).cells(self.places)
        held = own.number(self.providers.lazy().filter(pl.col("tin_no").is_not_null())).collect()
        medians = group_medians(held, ["cell_no", "tin_no"]).rename({"cell_no": "place_no"})
        states = own.cells.with_columns(state=pl.col("geography")).rename({"cell_no": "place_no"})
        return _Tins(states.drop("geography").with_columns(taxonomy_tier=pl.lit(TIERS[tier][0])), medians)

    def by_npi(self, pool: _Pool) -> pl.DataFrame:
        """CELL and figures."""
        cells = pool.cells(self.places)
        return cells.name(distribution(cells.number(self.npi_values.lazy()).collect(), ["cell_no"]))

    def counts(self, pool: _Pool, tins: _Tins, weighting: str) -> pl.DataFrame:
        """CELL, n_npi, n_tin, n_rates, n_files; a price without TIN stands behind the figures by NPI only."""
        behind = pl.lit(value=True) if weighting == "npi" else pl.col("has_tin")
        rates = pool.take(self.rates).filter(behind).group_by(CELL).agg(pl.col("n_rates").sum())
        files = pool.take(self.files).filter(behind).group_by(CELL)
        return (
            rates.join(self._count_npis(pool, behind), on=CELL, how="left")
            .join(tins.count(pool), on=CELL, how="left")
            .join(files.agg(n_files=pl.col("source_id").n_unique().cast(pl.Int64)), on=CELL, how="left")
            .with_columns(pl.col("n_tin").fill_null(0))
            .collect()
        )

    def _count_npis(self, pool: _Pool, behind: pl.Expr) -> pl.LazyFrame:
        """CELL, n_npi. An NPI is of one state and, per code, of one tier: a payer's need no second look."""
        cells = pool.cells(self.places)
        npis = cells.number(self.npis.lazy().filter(behind).select("place_no", "npi"))
        npis = npis if pool.name is None else npis.unique()
        return cells.name(npis.group_by("cell_no").agg(n_npi=pl.len().cast(pl.Int64)).collect()).lazy()


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

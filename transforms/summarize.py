"""Provider observations to percentile summaries: payers, composites, geographies, tiers, weightings (CONTRACT 4).

An observation's value does not depend on the pool it is counted in, so each is made once and turned into counts of
distinct values; pools, tiers and geographies are sums of such counts, and every percentile is read off them exactly.
Order-free: percentiles are order statistics, counts are integers, and the mean is an exact sum.
Memory: the month's counted providers as six numbers each; counts of values are small, because rates repeat.
"""

from collections.abc import Iterable, Iterator
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
from transforms.distribution import count_values, distribution, group_medians, medians_between, starts_of
from transforms.packing import sort_packed

CLASSES = ("professional", "institutional")
TIERS = {"strict": ("strict",), "balanced": ("strict", "balanced"), "all": ("strict", "balanced", "other", None)}
CELL = ["billing_code", "billing_class", "payer", "geography", "taxonomy_tier"]

_PLACE = ["billing_code", "billing_class", "payer", "state", "taxonomy_tier"]
_COMPOSITES: dict[str | None, tuple[str, ...] | None] = {COMPOSITE_BUCA: BUCA, COMPOSITE_ALL: None}
_POOLS: dict[str | None, tuple[str, ...] | None] = {None: None, **_COMPOSITES}


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
    for geography in ("US", "state") if with_nppes else ("US",):
        held = counted.by_holder(geography)
        for tier in TIERS if with_nppes else ("all",):
            kind = _Kind(tier, geography)
            tins = held.observe(kind)
            n_tin = tins.count()
            for weighting, figures in (("npi", counted.by_npi(kind)), ("tin", tins.figures())):
                counts = counted.counts(kind, weighting).join(n_tin, on=CELL, how="left")
                yield figures.join(counts, on=CELL).with_columns(
                    pl.col("n_tin").fill_null(0), weighting=pl.lit(weighting)
                )


@dataclass(frozen=True)
class _Kind:
    """The cells of one tier in one kind of geography: of each payer by itself, and of several under one name."""

    tier: str
    geography: str

    def take(self, rows: pl.DataFrame, pool: str | None) -> pl.LazyFrame:
        """Rows that the pool's cells count, under their CELL; None: each payer's own."""
        kept = rows.lazy().filter(pl.col("taxonomy_tier").is_in(TIERS[self.tier], nulls_equal=True))
        payers = _POOLS[pool]
        if payers is not None:
            kept = kept.filter(pl.col("payer").is_in(payers))
        if self.geography == "state":
            kept = kept.filter(pl.col("state").is_not_null())
        return kept.with_columns(
            pl.col("payer") if pool is None else pl.lit(pool).alias("payer"),
            geography=pl.lit("US") if self.geography == "US" else pl.col("state"),
            taxonomy_tier=pl.lit(self.tier),
        )

    def take_all(self, rows: pl.DataFrame) -> pl.LazyFrame:
        """Rows once for each cell that counts them."""
        return pl.concat(self.take(rows, pool) for pool in _POOLS)

    def cells(self, places: pl.DataFrame, pools: Iterable[str | None] = tuple(_POOLS)) -> "_Cells":
        """The cells, numbered, and which of them each place belongs to."""
        placed = [
            self.take(places, pool).select("place_no", *CELL, payer_kind=pl.lit("composite" if pool else "payer"))
            for pool in pools
        ]
        cells = pl.concat(placed).select(*CELL, "payer_kind").unique().collect().with_row_index("cell_no")
        numbered = (rows.join(cells.lazy(), on=CELL).select("place_no", "cell_no") for rows in placed)
        of_place = (
            places.lazy().join(rows, on="place_no", how="left", maintain_order="left").collect()["cell_no"]
            for rows in numbered
        )
        return _Cells(cells, tuple(of_place))


@dataclass(frozen=True)
class _Cells:
    """cells: cell_no, CELL, payer_kind. of_place: for each pool, by place_no, the place's cell_no or null."""

    cells: pl.DataFrame
    of_place: tuple[pl.Series, ...]

    def number(self, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """For each pool, rows by place_no as rows by cell_no, in their order; those of other places leave."""
        for cell_no in self.of_place:
            numbered = rows.with_columns(cell_no.gather(rows["place_no"]).alias("cell_no"))
            yield numbered.filter(pl.col("cell_no").is_not_null())

    def name(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows by cell_no as rows by CELL, with payer_kind."""
        return rows.join(self.cells, on="cell_no").drop("cell_no")

    def figures(self, values: pl.DataFrame) -> pl.DataFrame:
        """CELL, payer_kind and figures, from counts of values by place_no."""
        return self.name(distribution(pl.concat(self.number(values)).drop("place_no"), ["cell_no"]))


@dataclass(frozen=True)
class _Held:
    """What is priced under a TIN, whatever the tier, in one kind of geography.

    rows: place_no, tin_no, holder_no (the same for a payer's prices of a TIN there), rate_usd; by holder and rate.
    """

    places: pl.DataFrame
    rows: pl.DataFrame

    def observe(self, kind: _Kind) -> "_Tins":
        """Per TIN (and state) the median over its NPIs of the tier."""
        own = kind.cells(self.places, [None])
        (rows,) = own.number(self.rows)
        starts = starts_of(rows, ["holder_no"])
        medians = medians_between(rows["rate_usd"], starts)
        observations = rows.select(pl.col("cell_no", "tin_no").gather(starts)).with_columns(rate_usd=medians)
        return _Tins.of(own, observations, kind)


@dataclass(frozen=True)
class _Tins:
    """The tin observations of one tier and kind of geography, one place per cell of a payer.

    cells: which count the places. values: place_no, rate_usd, count. tins: place_no, tin_no.
    """

    cells: _Cells
    values: pl.DataFrame
    tins: pl.DataFrame

    @classmethod
    def of(cls, own: _Cells, observations: pl.DataFrame, kind: _Kind) -> "_Tins":
        """From the payers' cells, and cell_no, tin_no, rate_usd."""
        placed = observations.rename({"cell_no": "place_no"})
        places = own.cells.sort("cell_no").rename({"cell_no": "place_no", "geography": "state"})
        return cls(
            kind.cells(places.with_columns(taxonomy_tier=pl.lit(TIERS[kind.tier][0]))),
            count_values(placed.lazy(), ["place_no"]),
            placed.select("place_no", "tin_no"),
        )

    def figures(self) -> pl.DataFrame:
        """CELL, payer_kind and figures."""
        return self.cells.figures(self.values)

    def count(self) -> pl.DataFrame:
        """CELL, n_tin."""
        distinct = pl.col("tin_no").n_unique().cast(pl.Int64).alias("n_tin")
        counted = pl.concat(rows.group_by("cell_no").agg(distinct) for rows in self.cells.number(self.tins))
        return self.cells.name(counted).drop("payer_kind")


@dataclass(frozen=True)
class _Counted:
    """What is counted: no outliers, the two classes; and what can be told from it once for all pools.

    places: place_no and _PLACE. priced: place_no, tin_no, rate_usd: all that is priced under a TIN.
    npi_values: place_no, rate_usd, count: the npi observations. rates: _PLACE, has_tin, n_rates.
    npis: by pool, _PLACE, has_tin, n_npi: an NPI is of one state and, per code, of one tier, so that these add up; it
    has a TIN where any of the pool's prices names one. files: as ``Observed.files``.
    """

    places: pl.DataFrame
    priced: pl.DataFrame
    npi_values: pl.DataFrame
    npis: dict[str | None, pl.DataFrame]
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
        rates = providers.lazy().group_by("place_no", has_tin=has_tin).agg(pl.col("n_rates").sum())
        by_payer = _distinct_npis(providers.select("place_no", "npi", no_tin=~has_tin), places, _PLACE)
        npis: dict[str | None, pl.DataFrame] = {None: by_payer}
        for name, payers in _COMPOSITES.items():
            among = places if payers is None else places.filter(pl.col("payer").is_in(payers))
            npis[name] = _distinct_npis(by_payer, among, [column for column in _PLACE if column != "payer"])
        return cls(
            places=places,
            priced=providers.filter(has_tin).select("place_no", "tin_no", "rate_usd"),
            npi_values=count_values(group_medians(providers, ["place_no", "npi"]).lazy(), ["place_no"]),
            npis={name: _count_npis(rows, places) for name, rows in npis.items()},
            rates=rates.collect().join(places, on="place_no"),
            files=observed.files.filter(pl.col("billing_class").is_in(CLASSES)).collect(),
        )

    def by_holder(self, geography: str) -> _Held:
        """Sorted once for all tiers; a price without TIN has no contract holder."""
        (held,) = _Kind("all", geography).cells(self.places, [None]).number(self.priced)
        ordered, holder = sort_packed(held, ["cell_no", "tin_no"], "rate_usd")
        rows = held.select(pl.col("place_no", "tin_no").gather(ordered["row"]))
        holder_no = ordered.select(pl.struct(holder).rle_id()).to_series().alias("holder_no")
        return _Held(self.places, rows.with_columns(holder_no, ordered["rate_usd"]))

    def by_npi(self, kind: _Kind) -> pl.DataFrame:
        """CELL, payer_kind and figures."""
        return kind.cells(self.places).figures(self.npi_values)

    def counts(self, kind: _Kind, weighting: str) -> pl.DataFrame:
        """CELL, n_npi, n_rates, n_files; a price without TIN stands behind the figures by NPI only."""
        behind = pl.lit(value=True) if weighting == "npi" else pl.col("has_tin")
        npis = pl.concat(kind.take(rows, pool) for pool, rows in self.npis.items()).filter(behind)
        rates = kind.take_all(self.rates).filter(behind).group_by(CELL).agg(pl.col("n_rates").sum())
        files = kind.take_all(self.files).filter(behind).group_by(CELL)
        n_files = files.agg(n_files=pl.col("source_id").n_unique().cast(pl.Int64))
        n_npi = npis.group_by(CELL).agg(pl.col("n_npi").sum())
        return rates.join(n_npi, on=CELL, how="left").join(n_files, on=CELL, how="left").collect()


def _distinct_npis(rows: pl.DataFrame, places: pl.DataFrame, place: list[str]) -> pl.DataFrame:
    """place_no, npi, no_tin: each NPI once among places alike in ``place``, with a TIN if it has one in any of them.

    Args:
        places: those to look at.
    """
    alike = places.select(place).unique().with_row_index("cell_no")
    numbered = places.join(alike, on=place, nulls_equal=True).select("place_no", "cell_no")
    kept = rows.join(numbered, on="place_no")
    ordered, packed = sort_packed(kept, ["cell_no", "npi"], "no_tin")
    return kept[ordered["row"].gather(starts_of(ordered, packed))].drop("cell_no")


def _count_npis(npis: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """_PLACE, has_tin, n_npi."""
    counted = npis.group_by("place_no", has_tin=~pl.col("no_tin")).agg(n_npi=pl.len().cast(pl.Int64))
    return counted.join(places, on="place_no")


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

"""How many rows led to each row of ``summaries``: rate rows by rule, representative rates, outliers, observations.

Each table of the month is scanned once; what is kept are counts.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from flows.report.report_tables import Published
from schemas.codes import COMPOSITE_ALL, EXCLUSIONS
from schemas.geographies import NATIONAL
from schemas.published import PROVIDERS
from transforms.benchmark.summarize import CLASSES, COMPOSITES
from transforms.explain.cells import CellKey
from transforms.explain.views import BENCHMARK

RULES = {rule.name: f"excluded_{rule.name}" for rule in EXCLUSIONS}  # the column of each rule
PLACE = ("payer", "geography", "billing_class")
CELL = (*PLACE, "taxonomy_tier", "weighting")
_VIEW = ("billing_class", "taxonomy_tier", "weighting")
_SEPARATOR = "\x1f"  # between the networks of a rate row
_KEYS = ("payer", "billing_code", "billing_class", "state", "exclusion")
_MEMBERS = ("payer", "billing_code", "billing_class", "state", "taxonomy_tier", "evidence")


@dataclass(frozen=True)
class Counts:
    """The counts of one month.

    Args:
        rates: of ``count_rates``.
        members: of ``count_members``.
    """

    published: Published
    rates: pl.DataFrame
    members: pl.DataFrame

    def cells(self, code: str) -> pl.DataFrame:
        """A code's rows of ``summaries`` but Medicare's, each with five more counts.

        read and eligible: rate rows of any tier; representative: rates of the tier, with the outliers; observations.
        """
        rows = self._rows(code)
        views = rows.select(_VIEW).unique().sort(_VIEW).rows() or [(CLASSES[0], "all", "npi")]
        keys = [CellKey(code, billing_class, COMPOSITE_ALL, NATIONAL, *more) for billing_class, *more in views]
        members = pl.concat(self._members(key) for key in keys)
        return (
            rows.join(self.places(code).select(*PLACE, "read", "eligible"), on=PLACE, how="left", maintain_order="left")
            .join(members, on=CELL, how="left", maintain_order="left")
            .join(_observations(rows), on=CELL, how="left", maintain_order="left")
            .with_columns(pl.col("representative", "outliers").fill_null(0))
        )

    def places(self, code: str) -> pl.DataFrame:
        """A code's rate rows by payer, place and class with figures: read, eligible, and a column for each rule."""
        places = self._rows(code).select(PLACE).unique(maintain_order=True)
        counted = pl.concat([self._places(code, each) for each in CLASSES])
        return places.join(counted, on=PLACE, how="left", maintain_order="left").fill_null(0)

    def _rows(self, code: str) -> pl.DataFrame:
        return self.published.latest.filter(~BENCHMARK, pl.col("billing_code") == code)

    def networks(self, payer: str, code: str, billing_class: str) -> dict[str, tuple[int, int]]:
        """Rate rows that name each network of a payer: read, eligible."""
        scope = CellKey(code, billing_class, payer, NATIONAL, "all", "npi").scope
        named = self.rates.filter(scope, pl.col("payer") == payer, pl.col("networks").is_not_null())
        split = named.with_columns(pl.col("networks").str.split(_SEPARATOR)).explode("networks")
        eligible = pl.col("rows").filter(pl.col("exclusion").is_null()).sum()
        counted = split.group_by("networks").agg(pl.col("rows").sum(), eligible=eligible)
        return {name: (rows, eligible) for name, rows, eligible in counted.iter_rows()}

    @cached_property
    def _by_rule(self) -> pl.DataFrame:
        """The rate rows of every network together."""
        return self.rates.group_by(_KEYS).agg(pl.col("rows").sum())

    def _places(self, code: str, billing_class: str) -> pl.DataFrame:
        scope = CellKey(code, billing_class, COMPOSITE_ALL, NATIONAL, "all", "npi").scope
        rule, rows = pl.col("exclusion"), pl.col("rows")
        by_rule = {column: rows.filter(rule == name).sum() for name, column in RULES.items()}
        counted = _everywhere(self._by_rule.filter(scope)).group_by("payer", "geography")
        sums = counted.agg(read=rows.sum(), eligible=rows.filter(rule.is_null()).sum(), **by_rule)
        return sums.with_columns(billing_class=pl.lit(billing_class))

    def _members(self, view: CellKey) -> pl.DataFrame:
        """Representative rates of a view by payer and place, and the outliers among them."""
        counted = _everywhere(self.members.filter(view.members)).group_by("payer", "geography")
        sums = counted.agg(representative=pl.col("rows").sum(), outliers=pl.col("outliers").sum())
        return sums.with_columns(pl.lit(getattr(view, name)).alias(name) for name in _VIEW)


def count_month(published: Published, rates: Path, providers: Path) -> Counts:
    """The counts of a month.

    Args:
        rates: the month's folder of ``schemas.RATES``.
        providers: the month's ``schemas.PROVIDERS``.
    """
    return Counts(
        published,
        count_rates(rates, with_networks=not published.networks.is_empty()),
        count_members(providers),
    )


def count_rates(folder: Path, *, with_networks: bool) -> pl.DataFrame:
    """The rate rows by payer, code, class as published, state, rule and networks named (one text, separated): rows."""
    paths = sorted(folder.rglob("*.parquet"))
    if not paths:
        return pl.DataFrame(schema=dict.fromkeys((*_KEYS, "networks"), pl.String) | {"rows": pl.Int64})
    networks = pl.col("network_names").list.join(_SEPARATOR) if with_networks else pl.lit(None, pl.String)
    rows = pl.scan_parquet(paths, hive_partitioning=False).group_by(*_KEYS, networks=networks)
    return rows.agg(rows=pl.len().cast(pl.Int64)).collect(engine="streaming")


def count_members(providers: Path) -> pl.DataFrame:
    """The representative rates by what cells select them by: rows, and the outliers among them.

    Returns: of ``tin`` and ``services`` only whether there is one: empty text, 0.
    """
    if not providers.exists():
        return PROVIDERS.empty().with_columns(rows=pl.lit(0, pl.Int64), outliers=pl.lit(0, pl.Int64))
    rows = pl.scan_parquet(providers, hive_partitioning=False)
    absent = [name for name in PROVIDERS.names if name not in rows.collect_schema().names()]  # of an earlier version
    whole = rows.with_columns(pl.lit(None, PROVIDERS.polars[name]).alias(name) for name in absent)
    tin = pl.when(pl.col("tin").is_not_null()).then(pl.lit(""))
    services = pl.when(pl.col("services").is_not_null()).then(0)
    counted = whole.group_by(*_MEMBERS, tin=tin, services=services).agg(
        rows=pl.len().cast(pl.Int64), outliers=(pl.col("exclusion") == "outlier").sum().cast(pl.Int64)
    )
    return counted.collect(engine="streaming")


def _observations(rows: pl.DataFrame) -> pl.DataFrame:
    """The observations behind each row of ``summaries``: of a composite those of the payers that it pools."""
    count = pl.when(pl.col("weighting") == "tin").then("n_tin").otherwise("n_npi")
    own = rows.filter(pl.col("payer_kind") == "payer").select(*CELL, observations=count)
    pooled = _pooled(own).group_by(CELL).agg(pl.col("observations").sum())
    return pl.concat([own, pooled])


def _pooled(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of payers once for each composite that pools them, under its name."""
    return pl.concat(
        (rows if payers is None else rows.filter(pl.col("payer").is_in(payers))).with_columns(payer=pl.lit(name))
        for name, payers in COMPOSITES.items()
    )


def _everywhere(counts: pl.DataFrame) -> pl.DataFrame:
    """Counts by payer and state, once more under the composites that pool the payer, and once more for the nation."""
    found = pl.concat([counts, _pooled(counts)]).rename({"state": "geography"})
    return pl.concat([found.drop_nulls("geography"), found.with_columns(geography=pl.lit(NATIONAL))])

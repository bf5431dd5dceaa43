"""One cell of ``summaries``: its members among the providers, its observations, and its figures computed anew."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import polars as pl

from schemas.codes import BILLED, BILLING_CLASSES, EVIDENCE_OF_TIER, PERCENTILES, PROFESSIONAL_CLASSES
from transforms.benchmark.evidence import times_counted
from transforms.benchmark.percentiles import group_medians
from transforms.benchmark.representative_rates import represent
from transforms.benchmark.summarize import (
    COMPOSITES,
    TIER_BY_EVIDENCE,
    TIERS,
    US,
    Observed,
    summarize_payers,
)

PROVIDER = ["payer", "billing_code", "billing_class", "tin", "npi"]


@dataclass(frozen=True)
class CellKey:
    """The grain of ``summaries`` within a month."""

    billing_code: str
    billing_class: str
    payer: str
    geography: str
    taxonomy_tier: str
    weighting: str

    @property
    def text(self) -> str:
        """``97026, professional, Aetna, CA, tier balanced, weighting npi``."""
        place = (self.billing_code, self.billing_class, self.payer, self.geography)
        return f"{', '.join(place)}, tier {self.taxonomy_tier}, weighting {self.weighting}"

    @property
    def rows(self) -> pl.Expr:
        """True for its row of ``summaries``."""
        return pl.all_horizontal(pl.col(name) == value for name, value in asdict(self).items())

    @property
    def payers(self) -> pl.Expr:
        """True for rows of the payers that it pools, or of its payer."""
        if self.payer not in COMPOSITES:
            return pl.col("payer") == self.payer
        pooled = COMPOSITES[self.payer]
        return pl.lit(value=True) if pooled is None else pl.col("payer").is_in(pooled)

    @property
    def scope(self) -> pl.Expr:
        """True for rows of ``rates`` of its code, class and geography, of any tier; of a class that is none, too."""
        classes = PROFESSIONAL_CLASSES if self.billing_class == "professional" else (self.billing_class,)
        stated = pl.col("billing_class")
        of_class = stated.is_in(classes) | ~stated.is_in(BILLING_CLASSES).fill_null(value=False)
        return (pl.col("billing_code") == self.billing_code) & of_class.fill_null(value=True) & self._here

    @property
    def _here(self) -> pl.Expr:
        return pl.lit(value=True) if self.geography == US else pl.col("state") == self.geography

    @property
    def members(self) -> pl.Expr:
        """True for rows of ``providers`` that belong to it; outliers among them."""
        if self.taxonomy_tier == TIER_BY_EVIDENCE:
            in_tier = pl.col("evidence").is_in(EVIDENCE_OF_TIER)
        else:
            included = [tier for tier in TIERS[self.taxonomy_tier] if tier is not None]
            in_tier = pl.col("taxonomy_tier").is_in(included)
            if None in TIERS[self.taxonomy_tier]:
                in_tier = in_tier | pl.col("taxonomy_tier").is_null()
        counts = {"tin": pl.col("tin").is_not_null(), "services": pl.col("services").is_not_null()}
        same = (pl.col("billing_code") == self.billing_code) & (pl.col("billing_class") == self.billing_class)
        weighted = counts.get(self.weighting, pl.lit(value=True))
        return same & self.payers & self._here & in_tier.fill_null(value=False) & weighted


def observe(key: CellKey, members: pl.DataFrame) -> pl.DataFrame:
    """The observations of a cell, sorted: payer, npi or tin, rate_usd, times (how often each counts).

    Args: members: the rows of ``providers`` for which ``CellKey.members`` is true.
    """
    counted = members.filter(pl.col("exclusion").is_null()).rename({"representative_rate_usd": "rate_usd"})
    by = "tin" if key.weighting == "tin" else "npi"
    times: pl.Expr = pl.lit(1, pl.Int64)
    if key.weighting == "services":
        times = times_counted(pl.col("services"))
    medians = group_medians(counted, ["payer", by])
    often = counted.select("payer", by, times=times).unique()
    return medians.join(often, on=["payer", by]).sort("rate_usd", "payer", by)


class Quantile(NamedTuple):
    """One percentile worked out (Hyndman-Fan type 7): h = (n - 1) p; lower + (h - floor h) (upper - lower)."""

    percentile: int
    n: int
    h: float
    below: int  # the place of the lower order statistic, from 0
    lower_usd: float
    upper_usd: float
    value_usd: float


def work_out(rates_usd: pl.Series, times: pl.Series) -> list[Quantile]:
    """The arithmetic of each published percentile over observations, each counted so many times."""
    ordered = pl.DataFrame({"rate": rates_usd, "times": times}).sort("rate")
    ends = ordered["times"].cum_sum()
    n = int(ends[-1])

    def at(place: int) -> float:
        return float(ordered["rate"][int(ends.search_sorted(place, side="right"))])

    found = []
    for percentile in PERCENTILES:
        h = Decimal((n - 1) * percentile) / 100
        below = int(h)
        lower, upper = at(below), at(min(below + 1, n - 1))
        value = lower + (upper - lower) * float(h - below)
        found.append(Quantile(percentile, n, float(h), below, lower, upper, value))
    return found


def recompute(observed: Observed, key: CellKey | None = None) -> pl.DataFrame:
    """Rows of ``summaries`` computed anew, without what follows from Medicare's: of one cell, or of all.

    Args: observed: the members of the cell, or every provider, and the source files behind them.
    """
    if key is None:
        return summarize_payers(observed, COMPOSITES, with_nppes=True)
    composites = {key.payer: COMPOSITES[key.payer]} if key.payer in COMPOSITES else {}
    same = (pl.col("geography") == key.geography) & (pl.col("taxonomy_tier") == key.taxonomy_tier)
    return summarize_payers(observed, composites, with_nppes=True, wanted=same).filter(key.rows)


def differences(published: Mapping[str, Any], anew: Mapping[str, Any]) -> list[str]:
    """The columns in which a cell computed anew differs from the published one, with both values."""
    return [
        f"{name} is {published[name]} in summaries and {anew.get(name)} from its observations"
        for name in published
        if published[name] != anew.get(name)
    ]


def wrong_providers(rates: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """Members whose representative rate or count of rate rows is not that of their rate rows.

    Args: rates: the eligible rows of these members.
    """
    found = represent(rates, PROVIDER).select(*PROVIDER, anew_usd="representative_rate_usd", n_anew="n_rates")
    joined = members.join(found, on=PROVIDER, how="left", nulls_equal=True)
    same = pl.col("anew_usd").eq_missing(pl.col("representative_rate_usd")) & pl.col("n_anew").eq_missing(
        pl.col("n_rates")
    )
    return joined.filter(~same)


def evidence_of(members: pl.DataFrame) -> pl.DataFrame:
    """The members' evidence as ``evidence.find_evidence`` gives it."""
    services = pl.when(pl.col("evidence") == BILLED).then("services")
    return members.filter(pl.col("evidence").is_not_null()).select("npi", "billing_code", "evidence", services).unique()

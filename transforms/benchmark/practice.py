"""Practice: the rates of one provider or group as published, and why other rows of it do not count.

An answer is given at four levels (``schemas.codes.PRACTICE_LEVELS``). The own rate of a level is a median over the
practice's NPIs, each of which is the median over its TINs, of representative rates that are not outliers. So a practice
of one NPI has the observation by which that NPI counts in ``summaries``.
"""

import hashlib
from dataclasses import dataclass

import polars as pl

from schemas.codes import EXCLUSIONS, GEOGRAPHIES
from transforms.benchmark.percentiles import group_medians
from transforms.benchmark.representative_rates import is_outlier, published_class, represent
from transforms.benchmark.summarize import US

CELL = ["payer", "billing_code", "billing_class", "geography"]
LEVELS = {"practice": [], "npi": ["npi"], "tin": ["tin"], "network": ["tin", "network_name"]}
_RULES = {rule.name: number for number, rule in enumerate(EXCLUSIONS)}


@dataclass(frozen=True)
class Practice:
    """Who asks. Without NPIs: every NPI that the payers list under the TINs. With both: these NPIs under these TINs."""

    npis: tuple[int, ...]
    tins: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name in the table and in paths: the NPI, the TIN, or of several the lowest and a digest."""
        if len(self.npis) + len(self.tins) == 1:
            return "".join([*map(str, self.npis), *(f"tin-{tin}" for tin in self.tins)])
        digest = hashlib.sha256(repr((sorted(self.npis), sorted(self.tins))).encode()).hexdigest()[:8]
        return f"group-{min(self.npis) if self.npis else min(self.tins)}-{digest}"

    @property
    def rows(self) -> pl.Expr:
        """Its rows of ``rates`` and ``providers``; with TINs also prices of the TIN alone, which name no NPI."""
        npi, always = pl.col("npi"), pl.lit(value=True)
        of_npis = npi.is_in(self.npis) if self.npis else always
        if not self.tins:
            return of_npis
        return (of_npis | npi.is_null() | (npi == 0)) & pl.col("tin").is_in(self.tins)


def observe_practice(rates: pl.DataFrame, providers: pl.DataFrame, national: pl.DataFrame) -> pl.DataFrame:
    """One row for each level, cell, and what the level divides by: the columns of PRACTICES up to own_rate_usd.

    Besides: medicare_usd, locality. Never ``absent``: see ``list_absent``.

    Args:
        rates: the practice's rows of ``schemas.RATES``.
        providers: the practice's rows of ``schemas.PROVIDERS``, of the same month.
        national: billing_code, amount_usd: Medicare's, for outliers among the rates of networks.
    """
    by_network = rates.filter(pl.col("network_names").list.len() > 0).explode("network_names")
    by_network = by_network.rename({"network_names": "network_name"})
    listed, named = _listed(rates), _listed(by_network)
    places = providers.select("npi", "billing_code", "locality", "medicare_usd").unique()
    own = providers.select(*_cell(providers), "tin", "npi", "locality", "medicare_usd", "exclusion", _rate())
    networks = _observe_networks(by_network, places, national)
    return pl.concat(
        _observe_level(level, by, *((named, networks) if level == "network" else (listed, own)))
        for level, by in LEVELS.items()
    )


def list_absent(own: pl.DataFrame, published: pl.DataFrame) -> pl.DataFrame:
    """Rows of level ``practice`` for payers that publish a code without the practice, in each of its states.

    Args:
        own: of ``observe_practice``.
        published: payer, billing_code, billing_class of the month; of several classes professional is listed.
    """
    states = own.filter(pl.col("status") != "excluded")
    states = (own if states.is_empty() else states).select("geography").unique()
    known = states.filter(pl.col("geography") != US)
    offered = published.group_by("payer", "billing_code").agg(pl.col("billing_class").max())
    return (
        offered.join(states if known.is_empty() else known, how="cross")
        .join(own, on=["payer", "billing_code", "geography"], how="anti")
        .with_columns(
            level=pl.lit("practice"),
            status=pl.lit("absent"),
            exclusions=pl.lit([], pl.List(pl.String)),
            **{name: pl.lit(0, pl.Int64) for name in ("n_rates", "n_rates_excluded", "n_npi")},
        )
    )


def _cell(frame: pl.DataFrame) -> list[str | pl.Expr]:
    """CELL from the columns of RATES or PROVIDERS."""
    named = [name for name in ("network_name",) if name in frame.columns]
    known = pl.when(pl.col("state").is_in(GEOGRAPHIES)).then("state").otherwise(pl.lit(US)).alias("geography")
    return ["payer", "billing_code", "billing_class", known, *named]


def _rate() -> pl.Expr:
    return pl.col("representative_rate_usd").alias("rate_usd")


def _listed(rates: pl.DataFrame) -> pl.DataFrame:
    return rates.with_columns(published_class(pl.col("billing_class"))).select(
        *_cell(rates), "tin", "npi", "business_name", "exclusion"
    )


def _observe_networks(by_network: pl.DataFrame, places: pl.DataFrame, national: pl.DataFrame) -> pl.DataFrame:
    """The representative rate of each (payer, code, class, TIN, NPI) from the rates that name a network."""
    key = ["payer", "billing_code", "billing_class", "tin", "npi", "network_name"]
    eligible = by_network.filter(pl.col("exclusion").is_null())
    found = represent(eligible, key).join(national, on="billing_code", how="left")
    outlier = pl.when(is_outlier(pl.col("representative_rate_usd"))).then(pl.lit("outlier")).alias("exclusion")
    return (
        found.with_columns(outlier)
        .join(places, on=["npi", "billing_code"], how="left")
        .select(*_cell(found), "tin", "npi", "locality", "medicare_usd", "exclusion", _rate())
    )


def _observe_level(level: str, by: list[str], listed: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
    key = [*CELL, *by]
    is_excluded = pl.col("exclusion").is_not_null()
    counts = listed.group_by(key).agg(
        pl.col("business_name").min(),
        n_rates=(~is_excluded).sum().cast(pl.Int64),
        n_rates_excluded=is_excluded.sum().cast(pl.Int64),
        exclusions=pl.col("exclusion").drop_nulls().unique(),
        n_listed=pl.col("npi").filter(pl.col("npi") > 0).n_unique().cast(pl.Int64),
    )
    counted = own.filter(pl.col("exclusion").is_null() | ~pl.col("exclusion").is_null().any().over(key))
    by_npi = list(dict.fromkeys([*key, "npi"]))
    medians = group_medians(group_medians(counted, by_npi), key).rename({"rate_usd": "own_rate_usd"})
    facts = (
        counted.unique(by_npi, keep="first", maintain_order=True)
        .group_by(key)
        .agg(
            status=pl.col("exclusion").first().fill_null("rated"),
            n_counted=pl.len().cast(pl.Int64),
            medicare_usd=pl.col("medicare_usd").median(),
            locality=pl.when(pl.col("locality").n_unique() == 1).then(pl.col("locality").first()),
        )
    )
    found = counts.join(medians, on=key, how="left", nulls_equal=True)
    return found.join(facts, on=key, how="left", nulls_equal=True).select(
        *CELL,
        pl.lit(level).alias("level"),
        *(pl.col(name) if name in by else pl.lit(None, dtype).alias(name) for name, dtype in _DIVIDED.items()),
        pl.col("business_name") if "tin" in by else pl.lit(None, pl.String).alias("business_name"),
        pl.col("status").fill_null("excluded"),
        pl.col("exclusions").list.eval(pl.element().sort_by(pl.element().replace_strict(_RULES))),
        *("n_rates", "n_rates_excluded"),
        pl.coalesce("n_counted", "n_listed").alias("n_npi"),
        *("own_rate_usd", "locality", "medicare_usd"),
    )


_DIVIDED: dict[str, type[pl.DataType]] = {"npi": pl.Int64, "tin": pl.String, "network_name": pl.String}

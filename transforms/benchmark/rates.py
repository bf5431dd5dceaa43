"""Rates: pairs of a price and a provider to published rate rows, with every rule applied (CONTRACT sections 3 and 4).

The facts about prices, TINs and NPIs are looked up once per payer (``gather_facts``). ``describe_rates`` joins them to
the pairs of one range of NPIs. Memory: the facts of one payer, and the rate rows of one range.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from schemas.published import RATES
from transforms.benchmark.exclude import exclusion, npi_rule, price_rule, row_rule
from transforms.benchmark.resolve import Resolved, distinct_npis
from transforms.benchmark.taxonomy import assign_tiers

_NPPES_COLUMNS: dict[str, type[pl.DataType]] = {"state": pl.String, "country": pl.String, "deactivated": pl.Boolean}
PLACES = {"npi": pl.Int64, "zip5": pl.String, "locality": pl.String}
_TIER_COLUMNS: dict[str, type[pl.DataType]] = {
    "npi": pl.Int64,
    "billing_code": pl.String,
    "taxonomy": pl.String,
    "taxonomy_tier": pl.String,
}


@dataclass(frozen=True)
class Facts:
    """What is known about one payer's prices, TINs and NPIs.

    prices: one row per price_no: PRICE_KEY, parent_company, payer_mapped, price_rule.
    tins: one row per tin_no: tin, tin_type.
    npis: one row per NPI, null included: npi, state, npi_rule.
    places: one row per NPI of NPPES: npi, zip5, locality.
    tiers: one row per NPI of NPPES and billing code: npi, billing_code, taxonomy, taxonomy_tier.
    names: name_no, business_name. network_names: by network_no. source_ids: by source_no.
    """

    payer: str
    month: date
    prices: pl.DataFrame
    tins: pl.DataFrame
    npis: pl.DataFrame
    places: pl.DataFrame
    tiers: pl.DataFrame
    names: pl.DataFrame
    network_names: Sequence[Sequence[str]]
    source_ids: Sequence[str]


def gather_facts(
    payer: str,
    month: date,
    resolved: Resolved,
    mapping: pl.DataFrame,
    source_ids: Sequence[str],
    nppes: pl.LazyFrame | None,
    zip_localities: pl.DataFrame,
    billing_codes: Sequence[str],
) -> Facts:
    """The facts about one payer's prices, TINs and NPIs.

    Args:
        mapping: reporting_entity_name, parent_company, payer_mapped.
        source_ids: by source_no.
        nppes: ``schemas.NPPES``, read by a semi-join; None: state and tier stay null, three rules do not apply.
        zip_localities: zip5, locality.
    """
    null_npi = pl.LazyFrame({"npi": [None]}, schema={"npi": pl.Int64})
    npis = pl.concat([null_npi, distinct_npis(resolved)]).collect()
    if nppes is None:
        known = pl.DataFrame(schema={"npi": pl.Int64, **_NPPES_COLUMNS})
        places = pl.DataFrame(schema=PLACES)
        tiers = pl.DataFrame(schema=_TIER_COLUMNS)
    else:
        found = nppes.join(npis.lazy(), on="npi", how="semi").collect()
        known = found.select("npi", *_NPPES_COLUMNS)
        places = locate_providers(found, zip_localities)
        tiers = assign_tiers(found.lazy(), billing_codes).collect()
    names = mapping.select("reporting_entity_name", "parent_company", "payer_mapped")
    return Facts(
        payer=payer,
        month=month,
        prices=resolved.prices.join(names, on="reporting_entity_name", how="left", nulls_equal=True).select(
            pl.all(), price_rule=price_rule()
        ),
        tins=resolved.tins,
        npis=npis.join(known.with_columns(known=pl.lit(value=True)), on="npi", how="left")
        .with_columns(pl.col("known").fill_null(value=False))
        .select("npi", "state", npi_rule=npi_rule(with_nppes=nppes is not None)),
        places=places,
        tiers=tiers,
        names=resolved.names,
        network_names=resolved.networks["network_names"].to_list(),
        source_ids=source_ids,
    )


def locate_providers(nppes: pl.DataFrame, zip_localities: pl.DataFrame) -> pl.DataFrame:
    """The Medicare locality of each NPI's practice ZIP code: npi, zip5, locality; null where it is not known.

    Args:
        nppes: npi, zip5.
        zip_localities: zip5, locality.
    """
    return nppes.select("npi", "zip5").join(zip_localities, on="zip5", how="left")


def describe_rates(pairs: pl.DataFrame, facts: Facts) -> pl.DataFrame:
    """``schemas.RATES`` rows in the order of ``pairs``, which are those of ``resolve.pairs_between``."""
    rows = (
        pairs.join(facts.tins, on="tin_no", how="left", maintain_order="left")
        .join(facts.npis, on="npi", how="left", nulls_equal=True, maintain_order="left")
        .join(facts.prices, on="price_no", how="left", maintain_order="left")
        .join(facts.tiers, on=["npi", "billing_code"], how="left", maintain_order="left")
        .join(facts.names, on="name_no", how="left", maintain_order="left")
        .join(_networks(pairs, facts), on="network_nos", how="left", maintain_order="left")
        .join(_sources(pairs, facts), on="source_nos", how="left", maintain_order="left")
    )  # frames, not lazy frames: twice as fast for this chain of joins
    return (
        rows.lazy()
        .with_columns(month=pl.lit(facts.month), payer=pl.lit(facts.payer), row_rule=row_rule())
        .with_columns(exclusion=exclusion("price_rule", "row_rule", "npi_rule"))
        .pipe(RATES.conform)
        .collect()
    )


def _sources(pairs: pl.DataFrame, facts: Facts) -> pl.DataFrame:
    """One row per distinct list of sources: source_nos, n_files, source_ids."""
    numbers = pairs["source_nos"].unique()
    ids = [[facts.source_ids[number] for number in each] for each in numbers]
    return pl.DataFrame(
        [numbers, numbers.list.len().cast(pl.Int64).alias("n_files"), pl.Series("source_ids", ids, pl.List(pl.String))]
    )


def _networks(pairs: pl.DataFrame, facts: Facts) -> pl.DataFrame:
    """One row per distinct list of networks: network_nos, network_names."""
    numbers = pairs["network_nos"].unique()
    names = [sorted({name for number in each for name in facts.network_names[number]}) for each in numbers]
    return pl.DataFrame([numbers, pl.Series("network_names", names, pl.List(pl.String))])

"""One payer's pairs into published rate rows: attributes joined, every rule applied, sources named."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from schemas.published import RATES
from transforms.exclude import exclusion, npi_rule, price_rule, row_rule
from transforms.resolve import Numbered, Pairs, distinct_npis
from transforms.taxonomy import assign_tiers

_NPI_COLUMNS: dict[str, type[pl.DataType]] = {"state": pl.String, "country": pl.String, "deactivated": pl.Boolean}
_TIER_COLUMNS: dict[str, type[pl.DataType]] = {
    "npi": pl.Int64,
    "billing_code": pl.String,
    "taxonomy": pl.String,
    "taxonomy_tier": pl.String,
}


@dataclass(frozen=True)
class Facts:
    """What is known of one payer's prices and NPIs, once for all pairs.

    prices: price_no, PRICE_KEY, parent_company, payer_mapped, price_rule. tins: tin_no, tin, tin_type.
    npis: npi, state, npi_rule. tiers: npi, billing_code, taxonomy, taxonomy_tier.
    """

    payer: str
    prices: pl.DataFrame
    tins: pl.DataFrame
    npis: pl.DataFrame
    tiers: pl.DataFrame
    network_names: Sequence[Sequence[str]]
    source_ids: Sequence[str]


def gather_facts(
    payer: str,
    numbered: Numbered,
    mapping: pl.DataFrame,
    source_ids: Sequence[str],
    nppes: pl.LazyFrame | None,
    billing_codes: Sequence[str],
) -> Facts:
    """Look up one payer's names and NPIs.

    Args:
        mapping: reporting_entity_name, parent_company, payer_mapped.
        source_ids: by source_no.
        nppes: ``schemas.NPPES``, read by a semi-join; None: state and tier stay null, three rules do not apply.
    """
    prices = numbered.prices.join(
        mapping.select("reporting_entity_name", "parent_company", "payer_mapped"),
        on="reporting_entity_name",
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )
    npis = distinct_npis(numbered)
    if nppes is None:
        known = pl.LazyFrame(schema={"npi": pl.Int64, **_NPI_COLUMNS})
        tiers = pl.DataFrame(schema=_TIER_COLUMNS)
    else:
        found = nppes.join(npis, on="npi", how="semi").collect().lazy()
        known = found.select("npi", *_NPI_COLUMNS)
        tiers = assign_tiers(found, billing_codes).collect()
    every = pl.concat([npis, pl.LazyFrame({"npi": [None]}, schema={"npi": pl.Int64})])
    return Facts(
        payer=payer,
        prices=prices.with_columns(price_rule=price_rule()),
        tins=numbered.tins,
        npis=every.join(known.with_columns(known=pl.lit(value=True)), on="npi", how="left")
        .with_columns(pl.col("known").fill_null(value=False))
        .select("npi", "state", npi_rule=npi_rule(with_nppes=nppes is not None))
        .collect(),
        tiers=tiers,
        network_names=numbered.networks["network_names"].to_list(),
        source_ids=source_ids,
    )


def describe_rates(pairs: Pairs, facts: Facts) -> pl.DataFrame:
    """``schemas.RATES`` rows in the order of ``pairs``."""
    sources = pairs.source_sets.select(
        "source_set",
        pl.Series("source_ids", [[facts.source_ids[no] for no in set_] for set_ in pairs.source_sets["source_nos"]]),
        n_files=pl.col("source_nos").list.len().cast(pl.Int64),
    )
    networks = pairs.network_sets.select("network_set", _network_names(pairs, facts))
    rows = (
        pairs.rows.lazy()
        .join(facts.prices.lazy(), on="price_no", how="left", maintain_order="left")
        .join(facts.tins.lazy(), on="tin_no", how="left", maintain_order="left")
        .join(facts.npis.lazy(), on="npi", how="left", nulls_equal=True, maintain_order="left")
        .join(facts.tiers.lazy(), on=["npi", "billing_code"], how="left", maintain_order="left")
        .join(sources.lazy(), on="source_set", how="left", maintain_order="left")
        .join(networks.lazy(), on="network_set", how="left", maintain_order="left")
        .with_columns(payer=pl.lit(facts.payer), row_rule=row_rule())
        .with_columns(exclusion=exclusion("price_rule", "row_rule", "npi_rule"))
    )
    return rows.pipe(RATES.conform).collect()


def _network_names(pairs: Pairs, facts: Facts) -> pl.Series:
    names = [
        sorted({name for no in set_ for name in facts.network_names[no]}) for set_ in pairs.network_sets["network_nos"]
    ]
    return pl.Series("network_names", names, pl.List(pl.String))

"""One payer's pairs into published rate rows: attributes joined, every rule applied, sources named."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from schemas.published import RATES
from transforms.benchmark.exclude import exclusion, npi_rule, price_rule, row_rule
from transforms.benchmark.resolve import Numbered, Pairs, distinct_npis
from transforms.benchmark.taxonomy import assign_tiers

_NPI_COLUMNS: dict[str, type[pl.DataType]] = {"state": pl.String, "country": pl.String, "deactivated": pl.Boolean}
_TIER_COLUMNS: dict[str, type[pl.DataType]] = {
    "npi": pl.Int64,
    "billing_code": pl.String,
    "taxonomy": pl.String,
    "taxonomy_tier": pl.String,
}


@dataclass(frozen=True)
class Facts:
    """What is known of one payer's prices and NPIs, once for all pairs; every frame is gathered from by row number.

    prices (by price_no): PRICE_KEY, parent_company, payer_mapped, price_rule, code_no. tins (by tin_no): tin, tin_type.
    npis: npi, npi_no. places (by npi_no): state, npi_rule.
    tiers (by npi_no x number of codes + code_no): taxonomy, taxonomy_tier.
    """

    payer: str
    codes: int
    prices: pl.DataFrame
    tins: pl.DataFrame
    npis: pl.DataFrame
    places: pl.DataFrame
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
    no_npi = pl.LazyFrame({"npi": [None]}, schema={"npi": pl.Int64})
    npis = pl.concat([no_npi, distinct_npis(numbered)]).sort("npi").with_row_index("npi_no").collect()
    codes = pl.DataFrame({"billing_code": sorted(billing_codes)}).with_row_index("code_no")
    if nppes is None:
        known = pl.DataFrame(schema={"npi": pl.Int64, **_NPI_COLUMNS})
        tiers = pl.DataFrame(schema=_TIER_COLUMNS)
    else:
        found = nppes.join(npis.lazy(), on="npi", how="semi").collect()
        known = found.select("npi", *_NPI_COLUMNS)
        tiers = assign_tiers(found.lazy(), billing_codes).collect()
    return Facts(
        payer=payer,
        codes=codes.height,
        prices=_price_facts(numbered, mapping, codes),
        tins=numbered.tins.drop("tin_no"),
        npis=npis,
        places=npis.join(known.with_columns(known=pl.lit(value=True)), on="npi", how="left", maintain_order="left")
        .with_columns(pl.col("known").fill_null(value=False))
        .select("state", npi_rule=npi_rule(with_nppes=nppes is not None)),
        tiers=npis.join(codes, how="cross")
        .join(tiers, on=["npi", "billing_code"], how="left")
        .sort("npi_no", "code_no")
        .select("taxonomy", "taxonomy_tier"),
        network_names=numbered.networks["network_names"].to_list(),
        source_ids=source_ids,
    )


def _price_facts(numbered: Numbered, mapping: pl.DataFrame, codes: pl.DataFrame) -> pl.DataFrame:
    names = mapping.select("reporting_entity_name", "parent_company", "payer_mapped")
    return (
        numbered.prices.join(names, on="reporting_entity_name", how="left", nulls_equal=True)
        .join(codes, on="billing_code", how="left")
        .sort("price_no")
        .drop("price_no")
        .with_columns(price_rule=price_rule())
    )


def describe_rates(pairs: Pairs, facts: Facts) -> pl.DataFrame:
    """``schemas.RATES`` rows in the order of ``pairs``."""
    rows = pairs.rows.join(facts.npis, on="npi", how="left", nulls_equal=True, maintain_order="left")
    prices = facts.prices[rows["price_no"]]
    tier_no = rows["npi_no"].cast(pl.Int64) * facts.codes + prices["code_no"]
    return (
        pl.concat(
            [
                rows,
                prices,
                facts.tins[rows["tin_no"]],
                facts.places[rows["npi_no"]],
                facts.tiers[tier_no],
                _sources(pairs, facts)[rows["source_set"]],
                _networks(pairs, facts)[rows["network_set"]],
            ],
            how="horizontal",
        )
        .lazy()
        .with_columns(payer=pl.lit(facts.payer), row_rule=row_rule())
        .with_columns(exclusion=exclusion("price_rule", "row_rule", "npi_rule"))
        .pipe(RATES.conform)
        .collect()
    )


def _sources(pairs: Pairs, facts: Facts) -> pl.DataFrame:
    """By source_set: n_files and source_ids."""
    ids = [[facts.source_ids[no] for no in numbers] for numbers in pairs.source_sets["source_nos"]]
    files = pairs.source_sets["source_nos"].list.len().cast(pl.Int64).alias("n_files")
    return pl.DataFrame([files, pl.Series("source_ids", ids, pl.List(pl.String))])


def _networks(pairs: Pairs, facts: Facts) -> pl.DataFrame:
    """By network_set: network_names."""
    names = [
        sorted({name for no in numbers for name in facts.network_names[no]})
        for numbers in pairs.network_sets["network_nos"]
    ]
    return pl.DataFrame([pl.Series("network_names", names, pl.List(pl.String))])

"""Networks: the published table ``network_summaries`` (CONTRACT section 3), by the steps of ``summaries``.

A network is to its payer what a payer is to the market. So one payer's rates, repeated for each network that they
name, get the network's name as ``payer``, and go through representative rates, outliers, observations and percentiles.
"""

from datetime import date

import polars as pl

from schemas.published import NETWORK_SUMMARIES
from transforms.benchmark.summarize import (
    Comparison,
    Observed,
    compare_with_medicare,
    summarize_medicare,
    summarize_payers,
)

_UNUSED = ("service_codes", "modifiers", "reporting_entity_name", "parent_company", "taxonomy")


def rates_by_network(rates: pl.DataFrame) -> pl.DataFrame:
    """The eligible rows of one payer once for each network that they name; ``payer`` is the network's name."""
    named = rates.filter(pl.col("exclusion").is_null() & (pl.col("network_names").list.len() > 0))
    return named.drop("payer", *_UNUSED).explode("network_names").rename({"network_names": "payer"})


def summarize_networks(
    observed: Observed, payer: str, month: date, medicare: Comparison, *, with_nppes: bool
) -> pl.DataFrame:
    """``schemas.NETWORK_SUMMARIES`` of one payer, unsorted.

    Args:
        observed: of ``rates_by_network``.
        with_nppes: False: no state rows, tier ``all`` only.
    """
    summaries = summarize_payers(observed, {}, with_nppes=with_nppes, npi_only=True)
    benchmark = summarize_medicare(medicare.localities)
    return (
        compare_with_medicare(summaries, benchmark, month, medicare.year)
        .rename({"payer": "network_name"})
        .with_columns(payer=pl.lit(payer))
        .pipe(NETWORK_SUMMARIES.conform)
        .collect()
    )

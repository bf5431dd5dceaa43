"""Extracts of one payer into distinct (price, provider) pairs: who is paid which price, in which files.

Prices and providers are numbered first, in sorted order, so that the many pairs are pairs of integers.
Memory: the distinct prices and providers of one payer, and one range of NPIs' pairs at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from schemas.published import RATE_GRAIN

PROVIDER_KEY = ["npi", "tin", "tin_type"]
PRICE_KEY = [name for name in RATE_GRAIN if name not in PROVIDER_KEY]
RATE_KEY = ["source_no", "document", "rate_id"]
REFERENCE_KEY = ["source_no", "document", "reference_key"]
REFERENCE_GRAIN = [*REFERENCE_KEY, "ordinal"]


@dataclass(frozen=True)
class Extracts:
    """The extract tables of several sources, each with a ``source_no``; ``documents`` is what their headers say.

    documents: source_no, document, reporting_entity_name, last_updated_on.
    reference_groups: those of the files, and those fetched from remote locations.
    """

    documents: pl.LazyFrame
    prices: pl.LazyFrame
    citations: pl.LazyFrame
    inline_groups: pl.LazyFrame
    references: pl.LazyFrame
    reference_groups: pl.LazyFrame


@dataclass(frozen=True)
class Numbered:
    """One payer's extracts with small integers for what repeats.

    prices: price_no and PRICE_KEY, sorted.
    links: rate_no, price_no, source_no, last_updated_on: which prices a rates element states.
    inline: rate_no, tin_type, tin, npi (list).
    cited: rate_no, reference_no, network_no. references: reference_no, tin_type, tin, npi (list).
    unresolved: rate_no of the elements with a provider that can't be found.
    networks: network_no, network_names.
    """

    prices: pl.DataFrame
    links: pl.DataFrame
    inline: pl.DataFrame
    cited: pl.DataFrame
    references: pl.DataFrame
    unresolved: pl.DataFrame
    networks: pl.DataFrame


def number(extracts: Extracts) -> Numbered:
    """Resolve citations within each document and number prices, rates elements and references."""
    stated = extracts.prices.join(extracts.documents, on=["source_no", "document"]).collect()
    prices = stated.select(PRICE_KEY).unique().sort(PRICE_KEY).with_row_index("price_no")
    rates = stated.select(RATE_KEY).unique().sort(RATE_KEY).with_row_index("rate_no")
    links = (
        stated.join(prices, on=PRICE_KEY, nulls_equal=True)
        .join(rates, on=RATE_KEY)
        .select("rate_no", "price_no", "source_no", "last_updated_on")
        .unique()
    )
    groups = extracts.reference_groups.collect()
    references = groups.select(REFERENCE_GRAIN).unique().sort(REFERENCE_GRAIN).with_row_index("reference_no")
    named = extracts.references.select(*REFERENCE_GRAIN, "network_names").collect()
    networks = named.select("network_names").unique().sort("network_names").with_row_index("network_no")
    citations = extracts.citations.collect().join(rates, on=RATE_KEY)
    cited = (
        citations.join(references, on=REFERENCE_KEY)
        .join(named, on=REFERENCE_GRAIN, how="left")
        .join(networks, on="network_names", how="left")
        .select("rate_no", "reference_no", "network_no")
        .unique()
    )
    inline = extracts.inline_groups.collect().join(rates, on=RATE_KEY).select("rate_no", "tin_type", "tin", "npi")
    dangling = citations.join(references, on=REFERENCE_KEY, how="anti").select("rate_no")
    providerless = rates.join(citations, on=RATE_KEY, how="anti").join(inline, on="rate_no", how="anti")
    return Numbered(
        prices=prices,
        links=links,
        inline=inline,
        cited=cited,
        references=groups.join(references, on=REFERENCE_GRAIN).select("reference_no", "tin_type", "tin", "npi"),
        unresolved=pl.concat([dangling, providerless.select("rate_no")]).unique(),
        networks=networks,
    )


def npi_ranges(numbered: Numbered, pairs_each: int) -> list[tuple[int | None, int | None]]:
    """Half-open ranges of NPIs, in order, that hold about ``pairs_each`` pairs each; null NPIs are in the first."""
    total = pair_count(numbered)
    pieces = max(1, -(-total // pairs_each))
    if pieces == 1:
        return [(None, None)]
    npis = (
        pl.concat([numbered.inline.select("npi"), numbered.references.select("npi")])
        .explode("npi")
        .drop_nulls()
        .unique()
        .sort("npi")["npi"]
    )
    bounds = sorted({npis[len(npis) * piece // pieces] for piece in range(1, pieces)}) if len(npis) else []
    return list(zip([None, *bounds], [*bounds, None], strict=True))


def pair_count(numbered: Numbered) -> int:
    """How many (rates element's price, provider) pairs there are before duplicates go."""
    sizes = pl.concat(
        [
            numbered.inline.select("rate_no", n=pl.col("npi").list.len()),
            numbered.cited.join(
                numbered.references.group_by("reference_no").agg(n=pl.col("npi").list.len().sum()), on="reference_no"
            ).select("rate_no", "n"),
        ]
    )
    prices = numbered.links.group_by("rate_no").agg(prices=pl.len())
    joined = sizes.join(prices, on="rate_no").select((pl.col("n").cast(pl.Int64) * pl.col("prices")).sum())
    return int(joined.item() or 0)


def pair_up(numbered: Numbered, low: int | None, high: int | None) -> pl.DataFrame:
    """Distinct pairs of a range of NPIs, sorted by provider and price.

    Returns: npi, tin, tin_type, price_no, source_nos (list), network_nos (list), last_updated_on (the latest among
        the row's files), unresolved.
    """
    inline = _members(numbered.inline, low, high).with_columns(network_no=pl.lit(None, pl.UInt32))
    cited = numbered.cited.join(_members(numbered.references, low, high), on="reference_no").drop("reference_no")
    columns = ["rate_no", *PROVIDER_KEY, "network_no"]
    members = pl.concat([inline.select(columns), cited.select(columns)]).with_columns(unresolved=pl.lit(value=False))
    if low is None:
        members = pl.concat([members, _unresolved(numbered.unresolved, members.schema)])
    return (
        members.lazy()
        .join(numbered.links.lazy(), on="rate_no")
        .group_by(*PROVIDER_KEY, "price_no")
        .agg(
            pl.col("source_no").unique().sort().alias("source_nos"),
            pl.col("network_no").drop_nulls().unique().sort().alias("network_nos"),
            pl.col("last_updated_on").max(),
            pl.col("unresolved").any(),
        )
        .sort(*PROVIDER_KEY, "price_no")
        .collect()
    )


def _members(groups: pl.DataFrame, low: int | None, high: int | None) -> pl.DataFrame:
    exploded = groups.lazy().explode("npi")
    npi = pl.col("npi")
    if low is not None:
        exploded = exploded.filter(npi >= low)
    if high is not None:
        exploded = exploded.filter((npi < high) | npi.is_null() if low is None else npi < high)
    return exploded.unique().collect()


def _unresolved(rates: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    marked = rates.select("rate_no", unresolved=pl.lit(value=True))
    return marked.select(
        pl.col(name) if name in marked.columns else pl.lit(None).alias(name) for name in schema.names()
    ).cast(schema)


def iter_pairs(numbered: Numbered, pairs_each: int) -> Iterator[pl.DataFrame]:
    """``pair_up`` over all ranges, in provider order."""
    for low, high in npi_ranges(numbered, pairs_each):
        yield pair_up(numbered, low, high)

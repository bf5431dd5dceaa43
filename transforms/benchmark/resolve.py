"""Resolve: extracts of one payer to distinct pairs of a price and a provider (CONTRACT section 4, Resolve).

A price's providers are its inline provider groups and the provider references that it cites in the same document. The
steps are ``resolve_providers`` (joins citations to references, and numbers what repeats) and ``iter_pairs`` (the
distinct pairs, one range of NPIs at a time).

Prices, TINs and networks repeat in millions of pairs. Each distinct one therefore has a number, its place in the sorted
order, so that pairs are small integers whose order is the published order. Memory: the distinct prices and provider
groups of one payer, and the pairs of one range of NPIs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from schemas.published import RATE_GRAIN

TIN_KEY = ["tin", "tin_type"]
PROVIDER_KEY = ["npi", *TIN_KEY]
PRICE_KEY = [name for name in RATE_GRAIN if name not in PROVIDER_KEY]
RATE_KEY = ["source_no", "document", "rate_id"]
REFERENCE_KEY = ["source_no", "document", "reference_key"]
REFERENCE_GRAIN = [*REFERENCE_KEY, "ordinal"]
GROUP = ["name_no", "group_size"]  # of the provider group that states an NPI
PAIR_KEY = ["npi", "tin_no", "price_no"]


@dataclass(frozen=True)
class Extracts:
    """The extract tables of several sources (``schemas.extracted``), each with a ``source_no``.

    documents: source_no, document, reporting_entity_name, last_updated_on: the files' headers.
    reference_groups: groups of the files' own references, and those of remote locations.
    """

    documents: pl.LazyFrame
    prices: pl.LazyFrame
    citations: pl.LazyFrame
    inline_groups: pl.LazyFrame
    references: pl.LazyFrame
    reference_groups: pl.LazyFrame


@dataclass(frozen=True)
class Resolved:
    """One payer's prices and providers, numbered. A rate (``rate_no``) is one ``negotiated_rates`` element of a file.

    prices: price_no and PRICE_KEY, sorted. tins: tin_no and TIN_KEY, sorted. networks: network_no, network_names.
    names: name_no and business_name, sorted, without null and empty ones.
    rate_prices: rate_no, price_no, source_no, last_updated_on: the prices that each rate states.
    inline: rate_no, tin_no, npi, GROUP: the providers inside each rate.
    references: reference_no, tin_no, npi, GROUP: the providers of each reference.
    citations: rate_no, reference_no, network_no: the references that each rate cites.
    unresolved: rate_no of the rates that cite an unknown or empty reference, or have no provider.

    ``inline`` and ``references`` have a row for each NPI (null for a group without one), sorted by NPI, with the
    repetitions of the files.
    """

    prices: pl.DataFrame
    tins: pl.DataFrame
    networks: pl.DataFrame
    names: pl.DataFrame
    rate_prices: pl.DataFrame
    inline: pl.DataFrame
    references: pl.DataFrame
    citations: pl.DataFrame
    unresolved: pl.DataFrame


def count_stated_pairs(extracts: Extracts) -> int:
    """The number of (price, NPI) pairs that the extracts state, repetitions counted; before anything is resolved."""
    npis = pl.col("npi").list.len().cast(pl.Int64)
    of_reference = extracts.reference_groups.group_by(REFERENCE_KEY).agg(npis=npis.sum())
    of_rate = [
        extracts.inline_groups.select(*RATE_KEY, npis=npis),
        extracts.citations.join(of_reference, on=REFERENCE_KEY).select(*RATE_KEY, "npis"),
    ]
    prices = extracts.prices.group_by(RATE_KEY).agg(prices=pl.len())
    pairs = pl.concat(of_rate).join(prices, on=RATE_KEY).select((pl.col("npis") * pl.col("prices")).sum())
    return int(pairs.collect().item() or 0)


def resolve_providers(extracts: Extracts) -> Resolved:
    """Prices and providers of one payer, each citation joined to the references of its own document."""
    without_place = extracts.prices.select(pl.exclude("item_offset"))
    stated = without_place.join(extracts.documents, on=["source_no", "document"]).collect()
    prices = _numbered(stated, PRICE_KEY, "price_no")
    rates = _numbered(stated, RATE_KEY, "rate_no")
    inline = extracts.inline_groups.collect().join(rates, on=RATE_KEY)
    groups = extracts.reference_groups.collect()
    tins = _numbered(pl.concat([inline.select(TIN_KEY), groups.select(TIN_KEY), _null_tin()]), TIN_KEY, "tin_no")
    stated_names = pl.concat([inline.select("business_name"), groups.select("business_name")])
    names = _numbered(stated_names.filter(pl.col("business_name") != ""), ["business_name"], "name_no")
    references = _numbered(groups, REFERENCE_GRAIN, "reference_no")
    named = extracts.references.select(*REFERENCE_GRAIN, "network_names").collect()
    networks = _numbered(named, ["network_names"], "network_no")
    citations = extracts.citations.collect().join(rates, on=RATE_KEY)
    dangling = citations.join(references, on=REFERENCE_KEY, how="anti")
    without_provider = rates.join(citations, on=RATE_KEY, how="anti").join(inline, on="rate_no", how="anti")
    return Resolved(
        prices=prices,
        tins=tins,
        networks=networks,
        names=names,
        rate_prices=stated.join(prices, on=PRICE_KEY, nulls_equal=True)
        .join(rates, on=RATE_KEY)
        .select("rate_no", "price_no", "source_no", "last_updated_on")
        .unique(),
        inline=_one_row_per_npi(inline, tins, names, "rate_no"),
        references=_one_row_per_npi(groups.join(references, on=REFERENCE_GRAIN), tins, names, "reference_no"),
        citations=citations.join(references, on=REFERENCE_KEY)
        .join(named, on=REFERENCE_GRAIN, how="left")
        .join(networks, on="network_names", how="left")
        .select("rate_no", "reference_no", "network_no")
        .unique(),
        unresolved=pl.concat([dangling.select("rate_no"), without_provider.select("rate_no")]).unique(),
    )


def _one_row_per_npi(groups: pl.DataFrame, tins: pl.DataFrame, names: pl.DataFrame, owner: str) -> pl.DataFrame:
    """Provider groups as owner, tin_no, npi, GROUP; sorted by NPI, so that a range of NPIs is a slice."""
    numbered = groups.lazy().join(tins.lazy(), on=TIN_KEY, nulls_equal=True)
    named = numbered.join(names.lazy(), on="business_name", how="left")
    return named.select(owner, "tin_no", "npi", *GROUP).explode("npi").sort("npi").collect()


def _numbered(rows: pl.DataFrame, key: list[str], number_name: str) -> pl.DataFrame:
    """The distinct keys, sorted, with their number in that order."""
    return rows.select(key).unique().sort(key).with_row_index(number_name)


def _null_tin() -> pl.DataFrame:
    """The TIN of an unresolved provider."""
    return pl.DataFrame({name: [None] for name in TIN_KEY}, schema=dict.fromkeys(TIN_KEY, pl.String))


def iter_pairs(resolved: Resolved, pairs_each: int) -> Iterator[pl.DataFrame]:
    """The distinct pairs of each range of NPIs (``pairs_between``), in order of NPI."""
    for low, high in npi_ranges(resolved, pairs_each):
        yield pairs_between(resolved, low, high)


def npi_ranges(resolved: Resolved, pairs_each: int) -> list[tuple[int | None, int | None]]:
    """Half-open ranges of NPIs, in order, that hold about ``pairs_each`` pairs each; null NPIs are in the first."""
    ranges = max(1, -(-count_pairs(resolved) // pairs_each))
    if ranges == 1:
        return [(None, None)]
    npis = distinct_npis(resolved).collect()["npi"].sort()
    bounds = sorted({npis[len(npis) * number // ranges] for number in range(1, ranges)}) if len(npis) else []
    return list(zip([None, *bounds], [*bounds, None], strict=True))


def distinct_npis(resolved: Resolved) -> pl.LazyFrame:
    """Every NPI of one payer, unsorted, without null."""
    npis = pl.concat([resolved.inline.lazy().select("npi"), resolved.references.lazy().select("npi")])
    return npis.drop_nulls().unique()


def count_pairs(resolved: Resolved) -> int:
    """The number of (price of a rate, provider) pairs before duplicates are removed."""
    rows = pl.len().cast(pl.Int64)
    of_reference = resolved.references.group_by("reference_no").agg(providers=rows)
    providers = pl.concat(
        [
            resolved.inline.group_by("rate_no").agg(providers=rows),
            resolved.citations.join(of_reference, on="reference_no").select("rate_no", "providers"),
        ]
    )
    prices = resolved.rate_prices.group_by("rate_no").agg(prices=pl.len())
    pairs = providers.join(prices, on="rate_no").select((pl.col("providers") * pl.col("prices")).sum())
    return int(pairs.item() or 0)


def pairs_between(resolved: Resolved, low: int | None, high: int | None) -> pl.DataFrame:
    """The distinct pairs whose NPI is in ``low <= npi < high``; without ``low``, null NPIs too. Sorted by PAIR_KEY.

    Returns: PAIR_KEY, last_updated_on (the latest among the pair's files), unresolved, name_no (the lowest), group_size
        (the largest), source_nos and network_nos (sorted lists).
    """
    return (
        _statements(resolved, low, high)
        .group_by(PAIR_KEY)
        .agg(
            pl.col("last_updated_on").max(),
            pl.col("unresolved").any(),
            pl.col("name_no").min(),
            pl.col("group_size").max(),
            source_nos=pl.col("source_no").unique().sort(),
            network_nos=pl.col("network_no").drop_nulls().unique().sort(),
        )
        .sort(PAIR_KEY)
        .collect()
    )


def _statements(resolved: Resolved, low: int | None, high: int | None) -> pl.LazyFrame:
    """Every statement of a pair in a range: PAIR_KEY, GROUP, source_no, network_no, last_updated_on, unresolved."""
    inline = _npis_between(resolved.inline, low, high).with_columns(network_no=pl.lit(None, pl.UInt32))
    cited = resolved.citations.lazy().join(_npis_between(resolved.references, low, high), on="reference_no")
    columns = ["rate_no", "npi", "tin_no", *GROUP, "network_no"]
    providers = [frame.select(columns).with_columns(unresolved=pl.lit(value=False)) for frame in (inline, cited)]
    if low is None:
        providers.append(_null_providers(resolved))
    return pl.concat(providers).join(resolved.rate_prices.lazy(), on="rate_no").drop("rate_no")


def _npis_between(providers: pl.DataFrame, low: int | None, high: int | None) -> pl.LazyFrame:
    """The distinct rows of a range; nulls sort first and belong to the range without ``low``."""
    start = 0 if low is None else providers["npi"].search_sorted(low, side="left")
    end = providers.height if high is None else providers["npi"].search_sorted(high, side="left")
    return providers.slice(start, end - start).lazy().unique()


def _null_providers(resolved: Resolved) -> pl.LazyFrame:
    """One provider with null NPI and TIN for each rate with an unresolved provider."""
    null_tin = resolved.tins.filter(pl.all_horizontal(pl.col(TIN_KEY).is_null()))["tin_no"].item()
    return resolved.unresolved.lazy().select(
        "rate_no",
        npi=pl.lit(None, pl.Int64),
        tin_no=pl.lit(null_tin, pl.UInt32),
        name_no=pl.lit(None, pl.UInt32),
        group_size=pl.lit(None, pl.Int64),
        network_no=pl.lit(None, pl.UInt32),
        unresolved=pl.lit(value=True),
    )

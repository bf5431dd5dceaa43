"""Extracts of one payer into distinct (price, provider) pairs: who is paid which price, in which files.

What repeats is numbered first, in sorted order, so that the many pairs are pairs of small integers, and their order
is the published order. Memory: the distinct prices and provider groups of one payer, and one range of NPIs' pairs at
a time.
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
PAIR_KEY = ["npi", "tin_no", "price_no"]
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

    prices: price_no and PRICE_KEY, sorted. tins: tin_no and TIN_KEY, sorted. networks: network_no, network_names.
    links: rate_no, price_no, source_no, last_updated_on: which prices a rates element states.
    inline: rate_no, tin_no, npi. references: reference_no, tin_no, npi. Both with a row for each NPI (null: none),
        sorted by it, with what the files repeat.
    cited: rate_no, reference_no, network_no.
    unresolved: rate_no of the elements with a provider that can't be found.
    """

    prices: pl.DataFrame
    tins: pl.DataFrame
    networks: pl.DataFrame
    links: pl.DataFrame
    inline: pl.DataFrame
    references: pl.DataFrame
    cited: pl.DataFrame
    unresolved: pl.DataFrame


@dataclass(frozen=True)
class Pairs:
    """Distinct pairs of one range of NPIs, sorted by provider and price.

    rows: npi, tin_no, price_no, last_updated_on (the latest among the row's files), unresolved, source_set,
        network_set.
    source_sets: source_set -> source_nos (sorted list). network_sets: network_set -> network_nos (sorted list).
    """

    rows: pl.DataFrame
    source_sets: pl.DataFrame
    network_sets: pl.DataFrame


def number(extracts: Extracts) -> Numbered:
    """Resolve citations within each document and number prices, TINs, rates elements and references."""
    stated = extracts.prices.join(extracts.documents, on=["source_no", "document"]).collect()
    prices = _numbered(stated, PRICE_KEY, "price_no")
    rates = _numbered(stated, RATE_KEY, "rate_no")
    inline = extracts.inline_groups.collect().join(rates, on=RATE_KEY)
    groups = extracts.reference_groups.collect()
    tins = _numbered(pl.concat([inline.select(TIN_KEY), groups.select(TIN_KEY), _no_tin()]), TIN_KEY, "tin_no")
    references = _numbered(groups, REFERENCE_GRAIN, "reference_no")
    named = extracts.references.select(*REFERENCE_GRAIN, "network_names").collect()
    networks = _numbered(named, ["network_names"], "network_no")
    citations = extracts.citations.collect().join(rates, on=RATE_KEY)
    dangling = citations.join(references, on=REFERENCE_KEY, how="anti").select("rate_no")
    providerless = rates.join(citations, on=RATE_KEY, how="anti").join(inline, on="rate_no", how="anti")
    return Numbered(
        prices=prices,
        tins=tins,
        networks=networks,
        links=stated.join(prices, on=PRICE_KEY, nulls_equal=True)
        .join(rates, on=RATE_KEY)
        .select("rate_no", "price_no", "source_no", "last_updated_on")
        .unique(),
        inline=inline.lazy().join(tins.lazy(), on=TIN_KEY, nulls_equal=True).pipe(_one_row_each, "rate_no"),
        references=groups.lazy()
        .join(references.lazy(), on=REFERENCE_GRAIN)
        .join(tins.lazy(), on=TIN_KEY, nulls_equal=True)
        .pipe(_one_row_each, "reference_no"),
        cited=citations.join(references, on=REFERENCE_KEY)
        .join(named, on=REFERENCE_GRAIN, how="left")
        .join(networks, on="network_names", how="left")
        .select("rate_no", "reference_no", "network_no")
        .unique(),
        unresolved=pl.concat([dangling, providerless.select("rate_no")]).unique(),
    )


def _one_row_each(groups: pl.LazyFrame, owner: str) -> pl.DataFrame:
    """Groups with one row for each NPI, sorted by it: a range of NPIs is then a slice."""
    return groups.select(owner, "tin_no", "npi").explode("npi").sort("npi").collect()


def _numbered(rows: pl.DataFrame, key: list[str], number_name: str) -> pl.DataFrame:
    """The distinct keys, sorted, with their number in that order."""
    return rows.select(key).unique().sort(key).with_row_index(number_name)


def _no_tin() -> pl.DataFrame:
    """What an unresolved provider has; sorts first, so its number is 0."""
    return pl.DataFrame({name: [None] for name in TIN_KEY}, schema=dict.fromkeys(TIN_KEY, pl.String))


def npi_ranges(numbered: Numbered, pairs_each: int) -> list[tuple[int | None, int | None]]:
    """Half-open ranges of NPIs, in order, that hold about ``pairs_each`` pairs each; null NPIs are in the first."""
    pieces = max(1, -(-pair_count(numbered) // pairs_each))
    if pieces == 1:
        return [(None, None)]
    npis = distinct_npis(numbered).collect()["npi"].sort()
    bounds = sorted({npis[len(npis) * piece // pieces] for piece in range(1, pieces)}) if len(npis) else []
    return list(zip([None, *bounds], [*bounds, None], strict=True))


def distinct_npis(numbered: Numbered) -> pl.LazyFrame:
    """Every NPI of one payer, unsorted, without null."""
    npis = pl.concat([numbered.inline.lazy().select("npi"), numbered.references.lazy().select("npi")])
    return npis.drop_nulls().unique()


def pair_count(numbered: Numbered) -> int:
    """How many (rates element's price, provider) pairs there are before duplicates go."""
    rows = pl.len().cast(pl.Int64)
    of_reference = numbered.references.group_by("reference_no").agg(n=rows)
    sizes = pl.concat(
        [
            numbered.inline.group_by("rate_no").agg(n=rows),
            numbered.cited.join(of_reference, on="reference_no").select("rate_no", "n"),
        ]
    )
    prices = numbered.links.group_by("rate_no").agg(prices=pl.len())
    return int(sizes.join(prices, on="rate_no").select((pl.col("n") * pl.col("prices")).sum()).item() or 0)


def iter_pairs(numbered: Numbered, pairs_each: int) -> Iterator[Pairs]:
    """``pair_up`` over all ranges, in provider order."""
    for low, high in npi_ranges(numbered, pairs_each):
        yield pair_up(numbered, low, high)


def pair_up(numbered: Numbered, low: int | None, high: int | None) -> Pairs:
    """The distinct pairs whose NPI is in ``low <= npi < high``; without ``low``, null NPIs too."""
    stated = _stated(numbered, low, high)
    rows = (
        stated.lazy()
        .group_by(PAIR_KEY)
        .agg(
            pl.col("last_updated_on").max(),
            pl.col("unresolved").any(),
            *(pl.col(name).min().alias(f"first_{name}") for name in _SETS),
            *(pl.col(name).max().alias(f"last_{name}") for name in _SETS),
        )
        .sort(PAIR_KEY)
        .collect()
    )
    with_sources, source_sets = _number_sets(rows, stated, "source_no", "source_set")
    with_both, network_sets = _number_sets(with_sources, stated, "network_no", "network_set")
    columns = [*PAIR_KEY, "last_updated_on", "unresolved", "source_set", "network_set"]
    return Pairs(with_both.select(columns), source_sets, network_sets)


_SETS = ("source_no", "network_no")


def _stated(numbered: Numbered, low: int | None, high: int | None) -> pl.DataFrame:
    """Every statement of a pair in a range: PAIR_KEY, source_no, network_no, last_updated_on, unresolved."""
    inline = _members(numbered.inline, low, high).with_columns(network_no=pl.lit(None, pl.UInt32))
    cited = numbered.cited.lazy().join(_members(numbered.references, low, high), on="reference_no")
    columns = ["rate_no", "npi", "tin_no", "network_no"]
    members = [inline.select(columns).with_columns(unresolved=pl.lit(value=False))]
    members.append(cited.select(columns).with_columns(unresolved=pl.lit(value=False)))
    if low is None:
        members.append(_nobody(numbered))
    return pl.concat(members).join(numbered.links.lazy(), on="rate_no").drop("rate_no").collect()


def _members(members: pl.DataFrame, low: int | None, high: int | None) -> pl.LazyFrame:
    """Those of a range, once each; null comes first, and belongs to the range without ``low``."""
    start = 0 if low is None else members["npi"].search_sorted(low, side="left")
    end = members.height if high is None else members["npi"].search_sorted(high, side="left")
    return members.slice(start, end - start).lazy().unique()


def _nobody(numbered: Numbered) -> pl.LazyFrame:
    """The row with null provider that a price with an unresolved one gets."""
    no_tin = numbered.tins.filter(pl.all_horizontal(pl.col(TIN_KEY).is_null()))["tin_no"].item()
    return numbered.unresolved.lazy().select(
        "rate_no",
        npi=pl.lit(None, pl.Int64),
        tin_no=pl.lit(no_tin, pl.UInt32),
        network_no=pl.lit(None, pl.UInt32),
        unresolved=pl.lit(value=True),
    )


def _number_sets(
    rows: pl.DataFrame, stated: pl.DataFrame, name: str, set_name: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Which distinct set of sources, or networks, each row has. Nearly all have one member: only the rest is listed.

    Returns: rows with ``set_name``; and the sets, ``set_name`` and ``{name}s`` (sorted list).
    """
    first, last, listed = f"first_{name}", f"last_{name}", f"{name}s"
    alone = rows.select(first).unique().with_columns(_list_of_one(first).alias(listed))
    several = rows.filter(pl.col(first) != pl.col(last)).select(PAIR_KEY)
    together = (
        stated.lazy()
        .join(several.lazy(), on=PAIR_KEY, how="semi", nulls_equal=True)
        .group_by(PAIR_KEY)
        .agg(pl.col(name).drop_nulls().unique().sort().alias(listed))
        .collect()
    )
    sets = _numbered(pl.concat([alone.select(listed), together.select(listed)]), [listed], set_name)
    set_alone = alone.join(sets, on=listed).select(first, set_name)
    set_together = together.join(sets, on=listed).select(*PAIR_KEY, together=set_name)
    found = rows.join(set_alone, on=first, how="left", nulls_equal=True, maintain_order="left")
    if several.is_empty():
        return found, sets
    both = found.join(set_together, on=PAIR_KEY, how="left", nulls_equal=True, maintain_order="left")
    return both.with_columns(pl.coalesce("together", set_name).alias(set_name)).drop("together"), sets


def _list_of_one(name: str) -> pl.Expr:
    """``[value]``, and ``[]`` for null."""
    return pl.concat_list(name).list.drop_nulls()

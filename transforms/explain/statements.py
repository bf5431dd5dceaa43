"""Rate rows to the items and provider references of one extract that state them, with their byte offsets."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from transforms.benchmark.resolve import PRICE_KEY, PROVIDER_KEY

STATED = [name for name in PRICE_KEY if name != "reporting_entity_name"]
FOUND = ["row", "document", "item_offset", "reference_offset", "location", "sha256"]
_RATE = ["document", "rate_id"]
_REFERENCE = ["document", "ordinal"]
_PLACE = ["reference_offset", "location", "sha256"]
_INLINE = {"reference_offset": pl.Int64, "location": pl.String, "sha256": pl.String}


@dataclass(frozen=True)
class ExtractTables:
    """The tables of one source's extract (``schemas.extracted``).

    documents: document, entity (the header's name; null: none is stated).
    """

    documents: pl.DataFrame
    prices: pl.LazyFrame
    citations: pl.LazyFrame
    inline_groups: pl.LazyFrame
    references: pl.LazyFrame
    reference_groups: pl.LazyFrame


def find_statements(
    rows: pl.DataFrame, extract: ExtractTables, fetched: pl.DataFrame, remote_groups: Sequence[pl.LazyFrame] = ()
) -> pl.DataFrame:
    """Where a source states rate rows: ``FOUND``, sorted; a reference_offset of null: inline, or no such reference.

    A row without a provider stands where a price has none, or cites a reference without any.

    Memory: the statements of these rows' prices and providers in the source.

    Args:
        rows: ``row`` and the columns of ``schemas.RATES``.
        fetched: document, ordinal, sha256 of the remote references that were fetched.
        remote_groups: their groups, as REFERENCE_GROUPS.
    """
    prices, providers = rows.select(STATED).unique(), rows.select(PROVIDER_KEY).unique()
    prices, providers = prices.with_row_index("price_no"), providers.with_row_index("provider_no")
    stated = (
        extract.prices.filter(pl.col("billing_code").is_in(rows["billing_code"].unique().implode()))
        .join(prices.lazy(), on=STATED, nulls_equal=True)
        .select(*_RATE, "item_offset", "price_no")
        .join(extract.documents.lazy(), on="document")
    )
    groups = pl.concat([extract.reference_groups, *remote_groups])
    references = _references(extract, fetched)
    named = [_inline(extract, providers), _cited(extract, providers, groups, references)]
    if unresolved := providers.filter(pl.all_horizontal(pl.col(PROVIDER_KEY).is_null()))["provider_no"].to_list():
        named.append(_unresolved(extract, stated, groups, references).with_columns(provider_no=pl.lit(unresolved[0])))
    by_provider = pl.concat([each.select(*_RATE, pl.col("provider_no").cast(pl.UInt32), *_PLACE) for each in named])
    numbered = (
        rows.select("row", *PRICE_KEY, *PROVIDER_KEY)
        .join(prices, on=STATED, nulls_equal=True)
        .join(providers, on=PROVIDER_KEY, nulls_equal=True)
        .select("row", "price_no", "provider_no", "reporting_entity_name")
    )
    of_entity = pl.col("entity").is_null() | (pl.col("entity") == pl.col("reporting_entity_name"))
    found = stated.join(by_provider, on=_RATE).join(numbered.lazy(), on=["price_no", "provider_no"]).filter(of_entity)
    return found.select(FOUND).unique().sort(FOUND).collect()


def _inline(extract: ExtractTables, providers: pl.DataFrame) -> pl.LazyFrame:
    """The providers inside rates."""
    groups = extract.inline_groups.select(*_RATE, *PROVIDER_KEY)
    return _without_place(_numbered(groups, providers))


def _without_place(rates: pl.LazyFrame) -> pl.LazyFrame:
    return rates.with_columns(pl.lit(None, kind).alias(name) for name, kind in _INLINE.items())


def _references(extract: ExtractTables, fetched: pl.DataFrame) -> pl.LazyFrame:
    """Each reference with its place; with a location where it holds no groups itself."""
    remote = pl.when(pl.col("n_groups") == 0).then("location").alias("location")
    references = extract.references.select(*_REFERENCE, "reference_key", "reference_offset", remote)
    return references.join(fetched.lazy().select(*_REFERENCE, "sha256"), on=_REFERENCE, how="left")


def _cited(
    extract: ExtractTables, providers: pl.DataFrame, groups: pl.LazyFrame, references: pl.LazyFrame
) -> pl.LazyFrame:
    """The providers of the references that rates cite."""
    named = _numbered(groups.select(*_REFERENCE, *PROVIDER_KEY), providers).select(*_REFERENCE, "provider_no").unique()
    cited = extract.citations.join(references, on=["document", "reference_key"])
    return cited.join(named, on=_REFERENCE)


def _unresolved(
    extract: ExtractTables, stated: pl.LazyFrame, groups: pl.LazyFrame, references: pl.LazyFrame
) -> pl.LazyFrame:
    """The rates that cite an unknown or empty reference, with its place, or have no provider at all."""
    key = ["document", "reference_key"]
    dangling = extract.citations.join(groups.select(key).unique(), on=key, how="anti").join(
        references.drop("ordinal"), on=key, how="left"
    )
    rates = stated.select(_RATE).unique()
    without = rates.join(extract.citations, on=_RATE, how="anti").join(extract.inline_groups, on=_RATE, how="anti")
    return pl.concat([dangling.select(*_RATE, *_PLACE), _without_place(without)])


def _numbered(groups: pl.LazyFrame, providers: pl.DataFrame) -> pl.LazyFrame:
    """The groups that name one of the providers, by provider_no."""
    npis = providers["npi"].unique()
    wanted = pl.element().is_in(npis.implode(), nulls_equal=True)
    with_any = pl.col("npi").list.eval(wanted).list.any().fill_null(npis.has_nulls())
    return groups.filter(with_any).explode("npi").join(providers.lazy(), on=PROVIDER_KEY, nulls_equal=True)

"""Rate rows to the items and provider references of one extract that state them, with their byte offsets."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from transforms.benchmark.resolve import PRICE_KEY, PROVIDER_KEY

STATED = [name for name in PRICE_KEY if name != "reporting_entity_name"]
_RATE = ["document", "rate_id"]
_REFERENCE = ["document", "ordinal"]


@dataclass(frozen=True)
class ExtractTables:
    """The tables of one source's extract (``schemas.extracted``).

    documents: document, entity (the header's name; null: none is stated). remote_groups: as REFERENCE_GROUPS, of remote
    provider references that are in the cache.
    """

    documents: pl.DataFrame
    prices: pl.LazyFrame
    citations: pl.LazyFrame
    inline_groups: pl.LazyFrame
    references: pl.LazyFrame
    reference_groups: pl.LazyFrame
    remote_groups: Sequence[pl.LazyFrame] = ()


def find_statements(rows: pl.DataFrame, extract: ExtractTables) -> pl.DataFrame:
    """Where a source states rate rows: row, document, item_offset, reference_offset (null: inline), location; sorted.

    Memory: the statements of these rows' prices and providers in the source.

    Args: rows: ``row`` and the columns of ``schemas.RATES``.
    """
    prices, providers = rows.select(STATED).unique(), rows.select(PROVIDER_KEY).unique()
    prices, providers = prices.with_row_index("price_no"), providers.with_row_index("provider_no")
    stated = (
        extract.prices.filter(pl.col("billing_code").is_in(rows["billing_code"].unique().implode()))
        .join(prices.lazy(), on=STATED, nulls_equal=True)
        .select(*_RATE, "item_offset", "price_no")
        .join(extract.documents.lazy(), on="document")
    )
    named = pl.concat([_inline(extract, providers), _cited(extract, providers)])
    numbered = (
        rows.select("row", *PRICE_KEY, *PROVIDER_KEY)
        .join(prices, on=STATED, nulls_equal=True)
        .join(providers, on=PROVIDER_KEY, nulls_equal=True)
        .select("row", "price_no", "provider_no", "reporting_entity_name")
    )
    of_entity = pl.col("entity").is_null() | (pl.col("entity") == pl.col("reporting_entity_name"))
    found = stated.join(named, on=_RATE).join(numbered.lazy(), on=["price_no", "provider_no"]).filter(of_entity)
    columns = ("row", "document", "item_offset", "reference_offset", "location")
    return found.select(columns).unique().sort(columns).collect()


def _inline(extract: ExtractTables, providers: pl.DataFrame) -> pl.LazyFrame:
    """The providers inside rates: document, rate_id, provider_no, reference_offset, location."""
    groups = extract.inline_groups.select(*_RATE, *PROVIDER_KEY)
    return _numbered(groups, providers).select(
        *_RATE,
        "provider_no",
        reference_offset=pl.lit(None, pl.Int64),
        location=pl.lit(None, pl.String),
    )


def _cited(extract: ExtractTables, providers: pl.DataFrame) -> pl.LazyFrame:
    groups = [each.select(*_REFERENCE, *PROVIDER_KEY) for each in (extract.reference_groups, *extract.remote_groups)]
    named = _numbered(pl.concat(groups), providers).select(*_REFERENCE, "provider_no").unique()
    references = extract.references.select(*_REFERENCE, "reference_key", "reference_offset", "location")
    cited = extract.citations.join(references, on=["document", "reference_key"])
    return cited.join(named, on=_REFERENCE).select(*_RATE, "provider_no", "reference_offset", "location")


def _numbered(groups: pl.LazyFrame, providers: pl.DataFrame) -> pl.LazyFrame:
    npis = providers["npi"].unique().implode()
    with_any = pl.col("npi").list.eval(pl.element().is_in(npis)).list.any()
    return (
        groups.filter(with_any.fill_null(value=False))
        .explode("npi")
        .join(providers.lazy(), on=PROVIDER_KEY, nulls_equal=True)
    )

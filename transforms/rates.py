"""One payer's pairs into published rate rows: attributes joined, every rule applied, sources named."""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from schemas.published import RATES
from transforms.exclude import exclusion
from transforms.resolve import Numbered


@dataclass(frozen=True)
class Payer:
    """Whose rows these are; ``mapping`` has reporting_entity_name, parent_company, payer_mapped."""

    name: str
    mapping: pl.DataFrame


@dataclass(frozen=True)
class Places:
    """What NPPES knows of some NPIs.

    providers: npi, state, country, deactivated.
    tiers: npi, billing_code, taxonomy, taxonomy_tier.
    """

    providers: pl.DataFrame
    tiers: pl.DataFrame


def describe_rates(
    pairs: pl.DataFrame, numbered: Numbered, payer: Payer, source_ids: pl.Series, places: Places | None
) -> pl.DataFrame:
    """``schemas.RATES`` rows in the order of ``pairs``.

    Args:
        pairs: of ``transforms.resolve.pair_up``.
        source_ids: source_no -> source_id.
        places: None without an NPPES reference: state and tier stay null, its rules do not apply.
    """
    rows = (
        pairs.lazy()
        .join(numbered.prices.lazy(), on="price_no", how="left", maintain_order="left")
        .join(payer.mapping.lazy(), on="reporting_entity_name", how="left", nulls_equal=True, maintain_order="left")
        .pipe(_name_lists, pairs, "source_nos", "source_ids", source_ids.implode())
        .pipe(_name_lists, pairs, "network_nos", "network_names", numbered.networks["network_names"].implode())
        .with_columns(payer=pl.lit(payer.name), n_files=pl.col("source_ids").list.len().cast(pl.Int64))
    )
    if places is None:
        absent = ("state", "taxonomy", "taxonomy_tier")
        rows = rows.with_columns(pl.lit(None, pl.String).alias(name) for name in absent)
    else:
        known = places.providers.lazy().with_columns(nppes_known=pl.lit(value=True))
        rows = (
            rows.join(known, on="npi", how="left", maintain_order="left")
            .with_columns(pl.col("nppes_known").fill_null(value=False))
            .join(places.tiers.lazy(), on=["npi", "billing_code"], how="left", maintain_order="left")
        )
    return rows.with_columns(exclusion=exclusion(with_nppes=places is not None)).pipe(RATES.conform).collect()


def _name_lists(rows: pl.LazyFrame, pairs: pl.DataFrame, numbers: str, names: str, lookup: pl.Series) -> pl.LazyFrame:
    """Lists of numbers to sorted lists of what they stand for; few distinct lists stand for many rows."""
    values: list[object] = lookup.to_list()[0]
    distinct = pairs.select(numbers).unique()
    named = distinct.with_columns(
        pl.Series(names, [_names(values, combination) for combination in distinct[numbers]], pl.List(pl.String))
    )
    return rows.join(named.lazy(), on=numbers, how="left", maintain_order="left")


def _names(values: list[object], numbers: Iterable[int]) -> list[str]:
    """A number stands for one name or for a list of them."""
    found: set[str] = set()
    for no in numbers:
        value = values[no]
        found.update([value] if isinstance(value, str) else value)  # type: ignore[arg-type]
    return sorted(found)

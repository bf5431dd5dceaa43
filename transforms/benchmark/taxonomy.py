"""Taxonomy tier: the best tier among an NPI's taxonomies, and the taxonomy that has it (CONTRACT 4, Taxonomy tier)."""

from collections.abc import Iterable, Sequence

import polars as pl

from schemas.reference import THERAPY_TAXONOMIES, load_reference

ULTRAVIOLET = "97028"  # the one code for which dermatology is plausible (`balanced_97028_only`)
TIER_RANKS = {"strict": 0, "balanced": 1, "other": 2}  # best first


def therapy_taxonomies() -> pl.DataFrame:
    """``schemas.reference.THERAPY_TAXONOMIES`` as packaged."""
    return load_reference(THERAPY_TAXONOMIES)


def assign_tiers(nppes: pl.LazyFrame, billing_codes: Sequence[str], table: pl.DataFrame | None = None) -> pl.LazyFrame:
    """Per (npi, billing_code): taxonomy and taxonomy_tier ``strict``, ``balanced`` or ``other``; unsorted.

    Of several taxonomies in the best tier, the smallest code stands. An NPI without taxonomies is ``other`` with null
    taxonomy.
    Python matches only the distinct taxonomy codes (about 900 in NPPES); the rest is one join and one group-by over
    NPI x taxonomy. ``nppes`` is read twice: filter it to the wanted NPIs first.

    Args:
        nppes: columns ``npi`` (unique) and ``taxonomies``.
        billing_codes: the tier can differ by code.
        table: ``schemas.reference.THERAPY_TAXONOMIES``; the packaged one unless given.
    """
    codes = sorted(set(billing_codes))
    exploded = nppes.select("npi", pl.col("taxonomies").alias("taxonomy")).explode("taxonomy", empty_as_null=True)
    distinct = exploded.select(pl.col("taxonomy").drop_nulls().unique()).collect().to_series()
    tiers = {str(rank): tier for tier, rank in TIER_RANKS.items()}
    return (
        exploded.join(rank_taxonomies(distinct, codes, table).lazy(), on="taxonomy", how="left")
        .group_by("npi")
        .agg(pl.col(codes).min())
        .unpivot(codes, index="npi", variable_name="billing_code", value_name="best")
        .select(
            "npi",
            "billing_code",
            pl.col("best").str.slice(1).alias("taxonomy"),
            pl.col("best")
            .str.slice(0, 1)
            .fill_null(str(TIER_RANKS["other"]))
            .replace_strict(tiers, return_dtype=pl.String)
            .alias("taxonomy_tier"),
        )
    )


def rank_taxonomies(
    taxonomies: Iterable[str], billing_codes: Sequence[str], table: pl.DataFrame | None = None
) -> pl.DataFrame:
    """One row per taxonomy, one column per billing code: the tier's rank followed by the taxonomy, as one text.

    ``"0225100000X"`` means tier ``strict`` (rank 0) by taxonomy 225100000X. The minimum of an NPI's texts is its best
    tier, and within it the smallest code.
    """
    entries = _entries(therapy_taxonomies() if table is None else table)
    rows = [
        (taxonomy, *(f"{TIER_RANKS[_tier_for(code, tier)]}{taxonomy}" for code in billing_codes))
        for taxonomy in sorted(set(taxonomies))
        for tier in [_longest_match(taxonomy, entries)]
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(("taxonomy", *billing_codes), pl.String), orient="row")


def _entries(table: pl.DataFrame) -> dict[str, str]:
    return dict(table.select("code", "tier").iter_rows())


def _longest_match(taxonomy: str, entries: dict[str, str]) -> str:
    """The tier of the most specific entry: the code itself, else its longest listed prefix, else ``other``."""
    prefixes = (f"{taxonomy[:length]}*" for length in range(len(taxonomy), 0, -1))
    return next((entries[entry] for entry in (taxonomy, *prefixes) if entry in entries), "other")


def _tier_for(billing_code: str, tier: str) -> str:
    if tier == "balanced_97028_only":
        return "balanced" if billing_code == ULTRAVIOLET else "other"
    return tier

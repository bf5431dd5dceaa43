"""How plausibly a provider performs the service: the best tier among its taxonomies, and the code that gave it."""

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

    Within a tier the smallest code stands. An NPI without taxonomies is ``other`` with null taxonomy.
    Only the distinct taxonomy codes (about 900 in NPPES) are matched in Python; the rest is one join and one group-by
    over NPI x taxonomy. ``nppes`` is read twice: filter it to the NPIs wanted before.

    Args:
        nppes: columns ``npi`` (unique) and ``taxonomies``.
        billing_codes: codes to tell tiers for.
        table: ``schemas.reference.THERAPY_TAXONOMIES``; the packaged one unless given.
    """
    codes = sorted(set(billing_codes))
    held = nppes.select("npi", pl.col("taxonomies").alias("taxonomy")).explode("taxonomy", empty_as_null=True)
    distinct = held.select(pl.col("taxonomy").drop_nulls().unique()).collect().to_series()
    tiers = {str(rank): tier for tier, rank in TIER_RANKS.items()}
    return (
        held.join(rank_taxonomies(distinct, codes, table).lazy(), on="taxonomy", how="left")
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
    """One row per taxonomy; per billing code a column of that name: the tier's rank and the taxonomy as one text.

    ``"0225100000X"`` is strict by 225100000X: the minimum of such texts is the best tier, then the smallest code.
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
    """The tier of the entry that says most about the code: itself, else its longest listed prefix, else ``other``."""
    prefixes = (f"{taxonomy[:length]}*" for length in range(len(taxonomy), 0, -1))
    return next((entries[entry] for entry in (taxonomy, *prefixes) if entry in entries), "other")


def _tier_for(billing_code: str, tier: str) -> str:
    if tier == "balanced_97028_only":
        return "balanced" if billing_code == ULTRAVIOLET else "other"
    return tier

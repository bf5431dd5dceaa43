"""How plausibly a provider performs the service: the best tier among its taxonomies, and the code that gave it."""

from collections.abc import Iterable, Sequence

import polars as pl

from schemas.reference import THERAPY_TAXONOMIES, load_reference

ULTRAVIOLET = "97028"  # the one code for which dermatology is plausible (`balanced_97028_only`)
TIER_RANKS = {"strict": 0, "balanced": 1, "other": 2}  # best first

_RANKED = pl.Schema({"taxonomy": pl.String(), "billing_code": pl.String(), "rank": pl.Int8()})


def assign_tiers(nppes: pl.LazyFrame, billing_codes: Sequence[str], table: pl.DataFrame | None = None) -> pl.LazyFrame:
    """Per (npi, billing_code): taxonomy and taxonomy_tier ``strict``, ``balanced`` or ``other``; unsorted.

    Within a tier the smallest code stands. An NPI without taxonomies is ``other`` with null taxonomy.
    Only the distinct taxonomy codes (about 900 in NPPES) are matched in Python; the rest are joins over
    NPI x taxonomy x billing code, so filter ``nppes`` to the NPIs wanted before.

    Args:
        nppes: columns ``npi`` (unique) and ``taxonomies``.
        billing_codes: codes to tell tiers for.
        table: ``schemas.reference.THERAPY_TAXONOMIES``; the packaged one unless given.
    """
    held = nppes.select("npi", pl.col("taxonomies").alias("taxonomy")).explode("taxonomy", empty_as_null=True)
    distinct = held.select(pl.col("taxonomy").drop_nulls().unique()).collect().to_series()
    ranked = rank_taxonomies(distinct, billing_codes, table).lazy()
    billing = pl.LazyFrame({"billing_code": list(billing_codes)}, schema={"billing_code": pl.String()})
    worst = TIER_RANKS["other"]
    # rank and code as one text: its minimum is the best tier, then the smallest code
    best = pl.concat_str(pl.col("rank").cast(pl.String), pl.col("taxonomy")).min()
    return (
        held.join(billing, how="cross")
        .join(ranked, on=["taxonomy", "billing_code"], how="left")
        .group_by("npi", "billing_code")
        .agg(best.alias("best"))
        .select(
            "npi",
            "billing_code",
            pl.col("best").str.slice(1).alias("taxonomy"),
            pl.col("best")
            .str.slice(0, 1)
            .fill_null(str(worst))
            .replace_strict({str(rank): tier for tier, rank in TIER_RANKS.items()}, return_dtype=pl.String)
            .alias("taxonomy_tier"),
        )
    )


def rank_taxonomies(
    taxonomies: Iterable[str], billing_codes: Iterable[str], table: pl.DataFrame | None = None
) -> pl.DataFrame:
    """One row per taxonomy x billing_code with its rank (0 strict, 1 balanced, 2 other)."""
    entries = _entries(load_reference(THERAPY_TAXONOMIES) if table is None else table)
    codes = list(billing_codes)
    rows = [
        (taxonomy, code, TIER_RANKS[_tier_for(code, tier)])
        for taxonomy in sorted(set(taxonomies))
        for tier in [_longest_match(taxonomy, entries)]
        for code in codes
    ]
    return pl.DataFrame(rows, schema=_RANKED, orient="row")


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

"""The plain reading of taxonomies: the best tier among those of a provider (CONTRACT section 4, Taxonomy tier)."""

import csv
from collections.abc import Collection
from functools import cache
from pathlib import Path

TABLE = Path(__file__).parents[1] / "schemas" / "reference" / "therapy_taxonomies.csv"


@cache
def _table() -> dict[str, str]:
    with TABLE.open(encoding="utf-8", newline="") as lines:
        return {row["code"]: row["tier"] for row in csv.DictReader(lines)}


def plain_tier(taxonomies: Collection[str], code: str) -> str:
    """``strict``, ``balanced`` or ``other``, for one billing code."""
    tiers = {_tier(taxonomy, code) for taxonomy in taxonomies}
    return "strict" if "strict" in tiers else "balanced" if "balanced" in tiers else "other"


def _tier(taxonomy: str, code: str) -> str:
    """By the code itself, else its longest prefix in the table."""
    prefixes = (f"{taxonomy[:length]}*" for length in range(len(taxonomy) + 1))
    entries = [entry for entry in (*prefixes, taxonomy) if entry in _table()]
    tier = _table()[entries[-1]] if entries else "other"
    if tier == "balanced_97028_only":
        return "balanced" if code == "97028" else "other"
    return tier

"""Published tables made to order: the example market of a known answer, hostile names, many payers and months."""

import json
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import polars as pl

from schemas.codes import BUCA, COMPOSITE_ALL, COMPOSITE_BUCA, GEOGRAPHIES, MEDICARE
from schemas.published import FILE_EXCLUSIONS, FILES, PROVIDERS, SUMMARIES, UNMAPPED

MONTH = date(2025, 6, 1)
KINDS = {COMPOSITE_BUCA: "composite", COMPOSITE_ALL: "composite", MEDICARE: "benchmark"}
HOSTILE = (
    "<script>alert(1)</script>",
    '"onmouseover="alert(2)" x="',
    "</script><img src=x onerror=alert(3)>",
    "evil \u202egnp.exe\u2066 \u200f",
    "'; --\n=cmd|' /C calc'!A0",
    "=HYPERLINK(1)",
    "\u05d1\u05d9\u05d8\u05d5\u05d7 100",
    "{{ 7 * 7 }} &amp; {% raw %}",
    "..",
    "Con",
    "Acme Inc.",
    "Foo Bar",
    "foo bar",
    "Prairie \U0001f600 Health",
    "A" * 300,
    "\u200b",
)


def summary(
    payer: str, geography: str = "US", figures: tuple[float, float, float, float] = (7.0, 6.0, 7.0, 8.0), **more: Any
) -> dict[str, Any]:
    """One row of summaries from its mean, P25, P50 and P75."""
    mean, p25, p50, p75 = figures
    kind = KINDS.get(payer, "payer")
    benchmark = kind == "benchmark"
    row = {
        "month": MONTH,
        "billing_code": "97026",
        "billing_class": "professional",
        "payer": payer,
        "payer_kind": kind,
        "geography": geography,
        "taxonomy_tier": "all" if benchmark else "balanced",
        "weighting": "locality" if benchmark else "npi",
        "n_npi": None if benchmark else 40,
        "n_tin": None if benchmark else 9,
        "n_rates": 109 if benchmark else 60,
        "n_files": None if benchmark else 2,
        "mean_usd": mean,
        "min_usd": p25,
        "p10_usd": p25,
        "p25_usd": p25,
        "p50_usd": p50,
        "p75_usd": p75,
        "p90_usd": p75,
        "max_usd": p75,
        "iqr_usd": p75 - p25,
        "pct_of_medicare": 100 * p50 / 6.92,
        "low_sample": False,
        "medicare_year": 2025,
        "methodology": "2",
    }
    return row | more


def published_example() -> list[dict[str, Any]]:
    """The example whose answers are known: national means, pooled mean, dispersions; Alaska."""
    national = (
        ("Blue Cross Blue Shield", (12.48, 9.50, 12.0, 14.00)),
        ("UnitedHealth Group", (9.10, 6.50, 9.0, 12.00)),
        ("Aetna", (7.90, 7.00, 8.0, 9.00)),
        ("Cigna", (7.40, 7.00, 7.5, 8.00)),
        (COMPOSITE_BUCA, (8.87, 7.00, 8.5, 10.00)),
        (MEDICARE, (6.98, 6.52, 6.92, 7.28)),
    )
    alaska = (
        ("Blue Cross Blue Shield", (18.56, 11.17, 18.0, 23.67)),
        ("UnitedHealth Group", (16.0, 16.0, 16.0, 16.0)),
        (MEDICARE, (8.0, 8.0, 8.0, 8.0)),
    )
    rows = [summary(payer, "US", figures) for payer, figures in national]
    return rows + [summary(payer, "AK", figures) for payer, figures in alaska]


def large_market(payers: Sequence[str], months: int, seed: int = 1) -> list[dict[str, Any]]:
    """Every code, geography, payer, tier and weighting, for so many months up to `MONTH`."""
    random = Random(seed)
    named = [*payers, COMPOSITE_BUCA, COMPOSITE_ALL]
    cells = list(product(("professional", "institutional"), ("strict", "balanced", "all"), ("npi", "tin")))
    rows = []
    for back in range(months):
        number = MONTH.year * 12 + MONTH.month - 1 - back
        month = date(number // 12, number % 12 + 1, 1)
        for code, geography in product(("97026", "97028"), ("US", *GEOGRAPHIES)):
            common = {"month": month, "billing_code": code}
            for payer in named:
                for billing_class, tier, weighting in cells:
                    low = round(random.uniform(4, 9), 4)
                    figures = (low + 1.234, low, low + 1, low + random.choice((0, 1.5, 3)))
                    own = {"billing_class": billing_class, "taxonomy_tier": tier, "weighting": weighting}
                    small = {"low_sample": random.random() < 0.2}
                    rows.append(summary(payer, geography, figures, **common, **own, **small))
            rows.append(summary(MEDICARE, geography, (7.1, 6.5, 6.9, 7.3), **common))
    return rows


def twelve_payers() -> list[str]:
    """The four large ones and eight others."""
    return [*BUCA, *(f"Regional Plan {number}" for number in range(1, 9))]


def write_output(root: Path, rows: Iterable[dict[str, Any]], **entry: Any) -> Path:
    """An output folder as a run leaves it, of these summaries; the quality tables hold one matched file."""
    frame = pl.DataFrame(list(rows), schema=SUMMARIES.polars, orient="row")
    months = {}
    for (month,), part in frame.partition_by("month", as_dict=True).items():
        name = f"period={month:%Y-%m}"
        _write(root / "summaries" / name / "summaries.parquet", part)
        _write(root / "providers" / name / "providers.parquet", PROVIDERS.empty())
        _write(root / "quality" / name / "files.parquet", pl.DataFrame([file_row()], schema=FILES.polars))
        exclusions = [{"source_id": "a", "payer": "Aetna", "billing_code": "97026", "reason": "expired", "rows": 3}]
        _write(root / "quality" / name / "exclusions.parquet", pl.DataFrame(exclusions, schema=FILE_EXCLUSIONS.polars))
        _write(root / "quality" / name / "unmapped.parquet", UNMAPPED.empty())
        months[f"{month:%Y-%m}"] = manifest_entry(sorted(set(part["billing_code"]))) | entry
    text = json.dumps({"format": 1, "months": months, "failures": {}})
    (root / "manifest.json").write_text(text, encoding="utf-8")
    return root


def file_row(**more: Any) -> dict[str, Any]:
    """A matched file of ten rows, three of them excluded."""
    row: dict[str, Any] = dict.fromkeys(FILES.names)
    own = {"source_id": "a", "source": "mrf/aetna.json.gz", "status": "matched", "payer": "Aetna", "quirks": []}
    counts = {"items_seen": 5, "items_matched": 2, "prices": 10, "rows": 10, "rows_eligible": 7, "seconds": 0.1}
    return row | own | counts | more


def manifest_entry(codes: list[str]) -> dict[str, Any]:
    """What a run writes of a month."""
    return {
        "codes": codes,
        "methodology": "2",
        "software": "0.1.0",
        "published_at": "2025-07-01T00:00:00+00:00",
        "nppes": {"lookup": "nppes.parquet", "rows": 10},
        "medicare_year": 2025,
        "rows": {"rates": 10, "summaries": 9},
        "rows_eligible": 7,
        "sources": {"matched": 1},
        "quarantined": [],
        "unresolved_locations": {},
    }


def _write(path: Path, frame: pl.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)

"""The methodology page's section on evidence: the providers behind each tier, and how the median moves between them."""

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from flows.report.report_parts import File
from flows.report.report_site import derivation_page
from flows.report.report_tables import Published
from schemas import codes
from schemas.geographies import NATIONAL
from schemas.published import PROVIDERS
from transforms.report.csv_text import csv_text
from transforms.report.figures import anchor_of, to_cents

ABSENT = "absent"
FROM_WIDEST = ("all", "balanced", "strict", "billed")
EVIDENCE_ORDER = (*(term.name for term in codes.EVIDENCE), ABSENT)


class TierRow(NamedTuple):
    """All payers pooled, in the nation, by tier and weighting; US dollars as shown. against_all: None for tier all."""

    billing_code: str
    taxonomy_tier: str
    weighting: str
    n_npi: int
    p25_usd: Decimal
    p50_usd: Decimal
    p75_usd: Decimal
    against_all_usd: Decimal | None
    against_all_percent: Decimal | None
    low_sample: bool


class EvidenceRow(NamedTuple):
    """The distinct providers of a code by evidence, and their percentage; ``absent``: not in the file."""

    billing_code: str
    evidence: str
    providers: int
    percent: Decimal


def describe_evidence(published: Published, providers: Path) -> dict[str, Any] | None:
    """What the template needs: the utilization behind the month, rows by code; None without utilization.

    Args: providers: the month's ``schemas.PROVIDERS``.
    """
    utilization = published.entry.get("utilization")
    if not utilization or not providers.exists():
        return None
    billing_class = published.views[0].billing_class
    rows, shares = list_tiers(published.latest, billing_class), count_evidence(providers, billing_class)
    held = [code for code in published.codes if any(row.billing_code == code for row in rows)]
    return {
        "utilization": utilization,
        "billing_class": billing_class,
        "tiers": {code: [(row, _how(row, billing_class)) for row in rows if row.billing_code == code] for code in held},
        "shares": {
            code: {row.evidence: row for row in shares if row.billing_code == code}
            for code in held
            if code in utilization.get("codes", ())
        },
    }


def evidence_csvs(evidence: dict[str, Any] | None) -> Iterator[File]:
    """The section's tables as CSV; none without utilization."""
    if evidence is not None:
        tiers = (row for rows in evidence["tiers"].values() for row, _ in rows)
        yield "tiers.csv", csv_text(TierRow._fields, tiers)
        shares = (row for rows in evidence["shares"].values() for row in rows.values())
        yield "evidence.csv", csv_text(EvidenceRow._fields, shares)


def list_tiers(summaries: pl.DataFrame, billing_class: str) -> list[TierRow]:
    """Each code's tiers, from the widest: each provider once, and by its services in tier ``billed``."""
    national = summaries.filter(payer=codes.COMPOSITE_ALL, geography=NATIONAL, billing_class=billing_class)
    billed = (pl.col("weighting") == "services") & (pl.col("taxonomy_tier") == "billed")
    wanted = national.filter((pl.col("weighting") == "npi") | billed)
    rows = sorted(
        wanted.iter_rows(named=True),
        key=lambda row: (row["billing_code"], FROM_WIDEST.index(row["taxonomy_tier"]), row["weighting"]),
    )
    medians = {row["billing_code"]: to_cents(row["p50_usd"]) for row in rows if row["taxonomy_tier"] == "all"}
    return [_tier(row, medians.get(row["billing_code"])) for row in rows]


def _tier(row: dict[str, Any], of_all: Decimal | None) -> TierRow:
    p25, p50, p75 = (to_cents(row[f"p{p}_usd"]) for p in (25, 50, 75))
    is_compared = of_all is not None and row["taxonomy_tier"] != "all"
    moved = p50 - of_all if of_all is not None and is_compared else None
    percent = None if moved is None or not of_all else _tenth(100 * moved / of_all)
    code, tier, weighting, n_npi = (row[name] for name in TierRow._fields[:4])
    return TierRow(code, tier, weighting, n_npi, p25, p50, p75, moved, percent, row["low_sample"])


def count_evidence(providers: Path, billing_class: str) -> list[EvidenceRow]:
    """The distinct NPIs behind the percentiles of each code, by evidence, in the order of ``EVIDENCE_ORDER``."""
    rows = pl.scan_parquet(providers)
    if "evidence" not in rows.collect_schema().names():  # published by an earlier version
        rows = PROVIDERS.empty().lazy()
    counted = rows.filter(pl.col("exclusion").is_null() & (pl.col("billing_class") == billing_class))
    by_evidence = counted.group_by("billing_code", pl.col("evidence").fill_null(ABSENT)).agg(
        providers=pl.col("npi").n_unique()
    )
    found = {(code, evidence): count for code, evidence, count in by_evidence.collect().iter_rows()}
    totals: dict[str, int] = {}
    for (code, _), count in found.items():
        totals[code] = totals.get(code, 0) + count
    return [
        EvidenceRow(code, evidence, count, _tenth(Decimal(100 * count) / totals[code]))
        for code in sorted(totals)
        for evidence in EVIDENCE_ORDER
        for count in [found.get((code, evidence), 0)]
    ]


def _how(row: TierRow, billing_class: str) -> str:
    """Where the row's figures are derived."""
    anchor = anchor_of(NATIONAL, billing_class, row.taxonomy_tier, row.weighting)
    return f"{row.billing_code}/{derivation_page(codes.COMPOSITE_ALL)}#{anchor}"


def _tenth(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.1"), ROUND_HALF_UP)

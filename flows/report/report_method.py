"""The methodology page: what was read, what was excluded and why, from the manifest and the quality tables."""

from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment

from flows.report.report_evidence import describe_evidence, evidence_csvs
from flows.report.report_parts import File
from flows.report.report_site import show_moment
from flows.report.report_tables import Published
from flows.storage.layout import Layout, month_name
from schemas import codes
from schemas.published import FILE_EXCLUSIONS, FILES, UNMAPPED
from transforms.cms.medicare import MedicareReference, conversion_factor_for, medicare_year_for
from transforms.report.accounting import count_down
from transforms.report.csv_text import csv_text, frame_text

MOST_FILES = 100
MOST_NAMES = 25


def methodology_files(
    layout: Layout, published: Published, medicare: MedicareReference, environment: Environment
) -> Iterator[File]:
    """The page, and a CSV of each of its tables."""
    quality = layout.month("quality", published.month)
    providers = layout.month("providers", published.month) / "providers.parquet"
    files = _read(quality / "files.parquet", FILES.empty())
    exclusions = _read(quality / "exclusions.parquet", FILE_EXCLUSIONS.empty())
    unmapped = _read(quality / "unmapped.parquet", UNMAPPED.empty())
    steps = count_down(files, exclusions, published.entry.get("rows_eligible"))
    entries = published.manifest.get("months", {})
    months = [_month_row(name, entries.get(name, {})) for name in map(month_name, reversed(published.months))]
    refused = list(_refused(published))
    payers, evidence = _by_payer(files), describe_evidence(published, providers)
    names = unmapped.filter(pl.col("kind") == "reporting_entity").sort("rows", "value", descending=[True, False])
    page = environment.get_template("methodology.html").render(
        title="Methodology and limitations",
        root="",
        codes=codes,
        months=months,
        failures=sorted(published.manifest.get("failures", {}).items()),
        steps=steps,
        outliers=_outliers(providers),
        evidence=evidence,
        files=files.head(MOST_FILES).rows(named=True),
        files_left_out=max(len(files) - MOST_FILES, 0),
        payers=payers.rows(),
        refused=refused,
        most=MOST_FILES,
        names=names.head(MOST_NAMES).select("value", "rows").rows(),
        names_left_out=max(len(names) - MOST_NAMES, 0),
        unmapped=dict(unmapped["kind"].value_counts().iter_rows()),
        entry=published.entry,
        conversion_factor=_conversion_factor(medicare, published),
        month_year=published.month.year,
    )
    yield "methodology.html", page
    steps_rows = ((step.name, step.meaning, step.excluded, step.remaining) for step in steps)
    yield "rows-read-to-counted.csv", csv_text(("step", "when", "rows_excluded", "rows_remaining"), steps_rows)
    yield from evidence_csvs(evidence)
    yield "months.csv", csv_text([*months[0]], (list(row.values()) for row in months))
    yield "refused.csv", csv_text(("what", "month", "name", "reason"), refused)
    for name, frame in (("payers", payers), ("files", files), ("exclusions", exclusions), ("unmapped", unmapped)):
        yield f"{name}.csv", frame_text(frame)


def _read(path: Path, empty: pl.DataFrame) -> pl.DataFrame:
    """A table of the month; empty where an older run did not publish it."""
    return pl.read_parquet(path) if path.exists() else empty


def _month_row(month: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    rows = entry.get("rows", {})
    return {
        "month": month,
        "sources": ", ".join(f"{count} {status}" for status, count in sorted(entry.get("sources", {}).items())),
        "rates": rows.get("rates"),
        "eligible": entry.get("rows_eligible"),
        "summaries": rows.get("summaries"),
        "medicare_year": entry.get("medicare_year"),
        "with_states": bool(entry.get("nppes")),
        "published_at": show_moment(entry.get("published_at")),
        "summaries_href": f"../summaries/period={month}/summaries.parquet",
    }


def _refused(published: Published) -> Iterator[tuple[str, str, str, str]]:
    """What was left out (file, payer, provider reference), the month, the name and the reason; the latest first."""
    months, failures = published.manifest.get("months", {}), published.manifest.get("failures", {})
    for month, entry in sorted([*months.items(), *failures.items()], key=itemgetter(0), reverse=True):
        yield from (("file", month, each["source"], each["reason"]) for each in entry.get("quarantined", ()))
    for month, entry in sorted(months.items(), reverse=True):
        yield from (("payer", month, *pair) for pair in sorted((entry.get("withheld") or {}).items()))
    unresolved = published.entry.get("unresolved_locations") or {}
    yield from (("provider reference", month_name(published.month), *pair) for pair in sorted(unresolved.items()))


def _outliers(path: Path) -> tuple[int, int] | None:
    """Provider rates in all, and those excluded from the percentiles."""
    if not path.exists():
        return None
    rows = pl.scan_parquet(path)
    total, out = rows.select(pl.len(), (pl.col("exclusion") == "outlier").sum().alias("out")).collect().row(0)
    return int(total), int(out)


def _by_payer(files: pl.DataFrame) -> pl.DataFrame:
    """Files and rows by payer, twins once."""
    once = files.filter(pl.col("twin_of").is_null() & pl.col("payer").is_not_null())
    sums = (pl.len().alias("files"), pl.col("rows").sum(), pl.col("rows_eligible").sum())
    return once.group_by("payer").agg(sums).sort("payer")


def _conversion_factor(medicare: MedicareReference, published: Published) -> str | None:
    """The conversion factor of the month; None where the month was published with another fee schedule than today's."""
    if medicare_year_for(medicare, published.month) != published.entry.get("medicare_year"):
        return None
    return str(conversion_factor_for(medicare, published.month))

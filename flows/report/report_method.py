"""The methodology page: what was read, what did not count and why, from the manifest and the quality tables."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment
from markupsafe import Markup

from flows.report.report_pages import File
from flows.report.report_site import show_moment
from flows.report.report_tables import Published
from flows.storage.layout import Layout, month_name
from schemas.codes import (
    ALLOWED_MODIFIERS,
    EXCLUSIONS,
    LOW_SAMPLE_NPI,
    LOW_SAMPLE_TIN,
    OFFICE_SERVICE_CODES,
    OUTLIER_HIGH,
    OUTLIER_LOW,
    TIERS,
)
from schemas.published import FILE_EXCLUSIONS, FILES, UNMAPPED
from transforms.cms.medicare import conversion_factor_for, medicare_year_for
from transforms.report.accounting import count_down
from transforms.report.charts import Fall, waterfall
from transforms.report.csv_text import csv_text
from transforms.report.figures import show_name

MOST_FILES = 100
MOST_NAMES = 25
WATERFALL_CSV = "rows-read-to-counted.csv"
REFUSED_CSV = "refused.csv"


def methodology_files(layout: Layout, published: Published, environment: Environment) -> Iterator[File]:
    """The page, and a CSV of each of its tables."""
    quality = layout.month("quality", published.month)
    files = _read(quality / "files.parquet", FILES.empty())
    exclusions = _read(quality / "exclusions.parquet", FILE_EXCLUSIONS.empty())
    unmapped = _read(quality / "unmapped.parquet", UNMAPPED.empty())
    falls = count_down(files, exclusions, published.entry.get("rows_eligible"))
    names = unmapped.filter(pl.col("kind") == "reporting_entity").sort("rows", "value", descending=[True, False])
    yield (
        "methodology.html",
        environment.get_template("methodology.html").render(
            title="Methodology and limits",
            root="",
            months=[_month_row(published, month_name(month)) for month in reversed(published.months)],
            failures=_failures(published.manifest),
            falls=falls,
            waterfall=Markup(waterfall(falls, "Rows read to rows counted")),
            outliers=_outliers(layout.month("providers", published.month)),
            files=[_file_row(row) for row in files.head(MOST_FILES).iter_rows(named=True)],
            files_left_out=max(len(files) - MOST_FILES, 0),
            payers=_payer_rows(files),
            quarantined=_quarantined(published.manifest),
            withheld=_withheld(published.manifest),
            unresolved=_unresolved(published.entry)[:MOST_FILES],
            unresolved_left_out=max(len(_unresolved(published.entry)) - MOST_FILES, 0),
            names=[(show_name(row["value"]), row["rows"]) for row in names.head(MOST_NAMES).iter_rows(named=True)],
            names_left_out=max(len(names) - MOST_NAMES, 0),
            unknown_npis=int((unmapped["kind"] == "npi").sum()),
            unused=int((unmapped["kind"] == "unused_mapping").sum()),
            references=_references(layout, published),
            rules=EXCLUSIONS,
            tiers=TIERS,
            limits={
                "npi": LOW_SAMPLE_NPI,
                "tin": LOW_SAMPLE_TIN,
                "low": f"{OUTLIER_LOW:.0%}",
                "high": f"{OUTLIER_HIGH:.0%}",
                "modifiers": ", ".join(ALLOWED_MODIFIERS),
                "places": " or ".join(OFFICE_SERVICE_CODES),
            },
            downloads=[
                ("months.csv", "Months (CSV)"),
                (WATERFALL_CSV, "Rows read to rows counted (CSV)"),
                (REFUSED_CSV, "Refused and withheld (CSV)"),
                ("payers.csv", "Payers (CSV)"),
                ("files.csv", "Files (CSV)"),
                ("exclusions.csv", "Exclusions (CSV)"),
                ("unmapped.csv", "Unmapped (CSV)"),
                ("../manifest.json", "manifest.json"),
            ],
        ),
    )
    yield WATERFALL_CSV, csv_text(("step", "when", "rows_taken", "rows_left"), map(_fall_row, falls))
    months = [_month_row(published, month_name(month)) for month in reversed(published.months)]
    yield "months.csv", csv_text([*months[0]], (list(row.values()) for row in months))
    yield REFUSED_CSV, csv_text(("what", "month", "name", "reason"), _refused_rows(published))
    yield "payers.csv", csv_text(("payer", "files", "rows", "rows_eligible"), _by_payer(files).iter_rows())
    for name, frame in (("files", files), ("exclusions", exclusions), ("unmapped", unmapped)):
        yield f"{name}.csv", csv_text(frame.columns, _flat(frame).iter_rows())


def _refused_rows(published: Published) -> Iterator[tuple[str, str, str, str]]:
    """Everything that was left out, as published."""
    month = month_name(published.month)
    yield from (("file", *row) for row in _quarantined(published.manifest))
    yield from (("payer", *row) for row in _withheld(published.manifest))
    yield from (("provider reference", month, *row) for row in _unresolved(published.entry))


def _fall_row(fall: Fall) -> tuple[str, str, int, int]:
    return fall.name, fall.meaning, fall.taken, fall.left


def _read(path: Path, empty: pl.DataFrame) -> pl.DataFrame:
    """A table of the month; empty where an older run did not publish it."""
    return pl.read_parquet(path, hive_partitioning=False) if path.exists() else empty


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    lists = [name for name, dtype in frame.schema.items() if dtype == pl.List(pl.String)]
    return frame.with_columns(pl.col(name).list.join("; ") for name in lists)


def _month_row(published: Published, month: str) -> dict[str, Any]:
    entry = published.manifest.get("months", {}).get(month, {})
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
        "summaries_href": f"../summaries/month={month}/summaries.parquet",
    }


def _failures(manifest: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """Months whose latest run produced nothing usable: when, and how many sources were refused."""
    failures = manifest.get("failures", {})
    return [
        (month, show_moment(failure.get("failed_at")), len(failure.get("quarantined", ())))
        for month, failure in sorted(failures.items())
    ]


def _quarantined(manifest: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Every refused source of every month, the latest first; also those of failed months."""
    entries = [*manifest.get("months", {}).items(), *manifest.get("failures", {}).items()]
    return [
        (month, show_name(str(source["source"])), show_name(str(source["reason"])))
        for month, entry in sorted(entries, key=lambda pair: pair[0], reverse=True)
        for source in entry.get("quarantined", ())
    ]


def _withheld(manifest: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Payers whose new figures failed a gate and whose last published figures remain, latest month first."""
    return [
        (month, show_name(str(payer)), show_name(str(reason)))
        for month, entry in sorted(manifest.get("months", {}).items(), reverse=True)
        for payer, reason in sorted((entry.get("withheld") or {}).items())
    ]


def _unresolved(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = entry.get("unresolved_locations") or {}
    return [(show_name(str(where)), show_name(str(why))) for where, why in sorted(found.items())]


def _outliers(folder: Path) -> tuple[int, int] | None:
    """Provider rates in all, and those that left the percentiles."""
    path = folder / "providers.parquet"
    if not path.exists():
        return None
    rows = pl.scan_parquet(path, hive_partitioning=False)
    total, out = rows.select(pl.len(), (pl.col("exclusion") == "outlier").sum().alias("out")).collect().row(0)
    return int(total), int(out)


def _file_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "source": show_name(row["source"]),
        "status": row["status"] + (", the same bytes as another" if row["twin_of"] else ""),
        "payer": show_name(row["payer"] or ""),
        "updated": str(row["last_updated_on"] or ""),
        "items_seen": f"{row['items_seen']:,}",
        "rows": f"{row['rows']:,}",
        "eligible": f"{row['rows_eligible']:,}",
    }


def _by_payer(files: pl.DataFrame) -> pl.DataFrame:
    """Files and rows by payer, twins once."""
    once = files.filter(pl.col("twin_of").is_null() & pl.col("payer").is_not_null())
    return once.group_by("payer").agg(pl.len(), pl.col("rows").sum(), pl.col("rows_eligible").sum()).sort("payer")


def _payer_rows(files: pl.DataFrame) -> list[tuple[str, str, str, str]]:
    rows = _by_payer(files).iter_rows()
    return [(show_name(payer), f"{n:,}", f"{rows:,}", f"{own:,}") for payer, n, rows, own in rows]


def _references(layout: Layout, published: Published) -> list[tuple[str, str]]:
    """What the latest month was joined with, and how old it is."""
    entry = published.entry
    software = str(entry.get("software", "not stated"))
    return [
        ("Medicare fee schedule", _fee_schedule(layout, published)),
        ("NPPES lookup", _nppes(entry.get("nppes") or {})),
        ("Payer table, taxonomy tiers", f"those of tic-rates {software}"),
        ("Reader", str(entry.get("reader", "not stated"))),
        ("Software", f"tic-rates {software}"),
        ("Methodology", f"version {entry.get('methodology', 'not stated')}"),
    ]


def _fee_schedule(layout: Layout, published: Published) -> str:
    from flows.tables.fee_schedules import load_medicare

    year = published.entry.get("medicare_year")
    if not year:
        return "none covers the month: nothing is compared with Medicare, and no outlier is left out"
    reference = load_medicare(layout.reference)
    stated = f"{year}"
    if medicare_year_for(reference, published.month) == year:
        stated += f", conversion factor ${conversion_factor_for(reference, published.month)}"
    return stated if year == published.month.year else f"{stated}: the latest loaded before {published.month.year}"


def _nppes(lookup: Mapping[str, Any]) -> str:
    if not lookup:
        return "none"
    made_from = show_name(str(lookup.get("made_from") or "not stated"))
    return f"{lookup.get('rows', 0):,} NPIs; made from: {made_from} ({show_name(str(lookup.get('lookup', '')))})"

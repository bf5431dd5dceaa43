"""`tic-rates practice`: one provider or group against its market, from the published tables alone."""

import csv
import re
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from flows.explain.cell import parse_npi
from flows.publish.manifest import published_entry
from flows.publish.publish import fetch_published, publish_folder, publish_package
from flows.publish.published_month import choose_month, find_months
from flows.publish.retention import published_in_use
from flows.report.practice_pages import practice_path, practice_urls
from flows.report.report import add_practice
from flows.storage.layout import Layout, month_name
from flows.storage.parquet import replace_table
from flows.storage.resource_errors import explain_resource_errors
from schemas.codes import EXCLUSIONS
from schemas.practices import PRACTICES
from schemas.published import PROVIDERS, RATES
from schemas.table import Table
from transforms.benchmark.market_position import choose_tiers, compare_practice, observe_market
from transforms.benchmark.practice import Practice, list_absent, observe_practice
from transforms.cms.medicare import national_amounts
from transforms.errors import NothingUsableError, UsageError
from transforms.report.practice import read_volumes

_TABLES = ("rates", "providers")


def parse_practice(npis: Iterable[str], tins: Iterable[str]) -> Practice:
    """Who is asked about.

    Raises:
        UsageError: neither is given, an NPI's check digit is wrong, or a TIN has neither nine nor ten digits.
    """
    practice = Practice(tuple(sorted({*_npis(npis)})), tuple(sorted({*_tins(tins)})))
    if not practice.npis and not practice.tins:
        raise UsageError("no practice: give --npi, --tin, or both; see tic-rates practice --help")
    return practice


def _npis(texts: Iterable[str]) -> Iterator[int]:
    return map(parse_npi, _words(texts))


def _tins(texts: Iterable[str]) -> Iterator[str]:
    for text in _words(texts):
        digits = text.replace("-", "")
        if not re.fullmatch("[0-9]{9,10}", digits):
            raise UsageError(f"--tin {text!r} is not a TIN: expected nine digits (an EIN) or ten (an NPI)")
        yield digits


def _words(texts: Iterable[str]) -> Iterator[str]:
    return (word.strip() for text in texts for word in text.split(",") if word.strip())


def compare_with_market(
    layout: Layout, practice: Practice, month: date | None = None, volumes: Path | None = None
) -> dict[str, Any]:
    """Publish the practice's table and page; what they say, by payer and code.

    Args:
        month: None: the latest published one.
        volumes: csv of the practice's units a year.

    Raises:
        UsageError: the month is not published, or the csv is wrong.
        NothingUsableError: no rate of the practice counts: no row names it, or all are excluded or outliers.
    """
    with published_in_use(layout):
        return _compare_with_market(layout, practice, month, volumes)


def _compare_with_market(
    layout: Layout, practice: Practice, month: date | None, volumes: Path | None
) -> dict[str, Any]:
    fetch_published(layout, "summaries", "network_summaries", "practices")
    month = choose_month(layout, month)
    published_at = published_entry(layout, month).get("published_at", "")  # before the tables: see `practice_pages`
    fetch_published(layout, *(layout.month(name, month).relative_to(layout.root).as_posix() for name in _TABLES))
    rows, counts = _compare(layout, practice, month, volumes)
    where = practice_path(layout, month, practice.name)
    with explain_resource_errors("publishing a practice", where, "the other tables remain"):
        asked = {"npis": ",".join(map(str, practice.npis)), "tins": ",".join(practice.tins)}
        _publish(layout, where, rows, published_at=published_at, **asked)
        page, _ = practice_urls(month, practice.name)
        add_practice(layout, page)
    return {
        "practice": practice.name,
        "month": month_name(month),
        **counts,
        "table": layout.name_of(where),
        "page": layout.name_of(layout.root / "report" / page),
        "rows": rows.height,
        "positions": rows.filter(pl.col("level") == "practice").drop("npi", "tin", "network_name").to_dicts(),
    }


def _compare(
    layout: Layout, practice: Practice, month: date, volumes: Path | None
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """``schemas.PRACTICES``, and counts of what it is about."""
    from flows.tables.fee_schedules import load_medicare

    rates = RATES.complete(pl.concat(_own_rows(layout, practice, month, RATES, "rates")))
    summaries = pl.read_parquet(find_months(layout)[month])
    payers = summaries.filter(pl.col("payer_kind") == "payer")
    codes = sorted({*summaries["billing_code"]})
    if rates.is_empty():
        who, what = describe_asked(practice), ", ".join(codes)
        raise NothingUsableError(f"no rate row of {month_name(month)} names {who} for {what}: no payer lists it")
    providers = PROVIDERS.complete(pl.concat(_own_rows(layout, practice, month, PROVIDERS, "providers")))
    national = national_amounts(load_medicare(layout.reference), codes, month).select("billing_code", "amount_usd")
    own = observe_practice(rates, providers, national)
    _require_rated(own, practice, month)
    own = pl.concat([own, list_absent(own, payers)], how="diagonal")
    npis = sorted({*practice.npis} or {*providers["npi"]})
    given, units = _read_volumes(volumes, own, npis, codes)
    market = observe_market(
        pl.scan_parquet(layout.month("providers", month) / "*.parquet", hive_partitioning=False),
        sorted({*own["geography"]}),
        choose_tiers(summaries),
    )
    counts = {
        "npis": npis if practice.npis else len(npis),
        "npis_without_rows": sorted({*practice.npis} - {*rates["npi"]}),
        "tins": list(practice.tins),
    }
    return compare_practice(practice.name, month, own, market, summaries, given), counts | units


def _own_rows(layout: Layout, practice: Practice, month: date, table: Table, folder: str) -> Iterator[pl.DataFrame]:
    """The practice's rows of each file. Tables are sorted by NPI: most row groups are skipped."""
    yield table.empty()
    for path in sorted(layout.month(folder, month).rglob("*.parquet")):
        yield table.complete(pl.scan_parquet(path, hive_partitioning=False).filter(practice.rows).collect())


def describe_asked(practice: Practice) -> str:
    """``NPI 1234567893``, ``2 NPIs under TIN 123456789``."""
    npis = f"NPI {practice.npis[0]}" if len(practice.npis) == 1 else f"any of {len(practice.npis)} NPIs"
    tins = f"TIN {' or '.join(practice.tins)}"
    return " under ".join(part for part, there in ((npis, practice.npis), (tins, practice.tins)) if there)


def _require_rated(own: pl.DataFrame, practice: Practice, month: date) -> None:
    """Raise ``NothingUsableError`` where no rate counts, with the rules; the details have them by payer and code."""
    if "rated" in own["status"]:
        return
    own = own.filter(pl.col("level") == "practice").sort("payer", "billing_code", "billing_class")
    failed = {*own["exclusions"].explode()}
    rules = "; ".join(f"{rule.name} ({rule.meaning})" for rule in reversed(EXCLUSIONS) if rule.name in failed)
    outliers = sorted({*own.filter(pl.col("status") == "outlier")["payer"]})
    excluded = f"{own['n_rates_excluded'].sum()} rate rows are excluded, by {rules}" if rules else ""
    far = f"all others are outliers, at {', '.join(outliers)}" if outliers else ""
    why = "; ".join(filter(None, (excluded, far)))
    details = {"positions": own.select("payer", "billing_code", "billing_class", "status", "exclusions").to_dicts()}
    raise NothingUsableError(f"no rate of {describe_asked(practice)} counts in {month_name(month)}: {why}", details)


def _read_volumes(
    path: Path | None, own: pl.DataFrame, npis: list[int], codes: list[str]
) -> tuple[pl.DataFrame | None, dict[str, int]]:
    if path is None:
        return None, {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            volumes, others = read_volumes(file, npis, codes, sorted({*own["payer"]}))
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        raise UsageError(f"--volumes {path}: {getattr(error, 'strerror', None) or error}") from error
    states = sorted({*own.filter(pl.col("status") == "rated")["geography"]})
    if len(states) > 1 and volumes["npi"].null_count():
        raise UsageError(f"--volumes {path}: the practice is in {', '.join(states)}: add a column npi")
    return volumes, {"volume_lines_of_other_codes": others}


def _publish(layout: Layout, path: Path, rows: pl.DataFrame, **metadata: str) -> None:
    replace_table(path, PRACTICES, [rows], **metadata)
    publish_folder(layout, path)
    publish_package(layout)

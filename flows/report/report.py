"""`tic-rates report`: the HTML report, from published tables and the manifest alone, whole or not at all."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment

from flows.publish.publish import fetch_published, publish_folder, sync_folder
from flows.publish.retention import published_in_use
from flows.report.practice_pages import practice_files, practice_links
from flows.report.report_counts import count_month
from flows.report.report_derivations import Derivations
from flows.report.report_method import methodology_files
from flows.report.report_pages import MOST_ON_FIRST_PAGE, CodePages
from flows.report.report_parts import CALCULATOR_CSV, File, calculator_context, parquet_links
from flows.report.report_payers import HEAT_PAGE
from flows.report.report_site import make_environment
from flows.report.report_tables import CodeViews, Published, load_published
from flows.storage.atomic_files import exchange_folders, remove_abandoned, unfinished_folder, write_atomically
from flows.storage.layout import Layout, month_name
from flows.storage.locks import locked
from flows.storage.object_sync import refresh_folder
from flows.storage.resource_errors import explain_resource_errors
from schemas.coding import coding_of
from schemas.geographies import STATES_IN_ORDER
from transforms.report.calculator import CALCULATOR_COLUMNS, calculator_figures, calculator_rows
from transforms.report.csv_text import csv_text


def build_report(layout: Layout) -> dict[str, Any]:
    """Replace ``report/`` by one made from what is published now; a reader sees the old one or the new one.

    Returns: the page to open, the month, codes, and how many pages and bytes were written in how many seconds.

    Raises:
        UsageError: no month is published, or the folder can't be written.
        OutOfResourcesError: the machine ran out of something; the last report remains.
    """
    with published_in_use(layout):
        return _build_report(layout)


def _build_report(layout: Layout) -> dict[str, Any]:
    started = time.perf_counter()
    published = _load(layout)
    target = layout.root / "report"
    unharmed = "the tables and the last report remain"
    with explain_resource_errors("building the report", target, unharmed), locked(layout.staging / "report.lock"):
        # one at a time: the next waits, and is made of the tables published by then
        remove_abandoned(layout.root)
        with unfinished_folder(layout.root) as folder:
            sizes = [_write(folder / name, text) for name, text in report_files(layout, published)]
            sync_folder(folder)
            exchange_folders(folder, target)
            publish_folder(layout, target)
    return {
        "report": layout.name_of(target / "index.html"),
        "month": month_name(published.month),
        "months": len(published.months),
        "codes": list(published.codes),
        "with_states": published.with_states,
        "pages": sum(size.suffix == ".html" for size, _ in sizes),
        "files": len(sizes),
        "bytes": sum(count for _, count in sizes),
        "largest_page_bytes": max(count for path, count in sizes if path.suffix == ".html"),
        "seconds": round(time.perf_counter() - started, 3),
    }


def _load(layout: Layout) -> Published:
    """What is published, brought here first where that is in object storage."""
    fetch_published(layout, "summaries", "network_summaries", "practices", "coverage")
    refresh_folder(layout, layout.reference, layout.nppes)
    published = load_published(layout)
    month = (
        layout.month(table, published.month).relative_to(layout.root) for table in ("quality", "providers", "rates")
    )
    fetch_published(layout, *(folder.as_posix() for folder in month))
    return published


def report_files(layout: Layout, published: Published) -> Iterator[File]:
    """Every file of the report, one at a time: memory holds the tables, never all pages."""
    from flows.tables.fee_schedules import load_medicare

    environment, medicare = make_environment(published), load_medicare(layout.reference)
    fees = calculator_figures(medicare, published.codes)
    providers = layout.month("providers", published.month) / "providers.parquet"
    counts = count_month(published, layout.month("rates", published.month), providers)
    views = [CodeViews(published, code) for code in published.codes]
    codes = [CodePages(each, environment, fees, Derivations(each, counts, providers)) for each in views]
    for pages in codes:
        yield from pages.files()
    yield _first_page(layout, published, codes, environment)
    yield from practice_files(layout, published, environment)
    page = environment.get_template("calculator.html").render(
        title="RVU calculator",
        root="",
        calc=calculator_context(fees, published.codes[0], STATES_IN_ORDER[0], published.month),
        downloads=[(CALCULATOR_CSV, "Medicare by locality, all years and codes shown here (CSV)")],
    )
    yield "calculator.html", page
    yield CALCULATOR_CSV, csv_text(CALCULATOR_COLUMNS, calculator_rows(fees))
    yield from methodology_files(layout, published, medicare, environment)


def _first_page(layout: Layout, published: Published, codes: list[CodePages], environment: Environment) -> File:
    page = environment.get_template("index.html").render(
        title="Negotiated rates for CPT " + " and ".join(published.codes),
        root="",
        months=published.months,
        codes=[(pages, coding_of(pages.code)) for pages in codes],
        heat=HEAT_PAGE,
        most=MOST_ON_FIRST_PAGE,
        practices=practice_links(layout, published),
        downloads=parquet_links("../", month_name(published.month)),
    )
    return "index.html", page


def add_practice(layout: Layout, page: str) -> None:
    """Bring one practice's page, its CSV and the first page, which links it, up to date.

    Where there is no report yet, it is built.

    Args: page: its path within the report.
    """
    fetch_published(layout, "report/index.html", "coverage")
    folder = layout.root / "report"
    if not (folder / "index.html").exists():
        build_report(layout)
        return
    published = load_published(layout)
    environment = make_environment(published)
    codes = [CodePages(CodeViews(published, code), environment, {}) for code in published.codes]
    with locked(layout.staging / "report.lock"):
        pages = dict(practice_files(layout, published, environment, page))
        files = [_write(folder / name, text)[0] for name, text in pages.items()]
        files.append(_write(folder / "index.html", _first_page(layout, published, codes, environment)[1])[0])
        publish_folder(layout, *files)


def _write(path: Path, text: str) -> tuple[Path, int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode("utf-8", "replace")  # a lone surrogate from a file becomes "?"
    write_atomically(path, data, durable=False)
    return path, len(data)

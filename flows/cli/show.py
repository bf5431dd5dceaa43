"""Results for people, on stdout: the national table, an inspection, figures."""

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
from rich.markup import escape
from rich.table import Table as RichTable

from flows.cli.show_months import make_console
from flows.orchestration.month_report import MonthReport
from flows.storage.layout import Layout, month_name
from transforms.cms.medicare import ServicePrice

_COLUMNS = ("mean_usd", "p25_usd", "p50_usd", "p75_usd", "iqr_usd")


def print_result(result: MonthReport) -> None:
    """The national table, what was quarantined, and where the Parquet is."""
    console = make_console()
    assert result.output is not None
    layout = Layout.at(result.output)
    summaries = layout.month("summaries", result.month) / "summaries.parquet"
    for table in national_tables(summaries, result):
        console.print(table)
    counts = ", ".join(f"{count} {status}" for status, count in sorted(result.sources.items()))
    console.print(f"{counts}; {result.rows:,} rate rows, {result.rows_eligible:,} eligible; {result.seconds:.1f} s")
    for name, reason in result.quarantined:
        console.print(f"[red]quarantined[/red] {escape(name)}: {escape(reason)}", highlight=False)
    if result.references.count:
        console.print(escape(str(result.references)), highlight=False)
    console.print(f"Parquet: {layout.name_of(summaries)}", highlight=False, soft_wrap=True)


def national_tables(summaries: Path, result: MonthReport) -> list[RichTable]:
    """One table per code and class: payers, composites and Medicare, each provider once, the strictest tier shown."""
    national = pl.read_parquet(summaries).filter(
        (pl.col("geography") == "US") & pl.col("weighting").is_in(["npi", "locality"])
    )
    tier = "balanced" if result.with_nppes else "all"
    shown = national.filter((pl.col("taxonomy_tier") == tier) | (pl.col("payer_kind") == "benchmark"))
    tables = []
    for code, billing_class in shown.select("billing_code", "billing_class").unique().sort("*").iter_rows():
        own = shown.filter(
            (pl.col("billing_code") == code)
            & ((pl.col("billing_class") == billing_class) | (pl.col("payer_kind") == "benchmark"))
        )
        tables.append(_national_table(f"CPT {code}, {billing_class}, {month_name(result.month)}, tier {tier}", own))
    return tables


def _national_table(title: str, rows: pl.DataFrame) -> RichTable:
    table = RichTable(title=title, caption="US dollars per service; * small sample")
    table.add_column("payer")
    for name in ("mean", "P25", "P50", "P75", "dispersion", "providers", "% of Medicare"):
        table.add_column(name, justify="right")
    kinds = pl.col("payer_kind").replace_strict({"payer": 0, "composite": 1, "benchmark": 2}, return_dtype=pl.Int8)
    for row in rows.sort(kinds, "payer").iter_rows(named=True):
        figures = [f"{row[column]:,.2f}" for column in _COLUMNS]
        providers = "" if row["n_npi"] is None else f"{row['n_npi']:,}{'*' if row['low_sample'] else ''}"
        share = "" if row["pct_of_medicare"] is None else f"{row['pct_of_medicare']:.0f}"
        table.add_row(row["payer"], *figures, providers, share)
    return table


def print_inspection(found: Mapping[str, Any]) -> None:
    """One line a field."""
    for key, value in found.items():
        if key not in ("header", "documents"):
            print(f"{key:<22}{value}")


def print_figures(figures: Mapping[str, Any]) -> None:
    """One line a figure."""
    for key, value in figures.items():
        print(f"{key:<22}{f'{value:,}' if isinstance(value, int) and not isinstance(value, bool) else value}")


def service_as_json(price: ServicePrice) -> dict[str, Any]:
    """Medicare's answer with plain numbers; a state of one locality has its amounts at the top too."""
    only = price.localities[0] if len(price.localities) == 1 else None
    return {
        "amount_usd": None if only is None else _plain(only.amount_usd),
        "therapy_reduced_usd": None if only is None else _plain(only.therapy_reduced_usd),
        "units_usd": None if only is None else _plain(only.units_usd),
        "code": price.values.billing_code,
        "year": price.year,
        "state": price.state,
        "units": price.units,
        "work_rvu": float(price.values.work_rvu),
        "pe_rvu": float(price.values.pe_rvu),
        "mp_rvu": float(price.values.mp_rvu),
        "total_rvu": float(price.values.work_rvu + price.values.pe_rvu + price.values.mp_rvu),
        "conversion_factor": float(price.conversion_factor),
        "localities": [_plain(asdict(locality)) for locality in price.localities],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return float(value) if isinstance(value, Decimal) else value


def print_service(price: ServicePrice) -> None:
    """RVUs, then a line per locality."""
    answer = service_as_json(price)
    print(
        f"CPT {answer['code']} {answer['year']}: work {answer['work_rvu']} + practice expense {answer['pe_rvu']} + "
        f"malpractice {answer['mp_rvu']} = {answer['total_rvu']:.2f} RVUs; conversion factor "
        f"{price.conversion_factor} US dollars"
    )
    table = RichTable(
        caption="US dollars; reduced: half the practice expense, from the second therapy service of a day"
    )
    for name in ("locality", "one unit", f"{price.units} unit(s)", "reduced unit", f"{price.units} unit(s), reduced"):
        table.add_column(name, justify="left" if name == "locality" else "right")
    for place in price.localities:
        amounts = (place.amount_usd, place.units_usd, place.therapy_reduced_usd, place.units_reduced_usd)
        table.add_row(
            f"{price.state} {place.locality.locality} {place.locality.locality_name}",
            *("" if amount is None else f"{amount:.2f}" for amount in amounts),
        )
    make_console().print(table)

"""Results for people, on stdout: the national table, figures, Medicare's amounts."""

import posixpath
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.cli.options import print_figures
from flows.orchestration.month_report import MonthReport
from flows.storage.layout import Layout, month_name
from transforms.cms.medicare import ServicePrice
from transforms.report.practice import Standing, find_unrated, make_standing
from transforms.report.sentences import join_names

NO_TERMINAL_WIDTH = 120
_COLUMNS = ("mean_usd", "p25_usd", "p50_usd", "p75_usd", "iqr_usd")
MOST_LISTED = 200  # files of an index
MOST_INDEXES = 20
_FIGURES_OF_PRICES = ("items", "items_matched", "codes", "provider_references", "cited")  # none in an index
_COUNTS_OF_INDEX = (
    ("left_out", "left out by"),
    ("skipped", "not read"),
    ("plan_market_types", "market type"),
    ("plan_id_types", "id type"),
)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to ``flows.cli.streams``; rich would end the process with 1."""
        raise BrokenPipeError


def make_console() -> Console:
    """As wide as the terminal; where there is none, wide enough for the tables."""
    return _Console(width=None if sys.stdout.isatty() else NO_TERMINAL_WIDTH)


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
    if result.delta is not None:
        console.print(f"Delta: {escape(str(result.delta))}", highlight=False, soft_wrap=True)
    console.print(f"Parquet: {layout.name_of(summaries)}", highlight=False, soft_wrap=True)


def national_tables(summaries: Path, result: MonthReport) -> list[Table]:
    """One table per code and class: payers, composites and Medicare, each provider once, one tier."""
    tier = "balanced" if result.with_nppes else "all"
    benchmark = pl.col("payer_kind") == "benchmark"
    national = pl.read_parquet(summaries).filter(
        (pl.col("geography") == "US")
        & (benchmark | ((pl.col("weighting") == "npi") & (pl.col("taxonomy_tier") == tier)))
    )
    tables = []
    for code, billing_class in national.select("billing_code", "billing_class").unique().sort("*").iter_rows():
        same = (pl.col("billing_class") == billing_class) | benchmark
        rows = national.filter((pl.col("billing_code") == code) & same)
        tables.append(_national_table(f"CPT {code}, {billing_class}, {month_name(result.month)}, tier {tier}", rows))
    return tables


def _national_table(title: str, rows: pl.DataFrame) -> Table:
    table = Table(title=title, caption="US dollars per service; * small sample")
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
    """One line a figure; of an index, then the files that it lists."""
    if "index" in found:
        print_figures({key: value for key, value in found.items() if key not in _FIGURES_OF_PRICES})
        _print_index(found["index"])
    else:
        print_figures(found)


def _print_index(index: Mapping[str, Any]) -> None:
    """What an index lists: its files that are kept, those with most plans first, and what is left out or not read."""
    kept = sorted((file for file in index["files"] if file["left_out_by"] is None), key=lambda file: -file["plans"])
    read = [listed for listed in index["indexes"] if listed["left_out_by"] is None]
    folder = _common_folder([each["name"] for each in (*kept[:MOST_LISTED], *read[:MOST_INDEXES])])
    print(
        f"{'plans':>9} {'MB':>9}  {'market types':<20} {'id types':<12} {f'file under {folder}' if folder else 'file'}"
    )
    for file in kept[:MOST_LISTED]:
        size = "" if file["bytes"] is None else f"{file['bytes'] / 1e6:,.1f}"
        markets, id_types = ", ".join(file["plan_market_types"]), ", ".join(file["plan_id_types"])
        print(f"{file['plans']:>9,} {size:>9}  {markets:<20} {id_types:<12} {_label(file, folder)}".rstrip())
    if len(kept) > MOST_LISTED:
        print(f"and {len(kept) - MOST_LISTED:,} more files; --json lists all, options such as --include keep fewer")
    for listed in read[:MOST_INDEXES]:
        print(f"index, which run reads, too: {_label(listed, folder)}")
    if len(read) > MOST_INDEXES:
        print(f"and {len(read) - MOST_INDEXES:,} more indexes, which run reads, too; --exclude leaves them out")
    print(f"{len(kept):,} of {len(index['files']):,} files kept, {len(read):,} of {len(index['indexes']):,} indexes")
    if lost := sum(not file["can_be_followed"] for file in kept):
        print(f"can't be followed, neither http(s) nor a file beside the index: {lost:,} files")
    for key, title in _COUNTS_OF_INDEX:
        for name, count in index[key].items():
            print(f"{title} {name}: {count:,} files")


def _common_folder(names: Sequence[str]) -> str:
    """The folder that several files share, with its slash; empty if there is none."""
    common = posixpath.commonprefix(names) if len(names) > 1 else ""
    return common[: common.rfind("/") + 1]


def _label(file: Mapping[str, Any], folder: str) -> str:
    """A file's name within the folder, and its description if that says more."""
    name, description = file["name"].removeprefix(folder), file["description"] or ""
    return f"{name} {'' if description in name else description}".strip()


def print_changes(figures: Mapping[str, Any], changes: Sequence[Mapping[str, Any]]) -> None:
    """Figures, then a line for each document that an edition changed, and a line for each of its changes."""
    print_figures(figures)
    for change in changes:
        version = f" version {change['version']}" if change["version"] else ""
        where = ", ".join(change["geographies"])
        print(f"{change['edition']} {change['kind']} {change['document_id']}{version}, {change['authority']}, {where}")
        print(f"    {', '.join(change['billing_codes'])}: {change['title'] or ''}")
        for what in change["changes"]:
            print(f"    {what}")
    if not changes:
        print("no changes: no kind of rules has a second edition, or the later ones say the same")


def service_as_json(price: ServicePrice) -> dict[str, Any]:
    """Medicare's answer; a state of one locality has its amounts at the top too."""
    only = price.localities[0] if len(price.localities) == 1 else None
    values = price.values
    return {
        **{name: getattr(only, name, None) for name in ("amount_usd", "therapy_reduced_usd", "units_usd")},
        "code": values.billing_code,
        "year": price.year,
        "state": price.state,
        "units": price.units,
        "work_rvu": values.work_rvu,
        "pe_rvu": values.pe_rvu,
        "mp_rvu": values.mp_rvu,
        "total_rvu": values.work_rvu + values.pe_rvu + values.mp_rvu,
        "conversion_factor": price.conversion_factor,
        "localities": [asdict(locality) for locality in price.localities],
    }


def print_service(price: ServicePrice) -> None:
    """RVUs, then a line per locality."""
    values = price.values
    print(
        f"CPT {values.billing_code} {price.year}: work {values.work_rvu} + practice expense {values.pe_rvu} + "
        f"malpractice {values.mp_rvu} = {values.total_rvu} RVUs; conversion factor {price.conversion_factor} US dollars"
    )
    table = Table(caption="US dollars; reduced: half the practice expense, from the second therapy service of a day")
    for name in ("locality", "one unit", f"{price.units} unit(s)", "reduced unit", f"{price.units} unit(s), reduced"):
        table.add_column(name, justify="left" if name == "locality" else "right")
    for place in price.localities:
        amounts = (place.amount_usd, place.units_usd, place.therapy_reduced_usd, place.units_reduced_usd)
        table.add_row(
            f"{price.state} {place.locality.locality} {place.locality.locality_name}",
            *("" if amount is None else f"{amount:.2f}" for amount in amounts),
        )
    make_console().print(table)


def print_practice(found: Mapping[str, Any]) -> None:
    """One table per tier, code, state and class; why other payers are not in it; where page and table are."""
    rows = [row | {"network_name": None, "tin": None} for row in found["positions"]]
    standings: list[Standing] = []
    for tier in dict.fromkeys(row["taxonomy_tier"] for row in rows):
        standings = [make_standing(row) for row in rows if row["taxonomy_tier"] == tier]
        rated = [each for each in standings if each.status == "rated"]
        for place in sorted({each.place for each in rated}):
            title = f"CPT {', '.join(filter(None, place))}, {found['month']}, tier {tier}"
            make_console().print(_positions_table(title, [each for each in rated if each.place == place]))
    for why, payers in find_unrated(standings).items():
        print(f"{join_names(payers)}: {why}")
    for npi in found["npis_without_rows"]:
        print(f"NPI {npi}: no payer lists it")
    print(f"Page: {found['page']}\nParquet: {found['table']}")


def _positions_table(title: str, rated: list[Standing]) -> Table:
    table = Table(title=title, caption="US dollars per service; rank 1 is the highest rate; * small sample")
    for name in ("payer", "own rate", "P25", "P50", "P75", "Medicare", "to P50", "percentile", "rank"):
        table.add_column(name, justify="left" if name == "payer" else "right")
    for each in rated:
        amounts = (each.own, each.p25, each.p50, each.p75, each.medicare)
        gap, known = each.gaps["p50"], each.rank is not None
        table.add_row(
            escape(each.payer) + (" *" if each.low_sample else ""),
            *("" if amount is None else f"{amount:,.2f}" for amount in amounts),
            gap.text if gap else "",
            f"{each.percentile}" if known else "",
            f"{each.rank} of {each.n_market}" if known else "",
        )
    return table

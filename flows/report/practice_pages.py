"""The pages of practices: one for each table of ``practices/``, of that table alone, on two printed sheets."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from jinja2 import Environment

from flows.report.report_parts import File
from flows.report.report_site import derivation_page, make_environment
from flows.report.report_tables import Published
from flows.storage.layout import Layout, month_name
from schemas.coding import coding_of
from schemas.geographies import name_of
from schemas.practices import PRACTICES
from transforms.report.charts import Span, make_span
from transforms.report.csv_text import frame_text
from transforms.report.figures import anchor_of, show_name
from transforms.report.practice import (
    Place,
    Standing,
    describe_place,
    find_unrated,
    make_standing,
    merge_networks,
)
from transforms.report.sentences import join_names

# Two printed sheets hold so many rows; the CSV has all.
MOST_ON_FIRST = 18
LINES_ON_SECOND = 38
HEAD_LINES = 4  # of a table: heading, caption, column names
LEAST_CONTRACTS = 2
MOST_REASONS = 4
MOST_SENTENCES = 2  # where there are more than two places
MOST_PLACES = 4
MOST_NAMED = 12
MOST_LINKS = 100


def practice_path(layout: Layout, month: date, name: str) -> Path:
    """Where a practice's table is published."""
    return layout.month("practices", month) / f"practice_slug={name}" / "practices.parquet"


def practice_urls(month: date, name: str) -> tuple[str, str]:
    """Its page and its CSV within the report."""
    return (
        f"practices/{month_name(month)}/{name}.html",
        f"practices/{month_name(month)}/{name}.csv",
    )


def list_practices(layout: Layout, months: Iterable[date]) -> list[tuple[date, str]]:
    """Published practices: month and name, the latest month first."""
    return [
        (month, path.parent.name.partition("=")[2])
        for month in sorted(months, reverse=True)
        for path in sorted(layout.month("practices", month).glob("practice_slug=*/practices.parquet"))
    ]


def practice_links(layout: Layout, published: Published) -> list[tuple[str, str]]:
    """Links to the pages of practices from the report's first page, the latest month first."""
    found = list_practices(layout, published.months)[:MOST_LINKS]
    return [
        (practice_urls(month, name)[0], f"{_title(practice_path(layout, month, name))}, {month_name(month)}")
        for month, name in found
    ]


def practice_files(layout: Layout, published: Published, environment: Environment, only: str = "") -> Iterator[File]:
    """The page and CSV of every practice, or of the one whose page has the path ``only``.

    Args: environment: of the latest month; those of other months are made here.
    """
    environments = {published.month: environment}
    for month, name in list_practices(layout, published.months):
        urls = practice_urls(month, name)
        if only not in ("", urls[0]):
            continue
        if month not in environments:
            months = tuple(each for each in published.months if each <= month)
            environments[month] = make_environment(replace(published, months=months))
        path = practice_path(layout, month, name)
        rows = PRACTICES.complete(pl.read_parquet(path, hive_partitioning=False))
        entry = published.manifest.get("months", {}).get(month_name(month), {})
        context = _context(path, rows, str(entry.get("published_at", "")), urls)
        is_derived = month == published.month and not context["stale"]  # the report derives the latest tables alone
        first = rows.filter(pl.col("taxonomy_tier") == context["tier"])
        context["hows"] = _derivations(published, first) if is_derived else {}
        yield urls[0], environments[month].get_template("practice.html").render(**context)
        yield urls[1], frame_text(rows)


def _asked(path: Path) -> dict[str, str]:
    """What was asked: npis, tins, and the publication that was read."""
    metadata = pq.read_schema(path).metadata or {}
    return {name: metadata.get(name.encode(), b"").decode() for name in ("npis", "tins", "published_at")}


def _title(path: Path) -> str:
    """``NPI 1234567893``, ``3 NPIs, TIN 123456789``."""
    asked = _asked(path)
    return ", ".join(
        f"{what} {values[0]}" if len(values) == 1 else f"{len(values)} {what}s"
        for what, values in (("NPI", asked["npis"].split(",")), ("TIN", asked["tins"].split(",")))
        if values != [""]
    )


def _context(path: Path, rows: pl.DataFrame, published_at: str, urls: tuple[str, str]) -> dict[str, Any]:
    tiers = [tier for tier in ("balanced", "billed", "all") if tier in set(rows["taxonomy_tier"])]
    first = rows.filter(pl.col("taxonomy_tier") == tiers[0])
    standings = _standings(first, "practice")
    places = _places(standings)
    unrated, with_units = find_unrated(standings), not first["yearly_units"].drop_nulls().is_empty()
    halves = 2 if with_units else 1  # tables of gaps on the second sheet
    taken = 2 * min(len(unrated), MOST_REASONS) + (halves + 1) * HEAD_LINES + LEAST_CONTRACTS
    on_first = MOST_ON_FIRST - 3 * max(len(places) - 2, 0)
    most = min(on_first, (LINES_ON_SECOND - taken) // halves) // max(len(places), 1)
    sentences = MOST_SENTENCES if len(places) > 2 else None
    tables = [_table(place, _rated(standings, place), max(most, 1), sentences) for place in places]
    gaps = [each for table in tables for each in table["rows"]]
    parts = [*_standings(first, "tin"), *_standings(first, "network")]
    contracts = merge_networks([each for each in parts if each.status == "rated" and each.place in places])
    room = max(LINES_ON_SECOND - taken - halves * len(gaps), 0) + LEAST_CONTRACTS
    asked, title = _asked(path), _title(path)
    return {
        "title": f"{title}: rates against the market",
        "root": "../../",
        "practice": title,
        "npis": asked["npis"].split(",")[:MOST_NAMED],
        "businesses": sorted({each.business_name for each, _ in contracts} - {""})[:3],
        "localities": sorted({each.locality for each in standings} - {""}),
        "tier": tiers[0],
        "billed": _billed(rows, gaps) if "billed" in tiers[1:] else {},
        "stale": asked["published_at"] != published_at,
        "tables": tables,
        "gaps": gaps,
        "with_units": with_units,
        "several_states": len({place[1] for place in places}) > 1,
        "contracts": contracts[:room],
        "contracts_left_out": max(len(contracts) - room, 0),
        "unrated": [(join_names(payers), why) for why, payers in unrated.items()][:MOST_REASONS],
        "unrated_left_out": max(len(unrated) - MOST_REASONS, 0),
        "downloads": [
            (Path(urls[1]).name, "All rows (CSV)"),
            (f"../../../{path.relative_to(path.parents[3]).as_posix()}", "practices (Parquet)"),
        ],
    }


def _derivations(published: Published, rows: pl.DataFrame) -> dict[tuple[Place, str], str]:
    """Where the market's figures are derived, by place and payer as shown: of those that are rows of ``summaries``."""
    grain = ("billing_code", "geography", "billing_class", "payer", "taxonomy_tier", "weighting")
    cells = rows.with_columns(weighting=pl.lit("npi")).join(published.latest.select(grain), on=grain, how="semi")
    return {
        ((code, geography, billing_class), show_name(payer)): (
            f"../../{code}/{derivation_page(payer)}#{anchor_of(geography, billing_class, tier, weighting)}"
        )
        for code, geography, billing_class, payer, tier, weighting in cells.select(grain).unique().iter_rows()
    }


def _standings(rows: pl.DataFrame, level: str) -> list[Standing]:
    return [make_standing(row) for row in rows.filter(pl.col("level") == level).iter_rows(named=True)]


def _places(standings: list[Standing]) -> list[Place]:
    """The places with a rate; those of class professional, where there are any."""
    found = sorted({each.place for each in standings if each.status == "rated"})
    return ([place for place in found if place[2] == "professional"] or found)[:MOST_PLACES]


def _rated(standings: list[Standing], place: Place) -> list[Standing]:
    """The rates of a place, those of the largest markets first."""
    found = [each for each in standings if each.place == place and each.status == "rated"]
    return sorted(found, key=lambda each: (-each.n_market, each.payer))


def _table(place: Place, found: list[Standing], most: int, sentences: int | None) -> dict[str, Any]:
    rows = sorted(found[:most], key=lambda each: each.payer)
    panel = coding_of(place[0])
    span: Span = make_span(amount for each in rows for amount in each.amounts)
    title = f"CPT {place[0]}" + (f": {panel.title.lower()}" if panel else "")
    return {
        "id": "-".join(filter(None, place)),
        "title": f"{title}, {name_of(place[1])}" + ("" if place[2] == "professional" else f", {place[2]}"),
        "rows": rows,
        "left_out": len(found) - len(rows),
        "insights": describe_place(rows)[:sentences],
        "span": span,
    }


def _billed(rows: pl.DataFrame, gaps: list[Standing]) -> dict[tuple[Place, str], Standing]:
    """The same rates among the providers that bill Medicare for the code or its family."""
    billed = _standings(rows.filter(pl.col("taxonomy_tier") == "billed"), "practice")
    wanted = {(each.place, each.payer) for each in gaps}
    return {key: each for each in billed if (key := (each.place, each.payer)) in wanted}

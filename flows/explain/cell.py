"""What is asked for as a cell of ``summaries``: its key and its published row, or an error that names what there is."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

import polars as pl

from flows.publish.published_month import choose_month, find_months
from flows.storage.layout import Layout, month_name
from schemas.codes import GEOGRAPHIES, MEDICARE
from schemas.published import SUMMARIES
from transforms.benchmark.exclude import is_valid_npi
from transforms.benchmark.summarize import US
from transforms.errors import NothingUsableError, UsageError
from transforms.explain.cells import CellKey
from transforms.explain.views import choose_headline, choose_views
from transforms.report.figures import make_cell


@dataclass(frozen=True)
class Question:
    """What the command is asked. None: the latest month, the tier that heads the report's page, the usual weighting."""

    code: str
    payer: str
    geography: str = US
    month: date | None = None
    billing_class: str = "professional"
    tier: str | None = None
    weighting: str | None = None
    npi: int | None = None


@dataclass(frozen=True)
class PublishedCell:
    """A cell as published."""

    month: date
    key: CellKey
    row: dict[str, Any]

    @classmethod
    def of(cls, row: dict[str, Any]) -> "PublishedCell":
        """A row of ``summaries``."""
        return cls(row["month"], CellKey(**{each.name: row[each.name] for each in fields(CellKey)}), row)


def parse_npi(text: str) -> int:
    """An NPI.

    Raises:
        UsageError: its check digit is wrong, or it has not ten digits.
    """
    if not (re.fullmatch("[0-9]{10}", text) and pl.select(is_valid_npi(pl.lit(int(text)))).item()):
        expected = "expected ten digits, the first 1 or 2, the last a check digit that fits the others"
        raise UsageError(f"--npi {text!r} is not an NPI: {expected}")
    return int(text)


def read_npi(text: str) -> int:
    """An NPI as a rate row may have it, whether or not its check digit fits.

    Raises:
        UsageError: it has no digits, other signs, or more than ten digits.
    """
    return int(text) if re.fullmatch("[0-9]{1,10}", text) else parse_npi(text)


def find_cell(layout: Layout, asked: Question) -> PublishedCell:
    """The published cell.

    Raises:
        UsageError: the month, code, payer or geography is unknown; names what is published.
        NothingUsableError: they are known, and no cell has all of them; names the cells that there are.
    """
    month = choose_month(layout, asked.month)
    table = pl.scan_parquet(find_months(layout)[month])
    codes = table.select(pl.col("billing_code").unique().sort()).collect()["billing_code"].to_list()
    code = _known("--code", asked.code.upper(), codes, month)
    of_code = table.filter(pl.col("billing_code") == code)
    payers = of_code.select(pl.col("payer").unique().sort()).collect()["payer"].to_list()
    payer = _known("--payer", asked.payer, payers, month)
    geography = _known("--geography", asked.geography.upper(), (US, *GEOGRAPHIES), month)
    here = SUMMARIES.complete(of_code.filter(pl.col("geography") == geography).collect())
    benchmark = payer == MEDICARE
    tier = asked.tier or ("all" if benchmark else _headline(here, table))
    weighting = asked.weighting or ("locality" if benchmark else "npi")
    key = CellKey(code, asked.billing_class, payer, geography, tier, weighting)
    rows = here.filter(key.rows)
    if rows.is_empty():
        raise NothingUsableError(_no_cell(key, here.filter(pl.col("payer") == payer), month))
    return PublishedCell(month, key, rows.row(0, named=True))


def _known(option: str, value: str, published: Iterable[str], month: date) -> str:
    """The published spelling of a value; capitals do not matter."""
    folded = {name.casefold(): name for name in published}
    if value.casefold() in folded:
        return folded[value.casefold()]
    near = difflib.get_close_matches(value.casefold(), folded, n=5, cutoff=0.4)
    names = [folded[name] for name in near] or sorted(folded.values())[:60]
    what = "nearest" if near else "published"
    raise UsageError(f"{option} {value!r} is not published in {month_name(month)}; {what}: {', '.join(names)}")


def _headline(here: pl.DataFrame, table: pl.LazyFrame) -> str:
    """The tier that heads the report's page of a geography."""
    columns = ("payer_kind", "billing_class", "taxonomy_tier")
    views = choose_views(table.select(columns).unique().collect())
    commercial = here.filter(pl.col("payer_kind") != "benchmark")
    samples = [[make_cell(row) for row in commercial.filter(view.rows).iter_rows(named=True)] for view in views]
    return choose_headline(views, samples).taxonomy_tier


def _no_cell(key: CellKey, own: pl.DataFrame, month: date) -> str:
    if own.is_empty():
        why = f"{key.payer} has no eligible rate of {key.billing_code} in {key.geography}; without --geography it is US"
    else:
        names = ("billing_class", "taxonomy_tier", "weighting")
        there = sorted({", ".join(row) for row in own.select(names).iter_rows()})
        why = f"published there (--class, --tier, --weighting): {'; '.join(there)}"
    return f"no cell {key.text} in {month_name(month)}: {why}"

"""A published month with its figures computed again: observations from rate rows, cells from observations.

Memory: the members of the cell, a piece of rate rows at a time, and the source files behind each kind of provider.
"""

from dataclasses import dataclass
from datetime import date

import polars as pl

from flows.explain.published_rates import PublishedRates, rates_of, sum_rows
from flows.publish.published_month import find_months
from flows.storage.layout import Layout, month_name
from flows.tables.payer_builds import NO_FILES
from schemas.codes import MEDICARE
from schemas.published import PROVIDERS, SUMMARIES
from transforms.benchmark.representative_rates import list_files
from transforms.benchmark.summarize import Observed, compare_with_medicare
from transforms.errors import TicRatesError
from transforms.explain.cells import CellKey, evidence_of, recompute, wrong_providers

COUNTED = ["payer", "billing_code", "billing_class", "state", "exclusion"]
_CHECKED = [*COUNTED, "month", "tin", "npi", "taxonomy_tier", "negotiated_type", "negotiated_rate", "source_ids"]


class WrongFigureError(TicRatesError):
    """A published figure differs from the one that its rows give."""


@dataclass(frozen=True)
class OpenedMonth:
    """One cell of a month, or all of it.

    members: ``schemas.PROVIDERS``. anew: rows of ``summaries`` computed from them. counts: rate rows, ``COUNTED``.
    """

    layout: Layout
    month: date
    members: pl.DataFrame
    anew: pl.DataFrame
    counts: pl.DataFrame


def open_month(layout: Layout, month: date, key: CellKey | None = None) -> OpenedMonth:
    """The month's observations, checked against the rate rows, and its summaries, computed again.

    Args: key: the only cell that is wanted; None: all of them.

    Raises:
        WrongFigureError: the rate rows give another representative rate.
    """
    providers = pl.scan_parquet(layout.month("providers", month) / "*.parquet", hive_partitioning=False)
    members = PROVIDERS.complete((providers if key is None else providers.filter(key.members)).collect())
    scope = pl.lit(value=True) if key is None else key.scope
    counts, files, checked = [], [NO_FILES], 0
    for piece in PublishedRates(layout.month("rates", month), key).pieces(scope, _CHECKED):
        counts.append(piece.rows.group_by(COUNTED).agg(rows=pl.len().cast(pl.Int64)))
        own = members.filter(piece.npis & (pl.col("payer") == piece.rows["payer"][0]))
        rates = rates_of(piece.rows.filter(pl.col("exclusion").is_null()), own)
        if not (wrong := wrong_providers(rates, own)).is_empty():
            raise WrongFigureError(wrong_figure(month, key, [_wrong_provider(wrong)]))
        files.append(list_files(rates, own, evidence_of(own)))
        checked += own.height
    if checked != members.height:
        found = f"{members.height - checked:,} providers have no rate rows"
        raise WrongFigureError(wrong_figure(month, key, [found]))
    anew = recompute(Observed(members.lazy(), pl.concat(files).unique().lazy()), key)
    summaries = SUMMARIES.complete(pl.read_parquet(find_months(layout)[month]))
    years = summaries["medicare_year"].drop_nulls().unique()
    medicare = summaries.filter(pl.col("payer") == MEDICARE)
    compared = compare_with_medicare(anew, medicare, month, years[0] if len(years) else None).collect()
    return OpenedMonth(layout, month, members, compared, sum_rows(counts, COUNTED))


def wrong_figure(month: date, key: CellKey | None, found: list[str]) -> str:
    """What differs, where, and what to do."""
    where = f"{'' if key is None else key.text + ' in '}{month_name(month)}"
    return f"{where}: {'; '.join(found)}; publish the month again, and report it if that does not help"


def _wrong_provider(wrong: pl.DataFrame) -> str:
    first = wrong.row(0, named=True)
    who = f"NPI {first['npi']} under TIN {first['tin']} at {first['payer']}"
    stated, anew = first["representative_rate_usd"], first["anew_usd"]
    rates = f"{wrong.height} published representative rates differ from those that their rate rows give"
    return f"{rates}; the first is {stated} instead of {anew}, of {who}"

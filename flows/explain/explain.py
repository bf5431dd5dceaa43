"""One cell of ``summaries`` walked back, from the published tables and the extracts in the cache.

Memory: the members of the cell, and its rate rows of one payer at a time.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from flows.explain.cell import PublishedCell, Question, find_cell, parse_npi
from flows.explain.extracts import Extracts
from flows.explain.opened_month import OpenedMonth, WrongFigureError, open_month, wrong_figure
from flows.explain.published_rates import PublishedRates, rates_of
from flows.publish.publish import fetch_published
from flows.storage.layout import Layout, month_name
from flows.tables.fee_schedules import load_medicare
from schemas.codes import EXCLUSIONS, MEDICARE
from schemas.published import FILES, PROVIDERS, RATES
from transforms.benchmark.summarize import US, compare_with_medicare, summarize_medicare
from transforms.cms.medicare import conversion_factor_for, medicare_year_for, price_localities
from transforms.errors import NothingUsableError, TicRatesError
from transforms.explain.cells import PROVIDER, differences, observe, work_out


@dataclass(frozen=True)
class Explanation:
    """A cell, what its figures were computed from, and how its rate rows are read again."""

    layout: Layout
    cell: PublishedCell
    members: pl.DataFrame  # schemas.PROVIDERS, outliers among them
    excluded: dict[str, int]  # rate rows of code, class and geography, any tier, by rule
    read: int  # those, eligible ones among them
    npi: int | None = None  # the only provider that is shown

    @property
    def observations(self) -> pl.DataFrame:
        """As ``transforms.explain.cells.observe``; with --npi, this provider's."""
        found = observe(self.cell.key, self.members)
        if self.npi is None:
            return found
        if "npi" in found.columns:
            return found.filter(pl.col("npi") == self.npi)
        return found.join(self.own_members.select("payer", "tin").unique(), on=["payer", "tin"], how="semi")

    @property
    def own_members(self) -> pl.DataFrame:
        """The members, or those with the NPI asked for."""
        return self.members if self.npi is None else self.members.filter(pl.col("npi") == self.npi)

    @property
    def quantiles(self) -> list[dict[str, Any]]:
        """The arithmetic of each percentile."""
        found = observe(self.cell.key, self.members)
        return [each._asdict() for each in work_out(found["rate_usd"], found["times"])]

    @cached_property
    def files(self) -> pl.DataFrame:
        """``schemas.FILES`` of the month, one row for each content."""
        path = self.layout.month("quality", self.cell.month) / "files.parquet"
        return FILES.complete(pl.read_parquet(path)).filter(pl.col("source_id").is_not_null())

    @cached_property
    def extracts(self) -> Extracts:
        """Where the rate rows stand."""
        return Extracts(self.layout, self.cell.month, self.cell.key.billing_code)

    def rates(self, most: int | None = None) -> Iterator[pl.DataFrame]:
        """The eligible rate rows behind the observations, by payer: RATES, and ``statements``: where each stands."""
        return self._placed(self._eligible(RATES.names), most)

    def _eligible(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        own = self.own_members
        wanted = self.cell.key.scope & pl.col("exclusion").is_null()
        for piece in self._rates.pieces(wanted, columns, self.npi):
            yield rates_of(piece.rows, own.filter(piece.npis))

    def excluded_rates(self, most: int | None = None) -> Iterator[pl.DataFrame]:
        """The excluded rate rows of code, class and geography, likewise; with --npi, all of this provider's."""
        return self._placed(self._excluded(RATES.names), most)

    def _excluded(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        key = self.cell.key
        scope = key.scope if self.npi is None else pl.col("billing_code") == key.billing_code
        for piece in self._rates.pieces(scope & pl.col("exclusion").is_not_null(), columns, self.npi):
            yield piece.rows

    @property
    def _rates(self) -> PublishedRates:
        return PublishedRates(self.layout.month("rates", self.cell.month), self.cell.key)

    def _placed(self, frames: Iterable[pl.DataFrame], most: int | None) -> Iterator[pl.DataFrame]:
        left = most
        for frame in frames:
            rows = RATES.complete(frame if left is None else frame.head(left)).with_row_index("row")
            left = None if left is None else left - rows.height
            placed = self.extracts.place(rows)
            where = placed.group_by("row", maintain_order=True).agg(statements=pl.struct(pl.exclude("row")))
            empty = pl.lit([], where.schema["statements"])
            joined = rows.join(where, on="row", how="left", maintain_order="left")
            yield joined.with_columns(pl.col("statements").fill_null(empty)).drop("row")
            if left == 0:
                return

    def as_json(self) -> dict[str, Any]:
        """The result line; its iterators are written piece by piece."""
        line: dict[str, Any] = {
            "month": month_name(self.cell.month),
            "cell": self.cell.row,
            "recomputed": "equal",
            "rows_read": self.read,
            "rows_excluded": self.excluded,
            "rows_eligible": self.read - sum(self.excluded.values()),
            "quantiles": self.quantiles if self.members.height else [],
            "files": self.described_files,
        }
        if self.cell.key.payer == MEDICARE:
            return line | {"localities": list_localities(self.layout, self.cell)}
        return line | {
            "observations": iter([self.observations]),
            "providers": iter([self.own_members]),
            "rates": self.rates(),
            "excluded_rates": self.excluded_rates(),
        }

    @cached_property
    def described_files(self) -> list[dict[str, Any]]:
        """The source files of the rates: source, digest, ETag, index, dates; whether offsets are known.

        eligible: whether one of its rows is; the others have excluded rows alone.
        """
        eligible = _source_ids(self._eligible([*PROVIDER, "source_ids"]))
        ids = eligible | _source_ids(self._excluded(["source_ids"]))
        columns = ("source_id", "source", "sha256", "etag", "index", "last_updated_on", "bytes", "status", "twin_of")
        rows = self.files.filter(pl.col("source_id").is_in(sorted(ids))).select(columns)
        return [
            row
            | {
                "eligible": row["source_id"] in eligible,
                "offsets": "known" if self.extracts.has(row["source_id"]) else self._without_offsets(row["source"]),
            }
            for row in rows.sort("source").iter_rows(named=True)
        ]

    def _without_offsets(self, source: str) -> str:
        month, output = month_name(self.cell.month), self.layout.location
        where = "it is here" if Path(source).exists() else "fetch it first if it is not at this address"
        return (
            f"not in the cache: {source} must be read again ({where}): run the command that published {month} again "
            f"with --force --output {output}"
        )


def _source_ids(frames: Iterable[pl.DataFrame]) -> set[str]:
    return {source_id for frame in frames for source_id in frame["source_ids"].explode().drop_nulls().unique()}


def explain(layout: Layout, asked: Question) -> Explanation:
    """The cell asked for, its observations, and how its rate rows are found; its figures are computed anew.

    Raises:
        UsageError, NothingUsableError: as of ``find_cell``; with an NPI that no rate row of the code names.
        WrongFigureError: the published figures are not those of the observations, or these not those of the rates.
    """
    fetch_published(layout, "summaries")
    cell = find_cell(layout, asked)
    folders = (layout.month(name, cell.month).relative_to(layout.root) for name in ("providers", "rates", "quality"))
    fetch_published(layout, *(folder.as_posix() for folder in folders))
    key = cell.key
    opened = None if key.payer == MEDICARE else open_month(layout, cell.month, key)
    found = explain_medicare(layout, cell) if opened is None else explain_cell(opened, cell)
    explained = replace(found, npi=asked.npi)
    if asked.npi is None or not explained.own_members.is_empty():
        return explained
    if not any(frame.height for frame in explained.excluded_rates(1)):
        raise _not_in_cell(explained)
    return explained


def explain_cell(opened: OpenedMonth, cell: PublishedCell) -> Explanation:
    """A cell of an opened month.

    Raises:
        WrongFigureError: the published figures are not those of the observations.
    """
    key = cell.key
    anew = opened.anew.filter(key.rows)
    found = differences(cell.row, anew.row(0, named=True) if anew.height else {})
    if found:
        raise WrongFigureError(wrong_figure(cell.month, key, found))
    rows = opened.counts.filter(key.payers & key.scope).group_by("exclusion").agg(pl.col("rows").sum())
    counts = dict(rows.iter_rows())
    excluded = {rule.name: counts[rule.name] for rule in EXCLUSIONS if rule.name in counts}
    return Explanation(opened.layout, cell, opened.members.filter(key.members), excluded, sum(counts.values()))


def _not_in_cell(explained: Explanation) -> TicRatesError:
    npi = str(explained.npi)
    parse_npi(npi)
    why = "no rate row of the code names it; it may be in another geography, tier or class, or at another payer"
    return NothingUsableError(f"NPI {npi} is not in {explained.cell.key.text}: {why}")


def explain_medicare(layout: Layout, cell: PublishedCell) -> Explanation:
    """A cell of Medicare's, computed anew from the fee schedule.

    Raises:
        WrongFigureError: it differs.
    """
    priced = price_localities(load_medicare(layout.reference), [cell.key.billing_code], cell.month)
    benchmark = summarize_medicare(priced.select("billing_code", "state", "amount_usd"))
    rows = compare_with_medicare(benchmark, benchmark, cell.month, cell.row["medicare_year"]).collect()
    found = rows.filter(cell.key.rows)
    anew = found.row(0, named=True) if found.height else {}
    if wrong := differences(cell.row, anew):
        raise WrongFigureError(
            wrong_figure(cell.month, cell.key, [*wrong, "the fee schedule may have been replaced since"])
        )
    return Explanation(layout, cell, PROVIDERS.empty(), {}, 0)


def list_localities(layout: Layout, cell: PublishedCell) -> list[dict[str, Any]]:
    """Medicare's localities of a cell: RVUs, GPCIs, conversion factor, amount."""
    reference = load_medicare(layout.reference)
    year, factor = medicare_year_for(reference, cell.month), conversion_factor_for(reference, cell.month)
    if year is None or factor is None:
        return []
    (values,) = reference.relative_values(year, [cell.key.billing_code])
    parts = {"work_rvu": values.work_rvu, "pe_rvu": values.pe_rvu, "mp_rvu": values.mp_rvu}
    priced = price_localities(reference, [cell.key.billing_code], cell.month)
    amounts = {(row["mac"], row["locality"]): row["amount_usd"] for row in priced.iter_rows(named=True)}
    return [
        {
            "locality": f"{place.state} {place.locality}",
            "name": place.locality_name,
            **parts,
            **dict(zip(("work_gpci", "pe_gpci", "mp_gpci"), place.gpcis, strict=True)),
            "conversion_factor": factor,
            "year": year,
            "amount_usd": amounts[place.mac, place.locality],
        }
        for place in reference.localities(year)
        if cell.key.geography in (US, place.state)
    ]

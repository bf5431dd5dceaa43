"""One cell of ``summaries`` walked back, from the published tables and the extracts in the cache.

Memory: the members of the cell, and its rate rows of one payer at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from flows.explain.cell import PublishedCell, Question, find_cell
from flows.explain.extracts import Extracts
from flows.publish.publish import fetch_published
from flows.storage.layout import Layout, month_name
from flows.tables.fee_schedules import load_medicare
from flows.tables.payer_builds import rates_path
from schemas.codes import EXCLUSIONS, MEDICARE
from schemas.published import FILES, PROVIDERS, RATES
from transforms.benchmark.representative_rates import list_files, published_class
from transforms.benchmark.summarize import US, compare_with_medicare, summarize_medicare
from transforms.cms.medicare import conversion_factor_for, medicare_year_for, price_localities
from transforms.errors import NothingUsableError, TicRatesError
from transforms.explain.cells import (
    PROVIDER,
    differences,
    evidence_of,
    observe,
    recompute,
    work_out,
    wrong_providers,
)


class WrongFigureError(TicRatesError):
    """A published figure is not that of its observations, or a representative rate not that of its rate rows."""


@dataclass(frozen=True)
class Explanation:
    """A cell, what its figures were computed from, and how its rate rows are read again."""

    layout: Layout
    asked: Question
    cell: PublishedCell
    members: pl.DataFrame  # schemas.PROVIDERS, outliers among them
    excluded: dict[str, int]  # rate rows of code, class and geography, any tier, by rule
    read: int  # those, eligible ones among them

    @property
    def observations(self) -> pl.DataFrame:
        """As ``transforms.explain.cells.observe``; with --npi, this provider's."""
        found = observe(self.cell.key, self.members)
        npi = self.asked.npi
        if npi is None:
            return found
        if "npi" in found.columns:
            return found.filter(pl.col("npi") == npi)
        return found.join(self.own_members.select("payer", "tin").unique(), on=["payer", "tin"], how="semi")

    @property
    def own_members(self) -> pl.DataFrame:
        """The members, or those with the NPI asked for."""
        npi = self.asked.npi
        return self.members if npi is None else self.members.filter(pl.col("npi") == npi)

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
        names = dict(self.files.select("source_id", "source").unique("source_id").iter_rows())
        return Extracts(self.layout, self.cell.key.billing_code, names)

    def rates(self, most: int | None = None) -> Iterator[pl.DataFrame]:
        """The eligible rate rows behind the observations, by payer: RATES, and ``statements``: where each stands."""
        left = most
        for payer in self.own_members["payer"].unique().sort():
            own = _rates_of(self.layout, self.cell, self.own_members.filter(pl.col("payer") == payer), payer)
            own = own if left is None else own.head(left)
            left = None if left is None else left - own.height
            yield self._with_statements(own)
            if left == 0:
                return

    def excluded_rates(self) -> Iterator[pl.DataFrame]:
        """With --npi: the excluded rate rows that name it, likewise."""
        for path in _rates_paths(self.layout, self.cell) if self.asked.npi is not None else ():
            rows = pl.scan_parquet(path, hive_partitioning=False).filter(
                self.cell.key.payers
                & (pl.col("npi") == self.asked.npi)
                & (pl.col("billing_code") == self.cell.key.billing_code)
                & pl.col("exclusion").is_not_null()
            )
            yield self._with_statements(RATES.complete(rows.collect()))

    def _with_statements(self, rates: pl.DataFrame) -> pl.DataFrame:
        rows = rates.with_row_index("row")
        placed = self.extracts.place(rows)
        where = placed.group_by("row").agg(statements=pl.struct(pl.exclude("row")))
        empty = pl.lit([], where.schema["statements"])
        joined = rows.join(where, on="row", how="left", maintain_order="left")
        return joined.with_columns(pl.col("statements").fill_null(empty)).drop("row")

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
        """The source files of the rates: source, digest, ETag, index, dates; whether offsets are known."""
        ids: set[str] = set()
        for payer in self.own_members["payer"].unique():
            own = _rates_of(self.layout, self.cell, self.own_members.filter(pl.col("payer") == payer), payer)
            ids |= {*own["source_ids"].explode().drop_nulls()}
        columns = ("source_id", "source", "sha256", "etag", "index", "last_updated_on", "bytes", "status", "twin_of")
        rows = self.files.filter(pl.col("source_id").is_in(sorted(ids))).select(columns)
        return [
            row | {"offsets": "known" if self.extracts.has(row["source_id"]) else self._without_offsets(row["source"])}
            for row in rows.sort("source").iter_rows(named=True)
        ]

    def _without_offsets(self, source: str) -> str:
        month, output = month_name(self.cell.month), self.layout.location
        where = "it is here" if Path(source).exists() else "fetch it first if it is not at this address"
        return (
            f"not in the cache: {source} must be read again ({where}): run the command that published {month} again "
            f"with --force --output {output}"
        )


def explain(layout: Layout, asked: Question) -> Explanation:
    """The cell asked for, its observations, and how its rate rows are found; its figures are computed anew.

    Raises:
        UsageError, NothingUsableError: as of ``find_cell``; with an NPI that the cell does not have.
        WrongFigureError: the published figures are not those of the observations, or these not those of the rates.
    """
    fetch_published(layout, "summaries")
    cell = find_cell(layout, asked)
    folders = (layout.month(name, cell.month).relative_to(layout.root) for name in ("providers", "rates", "quality"))
    fetch_published(layout, *(folder.as_posix() for folder in folders))
    if cell.key.payer == MEDICARE:
        _check_medicare(layout, cell)
        return Explanation(layout, asked, cell, PROVIDERS.empty(), {}, 0)
    providers = pl.scan_parquet(layout.month("providers", cell.month) / "*.parquet", hive_partitioning=False)
    members = PROVIDERS.complete(providers.filter(cell.key.members).collect())
    files = []
    for payer in members["payer"].unique().sort():
        own = members.filter(pl.col("payer") == payer)
        rates = _rates_of(layout, cell, own, payer)
        if not (wrong := wrong_providers(rates, own)).is_empty():
            raise WrongFigureError(_wrong_provider(cell, wrong))
        files.append(list_files(rates, own, evidence_of(own)))
    counted = pl.concat(files).unique() if files else list_files(RATES.empty(), PROVIDERS.empty())
    if found := differences(cell.row, recompute(cell.key, members, counted, cell.row, cell.medicare)):
        raise WrongFigureError(_wrong_cell(cell, found))
    excluded, read = _count_rows(layout, cell)
    explained = Explanation(layout, asked, cell, members, excluded, read)
    if asked.npi is not None and explained.own_members.is_empty():
        raise NothingUsableError(_not_in_cell(explained))
    return explained


def _wrong_cell(cell: PublishedCell, found: list[str]) -> str:
    where = f"{cell.key.text} in {month_name(cell.month)}"
    return f"{where}: {'; '.join(found)}; publish the month again, and report it if that does not help"


def _wrong_provider(cell: PublishedCell, wrong: pl.DataFrame) -> str:
    first = wrong.row(0, named=True)
    who = f"NPI {first['npi']} under TIN {first['tin']} at {first['payer']}"
    stated, anew = first["representative_rate_usd"], first["anew_usd"]
    return _wrong_cell(cell, [f"{wrong.height} representative rates differ, first that of {who}: {stated}, not {anew}"])


def _not_in_cell(explained: Explanation) -> str:
    found = pl.concat([RATES.empty(), *(frame.select(RATES.names) for frame in explained.excluded_rates())])
    rules = ", ".join(sorted({*found["exclusion"]}))
    npi, text = explained.asked.npi, explained.cell.key.text
    why = f"its {found.height} rate rows there are excluded by {rules}" if rules else "no rate row there names it"
    return f"NPI {npi} is not in {text}: {why}; it may be in another geography, tier or class"


def _rates_paths(layout: Layout, cell: PublishedCell) -> list[Path]:
    return sorted(layout.month("rates", cell.month).rglob("*.parquet"))


def _rates_of(layout: Layout, cell: PublishedCell, members: pl.DataFrame, payer: str) -> pl.DataFrame:
    """The eligible rate rows of members of one payer, in the order of ``rates``."""
    key = cell.key
    rows = pl.scan_parquet(rates_path(layout.month("rates", cell.month), payer), hive_partitioning=False)
    eligible = rows.filter(key.scope & pl.col("exclusion").is_null())
    folded = eligible.with_columns(published_class(pl.col("billing_class")).alias("folded"))
    own = members.lazy().select(*PROVIDER).rename({"billing_class": "folded"})
    by = ["payer", "billing_code", "folded", "tin", "npi"]
    kept = folded.join(own, on=by, how="semi", nulls_equal=True, maintain_order="left").drop("folded")
    return RATES.complete(kept.collect())


def _count_rows(layout: Layout, cell: PublishedCell) -> tuple[dict[str, int], int]:
    """The rate rows of code, class and geography by rule, in the rules' order, and how many there are."""
    counts: dict[str | None, int] = {}
    for path in _rates_paths(layout, cell):
        rows = pl.scan_parquet(path, hive_partitioning=False).filter(cell.key.payers & cell.key.scope)
        for rule, count in rows.group_by("exclusion").agg(pl.len()).collect().iter_rows():
            counts[rule] = counts.get(rule, 0) + count
    return {rule.name: counts[rule.name] for rule in EXCLUSIONS if rule.name in counts}, sum(counts.values())


def _check_medicare(layout: Layout, cell: PublishedCell) -> None:
    priced = price_localities(load_medicare(layout.reference), [cell.key.billing_code], cell.month)
    benchmark = summarize_medicare(priced.select("billing_code", "state", "amount_usd"))
    rows = compare_with_medicare(benchmark, benchmark, cell.month, cell.row["medicare_year"]).collect()
    found = rows.filter(cell.key.rows)
    anew = found.row(0, named=True) if found.height else {}
    if wrong := differences(cell.row, anew):
        raise WrongFigureError(_wrong_cell(cell, [*wrong, "the fee schedule may have been replaced since"]))


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

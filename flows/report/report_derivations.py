"""Pages that say how a place's figures come about, in counts: rows by rule, outliers, one percentile worked out."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import polars as pl
from jinja2 import Environment

from flows.report.report_tables import CodeViews, largest
from flows.storage.layout import month_name
from schemas.codes import COMPOSITE_ALL, EXCLUSIONS, MEDICARE
from schemas.geographies import NATIONAL, name_of
from schemas.published import PROVIDERS
from transforms.benchmark.summarize import COMPOSITES
from transforms.explain.cells import CellKey, Quantile, observe, work_out
from transforms.explain.views import View
from transforms.report.figures import Cell

FOLDER = "derivations"
MOST_ROWS = 250  # a page stays under 300 KB; `tic-rates explain` has every cell
SMALL = range(2, 16)  # observations that a page can list
_COUNTED = ("payer", "billing_code", "billing_class", "state", "exclusion")


class Step(NamedTuple):
    """How many rows led to one payer's figures. outliers: representative rates that leave the percentiles."""

    cell: Cell
    slug: str
    read: int
    excluded: list[tuple[str, int]]  # by rule, in the rules' order
    representative: int
    outliers: int

    @property
    def eligible(self) -> int:
        """Rate rows of any taxonomy that no rule excludes."""
        return self.read - sum(rows for _, rows in self.excluded)


class Worked(NamedTuple):
    """One small cell: its observations in order, and each percentile's arithmetic."""

    cell: Cell
    rates_usd: list[float]
    quantiles: list[Quantile]


def count_rates(folder: Path) -> pl.DataFrame:
    """The rate rows of a month by payer, code, class as published, state and rule: rows. Memory: these counts."""
    paths = sorted(folder.rglob("*.parquet"))
    if not paths:
        return pl.DataFrame(schema=dict.fromkeys(_COUNTED, pl.String) | {"rows": pl.Int64})
    rows = pl.scan_parquet(paths, hive_partitioning=False).group_by(_COUNTED).agg(rows=pl.len().cast(pl.Int64))
    return rows.collect(engine="streaming")


@dataclass(frozen=True)
class Derivations:
    """The pages of one code.

    Args:
        rates: of ``count_rates``.
        providers: the month's ``schemas.PROVIDERS``.
    """

    views: CodeViews
    rates: pl.DataFrame
    providers: Path

    def page(self, environment: Environment, geography: str) -> str:
        """The page of one place: the view that heads its page, its largest rows."""
        figures = self.views.of_place(geography)
        cells = [cell for cell in largest(figures.cells(geography).values(), MOST_ROWS) if cell.payer != MEDICARE]
        steps = [self._step(cell, figures.slugs[cell.payer]) for cell in cells]
        return environment.get_template("derivation.html").render(
            title=f"CPT {self.views.code}, {name_of(geography)}: how the figures come about",
            root="../../",
            code=self.views.code,
            geography=geography,
            name=name_of(geography),
            why=self.views.why(geography),
            month=month_name(self.views.published.month),
            steps=steps,
            left_out=len(figures.cells(geography)) - len(cells) - (MEDICARE in figures.cells(geography)),
            rules=[rule for rule in EXCLUSIONS if any(rule.name in dict(step.excluded) for step in steps)],
            worked=self._work_out(figures.view, cells),
            medicare=figures.cells(geography).get(MEDICARE),
        )

    def _step(self, cell: Cell, slug: str) -> Step:
        place = (cell.payer, cell.geography)
        rules = self._rows(cell.billing_class).get(place, {})
        representative, outliers = self._members(View(cell.billing_class, cell.taxonomy_tier)).get(place, (0, 0))
        excluded = [(rule.name, rules[rule.name]) for rule in EXCLUSIONS if rule.name in rules]
        return Step(cell, slug, sum(rules.values()), excluded, representative, outliers)

    def _rows(self, billing_class: str) -> dict[tuple[str, str], dict[str | None, int]]:
        """Rate rows of a class by payer and place, then by rule."""
        if billing_class not in self._known_rows:
            key = CellKey(self.views.code, billing_class, COMPOSITE_ALL, NATIONAL, "all", "npi")
            found: dict[tuple[str, str], dict[str | None, int]] = {}
            counts = _everywhere(self.rates.filter(key.scope)).group_by("payer", "geography", "exclusion")
            for payer, geography, rule, rows in counts.agg(pl.col("rows").sum()).iter_rows():
                found.setdefault((payer, geography), {})[rule] = rows
            self._known_rows[billing_class] = found
        return self._known_rows[billing_class]

    def _members(self, view: View) -> dict[tuple[str, str], tuple[int, int]]:
        """Representative rates of a view by payer and place, and the outliers among them."""
        if view not in self._known_members:
            counted = (
                self._scan(view)
                .group_by("payer", "state")
                .agg(rows=pl.len(), outliers=pl.col("exclusion").eq("outlier").sum())
            )
            placed = _everywhere(counted.collect(engine="streaming")).group_by("payer", "geography")
            sums = placed.agg(pl.col("rows").sum(), pl.col("outliers").sum())
            self._known_members[view] = {(payer, place): (rows, out) for payer, place, rows, out in sums.iter_rows()}
        return self._known_members[view]

    def _work_out(self, view: View, cells: list[Cell]) -> Worked | None:
        """The smallest cell of one payer that can be listed; None where each has more observations."""
        small = [cell for cell in cells if cell.payer_kind == "payer" and cell.n_npi in SMALL]
        if not small:
            return None
        cell = min(small, key=lambda each: (each.n_npi or 0, each.order))
        key = CellKey(self.views.code, view.billing_class, cell.payer, cell.geography, view.taxonomy_tier, "npi")
        observed = observe(key, PROVIDERS.complete(self._small(view).filter(key.members)))
        return Worked(cell, observed["rate_usd"].to_list(), work_out(observed["rate_usd"], observed["times"]))

    def _small(self, view: View) -> pl.DataFrame:
        """The members of all cells of a view that can be listed, read once."""
        if view not in self._known_small:
            figures = self.views.figures[view]
            cells = [cell for of_payer in figures.payers.values() for cell in of_payer.values() if cell.n_npi in SMALL]
            national = pl.col("payer").is_in([cell.payer for cell in cells if cell.geography == NATIONAL])
            places = pl.concat_str("state", pl.lit(" "), "payer").is_in(
                [f"{cell.geography} {cell.payer}" for cell in cells if cell.geography != NATIONAL]
            )
            self._known_small[view] = self._scan(view).filter(national | places).collect(engine="streaming")
        return self._known_small[view]

    def _scan(self, view: View) -> pl.LazyFrame:
        key = CellKey(self.views.code, view.billing_class, COMPOSITE_ALL, NATIONAL, view.taxonomy_tier, "npi")
        return pl.scan_parquet(self.providers, hive_partitioning=False).filter(key.members)

    @cached_property
    def _known_rows(self) -> dict[str, dict[tuple[str, str], dict[str | None, int]]]:
        return {}

    @cached_property
    def _known_members(self) -> dict[View, dict[tuple[str, str], tuple[int, int]]]:
        return {}

    @cached_property
    def _known_small(self) -> dict[View, pl.DataFrame]:
        return {}


def _everywhere(counts: pl.DataFrame) -> pl.DataFrame:
    """Counts by payer and state, once more under the composites that pool the payer, and once more for the nation."""
    pooled = [
        (counts if payers is None else counts.filter(pl.col("payer").is_in(payers))).with_columns(payer=pl.lit(name))
        for name, payers in COMPOSITES.items()
    ]
    found = pl.concat([counts, *pooled]).rename({"state": "geography"})
    return pl.concat([found.drop_nulls("geography"), found.with_columns(geography=pl.lit(NATIONAL))])

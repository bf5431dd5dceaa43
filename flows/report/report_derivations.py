"""Pages that say how each payer's figures come about, in counts: rows by rule, outliers, one percentile worked out.

Every row of ``summaries`` has a row on its payer's page, and each of its figures that the report shows leads there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from jinja2 import Environment
from markupsafe import Markup

from flows.report.report_counts import RULES, Counts
from flows.report.report_parts import File
from flows.report.report_site import DERIVATIONS, network_anchor
from flows.report.report_tables import CodeViews
from flows.storage.layout import month_name
from schemas.codes import EXCLUSIONS, MEDICARE
from schemas.geographies import NATIONAL, name_of
from schemas.published import PROVIDERS
from transforms.explain.cells import CellKey, Quantile, observe, work_out
from transforms.report.figures import Cell, anchor_of, make_cell, to_cents, usd

SMALL = range(2, 16)  # observations that a page can list
_GRAIN = ("billing_class", "payer", "geography", "taxonomy_tier", "weighting")
_STEP = (
    *("geography", "billing_class", "taxonomy_tier", "weighting", "read", "eligible", "n_rates", "representative"),
    *("outliers", "observations", "n_npi", "n_tin", "low_sample", "p50_usd"),
)


class Worked(NamedTuple):
    """One small cell: its observations in order, and each percentile's arithmetic."""

    cell: Cell
    rates_usd: list[float]
    quantiles: list[Quantile]


@dataclass(frozen=True)
class Derivations:
    """The pages of one code, one a payer.

    Args:
        providers: the month's ``schemas.PROVIDERS``.
    """

    views: CodeViews
    counts: Counts
    providers: Path

    def files(self, environment: Environment) -> Iterator[File]:
        """The page of every payer that has figures of the code."""
        code, template = self.views.code, environment.get_template("derivation.html")
        for payer, (slug, name) in self.views.payers.items():
            page = template.render(
                title=f"CPT {code}, {name}: how the figures come about",
                root="../../",
                code=code,
                name=name,
                slug=slug,
                month=month_name(self.views.published.month),
                name_of=name_of,
                **(self._medicare() if payer == MEDICARE else self._context(payer)),
            )
            yield f"{code}/{DERIVATIONS}/{slug}.html", page

    def _medicare(self) -> dict[str, Any]:
        return {"medicare": [*self.views.national.payers[MEDICARE].values()]}

    def _context(self, payer: str) -> dict[str, Any]:
        places = self._places.get(payer, [])
        rules = [rule for rule in EXCLUSIONS if any(place[RULES[rule.name]] for place in places)]
        return {
            "medicare": None,
            "steps": {each: Markup("\n").join(rows) for each, rows in self._steps.get(payer, {}).items()},
            "rules": rules,
            "rows_by_rule": [
                (place["geography"], place["billing_class"], [place[RULES[rule.name]] for rule in rules])
                for place in places
            ],
            "networks": self._networks(payer),
            "worked": self._worked.get(payer),
        }

    @cached_property
    def _steps(self) -> dict[str, dict[str, list[Markup]]]:
        """The rows of each payer's page by class, in the order of places."""
        found: dict[str, dict[str, list[Markup]]] = {}
        for payer, *row in self.counts.cells(self.views.code).select("payer", *_STEP).iter_rows():
            found.setdefault(payer, {}).setdefault(row[1], []).append(write_step(row))
        return found

    @cached_property
    def _places(self) -> dict[str, list[dict[str, Any]]]:
        """The rate rows by rule of each payer's places with figures."""
        parts = _by_payer(self.counts.places(self.views.code))
        return {payer: part.to_dicts() for payer, part in parts.items()}

    def _networks(self, payer: str) -> list[tuple[str, Cell, tuple[int, int]]]:
        """The networks of the payer's page: anchor, national figures, rate rows read and eligible that name it."""
        figures, _ = self.views.of_payer(payer)
        rows = self.counts.networks(payer, self.views.code, figures.view.billing_class) if figures.networks else {}
        cells = figures.network_cells(payer).items()
        return [(network_anchor(n), cell, rows.get(name, (0, 0))) for n, (name, cell) in enumerate(cells)]

    @cached_property
    def _worked(self) -> dict[str, Worked]:
        """A small cell of each payer that has one, worked out: the one with most observations."""
        views, code = self.views.published.views, self.views.code
        rows = self.views.published.latest.filter(
            pl.col("n_npi").is_in(SMALL),
            pl.any_horizontal(view.rows for view in views),
            billing_code=code,
            payer_kind="payer",
        )
        chosen = rows.sort("n_npi", descending=True, maintain_order=True).unique("payer", keep="first")
        cells = [make_cell(row) for row in chosen.iter_rows(named=True)]
        if not cells or not self.providers.exists():
            return {}
        keys = [CellKey(code, *(getattr(cell, name) for name in _GRAIN)) for cell in cells]
        members = self._read(cells)
        observed = _by_payer(observe(keys[0], pl.concat([members.filter(key.members) for key in keys])))
        return {
            cell.payer: Worked(cell, own["rate_usd"].to_list(), work_out(own["rate_usd"], own["times"]))
            for cell in cells
            if (own := observed.get(cell.payer)) is not None
        }

    def _read(self, cells: Sequence[Cell]) -> pl.DataFrame:
        """The members of some cells, and others of their payers and places."""
        national = pl.col("payer").is_in([cell.payer for cell in cells if cell.geography == NATIONAL])
        here = pl.concat_str("state", pl.lit(" "), "payer")
        places = here.is_in([f"{cell.geography} {cell.payer}" for cell in cells])
        rows = pl.scan_parquet(self.providers, hive_partitioning=False)
        wanted = (pl.col("billing_code") == self.views.code) & (national | places)
        return PROVIDERS.complete(rows.filter(wanted).collect(engine="streaming"))


def write_step(row: Sequence[Any]) -> Markup:
    """A row of the table of counts. A month has tens of thousands, and a template takes ten times as long for each.

    Args: row: ``_STEP``: geographies, classes, tiers and numbers, nothing to escape.
    """
    place, billing_class, tier, weighting, read, eligible, *counts, npis, tins, small, median = row
    numbers = "</td><td>".join(f"{count:,}" for count in (read, read - eligible, eligible, *counts, npis))
    return Markup(
        f'<tr id="{anchor_of(place, billing_class, tier, weighting)}"><th>{place}</th><td>{tier}</td>'
        f"<td>{weighting}</td><td>{numbers}{'*' if small else ''}</td><td>{tins:,}</td>"
        f"<td>{usd(to_cents(median))}</td></tr>"
    )


def _by_payer(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    parts = rows.partition_by("payer", as_dict=True, include_key=False)
    return {str(payer): part for (payer,), part in parts.items()}

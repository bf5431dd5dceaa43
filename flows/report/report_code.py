"""One code of the report: its places and payers, and which of the published rows stand in front."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flows.report.report_tables import Place, Published
from schemas.codes import GEOGRAPHIES
from schemas.geographies import IN_ORDER, NATIONAL
from schemas.published import SUMMARIES
from transforms.benchmark.payers import payer_slug
from transforms.report.figures import KIND_ORDER, Cell, show_name

Row = tuple[Any, ...]  # as published, columns of SUMMARIES
AT = {name: place for place, name in enumerate(SUMMARIES.names)}


@dataclass(frozen=True)
class CodeFigures:
    """What the pages of one code share."""

    published: Published
    code: str

    @cached_property
    def geographies(self) -> tuple[str, ...]:
        """Pages in their order: national, states, DC and territories."""
        return (NATIONAL, *IN_ORDER) if self.published.with_states else (NATIONAL,)

    @cached_property
    def payers(self) -> dict[str, dict[str, Cell]]:
        """Each payer's cells by geography; payers in the order of the tables."""
        found: dict[str, dict[str, Cell]] = {}
        for geography in (NATIONAL, *GEOGRAPHIES):
            for cell in self.cells(geography):
                found.setdefault(cell.payer, {})[geography] = cell
        return dict(sorted(found.items(), key=lambda entry: next(iter(entry[1].values())).order))

    @cached_property
    def names(self) -> dict[str, str]:
        """Payers as shown."""
        return {payer: show_name(payer) for payer in self.payers}

    @cached_property
    def slugs(self) -> dict[str, str]:
        """File names of payer pages, the same as of the folders of ``rates``."""
        return {payer: payer_slug(payer) for payer in self.payers}

    @cached_property
    def national(self) -> dict[str, Cell]:
        """National cells by payer."""
        return {cell.payer: cell for cell in self.cells(NATIONAL)}

    @cached_property
    def front_rows(self) -> dict[str, list[Row]]:
        """Published rows of the view in front, by payer, in the order of the pages."""
        found: dict[str, list[Row]] = {payer: [] for payer in self.payers}
        for geography in self.geographies:
            for row in self.rows(geography):
                if not self.behind(row):
                    found[row[AT["payer"]]].append(row)
        return found

    def place(self, geography: str) -> Place:
        """The key of a page's figures."""
        return self.code, geography

    def cells(self, geography: str) -> list[Cell]:
        """The view in front, in table order."""
        return self.published.cells.get(self.place(geography), [])

    def rows(self, geography: str) -> list[Row]:
        """Every published row of the latest month."""
        return self.published.rows.get(self.place(geography), [])

    def behind(self, row: Sequence[Any]) -> bool:
        """Whether a published row is not of the view in front."""
        view = self.published.view
        own = (row[AT["billing_class"]], row[AT["taxonomy_tier"]], row[AT["weighting"]])
        in_front = own == (view.billing_class, view.taxonomy_tier, view.weighting)
        return not in_front and row[AT["payer_kind"]] != "benchmark"


def table_order(row: Sequence[Any]) -> tuple[int, str]:
    """Published rows as the tables have them."""
    return KIND_ORDER[row[AT["payer_kind"]]], row[AT["payer"]]


def medicare_of(cells: Iterable[Cell]) -> Cell | None:
    """Medicare's cell, where it prices the code."""
    return next((cell for cell in cells if cell.payer_kind == "benchmark"), None)


def largest(cells: Iterable[Cell], most: int) -> list[Cell]:
    """At most so many, in table order: pooled payers and Medicare stay, of the others those with most providers."""
    ordered = sorted(cells, key=lambda cell: (cell.payer_kind == "payer", -(cell.n_npi or 0), cell.payer))
    return sorted(ordered[:most], key=lambda cell: cell.order)

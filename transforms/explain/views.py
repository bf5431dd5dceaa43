"""Which rows of ``summaries`` a page shows first: one class, tier and weighting; and why it is these."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from schemas.codes import BILLED
from transforms.report.figures import Cell
from transforms.report.paragraph import sample_size

BENCHMARK = pl.col("payer_kind") == "benchmark"
_WHO = {
    "all": "all taxonomies",
    BILLED: "providers who billed Medicare for the code or a related one",
}


@dataclass(frozen=True)
class View:
    """The rows of ``summaries`` of one class, tier and weighting, and Medicare's."""

    billing_class: str
    taxonomy_tier: str
    weighting: str = "npi"

    @property
    def rows(self) -> pl.Expr:
        """True for the rows of the view."""
        same = [pl.col(name) == getattr(self, name) for name in ("billing_class", "taxonomy_tier", "weighting")]
        return pl.all_horizontal(same) | BENCHMARK

    @property
    def text(self) -> str:
        """The view in a sentence."""
        who = _WHO.get(self.taxonomy_tier, "physical therapists and similar")
        return f"{self.billing_class.capitalize()} rates; each provider counts once; {self.taxonomy_tier} tier ({who})."


def choose_views(latest: pl.DataFrame) -> tuple[View, ...]:
    """The views that can be a headline, the preferred one first: `billed` where utilization is loaded, `balanced`.

    A month without professional rates shows institutional ones, a month without `balanced` shows `all`.
    """
    commercial = latest.filter(~BENCHMARK)
    professional = commercial.is_empty() or "professional" in commercial["billing_class"]
    tiers = set(commercial["taxonomy_tier"])
    shown = [*([BILLED] if BILLED in tiers else []), "balanced" if "balanced" in tiers else "all"]
    return tuple(View("professional" if professional else "institutional", tier) for tier in shown)


Sample = Sequence[Cell]  # the commercial rows of a view at one place, or the national one of a payer


def choose_headline(views: Sequence[View], samples: Sequence[Sample]) -> View:
    """The view that heads a page: the first with enough providers, else the last.

    A view has enough providers when its largest row is not flagged as a small sample, and when at least half of the
    payers of the last view have a row in it that is not flagged.

    Args:
        samples: the rows of each view, in the order of the views.
    """
    firm = (view for view, cells in zip(views, samples, strict=True) if _is_firm(cells, samples[-1]))
    return next(firm, views[-1])


def explain_headline(views: Sequence[View], samples: Sequence[Sample]) -> str:
    """The view that heads a page, and why it is this one."""
    view, billed = choose_headline(views, samples), _largest(samples[0])
    if BILLED not in (each.taxonomy_tier for each in views):
        why = "No utilization file is loaded, so there is no billed tier."
    elif billed is None:
        why = "The billed tier has no provider here."
    elif view.taxonomy_tier == BILLED:
        why = f"A utilization file is loaded, and the tier is no small sample here ({sample_size(billed)})."
    elif billed.low_sample:
        why = f"The billed tier is a small sample here ({sample_size(billed)})."
    else:
        why = "The billed tier is a small sample here for most payers."
    return f"{view.text} {why}"


def _is_firm(cells: Sample, base: Sample) -> bool:
    largest, payers = _largest(cells), [cell.payer for cell in base if cell.payer_kind == "payer"]
    firm = {cell.payer for cell in cells if not cell.low_sample}
    return largest is not None and not largest.low_sample and 2 * len(firm.intersection(payers)) >= len(payers)


def _largest(cells: Sample) -> Cell | None:
    """The row with most providers among those without a small sample, else among all: usually the pooled row."""
    return max(cells, key=lambda cell: (not cell.low_sample, cell.n_npi or 0), default=None)

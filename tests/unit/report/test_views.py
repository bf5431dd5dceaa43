"""Which tier heads a page: `billed` where it is loaded and no small sample, and the page's words for it."""

from collections.abc import Sequence

import polars as pl
import pytest

from schemas.published import SUMMARIES
from tests.report_market import summary
from transforms.explain.views import View, choose_headline, choose_views, explain_headline
from transforms.report.figures import Cell, make_cell

BILLED, BALANCED = View("professional", "billed"), View("professional", "balanced")
VIEWS = (BILLED, BALANCED)


def cells_of(pooled: int, *payers: int) -> list[Cell]:
    """The pooled row and payers' rows with so many providers."""
    named = [("All commercial", pooled), *((f"Plan {place}", n_npi) for place, n_npi in enumerate(payers))]
    return [make_cell(summary(name, n_npi=n_npi, n_tin=5, low_sample=n_npi < 11)) for name, n_npi in named]


LARGE = cells_of(90, 50, 50, 50)


@pytest.mark.parametrize(
    ("billed", "view", "why"),
    [
        (cells_of(40, 20, 20, 20), BILLED, "the tier is no small sample here (40 providers, 5 contract holders)."),
        (cells_of(40, 20, 20, 4), BILLED, "the tier is no small sample here (40 providers, 5 contract holders)."),
        (cells_of(40, 20, 20), BILLED, "the tier is no small sample here (40 providers, 5 contract holders)."),
        (cells_of(40, 20, 4, 4), BALANCED, "The billed tier is a small sample here for most payers."),
        (cells_of(40, 20), BALANCED, "The billed tier is a small sample here for most payers."),
        (
            cells_of(10, 10, 4, 4),
            BALANCED,
            "The billed tier is a small sample here (10 providers, 5 contract holders).",
        ),
        ([], BALANCED, "The billed tier has no provider here."),
    ],
)
def test_billed_heads_a_page_where_neither_it_nor_most_payers_in_it_are_a_small_sample(
    billed: Sequence[Cell], view: View, why: str
) -> None:
    assert choose_headline(VIEWS, [billed, LARGE]) == view
    assert explain_headline(VIEWS, [billed, LARGE]) == f"{view.text} {sentence(why)}"


def sentence(why: str) -> str:
    return why if why[0].isupper() else f"A utilization file is loaded, and {why}"


def test_without_utilization_the_other_view_heads_every_page() -> None:
    assert choose_headline([BALANCED], [[]]) == BALANCED
    assert explain_headline([BALANCED], [LARGE]).endswith("No utilization file is loaded, so there is no billed tier.")


@pytest.mark.parametrize(
    ("rows", "tiers"),
    [
        ([("professional", "balanced"), ("professional", "all")], ["balanced"]),
        ([("professional", "balanced"), ("professional", "billed")], ["billed", "balanced"]),
        ([("professional", "all"), ("professional", "billed")], ["billed", "all"]),
        ([("institutional", "all")], ["all"]),
    ],
)
def test_the_views_that_can_head_a_page_are_those_that_the_month_has(
    rows: list[tuple[str, str]], tiers: list[str]
) -> None:
    frame = [summary("Aetna", billing_class=billing_class, taxonomy_tier=tier) for billing_class, tier in rows]
    views = choose_views(pl.DataFrame(frame, schema=SUMMARIES.polars, orient="row"))
    assert [view.taxonomy_tier for view in views] == tiers
    assert {view.billing_class for view in views} == {rows[0][0]}

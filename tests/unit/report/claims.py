"""Rows to make sentences of, and checks of any sentence against the rows, in plain arithmetic."""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from schemas.codes import COMPOSITE_ALL, COMPOSITE_BUCA, MEDICARE
from tests.report_market import summary
from transforms.report.figures import Cell, make_cell
from transforms.report.sentences import Insight

STABLE = settings(max_examples=100, deadline=None, derandomize=True, database=None)
PAYERS = ("Aetna", "Cigna", "Acme Health Inc.", "Blue Cross Blue Shield", "Zeta", "Kappa", "Iota", "Eta", "Theta")
AMOUNTS = re.compile(r"\$([\d,]+\.\d\d)")
APART = re.compile(r"([\d,]+)% (above|below)")
PERCENT = re.compile(r"\(([\d.]+)% of Medicare\)")


@st.composite
def rows_of(draw: st.DrawFn, geography: str) -> list[dict[str, Any]]:
    """A geography's rows: few distinct amounts, so that ties and ratios about 1, 2 and a half are common."""
    amount = st.sampled_from(
        (0.004, 0.0149, 0.025, 3.0, 3.0049, 6.0, 6.004, 6.005, 6.0098, 6.015, 7.25, 12.0, 12.01, 12.06, 15.126, 31.0)
    )
    others = (COMPOSITE_ALL, COMPOSITE_BUCA, MEDICARE)
    names = [*draw(st.sets(st.sampled_from(PAYERS))), *draw(st.sets(st.sampled_from(others)))]
    rows = []
    for name in names:
        p25, p50, p75 = sorted(draw(st.tuples(amount, amount, amount)))
        more = {} if name == MEDICARE else {"low_sample": draw(st.booleans()), "n_npi": draw(st.integers(1, 30))}
        rows.append(summary(name, geography, (draw(amount), p25, p50, p75), **more))
    fee = next((row["p50_usd"] for row in rows if row["payer"] == MEDICARE), None)
    return [row | {"pct_of_medicare": None if fee is None else 100 * row["p50_usd"] / fee} for row in rows]


def cents(value: float) -> Decimal:
    return Decimal(str(value)).quantize(Decimal("0.01"), ROUND_HALF_UP)


def by_payer(rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {row["payer"]: row for row in rows}


def cells_of(rows: Sequence[Mapping[str, Any]]) -> list[Cell]:
    return [make_cell(row) for row in rows]


def check_share(insight: Insight, own: Decimal, fee: Decimal, published: float) -> None:
    """A share of Medicare is the published one, and on the side of 100 on which the medians stand."""
    if share := PERCENT.search(insight.text):
        tenth = Decimal(share[1])
        assert (tenth > 100, tenth < 100) == (own > fee, own < fee)
        assert tenth == Decimal(str(published)).quantize(Decimal("0.1"), ROUND_HALF_UP)


def check_words(insight: Insight, rows: Sequence[Mapping[str, Any]], small: AbstractSet[str] = frozenset()) -> None:
    """Amounts in the text are amounts on the page, and words go no further than the ratio beside them.

    ``small``: states whose pooled row has a small sample; the rows say which payers have one.
    """
    shown = {cents(row[name]) for row in rows for name in ("mean_usd", "p50_usd", "iqr_usd")}
    said = [Decimal(text.replace(",", "")) for text in AMOUNTS.findall(insight.text)]
    assert set(said) <= shown
    if insight.kind in ("mean", "against_national"):
        high, low = insight.amounts
        times = (high / low).quantize(Decimal("0.01"), ROUND_HALF_UP) if low else Decimal(1)
        apart = APART.search(insight.text)
        assert (apart is None) == (times == 1)
        if apart is not None:
            assert (Decimal(apart[1].replace(",", "")), apart[2]) == (
                abs(times - 1) * 100,
                "above" if high > low else "below",
            )
    flagged = {row["payer"] for row in rows if row["low_sample"]} | small
    if "*" in insight.text:
        assert flagged & set(insight.subjects)

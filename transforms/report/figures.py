"""Published figures as the report shows them: rounded once, so that table, chart, map and sentence say the same.

Dollars and ratios have two decimals, percentages one, half-up, from the decimal text of the published float (its
``repr``). Comparisons are made on what is shown: a reader can repeat every one of them from the page.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any

NO_NAME = "(no name)"
KIND_ORDER = {"payer": 0, "composite": 1, "benchmark": 2}
_SAME = (
    *("payer", "payer_kind", "geography", "billing_class", "taxonomy_tier", "weighting"),
    *("n_npi", "n_tin", "n_rates", "low_sample", "medicare_year"),
)
_USD = ("mean", "p10", "p25", "p50", "p75", "p90", "iqr")
_PERCENTS = ("pct_of_medicare", "pct_of_local_medicare")

_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"
_RIGHT_TO_LEFT = {"R", "AL", "AN"}
_DIRECTION_CONTROLS = {*"\u061c\u200e\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}


@dataclass(frozen=True)
class Cell:
    """One row of ``summaries`` as shown: US dollars per service to the cent, the share of Medicare to a tenth."""

    payer: str  # as published: what rows, files and comparisons go by
    name: str  # as shown
    payer_kind: str
    geography: str
    billing_class: str
    taxonomy_tier: str
    weighting: str
    mean: Decimal
    p10: Decimal
    p25: Decimal
    p50: Decimal
    p75: Decimal
    p90: Decimal
    iqr: Decimal
    n_npi: int | None
    n_tin: int | None
    n_rates: int
    pct_of_medicare: Decimal | None
    pct_of_local_medicare: Decimal | None
    low_sample: bool
    medicare_year: int | None
    exact_mean: Decimal  # not rounded: a claim must hold of it too, not of what is shown alone

    @property
    def uniform(self) -> bool:
        """Half of the providers or more have one and the same rate: P25 is P75."""
        return self.p25 == self.p75 and self.iqr == 0

    @property
    def order(self) -> tuple[int, str]:
        """Payers by name, then composites, then Medicare."""
        return KIND_ORDER[self.payer_kind], self.payer

    @property
    def anchor(self) -> str:
        """Its row on the page that derives the payer's figures."""
        return anchor_of(self.geography, self.billing_class, self.taxonomy_tier, self.weighting)


def anchor_of(geography: str, billing_class: str, taxonomy_tier: str, weighting: str) -> str:
    """``AK-balanced``, ``AK-institutional-all-tin``: a row of a payer's ``summaries`` of a month and code."""
    usual = ("professional", "npi", "locality")  # of most rows: pages hold thousands of these texts
    return "-".join(part for part in (geography, billing_class, taxonomy_tier, weighting) if part not in usual)


def to_cents(value: float) -> Decimal:
    """Half-up to the cent."""
    return Decimal(repr(value)).quantize(Decimal("0.01"), ROUND_HALF_UP)


def to_tenth(value: float) -> Decimal:
    """Half-up to one decimal."""
    return Decimal(repr(value)).quantize(Decimal("0.1"), ROUND_HALF_UP)


def ratio(value: Decimal, base: Decimal) -> Decimal | None:
    """``value / base`` to two decimals; None where the base shows as zero."""
    return (value / base).quantize(Decimal("0.01"), ROUND_HALF_UP) if base else None


def make_cell(row: Mapping[str, Any]) -> Cell:
    """A row of ``schemas.SUMMARIES`` as shown."""
    percents = {name: row.get(name) for name in _PERCENTS}  # tables of earlier versions lack the local one
    shares: dict[str, Any] = {name: None if share is None else to_tenth(share) for name, share in percents.items()}
    amounts: dict[str, Any] = {name: to_cents(row[f"{name}_usd"]) for name in _USD}
    return Cell(
        name=show_name(row["payer"]),
        **shares,
        exact_mean=Decimal(repr(row["mean_usd"])),
        **{name: row[name] for name in _SAME},
        **amounts,
    )


@lru_cache(maxsize=4096)  # a page shows the same names again and again
def show_name(text: str) -> str:
    """A name from a file without the characters that reorder or break the text around it.

    Direction controls and control characters show as U+FFFD; a name with right-to-left letters is isolated. Nothing
    that could be seen or clicked on is ``(no name)``.
    """
    shown = "".join(_harmless(character) for character in text)
    if not any(_visible(character) for character in shown):
        return NO_NAME
    if any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in shown):
        return f"{_ISOLATE}{shown}{_END_ISOLATE}"
    return shown


def _harmless(character: str) -> str:
    # Cs: lone surrogates, which no UTF-8 file can hold; Zl, Zp: line and paragraph separators
    harmful = character in _DIRECTION_CONTROLS or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
    return "\ufffd" if harmful else character


def _visible(character: str) -> bool:
    return unicodedata.category(character)[0] not in "ZCM"  # spaces, format characters, marks without a letter


def usd(amount: Decimal) -> str:
    """``1,234.50``: what a table shows."""
    return f"{amount:,.2f}"


def dollars(amount: Decimal) -> str:
    """``$1,234.50``: what a sentence says."""
    return f"${amount:,.2f}"

"""What a sentence about published figures is made of: an insight, names in a row, ratios in words, extremes.

Every comparison is of figures as shown (``transforms.report.figures``), so no sentence can contradict the table beside
it. A name with an asterisk has a small sample, as in the tables and charts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from schemas.codes import COMPOSITE_ALL, COMPOSITE_BUCA
from schemas.geographies import name_of as geography_name
from transforms.report.figures import KIND_ORDER, Cell, dollars, ratio

MOST_NAMED = 6


@dataclass(frozen=True)
class Insight:
    """One sentence and the fact behind it: what kind, of which payers or states, with which figures as shown."""

    kind: str
    subjects: tuple[str, ...]
    amounts: tuple[Decimal, ...]
    text: str


@dataclass(frozen=True)
class Rows:
    """The rows that sentences compare: how each is identified and named, and what they are together."""

    key: Callable[[Cell], str]
    name: Callable[[Cell], str]
    together: str

    def subjects(self, cells: Iterable[Cell]) -> tuple[str, ...]:
        """The identifiers of some cells."""
        return tuple(map(self.key, cells))

    def listed(self, cells: Iterable[Cell], most: int = MOST_NAMED) -> str:
        """The names of some cells, an asterisk after those with a small sample."""
        return join_names([f"{self.name(cell)}*" if cell.low_sample else self.name(cell) for cell in cells], most)


def by_kind(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    """Cells by ``payer_kind``, each in table order; a kind without cells is empty."""
    found: dict[str, list[Cell]] = {kind: [] for kind in KIND_ORDER}
    for cell in sorted(cells, key=lambda cell: cell.order):
        found[cell.payer_kind].append(cell)
    return found


def pooled_of(composites: Iterable[Cell]) -> Cell | None:
    """The row that pools most: `All commercial`, else `BUCA`, else none."""
    found = {cell.payer: cell for cell in composites}
    return found.get(COMPOSITE_ALL) or found.get(COMPOSITE_BUCA)


PAYERS = Rows(lambda cell: cell.payer, lambda cell: cell.name, "payers")
STATES = Rows(lambda cell: cell.geography, lambda cell: geography_name(cell.geography), "states and territories")
PAYERS_IN_STATES = Rows(
    lambda cell: f"{cell.payer}, {cell.geography}", lambda cell: f"{cell.name}, {cell.geography}", "payers and states"
)


def make_insight(kind: str, subjects: Sequence[str], amounts: Sequence[Decimal], text: str) -> Insight:
    """An insight whose sentence ends with one full stop, also after ``Acme Inc.``."""
    return Insight(kind, tuple(subjects), tuple(amounts), text if text.endswith(".") else f"{text}.")


def join_names(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """``A``, ``A and B``, ``A, B and C``; beyond ``most``, how many more there are."""
    if len(names) > most + 1:
        return f"{', '.join(names[:most])} and {len(names) - most} others"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def describe_extremes(cells: Sequence[Cell], rows: Rows) -> list[Insight]:
    """The highest and the lowest mean, the widest and the tightest dispersion; equal figures share a place."""
    if len(cells) < 2:
        return []
    means = describe_extreme(cells, rows, "mean", lambda cell: cell.mean, ("highest mean", "lowest"))
    spreads = ("widest dispersion (P75 minus P25)", "tightest")
    return [means, describe_extreme(cells, rows, "dispersion", lambda cell: cell.iqr, spreads)]


def describe_extreme(
    cells: Sequence[Cell],
    rows: Rows,
    what: str,
    measure: Callable[[Cell], Decimal],
    words: tuple[str, str],
    most_named: int = MOST_NAMED,
) -> Insight:
    """The highest and the lowest figure and whose they are; equal figures share a place."""
    most, least = max(map(measure, cells)), min(map(measure, cells))
    if most == least:
        everyone = "Both" if len(cells) == 2 else f"All {len(cells)}"
        text = f"{everyone} {rows.together} have the same {what}, {dollars(most)}"
        return make_insight(f"same_{what}", rows.subjects(cells), (most,), text)
    high, low = ([cell for cell in cells if measure(cell) == amount] for amount in (most, least))
    compared = compare(most, least) if what == "mean" else None
    lowest = f"the {words[1]}, {dollars(least)}" if compared else f"the {words[1]} is {dollars(least)}"
    separator = f", {compared} " if compared else "; "
    highest, whose = rows.listed(high, most_named), rows.listed(low, most_named)
    text = f"The {words[0]} is {dollars(most)} ({highest}){separator}{lowest} ({whose})"
    return make_insight(what, rows.subjects([*high, *low]), (most, least), text)


def compare(amount: Decimal, base: Decimal) -> str | None:
    """``7% above``, from the ratio as a table shows it; None where that shows no difference, or has no base."""
    times = ratio(amount, base)
    if times is None or times == 1:
        return None
    return f"{abs(times - 1):,.0%} {'above' if times > 1 else 'below'}"


def describe_median(cell: Cell, medicare: Cell | None) -> Insight:
    """A pooled row's median, and on which side of Medicare's it lies."""
    text = f"The {PAYERS.listed([cell])} median is {dollars(cell.p50)}"
    if medicare is None:
        return make_insight("median", (cell.payer,), (cell.p50,), text)
    fee, share = medicare.p50, cell.pct_of_medicare
    side = "above" if cell.p50 > fee else "below" if cell.p50 < fee else "equal to"
    text += f", {side} Medicare's {dollars(fee)}"
    # rounded from the published figures, the share can lie on the other side of 100 than the medians as shown
    if share is not None and (share > 100, share < 100) == (cell.p50 > fee, cell.p50 < fee):
        text += f" ({share:,}% of Medicare)"
    return make_insight("medicare_median", (cell.payer,), (cell.p50, fee), text)

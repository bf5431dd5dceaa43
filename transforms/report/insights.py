"""Sentences computed from the figures of one code and geography: facts first, then their wording.

Every comparison is of figures as shown (``transforms.report.figures``), so no sentence can contradict the table beside
it. A sentence says a payer's sample is small wherever it names one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from transforms.report.figures import Cell, dollars, ratio

MOST_NAMED = 6
MOST_COMPARED = 12  # payers with a sentence of their own against their national mean: the largest ones

Measure = Callable[[Cell], Decimal]


@dataclass(frozen=True)
class Insight:
    """One sentence and the fact behind it: what kind, of whom, with which shown figures."""

    kind: str
    subjects: tuple[str, ...]
    amounts: tuple[Decimal, ...]
    text: str


def describe_geography(cells: Iterable[Cell], national: Mapping[str, Cell], *, is_national: bool) -> list[Insight]:
    """All sentences of a page, most important first.

    Args:
        cells: one geography's figures, each payer at most once.
        national: national figures by payer, of the same code and view.
        is_national: the cells are the national ones: no comparison with themselves, nothing can be missing.
    """
    by_kind: dict[str, list[Cell]] = {"payer": [], "composite": [], "benchmark": []}
    for cell in sorted(cells, key=lambda cell: cell.order):
        by_kind[cell.payer_kind].append(cell)
    payers, medicare = by_kind["payer"], next(iter(by_kind["benchmark"]), None)
    found = [
        *_presence(payers),
        *_extremes(payers, "mean", lambda cell: cell.mean),
        *_extremes(payers, "dispersion", lambda cell: cell.iqr),
        *_uniform(payers),
        *_medicare_mean(payers, medicare),
        *_medicare_median(by_kind["composite"], medicare),
    ]
    if not is_national:
        found += [*_against_national(payers, national), *_missing(payers, national)]
    return [*found, *_small_samples(payers)]


def name_of(cell: Cell) -> str:
    """A payer's name; a small sample is named as such."""
    return f"{cell.name} (small sample)" if cell.low_sample else cell.name


def end_sentence(text: str) -> str:
    """One full stop, also after ``Acme Inc.``."""
    return text if text.endswith(".") else f"{text}."


def join_names(names: Sequence[str]) -> str:
    """``A``, ``A and B``, ``A, B and C``; beyond six, how many more there are."""
    if len(names) > MOST_NAMED + 1:
        return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} others"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _presence(payers: Sequence[Cell]) -> list[Insight]:
    if not payers:
        return [Insight("none", (), (), "No commercial payer has figures in this table.")]
    if len(payers) == 1:
        only = payers[0]
        text = f"{name_of(only)} is the only commercial payer in this table, with a mean of {dollars(only.mean)}."
        return [Insight("only", (only.payer,), (only.mean,), text)]
    return []


def _extremes(payers: Sequence[Cell], what: str, measure: Measure) -> list[Insight]:
    """Highest and lowest mean, or widest and tightest dispersion; equal figures tie."""
    if len(payers) < 2:
        return []
    most, least = max(map(measure, payers)), min(map(measure, payers))
    names = tuple(cell.payer for cell in payers)
    if most == least:
        all_of = "Both payers have" if len(payers) == 2 else f"All {len(payers)} payers have"
        return [Insight(f"same_{what}", names, (most,), f"{all_of} the same {what}, {dollars(most)}.")]
    words = ("highest", "lowest") if what == "mean" else ("widest", "tightest")
    found = [
        _extreme(f"{word}_{what}", f"the {word} {what}", payers, measure, amount)
        for word, amount in zip(words, (most, least), strict=True)
    ]
    return [*found, *_spread(payers)] if what == "mean" else found


def _extreme(kind: str, title: str, payers: Sequence[Cell], measure: Measure, amount: Decimal) -> Insight:
    those = [cell for cell in payers if measure(cell) == amount]
    verb = "tie for" if len(those) > 1 else "has"
    text = f"{join_names([name_of(cell) for cell in those])} {verb} {title}, {dollars(amount)}."
    return Insight(kind, tuple(cell.payer for cell in those), (amount,), text)


def _spread(payers: Sequence[Cell]) -> list[Insight]:
    most = max(payers, key=lambda cell: (cell.mean, -cell.exact_mean))  # among ties, the pair that is closest
    least = min(payers, key=lambda cell: (cell.mean, -cell.exact_mean))
    times = ratio(most.mean, least.mean)
    if times is None:
        return []
    if more_than_double(most, least):
        text = f"The highest mean is more than double the lowest ({times} times)."
    elif times == 1:
        text = f"The highest and the lowest mean are {dollars(most.mean - least.mean)} apart."
    else:
        text = f"The highest mean is {times} times the lowest."
    return [Insight("spread", (), (most.mean, least.mean), text)]


def more_than_double(cell: Cell, base: Cell) -> bool:
    """Whether a mean is more than twice another: as the ratio shows, and as the published figures are."""
    times = ratio(cell.mean, base.mean)
    return times is not None and times > 2 and cell.exact_mean > 2 * base.exact_mean


def less_than_half(cell: Cell, base: Cell) -> bool:
    """Whether a mean is less than half of another, by the same two measures."""
    times = ratio(cell.mean, base.mean)
    return times is not None and times < Decimal("0.5") and 2 * cell.exact_mean < base.exact_mean


def _uniform(payers: Sequence[Cell]) -> list[Insight]:
    return [
        Insight("uniform", (cell.payer,), (cell.p50,), f"{name_of(cell)} pays a uniform rate: {_uniform_at(cell)}.")
        for cell in payers
        if cell.uniform
    ]


def _uniform_at(cell: Cell) -> str:
    if cell.p10 == cell.p25 and cell.p75 == cell.p90:
        return f"{dollars(cell.p50)} at every percentile from P10 to P90"
    return f"P25 and P75 are both {dollars(cell.p50)}"


def _medicare_mean(payers: Sequence[Cell], medicare: Cell | None) -> list[Insight]:
    if medicare is None or not payers:
        return []
    mean = medicare.mean
    above = [name_of(cell) for cell in payers if cell.mean > mean]
    below = [name_of(cell) for cell in payers if cell.mean < mean]
    same = [name_of(cell) for cell in payers if cell.mean == mean]
    groups = [(word, names) for word, names in (("higher", above), ("equal", same), ("lower", below)) if names]
    if len(payers) > 1 and len(groups) == 1 and not same:
        text = f"Every payer's mean is {groups[0][0]} than Medicare's mean of {dollars(mean)}."
    else:
        by_group = "; ".join(f"{word} for {join_names(names)}" for word, names in groups)
        text = end_sentence(f"Compared with Medicare's mean of {dollars(mean)}, the mean is {by_group}")
    return [Insight("medicare_mean", tuple(cell.payer for cell in payers), (mean,), text)]


def _medicare_median(composites: Sequence[Cell], medicare: Cell | None) -> list[Insight]:
    if medicare is None:
        return []
    return [
        Insight("medicare_median", (cell.payer,), (cell.p50, medicare.p50), _median_text(cell, medicare.p50))
        for cell in composites
    ]


def _median_text(cell: Cell, medicare: Decimal) -> str:
    compared = "above" if cell.p50 > medicare else "below" if cell.p50 < medicare else "equal to"
    share = f" ({cell.pct_of_medicare}% of Medicare)" if _same_side(cell, medicare) else ""
    return f"The median for {name_of(cell)} is {dollars(cell.p50)}, {compared} Medicare's {dollars(medicare)}{share}."


def _same_side(cell: Cell, medicare: Decimal) -> bool:
    """Whether the share, rounded from the published figures, is on the side of 100 on which the medians show."""
    share = cell.pct_of_medicare
    return share is not None and (share > 100, share < 100) == (cell.p50 > medicare, cell.p50 < medicare)


def _against_national(payers: Sequence[Cell], national: Mapping[str, Cell]) -> list[Insight]:
    known = [cell for cell in payers if cell.payer in national]
    largest = sorted(known, key=lambda cell: (-(cell.n_npi or 0), cell.payer))[:MOST_COMPARED]
    found = []
    for cell in sorted(largest, key=lambda cell: cell.order):
        base = national[cell.payer]
        times = ratio(cell.mean, base.mean)
        if times is not None:
            text = f"The mean for {name_of(cell)} is {dollars(cell.mean)}, {_compared(cell, base, times)}."
            found.append(Insight("against_national", (cell.payer,), (cell.mean, base.mean), text))
    return found


def _compared(cell: Cell, base: Cell, times: Decimal) -> str:
    """The comparison in words, which never claim more than the ratio beside them."""
    if cell.mean == base.mean:
        return "equal to its national mean"
    if times == 1:
        return f"close to its national mean of {dollars(base.mean)}"
    if more_than_double(cell, base):
        words = "more than double"
    elif less_than_half(cell, base):
        words = "less than half"
    else:
        words = "above" if cell.mean > base.mean else "below"
    return f"{words} its national mean of {dollars(base.mean)} ({times} times)"


def _missing(payers: Sequence[Cell], national: Mapping[str, Cell]) -> list[Insight]:
    here = {cell.payer for cell in payers}
    absent = sorted(
        (cell for cell in national.values() if cell.payer_kind == "payer" and cell.payer not in here),
        key=lambda cell: cell.order,
    )
    if not absent:
        return []
    verb = "has" if len(absent) == 1 else "have"
    text = f"{join_names([cell.name for cell in absent])} {verb} national figures but none in this table."
    return [Insight("missing", tuple(cell.payer for cell in absent), (), text)]


def _small_samples(payers: Sequence[Cell]) -> list[Insight]:
    small = [cell for cell in payers if cell.low_sample]
    if not small:
        return []
    named = join_names([f"{cell.name} ({_sample(cell)})" for cell in small])
    text = f"Interpret with caution, {'a small sample' if len(small) == 1 else 'small samples'}: {named}."
    return [Insight("small_samples", tuple(cell.payer for cell in small), (), text)]


def _sample(cell: Cell) -> str:
    counts = ((cell.n_npi, "provider"), (cell.n_tin, "contract holder"))
    return ", ".join(f"{n:,} {what}{'' if n == 1 else 's'}" for n, what in counts if n is not None)

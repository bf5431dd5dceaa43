"""Sentences computed from published figures: about the payers of one geography, and about one payer across states.

Every comparison is of figures as shown (``transforms.report.figures``), so no sentence can contradict the table beside
it. A name with an asterisk has a small sample, as in the charts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from schemas.geographies import IN_ORDER, NATIONAL
from schemas.geographies import name_of as geography_name
from transforms.report.figures import Cell, dollars, ratio

MOST_NAMED = 6
MOST_COMPARED = 12  # payers with a sentence of their own against their national mean: the largest ones


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

    def listed(self, cells: Iterable[Cell]) -> str:
        """The names of some cells, an asterisk after those with a small sample."""
        return join_names([f"{self.name(cell)}*" if cell.low_sample else self.name(cell) for cell in cells])


PAYERS = Rows(lambda cell: cell.payer, lambda cell: cell.name, "payers")
STATES = Rows(lambda cell: cell.geography, lambda cell: geography_name(cell.geography), "states and territories")


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
    found = [*_presence(payers), *_extremes(payers, PAYERS), *_uniform(payers)]
    if medicare is not None:
        found += [*_medicare_mean(payers, medicare.mean), *_medicare_median(by_kind["composite"], medicare.p50)]
    if not is_national:
        found += [*_against_national(payers, national), *_missing(payers, national)]
    return [*found, *_small_samples(payers)]


def describe_payer(payer: str, places: Mapping[str, Cell]) -> list[Insight]:
    """All sentences about one payer across states.

    Args:
        payer: the name as shown.
        places: its cells by geography, the national one under ``US``.
    """
    states = [cell for code, cell in places.items() if code != NATIONAL]
    if not states:
        return []
    text = f"{payer} has figures in {len(states)} of {len(IN_ORDER)} states and territories"
    found = [_insight("places", (), (), text), *_extremes(states, STATES)]
    if NATIONAL in places:
        found += _far_from(states, places[NATIONAL])
    if uniform := [cell for cell in states if cell.uniform]:
        text = f"The rate is uniform (P25 equals P75) in {STATES.listed(uniform)}"
        found.append(_insight("uniform", STATES.subjects(uniform), (), text))
    if small := [cell for cell in states if cell.low_sample]:
        text = f"Samples are small in {len(small)} of {len(states)} states and territories: {STATES.listed(small)}"
        found.append(_insight("small_samples", STATES.subjects(small), (), text))
    return found


def _insight(kind: str, subjects: Sequence[str], amounts: Sequence[Decimal], text: str) -> Insight:
    """An insight whose sentence ends with one full stop, also after ``Acme Inc.``."""
    return Insight(kind, tuple(subjects), tuple(amounts), text if text.endswith(".") else f"{text}.")


def join_names(names: Sequence[str]) -> str:
    """``A``, ``A and B``, ``A, B and C``; beyond six, how many more there are."""
    if len(names) > MOST_NAMED + 1:
        return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} others"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _presence(payers: Sequence[Cell]) -> list[Insight]:
    if not payers:
        return [_insight("none", (), (), "No commercial payer has figures in this table")]
    if len(payers) > 1:
        return []
    mean = payers[0].mean
    text = f"{PAYERS.listed(payers)} is the only commercial payer in this table, with a mean of {dollars(mean)}"
    return [_insight("only", PAYERS.subjects(payers), (mean,), text)]


def _extremes(cells: Sequence[Cell], rows: Rows) -> list[Insight]:
    """The highest and the lowest mean, the widest and the tightest dispersion; equal figures share a place."""
    if len(cells) < 2:
        return []
    means = _extreme(cells, rows, "mean", lambda cell: cell.mean, ("highest mean", "lowest"))
    spreads = ("widest dispersion (P75 minus P25)", "tightest")
    return [means, _extreme(cells, rows, "dispersion", lambda cell: cell.iqr, spreads)]


def _extreme(
    cells: Sequence[Cell], rows: Rows, what: str, measure: Callable[[Cell], Decimal], words: tuple[str, str]
) -> Insight:
    most, least = max(map(measure, cells)), min(map(measure, cells))
    if most == least:
        everyone = "Both" if len(cells) == 2 else f"All {len(cells)}"
        text = f"{everyone} {rows.together} have the same {what}, {dollars(most)}"
        return _insight(f"same_{what}", rows.subjects(cells), (most,), text)
    high, low = ([cell for cell in cells if measure(cell) == amount] for amount in (most, least))
    compared = _compare(most, least) if what == "mean" else None
    lowest = f"the {words[1]}, {dollars(least)}" if compared else f"the {words[1]} is {dollars(least)}"
    separator = f", {compared} " if compared else "; "
    text = f"The {words[0]} is {dollars(most)} ({rows.listed(high)}){separator}{lowest} ({rows.listed(low)})"
    return _insight(what, rows.subjects([*high, *low]), (most, least), text)


def _compare(amount: Decimal, base: Decimal) -> str | None:
    """``7% above``, from the ratio as a table shows it; None where that shows no difference, or has no base."""
    times = ratio(amount, base)
    if times is None or times == 1:
        return None
    return f"{abs(times - 1):,.0%} {'above' if times > 1 else 'below'}"


def _uniform(payers: Sequence[Cell]) -> list[Insight]:
    return [
        _insight(
            "uniform",
            (cell.payer,),
            (cell.p50,),
            f"{PAYERS.listed([cell])} has a uniform rate: {dollars(cell.p50)} at every percentile from "
            f"{'P10 to P90' if cell.p10 == cell.p25 and cell.p75 == cell.p90 else 'P25 to P75'}",
        )
        for cell in payers
        if cell.uniform
    ]


def _medicare_mean(payers: Sequence[Cell], medicare: Decimal) -> list[Insight]:
    above = [cell for cell in payers if cell.mean > medicare]
    same = [cell for cell in payers if cell.mean == medicare]
    below = [cell for cell in payers if cell.mean < medicare]
    groups = [(word, cells) for word, cells in (("above", above), ("equal to", same), ("below", below)) if cells]
    if not groups:
        return []
    (word, first), *others = groups
    if len(payers) > 1 and not others:
        text = f"Every payer's mean is {word} Medicare's mean of {dollars(medicare)}"
    else:
        text = f"The mean is {word} Medicare's mean of {dollars(medicare)} for {PAYERS.listed(first)}"
        text += "".join(f"; it is {word} Medicare's for {PAYERS.listed(cells)}" for word, cells in others)
    return [_insight("medicare_mean", PAYERS.subjects(payers), (medicare,), text)]


def _medicare_median(composites: Sequence[Cell], medicare: Decimal) -> list[Insight]:
    found = []
    for cell in composites:
        side = "above" if cell.p50 > medicare else "below" if cell.p50 < medicare else "equal to"
        text = f"The {PAYERS.listed([cell])} median is {dollars(cell.p50)}, {side} Medicare's {dollars(medicare)}"
        share = cell.pct_of_medicare
        # rounded from the published figures, the share can lie on the other side of 100 than the medians as shown
        if share is not None and (share > 100, share < 100) == (cell.p50 > medicare, cell.p50 < medicare):
            text += f" ({share:,}% of Medicare)"
        found.append(_insight("medicare_median", (cell.payer,), (cell.p50, medicare), text))
    return found


def _against_national(payers: Sequence[Cell], national: Mapping[str, Cell]) -> list[Insight]:
    known = [cell for cell in payers if cell.payer in national]
    largest = sorted(known, key=lambda cell: (-(cell.n_npi or 0), cell.payer))[:MOST_COMPARED]
    found = []
    for cell in sorted(largest, key=lambda cell: cell.order):
        base = national[cell.payer].mean
        same = "equal to" if cell.mean == base else "close to" if base else "above"
        compared = _compare(cell.mean, base) or same
        text = f"The mean for {PAYERS.listed([cell])} is {dollars(cell.mean)}, {compared} its national mean of "
        found.append(_insight("against_national", (cell.payer,), (cell.mean, base), text + dollars(base)))
    return found


def _missing(payers: Sequence[Cell], national: Mapping[str, Cell]) -> list[Insight]:
    here = {cell.payer for cell in payers}
    everywhere = sorted(national.values(), key=lambda cell: cell.order)
    absent = [cell for cell in everywhere if cell.payer_kind == "payer" and cell.payer not in here]
    if not absent:
        return []
    verb = "has" if len(absent) == 1 else "have"
    text = f"{join_names([cell.name for cell in absent])} {verb} national figures but none in this table"
    return [_insight("missing", PAYERS.subjects(absent), (), text)]


def _small_samples(payers: Sequence[Cell]) -> list[Insight]:
    small = [cell for cell in payers if cell.low_sample]
    if not small:
        return []
    named = join_names([f"{cell.name} ({_sample(cell)})" for cell in small])
    text = f"Interpret small samples with caution: {named}"
    return [_insight("small_samples", PAYERS.subjects(small), (), text)]


def _sample(cell: Cell) -> str:
    counts = ((cell.n_npi, "provider"), (cell.n_tin, "contract holder"))
    return ", ".join(f"{n:,} {what}{'' if n == 1 else 's'}" for n, what in counts if n is not None)


def _far_from(states: Sequence[Cell], national: Cell) -> list[Insight]:
    """States whose mean is more than double the national one, or less than half of it: as shown, and unrounded."""
    mean, exact, half = national.mean, national.exact_mean, Decimal("0.5")
    times = {cell.geography: ratio(cell.mean, mean) or Decimal(1) for cell in states}
    double = [cell for cell in states if times[cell.geography] > 2 and cell.exact_mean > 2 * exact]
    less = [cell for cell in states if times[cell.geography] < half and 2 * cell.exact_mean < exact]
    return [
        _insight(
            kind,
            STATES.subjects(far),
            (mean,),
            f"The mean is {words} the national mean of {dollars(mean)} in {STATES.listed(far)}",
        )
        for kind, words, far in (("double", "more than double", double), ("half", "less than half", less))
        if far
    ]

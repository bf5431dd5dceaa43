"""Sentences about one payer across states, by the same rules as ``transforms.report.insights``."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from schemas.geographies import IN_ORDER, NATIONAL, name_of
from transforms.report.figures import Cell, dollars, ratio
from transforms.report.insights import Insight, join_names, less_than_half, more_than_double


def describe_payer(payer: str, places: Mapping[str, Cell]) -> list[Insight]:
    """One payer's cells by geography, as shown: where it is, its extremes, where it pays one rate.

    Args:
        payer: the name as shown.
        places: its cells, the national one under ``US``.
    """
    states = [cell for code, cell in places.items() if code != NATIONAL]
    if not states:
        return []
    found = [
        Insight("places", (), (), f"{payer} has figures in {len(states)} of {len(IN_ORDER)} states and territories.")
    ]
    found += _extremes(states, "mean", lambda cell: cell.mean)
    found += _extremes(states, "dispersion", lambda cell: cell.iqr)
    return [*found, *_far_from_national(states, places.get(NATIONAL)), *_listed(states)]


def _extremes(states: Sequence[Cell], what: str, measure: Callable[[Cell], Decimal]) -> list[Insight]:
    most, least = max(map(measure, states)), min(map(measure, states))
    if len(states) < 2:
        return []
    if most == least:
        places = tuple(cell.geography for cell in states)
        return [Insight(f"same_{what}", places, (most,), f"The {what} is the same in every state: {dollars(most)}.")]
    high, low = ("highest", "lowest") if what == "mean" else ("widest", "tightest")
    return [
        _extreme(f"{word}_{what}", f"The {what} is {word} in", states, measure, amount)
        for word, amount in ((high, most), (low, least))
    ]


def _extreme(
    kind: str, title: str, states: Sequence[Cell], measure: Callable[[Cell], Decimal], amount: Decimal
) -> Insight:
    those = [cell for cell in states if measure(cell) == amount]
    tie = " (a tie)" if len(those) > 1 else ""
    text = f"{title} {join_names([_place(cell) for cell in those])}: {dollars(amount)}{tie}."
    return Insight(kind, tuple(cell.geography for cell in those), (amount,), text)


def _place(cell: Cell) -> str:
    return f"{name_of(cell.geography)} (small sample)" if cell.low_sample else name_of(cell.geography)


def _far_from_national(states: Sequence[Cell], national: Cell | None) -> list[Insight]:
    """States whose mean is more than double the national one, or less than half of it."""
    if national is None:
        return []
    times = {cell.geography: ratio(cell.mean, national.mean) for cell in states}
    found = []
    for kind, words, far in (
        ("double", "more than double", more_than_double),
        ("half", "less than half", less_than_half),
    ):
        those = [cell for cell in states if far(cell, national)]
        if those:
            named = join_names([f"{_place(cell)} ({times[cell.geography]} times)" for cell in those])
            text = f"The mean is {words} the national mean of {dollars(national.mean)} in {named}."
            found.append(Insight(kind, tuple(cell.geography for cell in those), (national.mean,), text))
    return found


def _listed(states: Sequence[Cell]) -> list[Insight]:
    """Where one rate stands for all, and where samples are small."""
    found = []
    uniform = [cell for cell in states if cell.uniform]
    if uniform:
        text = f"The rate is uniform (P25 equals P75) in {join_names([_place(cell) for cell in uniform])}."
        found.append(Insight("uniform", tuple(cell.geography for cell in uniform), (), text))
    small = [cell for cell in states if cell.low_sample]
    if small:
        named = join_names([name_of(cell.geography) for cell in small])
        text = f"Samples are small in {len(small)} of {len(states)} states and territories: {named}."
        found.append(Insight("small_samples", tuple(cell.geography for cell in small), (), text))
    return found

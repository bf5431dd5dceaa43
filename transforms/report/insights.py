"""Findings in a list: what the first paragraph of a geography's page leaves out, and one payer across states."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from schemas.geographies import IN_ORDER, NATIONAL
from transforms.report.figures import Cell, dollars, ratio
from transforms.report.sentences import (
    PAYERS,
    PAYERS_IN_STATES,
    STATES,
    Insight,
    by_kind,
    compare,
    describe_extremes,
    describe_median,
    join_names,
    make_insight,
    pooled_of,
)

MOST_UNIFORM = 3
MOST_COMPARED = 12  # payers with a sentence of their own against their national mean: the largest ones


def describe_geography(cells: Iterable[Cell], national: Mapping[str, Cell], *, is_national: bool) -> list[Insight]:
    """The findings of a page, most important first.

    Args:
        cells: one geography's figures, each payer at most once.
        national: national figures by payer, of the same code and view.
        is_national: the cells are the national ones: no comparison with themselves, nothing can be missing.
    """
    kinds = by_kind(cells)
    payers, medicare = kinds["payer"], next(iter(kinds["benchmark"]), None)
    found = _uniform(payers)
    if medicare is not None:
        found += _medicare_mean(payers, medicare.mean)
        pooled = pooled_of(kinds["composite"])
        found += [describe_median(cell, medicare) for cell in kinds["composite"] if cell is not pooled]
    if not is_national:
        found += [*_against_national(payers, national), *_missing(payers, national)]
    return found


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
    found = [make_insight("places", (), (), text), *describe_extremes(states, STATES)]
    if NATIONAL in places:
        found += _far_from(states, places[NATIONAL])
    if uniform := [cell for cell in states if cell.uniform]:
        text = f"The rate is uniform (P25 equals P75) in {STATES.listed(uniform)}"
        found.append(make_insight("uniform", STATES.subjects(uniform), (), text))
    if small := [cell for cell in states if cell.low_sample]:
        text = f"Samples are small in {len(small)} of {len(states)} states and territories: {STATES.listed(small)}"
        found.append(make_insight("small_samples", STATES.subjects(small), (), text))
    return found


def _uniform(payers: Sequence[Cell]) -> list[Insight]:
    """A sentence for each payer with a uniform rate; one for all of them where there are many."""
    uniform = [cell for cell in payers if cell.uniform]
    if len(uniform) > MOST_UNIFORM:
        text = f"{len(uniform)} payers have a uniform rate (P25 equals P75): {PAYERS.listed(uniform)}"
        return [make_insight("uniform", PAYERS.subjects(uniform), (), text)]
    return [
        make_insight(
            "uniform",
            (cell.payer,),
            (cell.p50,),
            f"{PAYERS.listed([cell])} has a uniform rate: {dollars(cell.p50)} at every percentile from "
            f"{'P10 to P90' if cell.p10 == cell.p25 and cell.p75 == cell.p90 else 'P25 to P75'}",
        )
        for cell in uniform
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
    return [make_insight("medicare_mean", PAYERS.subjects(payers), (medicare,), text)]


def _against_national(payers: Sequence[Cell], national: Mapping[str, Cell]) -> list[Insight]:
    known = [cell for cell in payers if cell.payer in national]
    largest = sorted(known, key=lambda cell: (-(cell.n_npi or 0), cell.payer))[:MOST_COMPARED]
    found = []
    for cell in sorted(largest, key=lambda cell: cell.order):
        base = national[cell.payer].mean
        same = "equal to" if cell.mean == base else "close to" if base else "above"
        compared = compare(cell.mean, base) or same
        text = f"The mean for {PAYERS.listed([cell])} is {dollars(cell.mean)}, {compared} its national mean of "
        found.append(make_insight("against_national", (cell.payer,), (cell.mean, base), text + dollars(base)))
    return found


def _missing(payers: Sequence[Cell], national: Mapping[str, Cell]) -> list[Insight]:
    here = {cell.payer for cell in payers}
    everywhere = sorted(national.values(), key=lambda cell: cell.order)
    absent = [cell for cell in everywhere if cell.payer_kind == "payer" and cell.payer not in here]
    if not absent:
        return []
    verb = "has" if len(absent) == 1 else "have"
    text = f"{join_names([cell.name for cell in absent])} {verb} national figures but none in this table"
    return [make_insight("missing", PAYERS.subjects(absent), (), text)]


def _far_from(states: Sequence[Cell], national: Cell) -> list[Insight]:
    """States whose mean is more than double the national one, or less than half of it: as shown, and unrounded."""
    mean, exact, half = national.mean, national.exact_mean, Decimal("0.5")
    times = {cell.geography: ratio(cell.mean, mean) or Decimal(1) for cell in states}
    double = [cell for cell in states if times[cell.geography] > 2 and cell.exact_mean > 2 * exact]
    less = [cell for cell in states if times[cell.geography] < half and 2 * cell.exact_mean < exact]
    return [
        make_insight(
            kind,
            STATES.subjects(far),
            (mean,),
            f"The mean is {words} the national mean of {dollars(mean)} in {STATES.listed(far)}",
        )
        for kind, words, far in (("double", "more than double", double), ("half", "less than half", less))
        if far
    ]


def describe_heat(payers: Mapping[str, Mapping[str, Cell]]) -> Insight:
    """The highest and the lowest median of a payer in a state or territory.

    Args:
        payers: each payer's cells by geography, pooled payers and Medicare among them.
    """
    every = (cell for places in payers.values() for cell in places.values())
    cells = [cell for cell in every if cell.payer_kind == "payer" and cell.geography != NATIONAL]
    if not cells:
        return make_insight("none", (), (), "No payer has figures by state")
    ends = min(cell.p50 for cell in cells), max(cell.p50 for cell in cells)
    low, high = ([cell for cell in cells if cell.p50 == end] for end in ends)
    names = [PAYERS_IN_STATES.listed(group) for group in (low, high)]
    text = f"The payers' medians by state range from {dollars(ends[0])} ({names[0]}) to {dollars(ends[1])} ({names[1]})"
    return make_insight("span", PAYERS_IN_STATES.subjects([*low, *high]), ends, text)

"""What a page of one code and geography begins with: one paragraph, four figures, a remark on small samples.

Every amount is one of the table or the map below (``transforms.report.figures``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from schemas.codes import LOW_SAMPLE_NPI, LOW_SAMPLE_TIN
from schemas.geographies import NATIONAL, STATES_IN_ORDER, name_of
from transforms.report.figures import Cell, dollars
from transforms.report.sentences import (
    PAYERS,
    STATES,
    Insight,
    by_kind,
    compare,
    describe_extreme,
    describe_median,
    join_names,
    make_insight,
    pooled_of,
)

MOST_IN_SENTENCE = 3  # names that share a place
_WITH_ARTICLE = {NATIONAL, "DC", "VI", "MP"}


@dataclass(frozen=True)
class Headline:
    """One of the figures in large type: what it is, the figure, and a note."""

    label: str
    figure: str
    note: str


@dataclass(frozen=True)
class Place:
    """The figures that the beginning of a page compares.

    cells: one geography's, each payer at most once.
    everywhere: the pooled row (``pooled_of``) by geography, of the same code and view, the national one under ``US``.
    """

    code: str
    geography: str
    cells: Sequence[Cell]
    everywhere: Mapping[str, Cell]

    @cached_property
    def kinds(self) -> dict[str, list[Cell]]:
        """Cells by ``payer_kind``."""
        return by_kind(self.cells)

    @property
    def payers(self) -> list[Cell]:
        """The payers, in table order."""
        return self.kinds["payer"]

    @property
    def medicare(self) -> Cell | None:
        """Medicare's row, if the fee schedule has the code."""
        return next(iter(self.kinds["benchmark"]), None)

    @property
    def pooled(self) -> Cell | None:
        """All payers pooled."""
        return pooled_of(self.kinds["composite"])

    @property
    def nation(self) -> Cell | None:
        """The same pooled row, nationally."""
        return self._elsewhere.get(NATIONAL)

    @cached_property
    def states(self) -> list[Cell]:
        """The same pooled row in the states that have one, without DC and the territories."""
        return [self._elsewhere[code] for code in STATES_IN_ORDER if code in self._elsewhere]

    @cached_property
    def _elsewhere(self) -> Mapping[str, Cell]:
        """``everywhere``, if it pools the same payers as the row of this place."""
        same = self.pooled and {cell.payer for cell in self.everywhere.values()} == {self.pooled.payer}
        return self.everywhere if same else {}

    @property
    def firm_states(self) -> list[Cell]:
        """The states without a small sample; all states where fewer than two have none."""
        firm = [cell for cell in self.states if not cell.low_sample]
        return firm if len(firm) > 1 else self.states

    @property
    def higher(self) -> int:
        """How many states have a higher pooled median, as shown."""
        pooled = self.pooled
        return sum(cell.p50 > pooled.p50 for cell in self.states) if pooled else 0


def describe_place(place: Place) -> list[Insight]:
    """The sentences of the paragraph: who pays most and least, how wide, against Medicare, against the nation."""
    found = [*_most_and_least(place), *_widest_and_tightest(place.payers)]
    if place.pooled is None:
        return found
    found.append(describe_median(place.pooled, place.medicare))
    if place.geography != NATIONAL:
        return [*found, *_rank(place, place.pooled)]
    return [*found, *_highest_and_lowest_state(place, place.pooled)]


def _most_and_least(place: Place) -> list[Insight]:
    payers, where = place.payers, f"In {'the ' if place.geography in _WITH_ARTICLE else ''}{name_of(place.geography)}"
    if not payers:
        return [make_insight("none", (), (), f"{where}, no commercial payer has figures for CPT {place.code}")]
    most, least = max(cell.mean for cell in payers), min(cell.mean for cell in payers)
    high, low = ([cell for cell in payers if cell.mean == amount] for amount in (most, least))
    if len(payers) == 1:
        text = f"{where}, {PAYERS.listed(payers)} is the only commercial payer with figures for CPT {place.code}"
        return [make_insight("only", PAYERS.subjects(payers), (most,), f"{text}: its mean is {dollars(most)}")]
    if most == least:
        everyone = "both" if len(payers) == 2 else f"all {len(payers)}"
        text = f"{where}, {everyone} payers have the same mean for CPT {place.code}, {dollars(most)}"
        return [make_insight("same_mean", PAYERS.subjects(payers), (most,), text)]
    (who, pays, each), (who_least, pay_least, _) = _named(high), _named(low)
    text = f"{where}, {who} {pays} most for CPT {place.code}, a mean of {dollars(most)}{each}"
    if compared := compare(most, least):
        text += f", {compared} the {dollars(least)} of {who_least}, which {pay_least} least"
    else:
        text += f"; the lowest mean is the {dollars(least)} of {who_least}"
    return [make_insight("mean", PAYERS.subjects([*high, *low]), (most, least), text)]


def _named(cells: Sequence[Cell]) -> tuple[str, str, str]:
    """Their names, the verb, and what follows an amount that is the same for several."""
    return PAYERS.listed(cells, MOST_IN_SENTENCE), *(("pays", "") if len(cells) == 1 else ("pay", " each"))


def _widest_and_tightest(payers: Sequence[Cell]) -> list[Insight]:
    if len(payers) < 2:
        return []
    words = ("widest dispersion (P75 minus P25)", "tightest")
    return [describe_extreme(payers, PAYERS, "dispersion", lambda cell: cell.iqr, words, MOST_IN_SENTENCE)]


def _highest_and_lowest_state(place: Place, pooled: Cell) -> list[Insight]:
    states = place.firm_states
    if len(states) < 2:
        return []
    among = f"{len(states)} states{'' if any(cell.low_sample for cell in states) else ' without a small sample'}"
    most, least = max(cell.p50 for cell in states), min(cell.p50 for cell in states)
    if most == least:
        text = f"The {pooled.name} median is {dollars(most)} in all {among}"
        return [make_insight("same_median", STATES.subjects(states), (most,), text)]
    high, low = ([cell for cell in states if cell.p50 == amount] for amount in (most, least))
    text = f"Among {among}, it is highest in {STATES.listed(high, MOST_IN_SENTENCE)}, {dollars(most)}"
    text += f", and lowest in {STATES.listed(low, MOST_IN_SENTENCE)}, {dollars(least)}"
    return [make_insight("state_medians", STATES.subjects([*high, *low]), (most, least), text)]


def _rank(place: Place, pooled: Cell) -> list[Insight]:
    """The pooled median against the nation's, and its place among the states."""
    national = place.nation
    if national is None:
        return []
    same = "equal to" if pooled.p50 == national.p50 else "close to" if national.p50 else "above"
    text = f"It is {compare(pooled.p50, national.p50) or same} the national median of {dollars(national.p50)}"
    if len(place.states) > 1:
        text += f", {_position(place, pooled)}"
    return [make_insight("rank", (pooled.payer,), (pooled.p50, national.p50), text)]


def _position(place: Place, pooled: Cell) -> str:
    """``the 3rd highest of 50 states``; of DC and the territories, how many states are higher."""
    states = f"{len(place.states)} states{'' if len(place.states) == len(STATES_IN_ORDER) else ' with figures'}"
    if place.geography not in STATES_IN_ORDER:
        return f"and {place.higher} of {states} {'has' if place.higher == 1 else 'have'} a higher one"
    ties = sum(cell.p50 == pooled.p50 for cell in place.states) - 1
    tied = f", tied with {ties} other{'s' if ties > 1 else ''}" if ties else ""
    return f"{ordinal(place.higher + 1)} of {states}{tied}"


def ordinal(number: int) -> str:
    """``the highest``, ``the 2nd highest``, ``the 11th highest``."""
    if number == 1:
        return "the highest"
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"the {number}{ending} highest"


def headline_figures(place: Place) -> list[Headline]:
    """Four figures: the pooled median, against Medicare, from the lowest mean to the highest, and by state."""
    pooled, medicare, payers = place.pooled, place.medicare, place.payers
    if pooled is None or not payers:
        return []
    note = f"mean {dollars(pooled.mean)}; {sample_size(pooled)}"
    share = "none" if pooled.pct_of_medicare is None else f"{pooled.pct_of_medicare:,}%"
    fee = f"Medicare's median is {dollars(medicare.p50)}" if medicare else "Medicare has no amount here"
    low, high = (choose(payers, key=lambda cell: cell.mean) for choose in (min, max))
    named = f"from {low.name} to {high.name}" if low.mean < high.mean else f"{len(payers)} with the same mean"
    return [
        Headline(f"{pooled.name}, median", f"{dollars(pooled.p50)}{_mark(pooled)}", note),
        Headline("Median as % of Medicare", f"{share}{_mark(pooled)}", fee),
        Headline("Payers' means", _span(low.mean, high.mean), named if len(payers) > 1 else f"{low.name} alone"),
        _by_state(place, pooled),
    ]


def _by_state(place: Place, pooled: Cell) -> Headline:
    states = place.states
    if len(states) < 2:
        return Headline("States", "none", "there are no figures to compare")
    if place.geography == NATIONAL:
        low, high = (choose(place.firm_states, key=lambda cell: cell.p50) for choose in (min, max))
        note = f"from {STATES.name(low)} to {STATES.name(high)}" if low.p50 < high.p50 else "in every state"
        return Headline("States' medians", _span(low.p50, high.p50), note)
    if place.geography in STATES_IN_ORDER:
        label, rank = "Rank among states", place.higher + 1
        return Headline(label, f"{rank} of {len(states)}{_mark(pooled)}", f"{pooled.name} median, highest first")
    return Headline("States with a higher median", f"{place.higher} of {len(states)}{_mark(pooled)}", pooled.name)


def _span(low: Decimal, high: Decimal) -> str:
    return dollars(low) if low == high else f"{dollars(low)} to {dollars(high)}"


def _mark(cell: Cell) -> str:
    return "*" if cell.low_sample else ""


def small_sample_rule() -> str:
    """What an asterisk means."""
    return f"* Small sample: fewer than {LOW_SAMPLE_NPI} providers or {LOW_SAMPLE_TIN} contract holders."


def small_sample_remark(place: Place) -> str:
    """What an asterisk means, and which rows of the table have one."""
    small = [f"{cell.name} ({sample_size(cell)})" for cell in place.cells if cell.low_sample and cell.n_npi is not None]
    return f"{small_sample_rule()} Here: {join_names(small)}." if small else small_sample_rule()


def sample_size(cell: Cell) -> str:
    """``1 provider, 1 contract holder``."""
    counts = ((cell.n_npi, "provider"), (cell.n_tin, "contract holder"))
    return ", ".join(f"{n:,} {what}{'' if n == 1 else 's'}" for n, what in counts if n is not None)

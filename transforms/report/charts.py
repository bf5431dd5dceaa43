"""Where the marks of a drawing stand; the templates draw them as inline SVG.

Places along a scale are percentages of the width, so that text keeps its size on a phone.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

_TICKS = 6
_NICE = (1, 2, 5, 10)


@dataclass(frozen=True)
class Scale:
    """Dollars to percent of the width, from zero to a round number above the highest amount."""

    high: float
    step: float

    def place(self, amount: Decimal | float) -> float:
        """Percent of the width, to a hundredth."""
        return round(2 + 95 * float(amount) / self.high, 2)

    @property
    def ticks(self) -> list[float]:
        """Round amounts, low to high."""
        return [self.step * place for place in range(round(self.high / self.step) + 1)]


def make_scale(amounts: Iterable[Decimal]) -> Scale:
    """A scale from zero that holds the amounts, in steps of 1, 2 or 5 times a power of ten."""
    highest = max((float(amount) for amount in amounts), default=0.0) or 1.0
    power = 10.0 ** math.floor(math.log10(highest / _TICKS))
    step = next(nice * power for nice in _NICE if nice * power * _TICKS >= highest * (1 - 1e-12))
    return Scale(step * max(-(-highest // step), 1.0), step)


def sparkline(amounts: Sequence[Decimal | None]) -> list[list[tuple[float, float]]]:
    """Points of a series within 120 by 28 pixels, one list for each run of months with figures."""
    known = [float(amount) for amount in amounts if amount is not None]
    low, span = min(known, default=0.0), max(known, default=0.0) - min(known, default=0.0)
    across = 112 / max(len(amounts) - 1, 1)
    runs: list[list[tuple[float, float]]] = [[]]
    for place, amount in enumerate(amounts):
        if amount is None:
            runs.append([])
        else:
            runs[-1].append((4 + across * place, 24 - 20 * (float(amount) - low) / span if span else 14.0))
    return [run for run in runs if run]


@dataclass(frozen=True)
class Span:
    """Dollars to percent of the width, from the lowest to the highest amount: for positions, not for lengths."""

    low: float
    high: float

    def place(self, amount: Decimal) -> float:
        """Percent of the width, to a hundredth; the middle where all amounts are equal."""
        wide = self.high - self.low
        return round(4 + 92 * (float(amount) - self.low) / wide, 2) if wide else 50.0


def make_span(amounts: Iterable[Decimal]) -> Span:
    """The span of some amounts."""
    found = [float(amount) for amount in amounts] or [0.0]
    return Span(min(found), max(found))

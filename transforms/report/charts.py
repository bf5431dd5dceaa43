"""Inline SVG, as text: no script, no fixed width. Places are percentages, so that text keeps its size on a phone.

Colours come from the page's style sheet by class, light and dark alike. Every name is escaped here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape

from transforms.report.figures import Cell, dollars

_ROW = 40  # pixels a row: a line of text, and the range beneath it
_AXIS = 26
_TICKS = 6
_NICE = (1, 2, 5, 10)
_LONGEST_LABEL = 40  # characters: what a phone's width holds; the whole name is the row's title


@dataclass(frozen=True)
class Scale:
    """Dollars to percent of the width, from zero or below the lowest figure, to a round number above the highest."""

    low: float
    high: float
    step: float

    def place(self, amount: Decimal | float) -> str:
        """``37.25%``."""
        return f"{2 + 95 * (float(amount) - self.low) / (self.high - self.low):.2f}%"

    @property
    def ticks(self) -> list[float]:
        """Round amounts, low to high."""
        count = round((self.high - self.low) / self.step)
        return [self.low + self.step * place for place in range(count + 1)]


def make_scale(amounts: Iterable[Decimal]) -> Scale:
    """A scale from zero that holds the amounts, in steps of 1, 2 or 5 times a power of ten."""
    highest = max((float(amount) for amount in amounts), default=0.0) or 1.0
    power = 10.0 ** _exponent(highest / _TICKS)
    step = next(nice * power for nice in _NICE if nice * power * _TICKS >= highest)
    steps = -(-highest // step)
    return Scale(0.0, step * max(steps, 1.0), step)


def _exponent(value: float) -> int:
    exponent = 0
    while value >= 10:
        value, exponent = value / 10, exponent + 1
    while value < 1:
        value, exponent = value * 10, exponent - 1
    return exponent


def range_chart(cells: Sequence[Cell], medicare: Cell | None, title: str, labels: Sequence[str] = ()) -> str:
    """One row a cell: line P10 to P90, bar P25 to P75, tick P50, dot mean; Medicare's P50 is a line across.

    Args:
        labels: what the rows are called; the payers' names when there are none.
    """
    scale = make_scale(
        [amount for cell in cells for amount in (cell.p90, cell.mean)] + ([medicare.p50] if medicare else [])
    )
    names = labels or [cell.name for cell in cells]
    height = _ROW * len(cells) + _AXIS
    parts = [
        f'<svg class="ranges" role="img" width="100%" height="{height}" aria-label="{escape(title)}">',
        *_axis(scale, height),
        *(
            part
            for row, (cell, name) in enumerate(zip(cells, names, strict=True))
            for part in _range(scale, row, cell, name)
        ),
        *(_reference(scale, height, medicare.p50) if medicare else ()),
        "</svg>",
    ]
    return "".join(parts)


def _axis(scale: Scale, height: int) -> Iterator[str]:
    for tick in scale.ticks:
        x = scale.place(tick)
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="0" y2="{height - _AXIS}"/>'
        yield f'<text class="tick" x="{x}" y="{height - 8}">{_tick(tick, scale.step)}</text>'


def _tick(amount: float, step: float) -> str:
    return f"${amount:,.0f}" if step >= 1 else f"${amount:,.2f}"


def _range(scale: Scale, row: int, cell: Cell, name: str) -> Iterator[str]:
    top, middle = _ROW * row, _ROW * row + 27
    p10, p25, p50, p75, p90 = map(scale.place, (cell.p10, cell.p25, cell.p50, cell.p75, cell.p90))
    width = f"{float(p75[:-1]) - float(p25[:-1]):.2f}%"
    said = f"{name}: P10 {cell.p10}, P25 {cell.p25}, P50 {cell.p50}, P75 {cell.p75}, P90 {cell.p90}, mean {cell.mean}"
    yield f'<g class="{cell.payer_kind}"><title>{escape(said)}</title>'
    yield f'<text class="label" x="2%" y="{top + 14}">{escape(_shorten(name))}{" *" if cell.low_sample else ""}</text>'
    yield f'<line class="whisker" x1="{p10}" x2="{p90}" y1="{middle}" y2="{middle}"/>'
    yield f'<rect class="box" x="{p25}" width="{width}" y="{middle - 6}" height="12"/>'
    yield f'<line class="median" x1="{p50}" x2="{p50}" y1="{middle - 9}" y2="{middle + 9}"/>'
    yield f'<circle class="mean" cx="{scale.place(cell.mean)}" cy="{middle}" r="4"/></g>'


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1].rstrip()}\u2026"


def _reference(scale: Scale, height: int, amount: Decimal) -> Iterator[str]:
    x = scale.place(amount)
    line = f'<line class="reference" x1="{x}" x2="{x}" y1="0" y2="{height - _AXIS}">'
    yield f"{line}<title>Medicare P50 {amount}</title></line>"


def sparkline(amounts: Sequence[Decimal | None], title: str) -> str:
    """A series over months on a scale of its own; a gap where a month has no figure."""
    known = [float(amount) for amount in amounts if amount is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    across = 112 / max(len(amounts) - 1, 1)
    points = [
        None if amount is None else (4 + across * place, _spark_height(float(amount), low, high))
        for place, amount in enumerate(amounts)
    ]
    lines = (
        f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in run)}"/>' for run in _runs(points) if len(run) > 1
    )
    dots = (f'<circle cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" r="2"/>' for run in _runs(points) if len(run) == 1)
    opening = (
        f'<svg class="spark" role="img" viewBox="0 0 120 28" width="120" height="28" aria-label="{escape(title)}">'
    )
    return "".join((opening, *lines, *dots, "</svg>"))


def _spark_height(amount: float, low: float, high: float) -> float:
    return 14.0 if high == low else 24 - 20 * (amount - low) / (high - low)


def _runs(points: Sequence[tuple[float, float] | None]) -> Iterator[list[tuple[float, float]]]:
    run: list[tuple[float, float]] = []
    for point in [*points, None]:
        if point is not None:
            run.append(point)
        elif run:
            yield run
            run = []


@dataclass(frozen=True)
class Fall:
    """One step of a waterfall: what it is, how many rows it takes away, how many stay."""

    name: str
    taken: int
    left: int
    total: bool = False
    meaning: str = ""


def waterfall(falls: Sequence[Fall], title: str) -> str:
    """Rows read to rows counted, one bar a step."""
    most = max((fall.taken + fall.left for fall in falls), default=1) or 1
    height = _ROW * len(falls)
    parts = [f'<svg class="waterfall" role="img" width="100%" height="{height}" aria-label="{escape(title)}">']
    for row, fall in enumerate(falls):
        start, width = (0, fall.left) if fall.total else (fall.left, fall.taken)
        count = f"{fall.left:,}" if fall.total else f"{-fall.taken:,}"
        parts.append(f'<text class="label" x="0" y="{_ROW * row + 14}">{escape(fall.name)}: {count}</text>')
        if width:
            parts.append(
                f'<rect class="{"total" if fall.total else "taken"}" x="{100 * min(start, start + width) / most:.2f}%" '
                f'width="{max(100 * abs(width) / most, 0.2):.2f}%" y="{_ROW * row + 20}" height="12"/>'
            )
    return "".join((*parts, "</svg>"))


def describe_change(earlier: Decimal | None, latest: Decimal | None) -> str:
    """``+0.25``, ``-1.00``, ``0.00``, or nothing where a month is missing."""
    if earlier is None or latest is None:
        return ""
    change = latest - earlier
    return f"{change:+,.2f}" if change else "0.00"


def reference_label(medicare: Cell | None) -> str:
    """What the reference line of a range chart is."""
    return f"Medicare's median, {dollars(medicare.p50)}" if medicare else ""

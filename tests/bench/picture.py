"""The ratios of RESULTS.md as a picture: how many times as long as inflating alone each reading takes, in CPU time.

    python -m tests.bench.picture

writes ``tests/bench/RESULTS.svg`` from the table of ``tests/bench/RESULTS.md``.
"""

from collections.abc import Iterator
from html import escape
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
PICTURE = RESULTS.with_suffix(".svg")
CELLS = 8  # of the table of readings
LABEL, SCALE, BAR, GAP = 330, 28, 16, 6  # pixels; SCALE: of one time inflating
MOST = 12  # times inflating that fit
COLORS = {"inflate": "#9aa5b1", "read": "#2f6f8f", "extract": "#c0762b", "other": "#b04a4a"}


def readings() -> Iterator[tuple[str, str, float]]:
    """Shape, what, and its CPU seconds as a multiple of those of inflating."""
    for row in RESULTS.read_text().splitlines():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if len(cells) == CELLS and cells[0] and "/" not in cells[5] and cells[6].replace(".", "").isdigit():
            yield cells[0], cells[1], float(cells[6])


def color(what: str) -> str:
    """By kind."""
    if what.startswith("isal"):
        return COLORS["inflate"]
    if "tic-rates" not in what:
        return COLORS["other"]
    return COLORS["extract" if "extract" in what else "read"]


def bars() -> Iterator[str]:
    """One bar a row, a heading a shape; what is longer than the page is cut, with its figure beside it."""
    y, last = 30, ""
    for shape, what, ratio in readings():
        if shape != last:
            y += BAR + GAP
            yield f'<text x="8" y="{y}" font-weight="bold">{escape(shape)}</text>'
            y += GAP
            last = shape
        width = min(ratio, MOST) * SCALE
        said = f"{ratio:.1f}{' (cut)' if ratio > MOST else ''}"
        yield f'<text x="16" y="{y + BAR - 4}">{escape(what.removeprefix("tic-rates: "))}</text>'
        yield f'<rect x="{LABEL}" y="{y}" width="{width:.0f}" height="{BAR}" fill="{color(what)}"/>'
        yield f'<text x="{LABEL + width + 6:.0f}" y="{y + BAR - 4}">{said}</text>'
        y += BAR + GAP
    yield f"<!-- height {y + GAP} -->"


def picture() -> str:
    """The whole as SVG."""
    lines = list(bars())
    height, width = lines[-1].split()[2], LABEL + MOST * SCALE + 90
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        '<text x="8" y="20" font-size="14">CPU time as a multiple of inflating the same gzip</text>'
    )
    return "\n".join([head, *lines[:-1], "</svg>\n"])


def main() -> None:
    """Write it."""
    PICTURE.write_text(picture())


if __name__ == "__main__":
    main()

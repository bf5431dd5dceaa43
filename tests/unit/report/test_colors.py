"""The style sheet's shades: more is told from less by lightness alone, so also by the color-blind and in grey print."""

import re
from itertools import pairwise

import pytest

from tests.shared_files import REPOSITORY
from transforms.report.tile_map import SHADES

STYLE = REPOSITORY / "flows" / "report" / "pages" / "style.css"
SCHEMES = ("light", "dark", "print")


def colors_of(scheme: str) -> dict[str, str]:
    """The style sheet's color variables in a scheme: its three ``:root`` blocks, in their order."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == len(SCHEMES)
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", blocks[SCHEMES.index(scheme)]))


def luminance(color: str) -> float:
    """Relative luminance as WCAG defines it."""
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_shade_is_further_from_the_paper_in_lightness_than_the_one_before(scheme: str) -> None:
    colors = colors_of(scheme)
    shades = [colors[f"s{number}"] for number in range(SHADES)]
    away = [contrast(colors["card"], shade) for shade in shades]
    assert away == sorted(away)
    assert all(contrast(one, following) > 1.3 for one, following in pairwise(shades))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_is_readable_on_every_color_that_it_stands_on(scheme: str) -> None:
    colors = colors_of(scheme)
    pairs = [(colors["on-pale" if number < 3 else "on-deep"], colors[f"s{number}"]) for number in range(SHADES)]
    pairs += [(colors[ink], colors[paper]) for ink in ("ink", "soft", "accent") for paper in ("paper", "card")]
    assert all(contrast(ink, paper) >= 4.5 for ink, paper in pairs)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_marks_of_charts_stand_out_from_the_paper(scheme: str) -> None:
    colors = colors_of(scheme)
    assert all(contrast(colors[mark], colors["card"]) >= 3 for mark in ("payer", "composite", "benchmark", "reference"))

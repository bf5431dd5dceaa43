"""One rounding rule for everything shown; names that can't reorder what stands around them."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report_market import HOSTILE, summary
from transforms.report.figures import dollars, make_cell, ratio, show_name, to_cents, to_tenth, usd

STABLE = settings(max_examples=200, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize(
    ("published", "shown"),
    [
        (1.005, "1.01"),
        (2.675, "2.68"),
        (0.005, "0.01"),
        (0.0049, "0.00"),
        (7.0, "7.00"),
        (1e-05, "0.00"),
        (12.5, "12.50"),
    ],
)
def test_dollars_round_half_up_from_the_floats_own_text(published: float, shown: str) -> None:
    assert str(to_cents(published)) == shown


@STABLE
@given(st.integers(0, 10**9))
def test_whole_cents_show_as_they_are(cents: int) -> None:
    assert to_cents(cents / 100) == Decimal(cents) / 100


def test_percentages_have_one_decimal_and_ratios_two_half_up_and_none_over_nothing() -> None:
    assert to_tenth(94.75) == Decimal("94.8")
    assert ratio(Decimal("24.06"), Decimal("12.00")) == Decimal("2.01")
    assert ratio(Decimal("24.05"), Decimal("12.00")) == Decimal("2.00")
    assert ratio(Decimal("1.00"), Decimal("0.00")) is None


def test_large_amounts_are_grouped() -> None:
    assert usd(Decimal("1234567.80")) == "1,234,567.80"
    assert dollars(Decimal("1234.50")) == "$1,234.50"


def test_a_rate_is_uniform_only_when_nothing_shown_says_otherwise() -> None:
    assert make_cell(summary("Aetna", figures=(16, 16, 16, 16))).uniform
    assert not make_cell(summary("Aetna", figures=(16, 15.99, 16, 16))).uniform
    assert not make_cell(summary("Aetna", figures=(7, 6.996, 7, 7.004))).uniform  # the dispersion shows as 0.01


def test_names_lose_what_reorders_or_breaks_text() -> None:
    assert show_name("Aetna") == "Aetna"
    assert show_name("a\u202eb\x00c\u2028d") == "a\ufffdb\ufffdc\ufffdd"
    assert show_name("\u05d1\u05d9\u05ea 1") == "\u2068\u05d1\u05d9\u05ea 1\u2069"


@pytest.mark.parametrize("name", ["", "  ", "\u200b", "\u0301", "\ufeff \u2060"])
def test_a_name_that_nobody_could_see_says_so(name: str) -> None:
    assert show_name(name) == "(no name)"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_show_without_direction_controls(name: str) -> None:
    inner = show_name(name).removeprefix("\u2068").removesuffix("\u2069")
    assert not set(inner) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\n\r\t")

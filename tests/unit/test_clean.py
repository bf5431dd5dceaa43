"""Values as they are cleaned: ids equal as numbers of any size and precision, rates in one spelling."""

import math
from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.clean import rate_of, reference_key

STABLE = settings(max_examples=500, deadline=None, derandomize=True, database=None)

DIGITS = st.text("0123456789", min_size=1, max_size=30)
TOKENS = st.builds(
    lambda sign, whole, fraction, exponent: f"{sign}{whole}{fraction}{exponent}",
    sign=st.sampled_from(("", "-", "+")),
    whole=DIGITS,
    fraction=st.one_of(st.just(""), st.just("."), DIGITS.map(lambda digits: f".{digits}")),
    exponent=st.one_of(st.just(""), st.integers(-40, 40).map(lambda power: f"e{power}")),
)


@st.composite
def respelled(draw: st.DrawFn) -> tuple[str, str]:
    """A number, and either another number, a near one, or the same in another spelling."""
    token = draw(TOKENS)
    shift = draw(st.integers(-5, 5))
    with localcontext(prec=500):
        value = Decimal(token)
        exponent = value.as_tuple().exponent
        assert isinstance(exponent, int)
        shifted = f"{value.scaleb(shift):f}e{-shift}"
        near = f"{value + Decimal(1).scaleb(exponent):f}"
        spellings = (f"{value:f}", f"{value:E}", shifted, near, draw(TOKENS))
    return token, draw(st.sampled_from(spellings))


def values_of(token: str) -> list[object]:
    """The forms in which a reader may meet it: text, padded text, a JSON number."""
    number = Decimal(token)
    forms: list[object] = [token, f" {token}\n", number]
    if "." not in token and "e" not in token.lower():
        forms.append(int(token))
    return forms


@STABLE
@given(respelled())
def test_reference_keys_are_equal_when_and_only_when_the_numbers_are(pair: tuple[str, str]) -> None:
    one, other = pair
    keys = {reference_key(value) for value in values_of(one)}
    others = {reference_key(value) for value in values_of(other)}
    assert len(keys) == len(others) == 1
    assert (keys == others) == (Decimal(one) == Decimal(other))


@pytest.mark.parametrize("value", [None, True, False, {}, []])
def test_what_is_no_id_has_no_key(value: object) -> None:
    assert reference_key(value) is None


def test_text_that_is_no_number_is_its_own_key() -> None:
    assert reference_key(" G-1 ") == "G-1" != reference_key("g-1")
    assert reference_key("1.2.3") == "1.2.3"
    assert reference_key("1e1000000000") != reference_key("1e1000000001")  # without writing either out


def test_minus_zero_is_zero_and_huge_numbers_are_infinite() -> None:
    for zero in (0, Decimal("-0.0"), Decimal("-0e5"), "-0", " -0.0 ", Decimal("-1e-999")):
        rate = rate_of(zero)
        assert rate == 0 and math.copysign(1, rate) == 1
    assert rate_of(Decimal("1e999")) == rate_of(10**400) == rate_of("1e999") == math.inf

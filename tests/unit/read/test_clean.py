"""Values as they are cleaned: ids equal as numbers of any size and precision, rates in one spelling."""

import io
import json
import math
from decimal import Decimal, localcontext

import ijson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plain_json import (
    as_class,
    as_code_list,
    as_date,
    as_npi,
    as_rate,
    as_text,
    as_tin,
    is_unread_date,
    plain_json,
)
from transforms.read.clean import (
    class_of,
    codes_of,
    date_of,
    npi_of,
    rate_of,
    read_date,
    reference_key,
    text_of,
    tin_of,
)


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


# Tokens of JSON, so that each reading meets them as it does in a file: text, integers, other numbers, the rest.
TEXTS = (
    *(
        "",
        " ",
        "0",
        "00-0000000",
        "000",
        "12-3456789",
        "123456789",
        " 1234567 ",
        "1234567.0",
        "1.00",
        "1.50",
        "7.0 ",
        ".0",
    ),
    *(
        "0.0",
        "n/a",
        "x.0",
        "1.0.0",
        "1,000",
        "+5",
        "-5",
        ".5",
        "5.",
        "1e3",
        "1E-2",
        " 30.5 ",
        "NaN",
        "१२",
        "9" * 19,
        "1" * 20,
    ),
    *("9223372036854775807", "9223372036854775808", "000000000001234567893"),
    *(
        "1234567893.0",
        "-1234567893",
        "Professional ",
        "\tBOTH",
        "gp",
        " kx ",
        "cstm-00",
        "ß",
        "2026-06-01",
        "2026-06-01T00:00:00-05:00",
    ),
    *(
        "2026/06/01",
        "2026/06-01",
        "2026-6-1",
        "20260601",
        "20260601T1200Z",
        "202606011200",
        "20260601120000",
        "2026060112",
        "2026060",
    ),
    *("2026060112000", "202606011200000", "6/1/2026", "06/01/2026 12:00:00 AM", "6-1-2026", "6/1-2026", "6/1/20261"),
    *("123/1/2026", "31/12/2026", "2026-02-30", "0000-01-01", "9999-12-31", "12/31/9999", "99991231", "9999-12-30"),
    *("8888-12-31", "9999-11-31", "2026-06-011", " 2026-06-01 ", "x2026-06-01", "2026-06-01x", "soon"),
)
NUMBERS = (
    *(
        "0",
        "-0",
        "5",
        "-5",
        "123456789",
        "1234567893",
        "-1234567893",
        "20260601",
        "1.0",
        "1.5",
        "-1.0",
        "1234567.00",
        "-0.0",
    ),
    *("1.5e2", "15e-1", "150e-1", "1e18", "1e19", "9223372036854775807", "9223372036854775808", "-9223372036854775808"),
    *(
        "1e63",
        "1e64",
        "1e65",
        "12e63",
        "1" * 64,
        "1" * 65,
        "0e999999",
        "1e-999999",
        "1e400",
        "-1e400",
        "0.1",
        "97026",
        "9.7026e4",
    ),
)
TOKENS_OF_ALL = (*map(json.dumps, TEXTS), *NUMBERS, "true", "false", "null")


@pytest.mark.parametrize("token", TOKENS_OF_ALL)
def test_values_are_cleaned_as_the_plain_reading_does(token: str) -> None:
    ((event, value),) = ijson.basic_parse(io.BytesIO(token.encode()))
    plain = plain_json(token.encode())
    assert npi_of(value) == as_npi(plain)
    for kind in (None, "ein", "EIN", " Ein ", "npi", "einx", ""):
        assert tin_of(value, kind) == as_tin({"type": kind, "value": plain})[1], kind
    assert rate_of(value) == as_rate(plain)
    assert class_of(value) == as_class(plain) or event == "number"
    assert (date_of(value), read_date(value)[1]) == (as_date(plain), is_unread_date(plain))
    assert read_date(value)[0] == date_of(value)
    assert codes_of([value, "GP", value, ""]) == as_code_list([plain, "GP", plain, ""]) or event == "number"
    assert text_of(value) == as_text(plain) or "e" in token or token == "-0"


@pytest.mark.parametrize(
    ("token", "text"),
    [("1e3", "1E+3"), ("5e0", "5E0"), ("9.7026e4", "97026E0"), ("1000e-3", "1.000"), ("1e-7", "1E-7"), ("12", "12")],
)
def test_a_number_that_is_no_integer_as_written_never_reads_as_one(token: str, text: str) -> None:
    ((_, value),) = ijson.basic_parse(io.BytesIO(token.encode()))
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("one", "key"),
    [
        ("1e999999999999999999999", "1E999999999999999999999"),
        ("1E999999999999999999999", "1E999999999999999999999"),
        ("10e999999999999999999999", "1E1000000000000000000000"),
        ("-1.50e999999999999999999999", "-15E999999999999999999998"),
        ("1e-999999999999999999999", "1E-999999999999999999999"),
        ("0e999999999999999999999", "0"),
        (f"1e{'9' * 3_999}", f"1E{'9' * 3_999}"),
        (f"1e{'9' * 4_000}", f"1e{'9' * 4_000}"),
        (f"1{'0' * 63}", f"1{'0' * 63}"),
        (f"1{'0' * 64}", "1E64"),
        (f" -{'9' * 64} ", f"-{'9' * 64}"),
        ("0.010", "1E-2"),
        ("+1.50", "15E-1"),
        ("", ""),
        (" A\t", "A"),
    ],
)
def test_a_key_has_one_spelling_whatever_its_size(one: str, key: str) -> None:
    assert reference_key(one) == key


@pytest.mark.parametrize("number", [10**18 - 1, 10**18, -(10**18), 1 - 10**18, 10**64, -(10**64) - 1, 0])
def test_integers_beyond_64_bits_have_the_keys_of_their_text(number: int) -> None:
    assert reference_key(number) == reference_key(str(number)) == reference_key(Decimal(number))


def test_rates_beyond_float64_are_infinite_on_their_own_side() -> None:
    assert (rate_of(10**400), rate_of(-(10**400)), rate_of(Decimal("-1e999"))) == (math.inf, -math.inf, -math.inf)
    assert rate_of(True) is None and rate_of(None) is None and rate_of([]) is None


# Last, since it takes longest.
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

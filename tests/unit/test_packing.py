"""Columns packed into one number order and tell rows apart as the columns themselves do."""

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transforms.packing import pack, sort_packed

STABLE = settings(max_examples=200, deadline=None, derandomize=True, database=None)
COLUMNS = ["a", "b", "c"]
NUMBERS = st.one_of(st.none(), st.integers(-3, 3), st.integers(0, 2_999_999_999), st.integers(-(2**62), 2**62))
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=30)
WIDE: list[tuple[int | None, ...]] = [(2**62, None, -(2**62)), (-(2**62), 2**62, 5), (0, -(2**62), 2**62), (0, 1, None)]


def frame(rows: list[tuple[int | None, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.Int64()), orient="row")


@STABLE
@given(ROWS)
@example(WIDE)
def test_rows_are_ordered_as_by_the_columns(rows: list[tuple[int | None, ...]]) -> None:
    given_rows = frame(rows)
    ordered, _ = sort_packed(given_rows, COLUMNS)
    assert given_rows[ordered["row"]].equals(given_rows.sort(COLUMNS))


@STABLE
@given(ROWS)
@example(WIDE)
def test_rows_are_alike_as_by_the_columns(rows: list[tuple[int | None, ...]]) -> None:
    given_rows = frame(rows)
    keys = pl.DataFrame(pack(given_rows, COLUMNS))
    assert keys.n_unique() == given_rows.n_unique()


def test_what_fits_becomes_one_number() -> None:
    npi = [1_000_000_000, 2_999_999_999, None]
    assert len(pack(pl.DataFrame({"npi": npi, "tin_no": [0, 2**28, 5], "class_no": [0, 1, 2]}), ["npi", "tin_no"])) == 1


def test_what_does_not_fit_becomes_several() -> None:
    assert len(pack(frame(WIDE), COLUMNS)) == 3


def test_then_come_other_columns() -> None:
    rows = pl.DataFrame({"a": [1, 0, 1], "rate_usd": [2.5, 9.0, 1.25]})
    ordered, names = sort_packed(rows, ["a"], "rate_usd")
    assert ordered["row"].to_list() == [1, 2, 0]
    assert ordered.select(names).n_unique() == 2

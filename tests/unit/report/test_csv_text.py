"""CSV: formulas disarmed, everything else as it is."""

import csv
import io
from datetime import date

import polars as pl
import pytest

from transforms.report.csv_text import csv_text, disarm, frame_text


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\u00a0=1", "\u200e+1", "\uff1d1", "\ufeff@A1"],
)
def test_texts_that_begin_like_formulas_get_an_apostrophe(text: str) -> None:
    assert disarm(text) == f"'{text}"


@pytest.mark.parametrize("value", ["Aetna", "a=b", "", -1.5, None, True, date(2025, 6, 1)])
def test_anything_else_stays(value: object) -> None:
    assert disarm(value) is value


def test_rows_read_back_as_they_were() -> None:
    rows = [('A, "quoted"\nname', 1.005, None, -2), ("\u05d1", 0.1, True, 3)]
    read = list(csv.reader(io.StringIO(csv_text(("name", "a", "b", "c"), rows), newline="")))
    assert read == [["name", "a", "b", "c"], [rows[0][0], "1.005", "", "-2"], ["\u05d1", "0.1", "True", "3"]]


def test_a_table_is_written_as_its_rows_are() -> None:
    frame = pl.DataFrame({"name": ["=1", None, "a"], "state": ["AK", "US", ""], "rate": [1.5, None, -2.0]})
    assert frame_text(frame) == csv_text(frame.columns, frame.rows())
    assert frame_text(frame).startswith("name,state,rate\r\n'=1,AK,1.5\r\n")
    assert frame_text(frame.clear()) == "name,state,rate\r\n"


def test_lists_of_texts_have_semicolons_between() -> None:
    frame = pl.DataFrame({"names": [["A", "B"], [], ["=1", "B"], None], "n": [1, 2, 3, 4]})
    assert frame_text(frame) == "names,n\r\nA; B,1\r\n,2\r\n'=1; B,3\r\n,4\r\n"

"""Drawings: well-formed, in proportion, and no name in them is markup."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.report.report_site import make_templates
from tests.report_market import HOSTILE, summary
from transforms.report.accounting import Step
from transforms.report.charts import make_scale
from transforms.report.figures import Cell, make_cell

STABLE = settings(max_examples=200, deadline=None, derandomize=True, database=None)
CHARTS: Any = make_templates().get_template("charts.html").module


def range_chart(cells: Sequence[Cell], medicare: Cell | None = None, title: str = "ranges") -> str:
    scale = make_scale([amount for cell in [*cells, *filter(None, [medicare])] for amount in (cell.p90, cell.mean)])
    return str(CHARTS.range_chart([(cell, cell.name) for cell in cells], scale, medicare, title))


def percent(element: ElementTree.Element, name: str) -> float:
    return float(element.attrib[name].rstrip("%"))


@STABLE
@given(st.lists(st.decimals("0.01", "90000", places=2), min_size=1, max_size=5))
def test_a_scale_holds_every_amount_on_round_ticks(amounts: list[Decimal]) -> None:
    scale = make_scale(amounts)
    assert scale.high >= float(max(amounts))
    assert 2 <= len(scale.ticks) <= 8
    assert all(2 <= scale.place(amount) <= 97 for amount in amounts)


def test_a_scale_of_nothing_is_still_a_scale() -> None:
    assert make_scale([]).high == make_scale([Decimal("0.00")]).high == 1.0


def test_ranges_stand_where_their_figures_are() -> None:
    cells = [make_cell(summary("Aetna", figures=(9, 4, 8, 12), p10_usd=2.0, p90_usd=16.0))]
    medicare = make_cell(summary("Medicare", figures=(7, 6, 7, 8)))
    drawing = ElementTree.fromstring(range_chart(cells, medicare))
    scale = make_scale([Decimal(16)])
    whisker, box, median, mean, reference = (
        drawing.find(f".//*[@class='{name}']") for name in ("whisker", "box", "median", "mean", "reference")
    )
    assert None not in (whisker, box, median, mean, reference)
    assert whisker is not None and box is not None and median is not None and mean is not None
    assert [percent(whisker, "x1"), percent(whisker, "x2")] == [scale.place(2), scale.place(16)]
    assert percent(box, "x") == scale.place(4)
    assert percent(box, "x") + percent(box, "width") == pytest.approx(scale.place(12), abs=0.011)
    assert percent(median, "x1") == scale.place(8)
    assert percent(mean, "cx") == scale.place(9)
    assert reference is not None and percent(reference, "x1") == scale.place(7)


def test_names_in_drawings_are_text() -> None:
    cells = [make_cell(summary(name)) for name in HOSTILE]
    drawing = ElementTree.fromstring(range_chart(cells, title=HOSTILE[0]))
    labels = [element.text for element in drawing.iter() if element.attrib.get("class") == "label"]
    assert labels == [cell.name if len(cell.name) <= 40 else f"{cell.name[:39]}\u2026" for cell in cells]
    assert {element.tag for element in drawing.iter()} == {"svg", "line", "text", "g", "title", "rect", "circle"}
    ElementTree.fromstring(CHARTS.line([Decimal(1)], HOSTILE[1]))
    ElementTree.fromstring(CHARTS.waterfall([Step(HOSTILE[2], 1, 1)], HOSTILE[0]))


def test_a_missing_month_is_a_gap_in_the_line() -> None:
    one, two = Decimal("1.00"), Decimal("2.00")
    drawing = ElementTree.fromstring(CHARTS.line([one, two, None, one, None, two, two], "course"))
    assert [element.tag for element in drawing] == ["polyline", "circle", "polyline"]
    assert len(ElementTree.fromstring(CHARTS.line([None, None], "nothing"))) == 0


def test_a_flat_course_lies_in_the_middle() -> None:
    (line,) = ElementTree.fromstring(CHARTS.line([Decimal(3), Decimal(3)], "flat"))
    assert line.attrib["points"] == "4.0,14.0 116.0,14.0"


def test_waterfall_bars_add_up_to_the_first() -> None:
    steps = [Step("read", 0, 10, total=True), Step("a", 4, 6), Step("left", 0, 6, total=True)]
    drawing = ElementTree.fromstring(CHARTS.waterfall(steps, "rows"))
    bars = [(percent(bar, "x"), percent(bar, "width")) for bar in drawing.iter("rect")]
    assert bars == [(0, 100), (60, 40), (0, 60)]


def test_a_rule_that_excludes_nothing_has_no_bar_and_no_minus() -> None:
    text = str(CHARTS.waterfall([Step("read", 0, 10, total=True), Step("a", 0, 10)], "rows"))
    assert ">a: 0<" in text
    assert text.count("<rect") == 1


def test_a_long_name_is_cut_in_the_drawing_and_whole_in_its_title() -> None:
    text = range_chart([make_cell(summary("A" * 300))])
    assert f"<title>{'A' * 300}:" in text
    assert f">{'A' * 39}\u2026<" in text

"""The coding panel beside published rules: a sentence that a rule in force contradicts is not shown."""

from datetime import date
from typing import Any

import pytest

from schemas.coding import Coding, coding_of
from tests.unit.report.test_rules import edit, rule
from transforms.report.coding_panel import Panel, make_panel

DETERMINATION = {"document_id": "270.6", "effective_date": date(2006, 10, 24), "authority": "CMS"}


def coding() -> Coding:
    found = coding_of("97026")
    assert found is not None
    return found


def panel(*rows: dict[str, Any]) -> Panel:
    found = make_panel(coding(), rows)
    assert found is not None
    return found


def texts(shown: Panel) -> str:
    return " ".join(note.text for note in (*shown.coverage, *(note for _, note in shown.lines)))


def ncd(stance: str | None = "not_covered", **values: Any) -> dict[str, Any]:
    return rule("ncd", "US", **(DETERMINATION | {"stance": stance} | values))


def test_without_rules_every_sentence_is_shown() -> None:
    shown = panel()
    assert (len(shown.lines), len(shown.coverage), len(shown.diagnoses), shown.left_out) == (5, 3, 5, 0)


def test_a_code_that_is_not_reviewed_has_no_panel() -> None:
    assert make_panel(None, [rule()]) is None


@pytest.mark.parametrize(("limit", "is_shown"), [(1, True), (2, False), (0, False)])
def test_units_are_those_of_the_limit_or_not_said(limit: int, is_shown: bool) -> None:
    assert ("one unit a session" in texts(panel(rule("mue", "US", unit_limit=limit)))) == is_shown


@pytest.mark.parametrize(
    ("stance", "remaining"),
    [("not_covered", {"alone", "neuropathy"}), ("restricted", {"alone", "Status R"}), ("covered", set())],
)
def test_a_stance_leaves_the_sentences_that_agree_with_it(stance: str, remaining: set[str]) -> None:
    shown = " ".join(note.text for note in panel(ncd(stance)).coverage)
    assert {word for word in ("alone", "neuropathy", "Status R") if word in shown} == remaining


@pytest.mark.parametrize(
    "row",
    [
        ncd(effective_date=date(2020, 1, 1)),
        ncd(status="withdrawn"),
        ncd(status="ended"),
    ],
)
def test_a_determination_of_another_date_or_no_longer_in_force_contradicts_the_sentence_on_it(
    row: dict[str, Any],
) -> None:
    assert "neuropathy" not in texts(panel(row))


def test_the_determination_of_which_the_sentence_speaks_is_the_one_in_force() -> None:
    assert "neuropathy" in texts(panel(ncd(status="superseded", version="0", stance="covered"), ncd()))


def test_rules_that_state_nothing_or_are_not_in_force_or_are_a_payers_contradict_nothing() -> None:
    rows = [
        rule("lcd", stance=None),
        ncd("covered", document_id="1.2", status="future"),
        rule("payer_policy", stance="covered"),
        rule("mue", "US", unit_limit=9, status="withdrawn"),
        edit("97028", stance="bundled"),
    ]
    assert panel(*rows).left_out == 0


def test_codes_whose_edit_has_ended_are_not_said_to_be_alternatives() -> None:
    assert "not additive" in texts(panel(edit("97028")))
    assert "not additive" not in texts(panel(edit("97028", status="ended")))


def test_a_diagnosis_that_an_article_lists_as_not_covering_is_not_a_common_one() -> None:
    shown = panel(
        rule(diagnoses_not_covered=["M54.50", "M25.561", "E11.42"]),
        rule(status="ended", diagnoses_not_covered=["M54.2"]),
    )
    assert [each.code for each in shown.diagnoses] == ["M25.562", "M79.1x", "M54.2"]
    assert shown.left_out == 2

"""What may be published, and what is held back (the gates before publishing)."""

from dataclasses import replace

import pytest

from flows.download.sources import Source
from flows.extract.outcome import Outcome
from flows.publish.gates import check_figures, check_files
from flows.settings.values import Gates
from flows.tables.payer_builds import PayerFigures

FIGURES = PayerFigures(rows=130, reasons={"eligible": 100, "modifier": 30}, medians_usd={"97026": 10.0})
BEFORE = {"rows_eligible": 100, "medians_usd": {"97026": 10.0}}
OFF = Gates(None, None, None, None)


def outcomes(read: int, refused: int) -> list[Outcome]:
    good = [Outcome(Source(f"good {number}"), "no_match") for number in range(read)]
    return good + [Outcome(Source(f"bad {number}"), "quarantined", "cut") for number in range(refused)]


def test_a_payer_whose_files_were_read_passes() -> None:
    assert check_files(Gates(), outcomes(9, 1)) is None
    assert check_files(Gates(), []) is None


def test_too_few_files_read_are_said_with_the_threshold() -> None:
    assert check_files(Gates(), outcomes(8, 2)) == "8 of 10 sources were read (gate min_files_read is 0.9)"


def test_figures_as_last_month_pass_and_so_do_those_of_a_new_payer() -> None:
    assert check_figures(Gates(), FIGURES, BEFORE, "2026-05") is None
    assert check_figures(Gates(), FIGURES, None, "") is None


@pytest.mark.parametrize(("then", "passes"), [(199, True), (201, False), (67, True), (66, False), (0, True)])
def test_rows_may_change_by_half_of_last_month(then: int, passes: bool) -> None:
    found = check_figures(Gates(), FIGURES, BEFORE | {"rows_eligible": then}, "2026-05")
    assert (found is None) == passes
    assert passes or found == f"100 eligible rows where 2026-05 has {then} (gate max_rows_change is 0.5)"


@pytest.mark.parametrize(("then", "passes"), [(8.0, True), (7.99, False), (13.3, True), (13.4, False)])
def test_medians_may_change_by_a_quarter_of_last_month(then: float, passes: bool) -> None:
    found = check_figures(Gates(), FIGURES, BEFORE | {"medians_usd": {"97026": then}}, "2026-05")
    assert (found is None) == passes
    assert passes or str(found).startswith(f"the median of 97026 is 10.00 dollars where 2026-05 has {then:.2f}")


def test_a_code_without_any_median_left_is_held_back() -> None:
    found = check_figures(Gates(), FIGURES, BEFORE | {"medians_usd": {"97028": 9.5}}, "2026-05")
    assert found == "the median of 97028 is missing where 2026-05 has 9.50 (gate max_median_change is 0.25)"


def test_npis_that_nppes_does_not_know_hold_a_payer_back() -> None:
    unknown = replace(FIGURES, reasons={"eligible": 60, "outside_us": 5, "billing_class": 10, "npi_unknown": 25})
    assert check_figures(Gates(), unknown, None, "") == "NPPES knows 75.0% of its NPIs (gate min_nppes_share is 0.8)"
    assert check_figures(Gates(min_nppes_share=0.75), unknown, None, "") is None


def test_every_gate_can_be_turned_off() -> None:
    wild = replace(FIGURES, reasons={"npi_unknown": 1}, medians_usd={"97026": 1e6})
    assert check_figures(OFF, wild, BEFORE, "2026-05") is None
    assert check_files(OFF, outcomes(0, 5)) is None


def test_all_reasons_are_said_at_once() -> None:
    wild = replace(FIGURES, reasons={"eligible": 1, "npi_unknown": 9}, medians_usd={"97026": 1.0})
    assert str(check_figures(Gates(), wild, BEFORE, "2026-05")).count("gate ") == 3

"""The reviewed coding panel: complete for the default codes, and in agreement with the fee schedule."""

from datetime import date

import pytest

from schemas.codes import ALLOWED_MODIFIERS, DEFAULT_CODES, OFFICE_SERVICE_CODES
from schemas.coding import Codes, Note, coding_of
from schemas.reference import MEDICARE_RVUS, THERAPY_TAXONOMIES, load_reference


@pytest.mark.parametrize("code", DEFAULT_CODES)
def test_a_default_code_has_a_whole_panel(code: str) -> None:
    panel = coding_of(code)
    assert panel is not None
    assert panel.sister in DEFAULT_CODES
    assert panel.sister != code
    assert "not additive" in panel.sister_note.text
    assert panel.modifier.text[:2] in ALLOWED_MODIFIERS
    assert panel.place_of_service.text[:2] in OFFICE_SERVICE_CODES
    assert [entry.code for entry in panel.diagnoses.codes] == ["M54.5x", "M25.561", "M25.562", "M79.1x", "M54.2"]
    assert any("used alone" in note.text for note in panel.coverage)
    assert panel.checklist and panel.sources
    notes = [*panel.coverage, *panel.checklist, panel.what, panel.sister_note, panel.modifier, panel.place_of_service]
    sourced: list[Note | Codes] = [*notes, panel.unit, panel.supervision, panel.taxonomies, panel.diagnoses]
    assert all(each.source and date.fromisoformat(each.reviewed_on) for each in sourced)


def test_the_taxonomies_named_are_strict_ones() -> None:
    tiers = dict(load_reference(THERAPY_TAXONOMIES).select("code", "tier").iter_rows())
    panel = coding_of("97026")
    assert panel is not None
    assert {tiers[entry.code] for entry in panel.taxonomies.codes} == {"strict"}


def test_the_status_named_is_the_fee_schedules() -> None:
    latest = {row["billing_code"]: row for row in load_reference(MEDICARE_RVUS).sort("year").iter_rows(named=True)}
    for code in DEFAULT_CODES:
        panel = coding_of(code)
        assert panel is not None
        assert any(note.text.startswith(f"Status {latest[code]['status_code']} ") for note in panel.coverage)


def test_neuropathy_and_wounds_are_named_where_the_determination_applies() -> None:
    panel = coding_of("97026")
    assert panel is not None
    (note,) = [note for note in panel.coverage if "neuropathy" in note.text]
    assert note.source == "NCD 270.6"
    assert "wounds" in note.text


def test_a_code_that_nobody_reviewed_has_no_panel() -> None:
    assert coding_of("97110") is None

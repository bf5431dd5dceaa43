"""Which published months stay."""

from typing import Any

from flows.publish.retention import choose_months

MONTHS = ("2026-03", "2026-04", "2026-05", "2026-06")


def entry(*payers: str, withheld: tuple[str, ...] = ()) -> dict[str, Any]:
    """A month with rows of these payers, each from a block of its own; some are withheld."""
    found = {payer: {"groups": [f"{payer} files"]} for payer in payers}
    return {"payers": found, "withheld": dict.fromkeys(withheld, "a gate")}


def manifest(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"months": dict(zip(MONTHS, entries, strict=False))} | more


def test_the_newest_months_stay() -> None:
    found = choose_months(manifest(entry("A"), entry("A"), entry("A")), 2)
    assert (found.kept, found.removed, found.needed) == (MONTHS[1:3], MONTHS[:1], {})


def test_all_stay_without_a_number_and_where_there_are_fewer() -> None:
    for keep in (None, 5):
        assert choose_months(manifest(entry("A"), entry("A")), keep).removed == ()
    assert choose_months({}, 1).kept == ()


def test_a_month_with_the_last_rows_of_a_withheld_payer_stays() -> None:
    found = choose_months(manifest(entry("A", "B"), entry("A"), entry("A", withheld=("B",))), 1)
    assert (found.kept, found.removed) == ((MONTHS[0], MONTHS[2]), (MONTHS[1],))
    assert found.needed == {MONTHS[0]: f"the last rows of B, withheld in {MONTHS[2]}"}


def test_a_withheld_payer_whose_earlier_rows_are_in_the_month_itself_needs_no_other() -> None:
    found = choose_months(manifest(entry("A", "B"), entry("A", "B", withheld=("B",))), 1)
    assert found.removed == MONTHS[:1]


def test_a_month_with_the_last_rows_of_an_awaited_block_stays() -> None:
    awaited = {MONTHS[2]: {"B files": {"since": "2026-05-03", "reason": "not there"}}}
    found = choose_months(manifest(entry("A", "B"), entry("A", "B"), entry("A"), awaited=awaited), 1)
    assert (found.kept, {*found.needed}) == (MONTHS[1:3], {MONTHS[1]})


def test_a_withheld_payer_that_was_never_published_needs_nothing() -> None:
    assert choose_months(manifest(entry("A"), entry("A", withheld=("New",))), 1).removed == MONTHS[:1]

"""Every line of FIELD-NOTES, read by the pipeline and by the plain reading: the same rows, the same fate."""

import pytest

from tests.field_note_case import Case
from tests.field_notes import CASES
from tests.pipeline import CODES, Fate, extract_bytes, fates, rate_rows
from tests.plain_reading import plain_rates
from transforms.errors import BadFileError

GOOD = [case for case in CASES if case.expect != "quarantined"]
BAD = [case for case in CASES if case.expect == "quarantined"]


def plain_fates(files: list[bytes], remote: dict[str, bytes]) -> dict[tuple[object, ...], Fate]:
    return {
        tuple(rate.row): (
            rate.exclusion,
            rate.last_updated_on,
            tuple(sorted(rate.source_ids)),
            tuple(sorted(rate.network_names)),
            rate.business_name,
            rate.group_size,
        )
        for rate in plain_rates(files, CODES, None, payer_of=str, tier_of=lambda *_: "other", remote=remote)
    }


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_a_good_file_gives_the_rows_of_the_plain_reading(case: Case) -> None:
    source = extract_bytes(case.published)
    assert bool(source.account.items_matched) == (case.expect == "matched")
    assert fates(rate_rows([source], case.remote)) == plain_fates([case.published], dict(case.remote))


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_a_bad_file_is_refused_with_a_reason(case: Case) -> None:
    with pytest.raises(BadFileError) as refusal:
        extract_bytes(case.published)
    assert str(refusal.value)

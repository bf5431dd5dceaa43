"""A property that fails says so at once: it is not tried a thousand times more in search of a smaller example."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.field_notes import generated_documents
from tests.unit.contents import test_read_index
from tests.unit.read import test_clean, test_generated
from tests.unit.scan import test_read_scan

SETTINGS = {
    "as none says otherwise": settings(database=None),
    "of documents": test_read_scan.MANY,
    "of documents in the pipeline": test_generated.SOME,
    "of tables of contents": test_read_index.MANY,
    "of values": test_clean.STABLE,
}
TRIES = 5  # the first failure, and once or twice more to see that it is one


@pytest.mark.parametrize("strategy", [generated_documents(), st.lists(st.integers())], ids=["documents", "lists"])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_failure_is_said_after_a_few_tries(name: str, strategy: st.SearchStrategy[object]) -> None:
    tries = 0

    @settings(SETTINGS[name])
    @given(strategy)
    def fails(_example: object) -> None:
        nonlocal tries
        tries += 1
        raise AssertionError("as it should")

    with pytest.raises(AssertionError, match="as it should"):
        fails()
    assert tries <= TRIES


@pytest.mark.parametrize("name", SETTINGS)
def test_a_property_that_holds_is_tried_as_often_as_its_settings_say(name: str) -> None:
    tries = 0

    @settings(SETTINGS[name])
    @given(st.integers())
    def holds(_example: int) -> None:
        nonlocal tries
        tries += 1

    holds()
    assert tries == SETTINGS[name].max_examples

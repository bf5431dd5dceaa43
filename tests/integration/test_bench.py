"""The bench still runs on what it measures: a broken one is found here, not after half an hour of measuring."""

import pytest

from tests.bench import summary

pytestmark = pytest.mark.slow


def test_summaries_have_the_cells_and_figures_that_sql_gives() -> None:
    found = summary.main(20_000)
    assert {engine: found[engine].get("error") for engine in summary.ENGINES} == dict.fromkeys(summary.ENGINES)
    assert found["ours"]["cells"] == found["duckdb_at_once"]["cells"] == found["duckdb_in_stages"]["cells"] > 2_000
    assert found["largest_difference"] < 1e-12

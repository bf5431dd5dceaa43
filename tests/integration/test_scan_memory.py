"""Peak memory of the scanning reader on what is too large to hold. TIC_RATES_SCALE=1 makes them as large as promised:
5 million groups with 50 million NPIs, an item of 5 GB, a file of 20 GB (half an hour)."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.effort import usually
from tests.shared_files import REPOSITORY

pytestmark = pytest.mark.slow

SCALE = float(os.environ.get("TIC_RATES_SCALE", "0.02"))
LIMIT_MIB = 400


def read(case: str, scale: float = SCALE) -> dict[str, Any]:
    """One case in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.bench.extremes", case, str(scale)],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(ended.stdout)
    assert found["peak_mib"] <= LIMIT_MIB
    return found


def test_references_in_front_of_which_few_are_cited() -> None:
    found = read("references_first", max(SCALE, 0.2))
    assert found["references_seen"] == 100 * found["references"] > 0
    assert found["groups"] == 10 * found["references"]


def test_references_in_front_that_are_all_cited() -> None:
    found = read("all_cited", SCALE)
    assert found["references_seen"] == found["references"] > 0


@pytest.mark.parametrize("case", ["code_last", "one_item"][: usually(1, 2)])
def test_one_long_wanted_item(case: str) -> None:
    found = read(case)
    assert found["prices"] > 100_000 * SCALE


def test_one_long_unwanted_item_whose_code_comes_last() -> None:
    found = read("unwanted_code_last", max(SCALE, 0.1))
    assert (found["items"], found["prices"]) == (1, 0)


def test_a_long_file() -> None:
    found = read("long_file", max(SCALE, 0.05))
    assert found["prices"] == 1 and found["groups"] == 10

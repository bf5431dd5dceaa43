"""Peak memory of loading coverage rules does not grow with the file: 60,000 PTP edits against 600,000, in xlsx."""

import random
from pathlib import Path

import pytest

from tests.bench import coverage
from tests.bench.coverage import NCCI, measure, write_edits

pytestmark = pytest.mark.slow

GROWTH_MIB = 20
MOST_MIB = 500


@pytest.mark.parametrize("kind", NCCI[1:])
def test_memory_does_not_grow_with_a_workbook(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "FILES", 1)
    peaks = []
    for edits in (60_000, coverage.EDITS):
        folder = tmp_path / str(edits)
        folder.mkdir()
        write_edits(folder / kind, kind, random.Random(1), edits)
        peaks.append(measure(kind, folder)["mib"])
    assert peaks[1] < peaks[0] + GROWTH_MIB, f"{peaks[0]:.0f} MiB for 60,000 edits, {peaks[1]:.0f} MiB for 600,000"
    assert peaks[1] < MOST_MIB

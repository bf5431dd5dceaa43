"""Peak memory of reading does not grow with the file: 50 MB against 500 MB, references first, a tenth of it wanted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.large_files import in_network_chunks, write_gzip
from tests.shared_files import REPOSITORY

pytestmark = pytest.mark.slow

GROWTH_MB = 30
MEASURE = """
import json, sys
from flows.cli.app import main
from tests.peak_memory import peak_bytes
code = main(["inspect", sys.argv[1], "--json"])
print(json.dumps({"code": code, "peak_mb": peak_bytes() / 1e6}))
"""


def read(path: Path) -> tuple[float, int]:
    """(peak MB, items) of reading a file in a process of its own, with the reader that ``run`` uses."""
    ended = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    inspected, measured = map(json.loads, ended.stdout.splitlines())
    assert measured["code"] == 0
    assert inspected["items_matched"] > 0 and inspected["cited"] > 0
    return measured["peak_mb"], inspected["bytes_json"]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = []
    for size in (50_000_000, 500_000_000):
        path = tmp_path / f"{size}.json.gz"
        write_gzip(path, in_network_chunks(size // 20, size * 19 // 20))
        peak, bytes_json = read(path)
        assert bytes_json > size * 0.95
        path.unlink()
        peaks.append(peak)
    assert peaks[1] < peaks[0] + GROWTH_MB, f"{peaks[0]:.0f} MB for 50 MB, {peaks[1]:.0f} MB for 500 MB"

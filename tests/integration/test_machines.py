"""Real workers: two on a Dask cluster, one of them killed; tables as without them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.bench.machines import make_market, run, run_on
from tests.command_line import digests, wait_until
from tests.machines import dask_machines, prefect_server
from tests.shared_files import REPOSITORY

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def market(demo_output: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's files, and nine of 20 MB."""
    return make_market(tmp_path_factory.mktemp("market"), demo_output, 9, 20)


@pytest.fixture(scope="module")
def expected(market: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tables of a run without a cluster."""
    output = tmp_path_factory.mktemp("plain") / "out"
    run(market, output)
    return digests(output)


def test_killing_a_worker_in_the_middle_changes_no_table(
    market: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    with dask_machines(tmp_path / "machines", 2) as two:
        run_on(two, market, tmp_path / "out", kill_while="extracts")
    assert digests(tmp_path / "out") == expected


NIGHTLY = "from flows.nightly import nightly; print(nightly(config={config!r}, month='2026-06', return_state=True))"
CAPTURED: dict[str, Any] = {"capture_output": True, "text": True}
CONFIG = """
[[payer]]
name = "Anyone"
files = ["{market}/*"]
undated = "any"
[gates]
min_nppes_share = false
"""


def test_the_nightly_flow_reads_with_the_workers_and_shows_it_in_prefect(
    market: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    """Summaries alone are compared: what the configuration names for a payer is in no table but the manifest."""
    with dask_machines(tmp_path / "machines", 2) as two, prefect_server(tmp_path / "server") as prefect:
        config = tmp_path / "tic-rates.toml"
        config.write_text(CONFIG.format(market=market) + two.cluster)
        program = NIGHTLY.format(config=str(config))
        ended = subprocess.run(
            [sys.executable, "-c", program], env=os.environ | prefect, cwd=REPOSITORY, check=False, **CAPTURED
        )
        assert "Completed" in ended.stdout, ended.stderr[-3000:]

        def shown() -> set[str]:
            found = httpx.post(f"{prefect['PREFECT_API_URL']}/task_runs/filter", json={}, timeout=60).json()
            return {each["state_type"] for each in found if each["name"] == "extract on Dask 2026-06"}

        wait_until(lambda: shown() == {"COMPLETED"}, "the task")
    assert digests(tmp_path / "output") == expected

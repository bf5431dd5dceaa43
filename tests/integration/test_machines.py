"""Real workers: two on a Dask cluster, two in a Prefect work pool; one of them killed; tables as without them."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.bench.machines import make_files, run, run_on
from tests.command_line import digests, wait_until
from tests.machines import Machines, dask_machines, pool_machines
from tests.shared_files import REPOSITORY

pytestmark = pytest.mark.soak

Start = Callable[[Path, int], AbstractContextManager[Machines]]
KINDS = pytest.mark.parametrize("machines", [dask_machines, pool_machines], ids=["dask", "work_pool"])


@pytest.fixture(scope="module")
def market(demo_output: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's files, and nine of 20 MB."""
    folder = make_files(tmp_path_factory.mktemp("market"), 9, 20)
    for path in (demo_output / "demo" / "mrf").iterdir():
        (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def expected(market: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tables of a run without a cluster."""
    output = tmp_path_factory.mktemp("plain") / "out"
    run(market, output)
    return digests(output)


@KINDS
def test_killing_a_worker_in_the_middle_changes_no_table(
    machines: Start, market: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    with machines(tmp_path / "machines", 2) as two:
        run_on(two, market, tmp_path / "out", kill=True)
    assert digests(tmp_path / "out") == expected
    assert list((tmp_path / "out" / ".cache").glob("batches/*")) == []


NIGHTLY = "from flows.deployments import nightly; print(nightly(config={config!r}, month='2026-06', return_state=True))"
CAPTURED: dict[str, Any] = {"capture_output": True, "text": True}
CONFIG = """
[[payer]]
name = "Anyone"
files = ["{market}/*"]
[gates]
min_nppes_share = false
"""


@KINDS
def test_the_nightly_flow_reads_with_the_workers_and_shows_it_in_prefect(
    machines: Start, market: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    """Summaries alone are compared: what the configuration names for a payer is in no table but the manifest."""
    with machines(tmp_path / "machines", 2) as two, pool_machines(tmp_path / "server", 0) as server:
        prefect = server.environment if two.kind == "dask" else two.environment
        config = tmp_path / "tic-rates.toml"
        config.write_text(CONFIG.format(market=market) + two.cluster)
        program = NIGHTLY.format(config=str(config))
        ended = subprocess.run(
            [sys.executable, "-c", program], env=os.environ | prefect, cwd=REPOSITORY, check=False, **CAPTURED
        )
        assert "Completed" in ended.stdout, ended.stderr[-3000:]
        kind = "task_runs" if two.kind == "dask" else "flow_runs"

        def shown() -> set[str]:
            found = httpx.post(f"{prefect['PREFECT_API_URL']}/{kind}/filter", json={}, timeout=60).json()
            ours = [
                each for each in found if each["name"].startswith(("batch ", "/", "read ")) or ".json" in each["name"]
            ]
            return {each["state_type"] for each in ours}

        # a run in the pool that had not begun when all was read is cancelled, one that had ends by itself
        wait_until(lambda: shown() <= {"COMPLETED", "CANCELLED"}, "the last run")
        assert "COMPLETED" in shown()
    assert digests(tmp_path / "output") == expected

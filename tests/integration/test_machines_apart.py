"""Real Dask workers in folders of their own, with nothing in common with the client but the sources."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.orchestration.dask_client import Watch, connect, workers_of
from tests.bench.machines import make_market, run, run_on
from tests.command_line import digests, execute, wait_until
from tests.machines import HERE, Machines, dask_machines
from tests.shared_files import REPOSITORY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def market(demo_output: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's files, and six of 10 MB."""
    return make_market(tmp_path_factory.mktemp("market"), demo_output, 6, 10)


@pytest.fixture(scope="module")
def nppes(demo_output: Path) -> str:
    """CMS's file of the demo."""
    return str(next((demo_output / "demo" / "nppes").glob("*.zip")))


@pytest.fixture(scope="module")
def expected(market: Path, nppes: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tables of a run without a cluster."""
    output = tmp_path_factory.mktemp("plain") / "out"
    run(market, output, "--nppes", nppes)
    return digests(output)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Machines]:
    """A scheduler and two workers."""
    with dask_machines(tmp_path / "machines", 2) as machines:
        yield machines


@pytest.mark.parametrize("kill_while", [None, "extracts", "payers"])
def test_the_tables_are_those_of_one_machine_whatever_is_killed(
    two: Machines, market: Path, nppes: str, expected: dict[str, str], tmp_path: Path, kill_while: str | None
) -> None:
    output = tmp_path / "client" / "out"
    run_on(two, market, output, "--nppes", nppes, kill_while=kill_while)
    assert digests(output) == expected
    assert kill_while or two.left() == []  # what a killed one leaves is removed by the next worker of its machine


def test_a_worker_that_joins_during_a_run_and_is_killed_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with dask_machines(tmp_path / "machines", 1) as machines, connect(machines.address) as client:
        watch, first = Watch(machines.address, client), workers_of(client)
        machines.add_worker()
        wait_until(lambda: len(workers_of(client)) > 1, "the second worker")
        (second,) = workers_of(client) - first
        machines.kill(1)

        def is_named() -> bool:
            watch.check()
            return f"lost the Dask worker at {second}" in caplog.text

        wait_until(is_named, "the loss to be logged")


def test_a_worker_of_another_version_is_named(market: Path, tmp_path: Path) -> None:
    code = tmp_path / "code"
    for package in ("flows", "schemas", "transforms"):
        shutil.copytree(REPOSITORY / package, code / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (code / "transforms" / "read" / "clean.py").open("a") as changed:
        changed.write("# changed\n")
    with dask_machines(tmp_path / "machines", 0) as machines:
        machines.add_worker(code)
        words = ("--month", "2026-06", "--output", tmp_path / "out", "--dask", machines.address)
        ended = execute("run", market, *words)
    assert ended.code == 2
    assert "runs another version of tic-rates" in ended.err


def test_a_source_that_workers_do_not_see_is_named(two: Machines, demo_output: Path) -> None:
    (here := two.folder / "client").mkdir()
    source = next((demo_output / "demo" / "mrf").iterdir())
    shutil.copy(source, here / source.name)
    with pytest.raises(SystemExit, match=rf"(?s)the run ended with 2:.*{source.name} is not the same file on "):
        run(HERE / source.name, here / "out", "--dask", two.address)

"""A worker process that the system kills takes down nobody else's work."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from flows.extract.worker_processes import WorkerProcesses
from tests.command_line import wait_until

pytestmark = pytest.mark.slow  # each test starts several processes


def nothing() -> None:
    """A worker needs no setting up here."""


def work(name: str, folder: Path, deaths: int) -> str:
    """``name``, written down; killed as the system kills, the first ``deaths`` times."""
    before = len(list(folder.glob(f"{name}-*")))
    (folder / f"{name}-{before}").touch()
    if before < deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    return name


def run_all(processes: WorkerProcesses, folder: Path, deaths: dict[str, int]) -> dict[str, str]:
    """What became of each, run from two threads."""

    def run(name: str) -> str:
        try:
            return processes.run(work, name, folder, deaths[name])
        except BrokenProcessPool:
            return "killed"

    with ThreadPoolExecutor(2) as threads:
        return dict(zip(deaths, threads.map(run, deaths), strict=True))


def begun(folder: Path, name: str) -> int:
    return len(list(folder.glob(f"{name}-*")))


def test_only_what_kills_its_process_alone_too_is_given_up(tmp_path: Path) -> None:
    deaths = {"a": 0, "once": 1, "b": 0, "always": 9, "c": 0, "d": 0}
    with WorkerProcesses(2, nothing) as processes:
        became = run_all(processes, tmp_path, deaths)
    assert became == {name: name for name in deaths} | {"always": "killed"}
    assert (begun(tmp_path, "once"), begun(tmp_path, "always")) == (2, 2)
    assert all(begun(tmp_path, name) == 1 for name in "abcd"), "no other work is lost"


def sleep_for_ever(folder: Path) -> None:
    """Until terminated."""
    (folder / "asleep").touch()
    while True:
        signal.pause()


def test_terminated_processes_repeat_nothing(tmp_path: Path) -> None:
    processes = WorkerProcesses(2, nothing)
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(processes.run, sleep_for_ever, tmp_path)
        wait_until((tmp_path / "asleep").exists, "the work to begin")
        (tmp_path / "asleep").unlink()
        processes.terminate()
        assert isinstance(future.exception(), BrokenProcessPool)
    assert not (tmp_path / "asleep").exists()


def hunger(folder: Path, deaths: int) -> str:
    """Out of memory, the first ``deaths`` times."""
    before = begun(folder, "hungry")
    (folder / f"hungry-{before}").touch()
    if before < deaths:
        raise MemoryError
    return "fed"


@pytest.mark.parametrize("deaths", [1, 9])
def test_work_that_lacks_memory_is_tried_once_more_alone(deaths: int, tmp_path: Path) -> None:
    with WorkerProcesses(2, nothing) as processes:
        if deaths == 1:
            assert processes.run(hunger, tmp_path, deaths) == "fed"
        else:
            with pytest.raises(MemoryError):
                processes.run(hunger, tmp_path, deaths)
    assert begun(tmp_path, "hungry") == 2

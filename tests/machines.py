"""Machines for the tests: a real Dask scheduler with worker processes on this one, and a real Prefect server.

Each has a folder of its own, its working directory. A path under ``HERE`` is in another folder for each process, so
that a client whose output is there and its workers have nothing in common but the sources.
"""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.command_line import wait_until
from tests.shared_files import REPOSITORY

HERE = Path("/proc/self/cwd")
QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "OMP_NUM_THREADS": "1"}
PRELOAD = (
    "--preload",
    "flows.orchestration.dask_cluster",
)  # imported before the first job, as docs/how-to/dask.md says
END_SECONDS = 20.0


@dataclass
class Machines:
    """What was started, and what `tic-rates` must know of it."""

    folder: Path
    address: str  # of the scheduler
    environment: dict[str, str]
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def cluster(self) -> str:
        """The section of a configuration."""
        return f'[cluster]\ndask = "{self.address}"\n'

    def worker_folder(self, number: int) -> Path:
        """Where one worker writes."""
        return self.folder / f"w{number + 1}"

    def writes(self, number: int, what: str) -> bool:
        """Whether a worker has an unfinished entry of its cache. Args: what: ``extracts`` or ``payers``."""
        return any(self.worker_folder(number).glob(f"dask/*/*/tic-rates-*/.cache/{what}/.tmp-*"))

    def left(self) -> list[Path]:
        """What jobs left in the workers' folders."""
        return list(self.folder.glob("w*/**/.cache"))

    def add_worker(self, code: Path = REPOSITORY) -> None:
        """One more, of one core and one process, that does one job at a time. Args: code: the folder of tic-rates."""
        number = len(self.workers) + 1
        own = self.worker_folder(number - 1)
        own.mkdir()
        options = f"--nthreads 1 --nworkers 1 --no-dashboard --memory-limit 0 --host 127.0.0.1 --name w{number}"
        words = ["distributed.cli.dask_worker", self.address, *options.split()]
        words += ["--local-directory", str(own / "dask"), *PRELOAD]
        environment = self.environment | {"PYTHONPATH": str(code)}
        process = start(self.folder / f"worker{number}.log", words, environment, own)
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(process.pid, {cores[number % len(cores)]})  # of one core, as what it starts
        self.workers.append(process)

    def processes(self, number: int) -> list[int]:
        """Of one worker: itself and what it started, whatever that started included."""
        return _descendants(self.workers[number].pid)

    def kill_while_writing(self, number: int, what: str) -> bool:
        """Whether a worker ``writes``: then it is killed with all of its processes, as when its machine goes down.

        It is stopped first: between a look and a kill it could end its work, and then nothing is lost with it.
        """
        if not self.writes(number, what):
            return False
        self._signal(number, signal.SIGSTOP)
        if not self.writes(number, what):
            self._signal(number, signal.SIGCONT)
            return False
        self.kill(number)
        return True

    def kill(self, number: int) -> None:
        """Kill a worker with all of its processes."""
        self._signal(number, signal.SIGKILL)
        self.workers[number].wait()

    def _signal(self, number: int, which: signal.Signals) -> None:
        for pid in self.processes(number):
            with suppress(ProcessLookupError):
                os.kill(pid, which)


def start(
    log: Path, words: Sequence[str], environment: dict[str, str], folder: Path = REPOSITORY
) -> "subprocess.Popen[bytes]":
    """A module, run in a session of its own."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", *words],
            env=environment,
            stdout=output,
            stderr=output,
            cwd=folder,
            start_new_session=True,
        )


def stop(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    """SIGTERM, then SIGKILL to their sessions."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            for pid in _descendants(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


@contextmanager
def dask_machines(folder: Path, workers: int) -> Iterator[Machines]:
    """A scheduler and so many workers."""
    folder.mkdir(parents=True, exist_ok=True)
    address = f"tcp://127.0.0.1:{free_port()}"
    environment = os.environ | QUIET | {"PYTHONPATH": str(REPOSITORY)}
    port = address.rpartition(":")[2]
    options = f"--host 127.0.0.1 --port {port} --no-dashboard --no-show --dashboard-address 127.0.0.1:0"
    log = folder / "scheduler.log"
    scheduler = start(log, ["distributed.cli.dask_scheduler", *options.split(), *PRELOAD], environment)
    machines = Machines(folder, address, environment)
    try:
        wait_until(lambda: scheduler.poll() is not None or _listens(address), "the Dask scheduler")
        assert scheduler.poll() is None, log.read_text()
        for _ in range(workers):
            machines.add_worker()
        wait_until(lambda: all(any(machines.worker_folder(n).glob("dask*/*")) for n in range(workers)), "the workers")
        yield machines
    finally:
        stop([*machines.workers, scheduler])


@contextmanager
def prefect_server(folder: Path) -> Iterator[dict[str, str]]:
    """A Prefect server of its own; the environment that names it."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    address = f"http://127.0.0.1:{port}/api"
    own = {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_API_URL": address, "PYTHONPATH": str(REPOSITORY)}
    environment = os.environ | QUIET | own
    log = folder / "server.log"
    server = start(log, f"prefect server start --host 127.0.0.1 --port {port}".split(), environment)
    try:
        wait_until(lambda: server.poll() is not None or _answers(f"{address}/health"), "the Prefect server")
        assert server.poll() is None, log.read_text()
        yield environment
    finally:
        stop([server])


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


def _listens(address: str) -> bool:
    host, port = address.removeprefix("tcp://").split(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _descendants(pid: int) -> list[int]:
    """A process and all that it started, and they."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            number, _, rest = re.match(r"(\d+) \((.*)\) (.*)", path.read_text(), re.DOTALL).groups()  # type: ignore[union-attr]
            children.setdefault(int(rest.split()[1]), []).append(int(number))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found

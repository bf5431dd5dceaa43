"""The processes that `tic-rates serve` starts, and those of flow runs: begun, found, ended in order."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

END_SECONDS = 20.0  # then what has not ended is killed
LOOK_UP_SECONDS = 0.05
_RUN_ID = b"PREFECT__FLOW_RUN_ID="
_WORKER = b"PREFECT__WORKER_NAME="


def start(environment: dict[str, str], *words: str, output: int | IO[bytes]) -> "subprocess.Popen[bytes]":
    """A prefect command that ends when we do, in a session of its own: Ctrl-C reaches us alone, we stop it in order."""
    command = [sys.executable, "-m", "flows.orchestration.following", str(os.getpid()), "prefect", *words]
    return subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)


def wait_for_any(processes: Sequence["subprocess.Popen[bytes]"], seconds: float) -> None:
    """Until one of them has ended, or the time is over. A signal's exception goes through."""
    handles = [os.pidfd_open(process.pid) for process in processes]
    try:
        select.select(handles, [], [], seconds)
    finally:
        for handle in handles:
            os.close(handle)


def wait_or_kill(process: "subprocess.Popen[bytes]") -> None:
    """Wait for a process that was asked to end; SIGKILL for its whole session, where it does not."""
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run_processes(workers: str) -> dict[str, list[int]]:
    """The processes of each flow run on this machine, its first one first.

    Args:
        workers: what the name of the worker that started it begins with.
    """
    found: dict[str, list[int]] = {}
    ours = _WORKER + workers.encode()
    for pid in sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        variables = _environment(pid)
        if any(entry.startswith(ours) for entry in variables):
            for run_id in (entry.removeprefix(_RUN_ID) for entry in variables if entry.startswith(_RUN_ID)):
                found.setdefault(run_id.decode(), []).append(pid)
    return found


def _environment(pid: int) -> list[bytes]:
    """What a process was started with; nothing of one that is not ours, or gone."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def stop_runs(workers: str) -> set[str]:
    """SIGTERM to each flow run's first process, which ends the others; SIGKILL to what stays. Gives the runs' ids."""
    stopped = run_processes(workers)
    _send(signal.SIGTERM, (pids[0] for pids in stopped.values()))
    deadline = time.monotonic() + END_SECONDS
    while left := run_processes(workers):
        if time.monotonic() > deadline:
            _send(signal.SIGKILL, (pid for pids in left.values() for pid in pids))
        time.sleep(LOOK_UP_SECONDS)
    return set(stopped)


def _send(number: signal.Signals, pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

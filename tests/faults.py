"""Machines that lack something, for the command line to run on: disk, files, memory, time; or whoever reads along."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.command_line import PATIENCE_SECONDS, Ended
from tests.shared_files import REPOSITORY

PROGRAM = "import sys; from flows.cli import main; sys.exit(main())"


def execute(
    *arguments: object,
    limits: Mapping[int, int] | None = None,
    program: str = "",
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    **environment: str,
) -> Ended:
    """The command to its end, in a process with these limits (``resource.RLIMIT_...``), after this program."""

    def limit() -> None:
        for which, most in (limits or {}).items():
            resource.setrlimit(which, (most, most))

    ended = subprocess.run(
        [sys.executable, "-c", f"{program}\n{PROGRAM}", *map(str, arguments)],
        stdout=stdout,
        stderr=stderr,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment,
        preexec_fn=limit,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout or "", ended.stderr or "")


class Disk:
    """A small disk of its own; ``resize`` makes room."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def resize(self, kilobytes: int) -> None:
        """Another size; what is on it stays."""
        _mount("-o", f"remount,size={kilobytes}k", self.place)

    def set_writable(self, *, writable: bool) -> None:
        """Read-only, or not any more."""
        _mount("-o", f"remount,{'rw' if writable else 'ro'}", self.place)


@contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[Disk]:
    """A tmpfs of this size; the test is skipped where none may be mounted."""
    place.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", place)
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("a small disk can't be mounted here (that takes root)")
    try:
        yield Disk(place)
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True, capture_output=True)

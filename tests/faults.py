"""Machines that lack something, for the command line to run on: disk, files, memory, time; or whoever reads along."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.command_line import PATIENCE_SECONDS, Ended, wait_until
from tests.shared_files import REPOSITORY

PROGRAM = "import sys; from flows.cli.app import main; sys.exit(main())"


def execute(
    *arguments: object,
    limits: Mapping[int, int] | None = None,
    group: "MemoryGroup | None" = None,
    program: str = "",
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    **environment: str,
) -> Ended:
    """The command to its end, in a process with these limits (``resource.RLIMIT_...``), after this program."""

    def limit() -> None:
        if group is not None:
            group.join()
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


class MemoryGroup:
    """A control group whose processes have so much memory together: as in a container, the system kills one of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def join(self) -> None:
        """For the calling process, and those that it starts."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def limit(self, megabytes: int) -> None:
        """Another limit; version 1 of the interface names it otherwise than 2."""
        name = "memory.max" if (self.folder / "memory.max").exists() else "memory.limit_in_bytes"
        (self.folder / name).write_text(str(megabytes << 20))


@contextmanager
def memory_group(name: str, megabytes: int) -> Iterator[MemoryGroup]:
    """A group of its own; the test is skipped where none can be made."""
    root = Path("/sys/fs/cgroup")
    folder = (root / "memory" if (root / "memory").is_dir() else root) / name
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here ({error.strerror}: that takes root)")
    try:
        group = MemoryGroup(folder)
        try:
            group.limit(megabytes)
        except OSError as error:
            pytest.skip(f"memory can't be limited in a control group here: {error.strerror}")
        yield group
    finally:
        wait_until(lambda: not (folder / "cgroup.procs").read_text(), "the last process of the group")
        folder.rmdir()


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

"""Temporary files of killed processes are removed, those of running ones are not."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from flows.storage import atomic_files, locks
from flows.storage.atomic_files import (
    exchange_folders,
    remove_abandoned,
    remove_folder,
    unfinished_file,
    unfinished_folder,
    write_atomically,
)
from tests.command_line import PATIENCE_SECONDS
from tests.shared_files import REPOSITORY

KINDS = [unfinished_folder, unfinished_file]
HOLDER = """
import sys, time
from pathlib import Path
from flows.storage.atomic_files import unfinished_file, unfinished_folder
with unfinished_folder(Path(sys.argv[1])) as folder, unfinished_file(Path(sys.argv[1])) as file:
    (folder / "rates.parquet").write_bytes(b"half")
    file.write_bytes(b"half")
    print("holding", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(folder: Path, *wrapper: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds an unfinished folder and an unfinished file until its stdin is closed."""
    process = subprocess.Popen(
        [*wrapper, sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "holding\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)


def can_unshare() -> bool:
    """Whether namespaces, as of containers, may be created here."""
    try:
        return subprocess.run(["unshare", "--fork", "--pid", "--mount-proc", "true"], check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("unfinished", KINDS)
def test_unfinished_work_is_not_removed_while_its_process_runs(unfinished: type, tmp_path: Path) -> None:
    with unfinished(tmp_path) as mine:
        remove_abandoned(tmp_path)
        assert mine.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("unfinished", KINDS)
def test_renamed_work_stays_and_failed_work_is_removed(unfinished: type, tmp_path: Path) -> None:
    with unfinished(tmp_path) as mine:
        mine.rename(tmp_path / "done")
    with pytest.raises(ValueError, match="broken"), unfinished(tmp_path):
        raise ValueError("broken")
    assert list(tmp_path.iterdir()) == [tmp_path / "done"]


def test_work_of_another_process_is_removed_only_after_it_was_killed(tmp_path: Path) -> None:
    with another_process(tmp_path) as process:
        remove_abandoned(tmp_path)
        assert len(list(tmp_path.iterdir())) == 2
        process.kill()
        process.wait(PATIENCE_SECONDS)
        remove_abandoned(tmp_path)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not can_unshare(), reason="no namespaces may be made here")
def test_work_of_another_container_is_removed_only_after_it_was_killed(tmp_path: Path) -> None:
    """It has the same host name, and /proc does not show its processes."""
    apart = ("unshare", "--fork", "--pid", "--mount-proc", "--kill-child")
    with another_process(tmp_path, *apart) as process:
        remove_abandoned(tmp_path)
        assert len(list(tmp_path.iterdir())) == 2
        process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)
        remove_abandoned(tmp_path)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["folder", "file"])
@pytest.mark.parametrize("kind", ["no locks", "locks of this machine alone"])
def test_without_shared_locks_work_is_removed_after_days_without_a_write(
    kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, abandoned = tmp_path / ".tmp-written", tmp_path / ".tmp-abandoned"
    for path in (written, abandoned):
        path.mkdir() if name == "folder" else path.touch()
    inside = "prices.parquet" if name == "folder" else ""
    for path in (written, abandoned):
        (path / inside).open("wb").close()
        for each in (path / inside, path):
            os.utime(each, (time.time() - 3 * 86_400,) * 2)
    (written / inside).touch()
    if kind == "no locks":
        monkeypatch.setattr(fcntl, "flock", refuse_locks)
    else:
        monkeypatch.setattr(locks, "_LOCAL", set())
    remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == [written]


def refuse_locks(_descriptor: int, _kind: int) -> None:
    raise OSError(95, "Operation not supported")


@pytest.mark.parametrize("unfinished", KINDS)
def test_work_continues_on_a_file_system_without_locks(
    unfinished: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse_locks)
    with unfinished(tmp_path) as mine:
        remove_abandoned(tmp_path)
        assert mine.exists()


def test_a_temporary_folder_removed_before_its_lock_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = locks.lock_path
    removed: list[Path] = []

    def remove_first(path: Path) -> int | None:
        if not removed:
            removed.append(path)
            remove_abandoned(tmp_path)
        return lock(path)

    monkeypatch.setattr(atomic_files, "lock_path", remove_first)
    with unfinished_folder(tmp_path) as mine:
        assert mine.is_dir()
        assert not removed[0].exists()
        assert mine != removed[0]


def test_removals_during_work_lose_nothing(tmp_path: Path) -> None:
    lost: list[int] = []

    def work() -> None:
        for number in range(100):
            with unfinished_folder(tmp_path / "work") as folder:
                (folder / "rates").write_bytes(b"rates")
                if not (folder / "rates").exists():
                    lost.append(number)
            write_atomically(tmp_path / "work" / "entry.json", b"{}", durable=False)

    threads = [Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        remove_abandoned(tmp_path / "work")
    for thread in threads:
        thread.join()
    assert lost == []
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["entry.json"]


def test_tables_that_are_exchanged_in_steps_are_not_removed_as_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system without exchange the last good tables are under another name for a moment."""
    monkeypatch.setattr("flows.storage.atomic_files._exchange", lambda *_: False)
    for name in ("new", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    rename = Path.rename

    def remove_then_rename(path: Path, target: Path) -> Path:
        remove_abandoned(tmp_path)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", remove_then_rename)
    exchange_folders(tmp_path / "new", tmp_path / "target")
    assert [path.name for path in sorted(tmp_path.glob("*/*"))] == ["target", "new"]
    assert (tmp_path / "target" / "new").exists()


def test_a_folder_may_be_removed_twice(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    remove_folder(tmp_path / "build")
    remove_folder(tmp_path / "build")
    assert list(tmp_path.iterdir()) == []

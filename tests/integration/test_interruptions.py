"""Ctrl-C, SIGTERM and SIGKILL in the middle of a run: a clean end, and the next run gives the undisturbed tables."""

import os
import signal
from pathlib import Path

import pytest

from tests.command_line import call, digests, end, start, wait_until
from tests.documents import ANN, BOB, document, group, item, price, rate
from tests.effort import usually
from tests.json_text import json_bytes
from tests.large_files import in_network_chunks

pytestmark = pytest.mark.slow

REFERENCE_BYTES = 4_000_000  # a second of reading by ijson, and enough for two processes
SLOWLY = ("--reader", "ijson")  # the scanner is done before a signal can arrive
MONTH = ("--month", "2026-06")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files that take long to read, and a small one."""
    folder = tmp_path_factory.mktemp("mrf")
    for name, entity in (("one.json", "Aetna Life Insurance Company"), ("two.json", "Acme Health Plan")):
        (folder / name).write_bytes(b"".join(in_network_chunks(REFERENCE_BYTES, 1, entity)))
    small = document(item(rate(group(ANN, BOB), prices=[price(negotiated_rate=12.5)])))
    (folder / "small.json").write_bytes(json_bytes(small))
    return folder


@pytest.fixture(scope="module")
def undisturbed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tables' digests of a run that nobody stops."""
    output = tmp_path_factory.mktemp("undisturbed")
    ended = end(start("run", folder, "--output", output, *MONTH, "--json"))
    assert ended.code == 0, ended.err
    return digests(output)


def leftovers(output: Path) -> list[Path]:
    return [path for path in output.rglob("*") if path.name.startswith(".tmp-")]


def finished_extracts(output: Path) -> list[str]:
    return [path.name for path in (output / ".cache" / "extracts").glob("*") if not path.name.startswith(".")]


STOPS = (
    ("Ctrl-C reaches all processes of a terminal", signal.SIGINT, 2, True, 130),
    ("SIGTERM, two workers", signal.SIGTERM, 2, False, 143),
    ("SIGKILL to the parent alone", signal.SIGKILL, 2, False, -9),
    ("SIGKILL, one worker", signal.SIGKILL, 1, True, -9),
    ("Ctrl-C, one worker", signal.SIGINT, 1, True, 130),
    ("SIGTERM to all processes", signal.SIGTERM, 2, True, 143),
)[: usually(2, 6)]


@pytest.mark.parametrize("stop", STOPS, ids=[stop[0] for stop in STOPS])
def test_a_stopped_run_is_resumed_to_the_same_bytes(
    stop: tuple[str, signal.Signals, int, bool, int],
    folder: Path,
    tmp_path: Path,
    undisturbed: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, number, workers, whole_group, code = stop
    arguments = ("run", folder, "--output", tmp_path, *MONTH, *SLOWLY, "--json")
    process = start(*arguments, "--workers", workers)
    wait_until(lambda: len(leftovers(tmp_path / ".cache" / "extracts")) >= workers, "reading to begin")
    (os.killpg if whole_group else os.kill)(process.pid, number)
    stopped = end(process)
    assert stopped.code == code
    assert "Traceback" not in stopped.err
    if number != signal.SIGKILL:
        assert stopped.err.splitlines()[-1].startswith("tic-rates: stopped; finished work is saved")
    assert len(finished_extracts(tmp_path)) <= 1, "it read on to the end before it stopped"
    assert not (tmp_path / "summaries").exists()

    assert call(capsys, *arguments).code == 0
    assert leftovers(tmp_path) == []
    assert digests(tmp_path) == undisturbed


def test_what_was_read_before_the_stop_is_not_read_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(capsys, "run", folder / "small.json", "--output", tmp_path, *MONTH, *SLOWLY)
    (kept,) = finished_extracts(tmp_path)
    before = (tmp_path / ".cache" / "extracts" / kept).stat().st_mtime_ns
    process = start("run", folder, "--output", tmp_path, *MONTH, *SLOWLY, "--workers", 1)
    wait_until(lambda: leftovers(tmp_path / ".cache" / "extracts"), "reading to begin")
    process.send_signal(signal.SIGTERM)
    assert end(process).code == 143
    assert finished_extracts(tmp_path) == [kept]
    assert (tmp_path / ".cache" / "extracts" / kept).stat().st_mtime_ns == before

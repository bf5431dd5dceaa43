"""A signal or a kill among the renames that publish a month: all new or all old, or mended by the next command."""

import json
import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import flows.publish.publish
from flows.download.sources import Source
from flows.orchestration.run import RunRequest, run
from flows.publish.publish import TABLES, change_manifest, fetch_published, prepare_output
from flows.publish.retention import remove_all_abandoned
from flows.storage.atomic_files import exchange_folders, unfinished_folder
from flows.storage.layout import Layout
from flows.storage.threads import deferred_signals
from tests.command_line import PATIENCE_SECONDS, call
from tests.documents import ANN, document, group, item, price, rate
from tests.json_text import json_bytes
from tests.shared_files import REPOSITORY

MONTH = date(2026, 6, 1)
STOPS = [(table, signal.SIGTERM) for table in TABLES] + [("rates", signal.SIGINT), ("rates", signal.SIGHUP)]
KILLED_IN = [pytest.param(each, marks=[pytest.mark.slow] * (each != 2)) for each in range(5)]  # after so many tables


class StoppedError(BaseException):
    """What a handler raises."""


def stop(_number: int, _frame: object) -> None:
    raise StoppedError


def publish(folder: Path, version: int) -> None:
    """A month whose every price says which version it is."""
    (folder / "a.json").write_bytes(
        json_bytes(document(item(rate(group(ANN), prices=[price(negotiated_rate=10 + version)]))))
    )
    run(RunRequest((Source(str(folder / "a.json")),), MONTH, ("97026",), folder / "out", report=False))


def versions(folder: Path) -> dict[str, float]:
    """The version that each table with prices is of."""
    columns = {"summaries": "p50_usd", "providers": "representative_rate_usd", "rates": "negotiated_rate"}
    found = {}
    for table, column in columns.items():
        paths = sorted(Layout(folder / "out").month(table, MONTH).rglob("*.parquet"))
        frame = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in paths])
        if table == "summaries":
            frame = frame.filter(pl.col("payer_kind") == "payer")
        (value,) = set(frame[column])
        found[table] = value - 10
    return found


def manifest(folder: Path) -> dict[str, Any]:
    stated: dict[str, Any] = json.loads((folder / "out" / "manifest.json").read_bytes())
    return stated


def leftovers(folder: Path) -> list[str]:
    staging = (folder / "out" / ".staging").iterdir()
    return [path.name for path in staging if not path.name.endswith(".lock")]


ALL_NEW = dict.fromkeys(("summaries", "providers", "rates"), 1.0)


@pytest.mark.parametrize(("table", "number"), STOPS)
def test_a_signal_after_a_rename_takes_effect_when_the_month_is_whole(
    table: str, number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, 0)

    def exchange_and_stop(new: Path, target: Path) -> None:
        exchange_folders(new, target)
        if target.parent.name == table:
            signal.raise_signal(number)

    monkeypatch.setattr(flows.publish.publish, "exchange_folders", exchange_and_stop)
    before = signal.signal(number, stop)
    try:
        with pytest.raises(StoppedError):
            publish(tmp_path, 1)
    finally:
        signal.signal(number, before)
    assert versions(tmp_path) == ALL_NEW
    assert manifest(tmp_path)["publishing"] == []
    assert leftovers(tmp_path) == []


KILL = """
import os, signal, sys
from pathlib import Path
import flows.publish.publish
from flows.storage.atomic_files import exchange_folders
from tests.integration.test_publication_signals import publish

left = int(sys.argv[2])

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def exchange_or_die(new, target):
    global left
    if left == 0:
        kill()
    exchange_folders(new, target)
    left -= 1
    if left == 0 and target.parent.name == "quality":
        kill()

flows.publish.publish.exchange_folders = exchange_or_die
publish(Path(sys.argv[1]), 1)
"""


def kill_in_publication(folder: Path, exchanged: int) -> None:
    publish(folder, 0)
    words = [sys.executable, "-c", KILL, str(folder), str(exchanged)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    killed = subprocess.run(words, cwd=REPOSITORY, env=environment, timeout=PATIENCE_SECONDS, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert manifest(folder)["publishing"] == ["2026-06"]


@pytest.mark.parametrize("exchanged", KILLED_IN)
def test_a_killed_publication_is_finished_by_the_next_command(exchanged: int, tmp_path: Path) -> None:
    kill_in_publication(tmp_path, exchanged)
    published_then = manifest(tmp_path)["months"]["2026-06"]["published_at"]
    fetch_published(Layout(tmp_path / "out"), "summaries")
    assert versions(tmp_path) == ALL_NEW
    assert manifest(tmp_path)["publishing"] == []
    assert manifest(tmp_path)["months"]["2026-06"]["published_at"] > published_then
    remove_all_abandoned(Layout(tmp_path / "out"))
    assert leftovers(tmp_path) == []


@pytest.mark.slow
def test_a_run_of_another_month_sweeps_no_publication_that_was_killed(tmp_path: Path) -> None:
    kill_in_publication(tmp_path, 2)
    remove_all_abandoned(Layout(tmp_path / "out"))
    assert versions(tmp_path) == ALL_NEW


@pytest.mark.slow
def test_what_others_note_after_a_kill_stays_noted(tmp_path: Path) -> None:
    kill_in_publication(tmp_path, 2)
    change_manifest(Layout(tmp_path / "out"), lambda stated: stated["failures"].update({"2026-05": {}}))
    assert manifest(tmp_path)["failures"] == {"2026-05": {}}
    assert manifest(tmp_path)["publishing"] == []
    assert versions(tmp_path) == ALL_NEW


@pytest.mark.slow
def test_a_report_after_a_kill_is_made_of_one_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kill_in_publication(tmp_path, 2)
    assert call(capsys, "report", "--output", tmp_path / "out").code == 0
    assert versions(tmp_path) == ALL_NEW


def test_a_publication_at_work_elsewhere_is_left_alone_where_locks_are_not_shared(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "out")
    layout.prepare()
    with unfinished_folder(layout.staging) as built:
        for table in TABLES:
            (built / table).mkdir()
        journal = flows.publish.publish._write_journal(layout, built, MONTH)
        prepare_output(layout)
        assert journal.exists()
        assert not layout.month("rates", MONTH).exists()
    prepare_output(layout)
    assert not journal.exists(), "whoever wrote it is gone, and the tables too"


def test_an_exchange_that_fails_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, 0)

    def fail(new: Path, target: Path) -> None:
        if target.parent.name == "summaries" and new.parent.parent == Layout(tmp_path / "out").staging:
            monkeypatch.setattr(flows.publish.publish, "exchange_folders", exchange_folders)
            raise OSError("Input/output error")
        exchange_folders(new, target)

    monkeypatch.setattr(flows.publish.publish, "exchange_folders", fail)
    with pytest.raises(OSError, match="Input/output"):
        publish(tmp_path, 1)
    assert set(versions(tmp_path).values()) == {0.0}
    assert manifest(tmp_path)["publishing"] == []
    assert leftovers(tmp_path) == []


def test_signals_are_put_off_and_their_handlers_restored() -> None:
    done = []
    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(StoppedError), deferred_signals():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")
        assert signal.getsignal(signal.SIGTERM) is stop
    finally:
        signal.signal(signal.SIGTERM, before)
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with deferred_signals():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)

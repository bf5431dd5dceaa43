"""What killed processes left behind is told from the work of living ones."""

import os
import pickle
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from flows.layout import Layout, scratch, sweep, this_month
from tests.command_line import call, wait_until
from tests.documents import ANN, document, group, item, rate
from tests.json_text import json_bytes


def test_work_of_a_living_process_stays(tmp_path: Path) -> None:
    mine = scratch(tmp_path)
    mine.mkdir()
    sweep(tmp_path)
    assert mine.exists()


def test_leftovers_of_an_earlier_process_of_our_number_go(tmp_path: Path) -> None:
    """In a container every run has the same process id."""
    _, pid, started, rest = scratch(tmp_path).name.split("-")
    assert pid == str(os.getpid())
    earlier = tmp_path / f".tmp-{pid}-{int(started) - 1}-{rest}"
    earlier.mkdir()
    (earlier / "part.parquet").write_bytes(b"half")
    (tmp_path / f".tmp-{pid}-{int(started) - 1}-file").write_bytes(b"half")
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_process_that_nobody_has_reaped_go(tmp_path: Path) -> None:
    program = f"from pathlib import Path; from flows.layout import scratch; scratch(Path({str(tmp_path)!r})).mkdir()"
    child = subprocess.Popen([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(Path.cwd())})
    zombie = Path(f"/proc/{child.pid}/stat")
    wait_until(lambda: zombie.read_text().rpartition(")")[2].split()[0] == "Z", "the child to end")
    assert len(list(tmp_path.iterdir())) == 1
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert child.wait() == 0


def test_what_another_machine_is_writing_stays_until_it_has_been_still_for_days(tmp_path: Path) -> None:
    """On a shared file system: its processes can't be seen from here, and ours may have the same numbers."""
    mine = scratch(tmp_path).name.rpartition(".")[0]
    written, abandoned = (
        tmp_path / f"{mine.replace('-', '-1', 1)}.another-{name}" for name in ("written", "abandoned")
    )
    long_ago = time.time() - 3 * 86_400
    for folder in (written, abandoned):
        folder.mkdir()
        (folder / "prices.parquet").write_bytes(b"half")
        os.utime(folder / "prices.parquet", (long_ago, long_ago))
        os.utime(folder, (long_ago, long_ago))
    (written / "prices.parquet").touch()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [written]


def test_the_cache_is_where_the_environment_said_when_the_layout_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIC_RATES_CACHE", str(tmp_path / "cache"))
    layout = Layout.at(tmp_path / "out")
    monkeypatch.setenv("TIC_RATES_CACHE", str(tmp_path / "another"))
    assert layout.cache == pickle.loads(pickle.dumps(layout)).cache == tmp_path / "cache"
    monkeypatch.delenv("TIC_RATES_CACHE")
    without = Layout.at(tmp_path / "out")
    monkeypatch.setenv("TIC_RATES_CACHE", str(tmp_path / "another"))
    assert without.cache == pickle.loads(pickle.dumps(without)).cache == tmp_path / "out" / ".cache"


@pytest.mark.parametrize(
    ("timezone", "month"),
    [("UTC", date(2026, 12, 1)), ("America/New_York", date(2026, 11, 1)), ("Pacific/Kiritimati", date(2026, 12, 1))],
)
def test_this_month_is_that_of_the_time_zone(timezone: str, month: date) -> None:
    assert this_month(timezone, datetime(2026, 12, 1, 2, 0, tzinfo=UTC)) == month


def test_nightly_takes_the_month_in_the_configured_time_zone_and_run_in_utc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "mrf.json"
    source.write_bytes(json_bytes(document(item(rate(group(ANN))))))
    config = tmp_path / "tic-rates.toml"
    schedule = '[schedule]\ntimezone = "Asia/Tokyo"'
    config.write_text(f'output = "{tmp_path}/out"\n{schedule}\n[[payer]]\nname = "Aetna"\nfiles = ["{source}"]\n')
    months = {"Asia/Tokyo": date(2026, 12, 1), "UTC": date(2026, 11, 1)}
    monkeypatch.setattr("flows.layout.this_month", months.__getitem__)
    assert call(capsys, "nightly", "--config", config, "--json").json_line["month"] == "2026-12"
    assert call(capsys, "run", source, "--output", tmp_path / "run", "--json").json_line["month"] == "2026-11"

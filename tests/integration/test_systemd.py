"""docs/deployment/systemd in a systemd: a night, a stop, code 3, a failure and the timer, in the unit's own sandbox."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import execute, wait_until
from tests.systemd import UNITS, Systemd, missing, systemd

pytestmark = pytest.mark.slow

MONTH = "2026-06"
UNIT = "tic-rates.service"
NPPES = "NPPES_Data_Dissemination_2026_06_V2.zip"
# Output and errors into files, since no journal runs; one month of the demo; a second instead of half an hour
DROP_IN = f"""[Service]
ExecStart=
ExecStart=/opt/tic-rates/bin/tic-rates nightly --config /etc/tic-rates/tic-rates.toml --month {MONTH} --no-report
StandardOutput=append:/var/log/out
StandardError=append:/var/log/err
RestartSec=1s
"""
REPORTER = (
    "[Service]\nDynamicUser=no\nExecStart=\nExecStart=/bin/sh -c 'echo $MONITOR_EXIT_STATUS >> /var/log/failed'\n"
)
IN_SYSTEMD = pytest.mark.skipif(missing() is not None, reason=missing() or "")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, demo_output: Path) -> Iterator[Systemd]:
    """A systemd with the units, and the demo's files for them to read."""
    units = {f"{UNIT}.d/test.conf": DROP_IN, "tic-rates-failed.service.d/test.conf": REPORTER}
    with systemd(tmp_path_factory.mktemp("systemd"), units) as found:
        shutil.copytree(demo_output / "demo", found.folder / "var/lib/demo", ignore=shutil.ignore_patterns("units*"))
        yield found


def configure(running: Systemd, source: str) -> None:
    text = f'output = "/var/lib/tic-rates/output"\nnppes = "/var/lib/demo/nppes/{NPPES}"\n'
    text += f'[[payer]]\nname = "Prairie"\nfiles = ["{source}"]\n[gates]\nmin_files_read = 0.1\n'
    (running.folder / "etc/tic-rates/tic-rates.toml").write_text(text)


def start(running: Systemd) -> dict[str, str]:
    """How the unit has ended."""
    running.run("systemctl", "start", UNIT)
    said = (running.folder / "var/log/err").read_text()
    return running.show(UNIT, "ActiveState", "Result", "ExecMainStatus", "NRestarts") | {"said": said}


@IN_SYSTEMD
def test_a_stopped_night_is_no_failure_and_the_next_start_publishes(running: Systemd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts a connection and never answers
        configure(running, f"http://127.0.0.1:{silent.getsockname()[1]}/2026-06-01_rates.json")
        running.run("systemctl", "start", "--no-block", UNIT)
        silent.settimeout(60)
        connection, _ = silent.accept()
        running.run("systemctl", "stop", UNIT)
        connection.close()
    stopped = running.show(UNIT, "ActiveState", "Result", "ExecMainStatus", "ExecMainCode")
    assert (stopped["ActiveState"], stopped["Result"]) == ("inactive", "success"), stopped
    assert not (running.folder / "var/log/failed").exists()

    configure(running, "/var/lib/demo/mrf/{month}-01_prairie*")
    ended = start(running)
    assert (ended["ActiveState"], ended["ExecMainStatus"]) == ("inactive", "0"), ended["said"]
    published = running.folder / "var/lib/tic-rates/output/summaries/period=2026-06/summaries.parquet"
    assert published.stat().st_uid == 900
    assert published.stat().st_mode & 0o004, "others read the tables"
    assert (running.folder / "var/cache/tic-rates/extracts").is_dir()


@IN_SYSTEMD
def test_code_3_is_a_success_and_a_wrong_configuration_is_reported_at_once(running: Systemd) -> None:
    (running.folder / "var/lib/demo/mrf/2026-06-01_prairie_broken.json").write_text("<html>")
    configure(running, "/var/lib/demo/mrf/{month}-01_prairie*")
    ended = start(running)
    assert (ended["ActiveState"], ended["Result"], ended["ExecMainStatus"]) == ("inactive", "success", "3"), ended[
        "said"
    ]

    (running.folder / "etc/tic-rates/tic-rates.toml").write_text("outputs = 1\n")
    ended = start(running)
    assert (ended["ActiveState"], ended["ExecMainStatus"], ended["NRestarts"]) == ("failed", "2", "0"), ended["said"]
    wait_until((running.folder / "var/log/failed").exists, "the unit that reports a failure")
    assert (running.folder / "var/log/failed").read_text() == "2\n"


@IN_SYSTEMD
def test_code_4_is_tried_again_until_the_limit_and_then_reported(running: Systemd) -> None:
    (running.folder / "var/log/failed").unlink(missing_ok=True)
    running.run("systemctl", "reset-failed", UNIT)
    bad = running.folder / "var/lib/demo/2026-06-01_bad.json"
    bad.write_text("<html>")
    configure(running, "/var/lib/demo/{month}-01_bad.json")
    running.run("systemctl", "start", UNIT)
    wait_until((running.folder / "var/log/failed").exists, "the unit that reports a failure")
    assert running.show(UNIT, "ActiveState") == {"ActiveState": "failed"}
    assert (running.folder / "var/log/err").read_text().count("none of 1 source(s) could be used") == 4
    assert (running.folder / "var/log/failed").read_text() == "4\n"


@IN_SYSTEMD
def test_the_timer_waits_for_the_night(running: Systemd) -> None:
    assert running.run("systemctl", "start", "tic-rates.timer").returncode == 0
    shown = running.show("tic-rates.timer", "ActiveState", "Persistent", "NextElapseUSecRealtime", "Unit")
    assert (shown["ActiveState"], shown["Persistent"], shown["Unit"]) == ("active", "yes", UNIT)
    assert shown["NextElapseUSecRealtime"], "a next night"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_the_units_are_written_as_systemd_reads_them(tmp_path: Path) -> None:
    for path in (*UNITS.glob("*.service"), *UNITS.glob("*.timer")):
        text = path.read_text().replace("/opt/tic-rates/bin/tic-rates", "/bin/true")  # installed nowhere here
        (tmp_path / path.name).write_text(text)
    verify = ["systemd-analyze", "verify", *map(str, tmp_path.iterdir())]
    ended = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_units_command_runs_by_itself(tmp_path: Path, demo_output: Path) -> None:
    lines = (UNITS / UNIT).read_text().splitlines()
    (command,) = (line.removeprefix("ExecStart=").split() for line in lines if line.startswith("ExecStart="))
    assert command[:2] == ["/opt/tic-rates/bin/tic-rates", "nightly"]
    config = tmp_path / "tic-rates.toml"
    files = demo_output / "demo" / "mrf" / "{month}-01_prairie*"
    config.write_text(f'output = "out"\n[[payer]]\nname = "Prairie"\nfiles = ["{files}"]\n')
    words = [str(config) if word == "/etc/tic-rates/tic-rates.toml" else word for word in command[1:]]
    ended = execute(*words, "--month", MONTH, "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["month"] == MONTH

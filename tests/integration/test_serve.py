"""`tic-rates serve` as its users meet it: one server for all tests, in their order, with the real nightly behind it."""

import gzip
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.command_line import PATIENCE_SECONDS, wait_until
from tests.documents import ANN, BOB, document, group, item, rate
from tests.json_text import json_bytes
from tests.shared_files import REPOSITORY

pytestmark = pytest.mark.slow

SECRET = "5ecre7"
GOOD = json_bytes(document(item(rate(group(ANN)))))
CONFIG = """
[[payer]]
name = "Aetna"
files = ["mrf/*"]
undated = "any"
[[payer]]
name = "Slow"
files = ["{address}/slow.json?X-Amz-Signature=5ecre7"]
undated = "any"
[gates]
min_files_read = 0.5
min_nppes_share = false
[schedule]
cron = "30 2 * * *"
timezone = "America/New_York"
[notify]
webhook = "{address}/hook/5ecre7"
"""
FAST = {
    "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    "PREFECT_WORKER_QUERY_SECONDS": "0.5",
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1",
}


class World(ThreadingHTTPServer):
    """A payer's server that keeps a reader waiting until it is told not to, and a webhook."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Visit)
        self.asked, self.released = threading.Event(), threading.Event()
        self.told: list[dict[str, Any]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Visit(BaseHTTPRequestHandler):
    server: World

    def do_GET(self) -> None:
        self.server.asked.set()
        self.server.released.wait(PATIENCE_SECONDS)
        self.send_response(200)
        self.send_header("Content-Length", str(len(GOOD)))
        self.end_headers()
        with suppress(OSError):  # a reader that was killed
            self.wfile.write(GOOD)

    def do_POST(self) -> None:
        self.server.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Serving:
    """One `tic-rates serve`, and its server's API."""

    folder: Path
    process: "subprocess.Popen[str]"
    said: list[str] = field(default_factory=list)

    def wait_until_up(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith("stop"):
                return
        raise AssertionError((self.folder / "stderr").read_text())

    def stop(self, number: signal.Signals) -> int:
        """Send the signal and wait; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode

    @property
    def api(self) -> str:
        (address,) = {found[1] for line in self.said if (found := re.search(r"PREFECT_API_URL=(\S+)", line))}
        return address

    def ask(self, path: str, **body: Any) -> Any:
        """As Prefect's own client: a server whose SQLite is locked says 503, and is asked again."""
        answers: list[httpx.Response] = []

        def taken() -> bool:
            answers.append(httpx.post(f"{self.api}/{path}", json=body, timeout=60))
            return answers[-1].status_code != httpx.codes.SERVICE_UNAVAILABLE

        wait_until(taken, f"an answer to {path}")
        answers[-1].raise_for_status()
        return answers[-1].json()

    @property
    def nightly(self) -> str:
        """The name of the nightly's deployment."""
        return self._deployment_after("now ")

    @property
    def backfill(self) -> str:
        """The name of the backfill's deployment."""
        return self._deployment_after("past months ")

    def _deployment_after(self, what: str) -> str:
        (line,) = [line for line in self.said if line.startswith(what)]
        return line.partition("deployment run ")[2].split()[0]

    def deployment(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.api}/deployments/name/{name}", timeout=60).json()
        return found

    def trigger(self, name: str, **parameters: Any) -> str:
        deployment = self.deployment(name)["id"]
        body = {"parameters": parameters, "idempotency_key": str(uuid4())}
        run: str = self.ask(f"deployments/{deployment}/create_flow_run", **body)["id"]
        return run

    def state(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.api}/flow_runs/{run}", timeout=60).json()
        return found

    def subflow_runs(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        """The flow runs that a flow run started."""
        found: list[dict[str, Any]] = self.ask(
            "flow_runs/filter", flow_runs={"parent_flow_run_id": {"any_": [run["id"]]}}
        )
        return found

    def ended(self, run: str) -> dict[str, Any]:
        """The run, once it has ended."""
        final = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
        wait_until(lambda: self.state(run)["state_type"] in final, "the end of a flow run")
        return self.state(run)


def serve(folder: Path, **environment: str) -> Serving:
    """Its stderr, and its worker's and its runs', goes to a file: nobody would empty the pipe."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "flows.cli.app",
        "serve",
        "--config",
        str(folder / "tic-rates.toml"),
        "--port",
        "0",
    ]
    with (folder / "stderr").open("a") as stderr:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=folder,  # a package `flows` stands there
            env=environment_of(folder) | FAST | environment,
            start_new_session=True,
        )
    serving = Serving(folder, process)
    serving.wait_until_up()
    return serving


def environment_of(folder: Path) -> dict[str, str]:
    own = {"HOME": str(folder), "PREFECT_HOME": str(folder / "prefect"), "PYTHONPATH": str(REPOSITORY)}
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | own


def prefect(serving: Serving, *words: str) -> "subprocess.CompletedProcess[str]":
    """Prefect's own command, in the repository."""
    return subprocess.run(
        [sys.executable, "-m", "prefect", *words],
        cwd=REPOSITORY,
        env=environment_of(serving.folder) | {"PREFECT_API_URL": serving.api, "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World() as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening
        listening.released.set()
        listening.shutdown()


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration, two good files and a cut one."""
    folder = tmp_path_factory.mktemp("serve")
    (folder / "mrf").mkdir()
    (folder / "flows").mkdir()
    (folder / "flows" / "__init__.py").write_text("raise RuntimeError('not the package that is served')")
    (folder / "mrf" / "one.json").write_bytes(GOOD)
    (folder / "mrf" / "two.json").write_bytes(json_bytes(document(item(rate(group(BOB))))))
    (folder / "mrf" / "cut.json.gz").write_bytes(gzip.compress(GOOD)[:-9])
    (folder / "tic-rates.toml").write_text(CONFIG.format(address=world.address))
    return folder


@pytest.fixture(scope="module")
def serving(folder: Path) -> Iterator[Serving]:
    """Up for the whole module; the last test ends it."""
    serving = serve(folder)
    yield serving
    serving.stop(signal.SIGTERM)


@pytest.fixture(scope="module")
def runs(serving: Serving) -> dict[str, str]:
    """A nightly and a backfill at the same time, by their ids."""
    nightly = serving.trigger(serving.nightly, month="2025-06", payers=["Aetna"])
    words = f"deployment run {serving.backfill} -p first=2025-07 -p last=2025-08".split()
    ended = prefect(serving, *words, "-p", 'payers=["Aetna"]')
    assert ended.returncode == 0, ended.stderr
    return {"nightly": nightly, "backfill": re.search(r"UUID: (\S+)", ended.stdout)[1]}  # type: ignore[index]


def processes_of(folder: Path) -> list[str]:
    """Command lines of whatever was started for this folder, and lives."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"PREFECT_HOME={folder}".encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def process_of(run: str) -> int:
    """The process of a flow run."""
    for path in sorted(Path("/proc").glob("[0-9]*")):
        with suppress(OSError):
            if f"PREFECT__FLOW_RUN_ID={run}".encode() in (path / "environ").read_bytes():
                return int(path.name)
    raise AssertionError(f"no process of {run}")


def started(run: str) -> bool:
    """Whether a flow run has a process."""
    with suppress(AssertionError):
        return process_of(run) > 0
    return False


def test_serve_says_where_the_pages_are_and_how_to_backfill(serving: Serving) -> None:
    said = "".join(serving.said)
    assert serving.api.removesuffix("/api") in said
    assert f"PREFECT_API_URL={serving.api} prefect deployment run {serving.backfill} -p first=2025-01" in said
    assert httpx.get(serving.api.removesuffix("/api"), timeout=60, follow_redirects=True).status_code == httpx.codes.OK


def test_the_nightly_has_its_cron_and_scheduled_runs_and_the_backfill_has_none(serving: Serving) -> None:
    nightly = serving.deployment(serving.nightly)
    (schedule,) = nightly["schedules"]
    assert schedule["active"]
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("30 2 * * *", "America/New_York")
    assert nightly["entrypoint"] == "flows.nightly.nightly"
    wait_until(lambda: serving.ask("flow_runs/filter", flow_runs={"state": {"type": {"any_": ["SCHEDULED"]}}}), "runs")
    assert serving.deployment(serving.backfill)["schedules"] == []


def test_a_triggered_nightly_publishes_and_says_in_its_page_what_is_missing(
    serving: Serving, runs: dict[str, str], folder: Path
) -> None:
    run = serving.ended(runs["nightly"])
    assert run["state"]["type"] == "COMPLETED", run["state"]
    assert run["state"]["message"] == "2025-06 published, 1 of 3 source(s) quarantined"
    assert run["state"]["name"] == "Completed with 1 quarantined"
    assert run["name"] == "2025-06, Aetna"
    assert {"tic-rates", "2025-06"} <= set(run["tags"])
    assert (folder / "output" / "summaries" / "period=2025-06" / "summaries.parquet").exists()
    pages = {page["key"]: page["data"] for page in serving.ask("artifacts/filter")}
    assert pages.keys() >= {"national-2025-06", "quarantine-2025-06", "progress-2025-06", "report"}
    assert '"code": "97026", "class": "professional"' in pages["national-2025-06"]
    ((quarantined,),) = [json.loads(pages["quarantine-2025-06"])]
    assert quarantined["source"].endswith("cut.json.gz")
    assert quarantined["reason"].startswith("the gzip ends before its trailer")
    assert pages["progress-2025-06"] == 100.0
    (month,) = serving.subflow_runs(run)

    def our_lines() -> bool:
        logs = serving.ask("logs/filter", logs={"flow_run_id": {"any_": [month["id"]]}}, limit=200)
        return any(log["name"].startswith("flows") and log["level"] == logging.INFO for log in logs)

    def task_runs() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = serving.ask("task_runs/filter", flow_runs={"id": {"any_": [month["id"]]}})
        return found

    names = ("list files 2025-06", "2025-06 batch 1: 3 files", "normalise 2025-06", "summarise 2025-06")
    wait_until(our_lines, "our INFO lines in the run's page")  # Prefect sends lines and tasks in batches
    wait_until(lambda: {task["name"] for task in task_runs()} == {*names, "publish 2025-06", "report 2025-06"}, "tasks")
    tasks = task_runs()
    followed = {task["name"]: task["task_inputs"].get("wait_for", []) for task in tasks}
    assert [name for name, before in followed.items() if not before] == ["list files 2025-06"]


def test_a_run_that_left_something_out_is_told_to_the_webhook(
    serving: Serving, runs: dict[str, str], world: World
) -> None:
    serving.ended(runs["nightly"])
    wait_until(lambda: any(told["run"] == "2025-06, Aetna" for told in world.told), "the webhook")
    (told,) = [told for told in world.told if told["run"] == "2025-06, Aetna"]
    assert (told["month"], told["status"]) == ("2025-06", "partial")
    assert told["reason"] == "2025-06 published, 1 of 3 source(s) quarantined"
    assert told["next"].startswith("do what the reason says (`tic-rates inspect SOURCE` shows more), then run ")


@pytest.mark.soak
def test_a_backfill_takes_its_parameters_from_prefects_own_command(
    serving: Serving, runs: dict[str, str], folder: Path
) -> None:
    run = serving.ended(runs["backfill"])
    assert run["state"]["message"] == "; ".join(
        f"{month} published, 1 of 3 source(s) quarantined" for month in ("2025-07", "2025-08")
    )
    assert run["name"] == "backfill 2025-07 to 2025-08, Aetna"
    months = serving.subflow_runs(run)
    assert {month["state"]["name"] for month in months} == {"Completed with 1 quarantined"}
    assert {month["name"] for month in months} == {"2025-07, Aetna", "2025-08, Aetna"}
    assert {"period=2025-07", "period=2025-08"} <= {path.name for path in (folder / "output" / "summaries").iterdir()}


@pytest.mark.soak
def test_a_killed_run_is_marked_crashed_and_the_webhook_is_told(serving: Serving, world: World) -> None:
    run = serving.trigger(serving.nightly, month="2025-09", payers=["Slow"])
    assert world.asked.wait(PATIENCE_SECONDS)
    world.told.clear()
    os.kill(process_of(run), signal.SIGKILL)
    assert serving.ended(run)["state"]["type"] == "CRASHED"
    wait_until(lambda: world.told, "the webhook")
    told = world.told.pop()
    assert (told["month"], told["status"], told["run"]) == ("2025-09", "crashed", "2025-09, Slow")


@pytest.mark.soak
def test_a_crash_before_the_flow_loads_and_an_unreadable_configuration_reach_the_webhook(
    serving: Serving, world: World, folder: Path
) -> None:
    absent = str(folder / "absent.toml")
    unreadable = serving.trigger(serving.nightly, config=absent, month="2025-03")
    assert serving.ended(unreadable)["state"]["type"] == "FAILED"
    wait_until(lambda: any(told["month"] == "2025-03" for told in world.told), "the webhook")
    (status, reason) = next((told["status"], told["reason"]) for told in world.told if told["month"] == "2025-03")
    assert status == "failed"
    assert absent in str(reason)
    run = serving.trigger(serving.nightly, month="2025-02", payers=["Aetna"])
    wait_until(lambda: started(run), "the process of the run")
    os.kill(process_of(run), signal.SIGKILL)
    assert serving.ended(run)["state"]["type"] == "CRASHED"
    wait_until(lambda: any(told["month"] == "2025-02" for told in world.told), "the webhook")
    assert {told["status"] for told in world.told if told["month"] == "2025-02"} == {"crashed"}


@pytest.mark.soak
def test_prefect_yaml_deploys_both_to_a_server_that_is_there_and_they_run(serving: Serving, folder: Path) -> None:
    created = prefect(serving, *"work-pool create --type process tic-rates".split())
    assert created.returncode == 0, created.stdout + created.stderr
    ended = prefect(serving, "--no-prompt", "deploy", "--all")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    nightly = serving.deployment("tic-rates-nightly/nightly")
    assert nightly["parameters"] == {"config": "tic-rates.toml"}
    assert [schedule["schedule"]["cron"] for schedule in nightly["schedules"]] == ["0 2 * * *"]
    assert serving.deployment("tic-rates-backfill/backfill")["entrypoint"] == "flows.backfill.backfill"
    parameters = {"config": str(folder / "tic-rates.toml"), "month": "2025-06", "payers": ["Aetna"]}
    run = serving.trigger("tic-rates-nightly/nightly", **parameters)
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "tic-rates"]
    own = {"PREFECT_API_URL": serving.api, "DO_NOT_TRACK": "1"}
    with (folder / "worker.log").open("w") as log:
        worker = subprocess.Popen(
            command, cwd=folder, env=environment_of(folder) | FAST | own, stdout=log, stderr=log, start_new_session=True
        )
        try:
            assert serving.ended(run)["state"]["name"] == "Completed with 1 quarantined", serving.state(run)["state"]
        finally:
            worker.terminate()
            worker.wait()


@pytest.mark.soak
def test_sigterm_ends_everything_and_the_next_serve_goes_on_with_schedule_and_run(
    serving: Serving, world: World, folder: Path
) -> None:
    world.asked.clear()
    parameters = {"config": str(folder / "tic-rates.toml"), "month": "2025-10", "payers": ["Slow"]}
    run = serving.trigger(serving.nightly, **parameters)
    assert world.asked.wait(PATIENCE_SECONDS)
    beside = serve(folder, PREFECT_API_URL=serving.api)
    assert beside.stop(signal.SIGINT) == 128 + signal.SIGINT
    assert serving.state(run)["state_type"] == "RUNNING", "a second `serve` leaves a run alone whose process lives"
    printed_before = len((folder / "stderr").read_text())
    assert serving.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    assert processes_of(folder) == []
    world.released.set()
    ended = len((folder / "stderr").read_text())
    again = serve(folder, TIC_RATES_LOG_FORMAT="json")
    try:
        (schedule,) = again.deployment(again.nightly)["schedules"]
        assert (schedule["active"], schedule["schedule"]["cron"]) == (True, "30 2 * * *")
        assert again.ended(run)["state"]["type"] == "COMPLETED"
        told = {each["status"] for each in world.told if each["month"] == "2025-10"}
        assert told <= {"published"}, "nothing of a run that goes on"  # that may come after the state
    finally:
        code = again.stop(signal.SIGINT)
    assert code == 128 + signal.SIGINT
    printed = (folder / "stderr").read_text()[printed_before:]
    assert [word for word in ("Traceback", "never awaited") if word in printed] == []
    lines = [json.loads(line) for line in (folder / "stderr").read_text()[ended:].splitlines()]
    assert {"run_started", "stage_finished", "run_finished"} <= {line["event"] for line in lines}
    assert any(line["event"] == "log" and line["logger"].startswith("prefect.") for line in lines)
    assert processes_of(folder) == []


def test_no_secret_stays_anywhere(serving: Serving, folder: Path) -> None:
    kept = [path for path in folder.rglob("*") if path.is_file() and path.name != "tic-rates.toml"]
    assert [path for path in kept if SECRET.encode() in path.read_bytes()] == []

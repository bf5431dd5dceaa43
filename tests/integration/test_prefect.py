"""The run as a Prefect flow, on the embedded server; and that the locked versions can still schedule one."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from tests.command_line import digests, execute, wait_until
from tests.documents import ANN, BOB, document, group, item, rate
from tests.json_text import json_bytes
from tests.shared_files import REPOSITORY

pytestmark = pytest.mark.slow

MONTH = ("--month", "2026-06")
SECRET = "X-Amz-Signature=5ecre7"
PREFECT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """An address that serves two good files and one that is not there, whatever the signature."""
    folder = tmp_path / "www"
    folder.mkdir()
    for name, npi in (("one.json", ANN), ("two.json", BOB)):
        (folder / name).write_bytes(json_bytes(document(item(rate(group(npi))))))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as listening:
        Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


@pytest.mark.soak
def test_a_run_in_prefect_gives_the_same_tables_and_keeps_signatures_to_itself(
    server: str, home: Path, tmp_path: Path
) -> None:
    sources = [f"{server}/{name}?{SECRET}" for name in ("one.json", "two.json", "absent.json")]
    plain = execute("run", *sources, "--output", tmp_path / "plain", *MONTH, "--json")
    flow = execute(
        *("run", *sources, "--output", tmp_path / "flow", *MONTH, "--json", "--prefect"),
        **PREFECT,
        PREFECT_HOME=str(home),
    )
    assert (plain.code, flow.code) == (3, 3), flow.err
    assert digests(tmp_path / "flow") == digests(tmp_path / "plain")
    assert flow.json_line["sources"] == plain.json_line["sources"] == {"matched": 2, "quarantined": 1}
    assert "Traceback" not in flow.err
    kept = [path for path in (*home.rglob("*"), *(tmp_path / "flow").rglob("*")) if path.is_file()]
    assert any(path.suffix == ".db" and b"two.json" in path.read_bytes() for path in kept)
    assert [path for path in kept if b"5ecre7" in path.read_bytes()] == []
    assert "5ecre7" not in flow.err + flow.out + plain.err + plain.out


SCHEDULED = """
import asyncio, sys
from prefect import flow, get_client
from prefect.client.schemas.filters import FlowRunFilter

@flow
def nightly():
    pass

async def first_states(deployment_id):
    async with get_client() as client:
        while True:
            runs = await client.read_flow_runs(
                flow_run_filter=FlowRunFilter(deployment_id={"any_": [deployment_id]}), limit=3
            )
            if runs:
                return {run.state.type.value for run in runs}
            await asyncio.sleep(0.2)

if __name__ == "__main__":
    deployment_id = nightly.to_deployment("nightly", cron="0 3 * * *").apply()
    print(asyncio.run(asyncio.wait_for(first_states(deployment_id), 200)))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prefect's own folder; making its database costs most of ten seconds, so it is made once."""
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture
def prefect_server(home: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A whole Prefect server, scheduler and all: the embedded one schedules nothing. Gives its environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = (
        os.environ
        | PREFECT
        | {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1",
            "PYTHONPATH": str(REPOSITORY),
        }
    )
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        health = f"{environment['PREFECT_API_URL']}/health"
        wait_until(lambda: server.poll() is not None or answers(health), "the Prefect server")
        assert server.poll() is None, (tmp_path / "server.log").read_text()
        yield environment
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


@pytest.mark.soak  # the server of test_serve.py shows the same
def test_a_deployment_with_a_cron_schedule_yields_scheduled_runs(
    prefect_server: dict[str, str], tmp_path: Path
) -> None:
    """sqlalchemy 2.1 broke this without a word: deployments stood there, and nothing was ever scheduled."""
    script = tmp_path / "scheduled.py"
    script.write_text(SCHEDULED)
    ended = subprocess.run(
        [sys.executable, str(script)], env=prefect_server, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.stdout.strip().endswith("{'SCHEDULED'}"), ended.stderr[-3_000:]

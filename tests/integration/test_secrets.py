"""A canary for every kind of secret: whatever runs, succeeds or fails, none is found in what is left or said."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import PATIENCE_SECONDS, call
from tests.containers import gzipped
from tests.documents import ANN, BOB, document, group, item, price, rate
from tests.http_server import Asked, Page, Server, serve, serve_raw
from tests.json_text import json_bytes
from tests.leavings import found_in
from tests.shared_files import REPOSITORY

CANARY = "c4n4ry"
NAMES = frozenset({"tic-rates.toml"})  # where the user wrote them
GROUPS = {"provider_groups": [group(BOB)], "version": "1"}


def secret(kind: str) -> str:
    return f"{CANARY}{kind}"


def in_network(number: int, host: str) -> bytes:
    """Prices that cite remote references by every kind of address."""
    locations = [
        f"/groups.json?sig={secret('groups')}",
        f"http://user:{secret('password')}@{host}/groups2.json?X-Amz-Signature={secret('amz')}",
        f"/refused.json?token={secret('refused')}",
        f"/moved.json?token={secret('moved')}",
        f"https:/{host}/miswritten?sig={secret('miswritten')}",
        f"ftp://u:{secret('ftp')}@{host}/x?sig={secret('ftpsig')}",
        f"//u:{secret('relative')}@{host}/none.json?sig={secret('relativesig')}",
        f"http://[{secret('unparsed')}",
        f"https://127.0.0.1:1/{number}?sig={secret('proxied')}",
    ]
    references = [{"provider_group_id": no, "location": location} for no, location in enumerate(locations)]
    cited = {
        "provider_references": list(range(len(locations))),
        "negotiated_prices": [price(negotiated_rate=5 + number)],
    }
    about = f"see https://{host}/about?sig={secret('header')}"
    return json_bytes(document(item(cited, rate(group(ANN))), provider_references=references, about=about))


def contents(host: str) -> bytes:
    wrong = {
        "403": f"/403.json?token={secret('expired')}",
        "not json": f"/page.json?sig={secret('page')}",
        "cut": f"/cut.json.gz?sig={secret('cut')}",
        "moved": f"/files/0.json?Expires={secret('expires')}",
        "packed": f"/packed?sig={secret('packed')}",
        "nobody": f"http://user:{secret('nobody')}@127.0.0.1:1/x.json?sig={secret('nobodysig')}",
        "ftp": f"ftp://user:{secret('ftplisted')}@{host}/x?sig={secret('ftplistedsig')}",
        "miswritten": f"https:/{host}/x?sig={secret('miswrittenlisted')}",
        "unparsed": f"https://[::{secret('ipv6')}?sig={secret('ipv6sig')}",
        "relative": f"//user:{secret('userinfo')}@{host}/none.json?sig={secret('none')}",
    }
    good = {
        f"see https://{host}/about?sig={secret('described')}": f"/files/{no}.json?sig={secret('listed')}"
        for no in (1, 2)
    }
    files = [{"description": about, "location": location} for about, location in (wrong | good).items()]
    files += [{"description": "again", "location": f"/files/1.json?sig={secret('listed')}"}]
    return json_bytes({"reporting_structure": [{"reporting_plans": [], "in_network_files": files}]})


def pages(host: str) -> dict[str, Page | bytes]:
    good = in_network(1, host)
    return {
        "/2026-06/index.json": Page(contents(host), signature=secret("index")),
        "/unsigned/index.json": json_bytes(
            {
                "in_network_files": [
                    {"description": f"see https://{host}/?sig={secret('kept')}", "location": "/files/3.json"},
                ]
            }
        ),
        "/files/0.json": Page(b"", redirect=f"/files/2.json?X-Amz-Signature={secret('redirected')}"),
        "/files/1.json": Page(good, signature=secret("listed")),
        "/files/2.json": in_network(2, host),
        "/files/3.json": in_network(3, host),
        "/named.json": Page(in_network(4, host), require=("Authorization", f"Bearer {secret('bearer')}")),
        "/403.json": Page(good, signature="another"),
        "/page.json": b"<html>denied</html>",
        "/cut.json.gz": gzipped(good)[:-9],
        "/packed": Page(b"", redirect=f"http://u:{secret('toself')}@{host}/page.json?sig={secret('tosig')}"),
        "/groups.json": Page(json_bytes(GROUPS), signature=secret("groups")),
        "/groups2.json": json_bytes(GROUPS),
        "/refused.json": Page(b"", signature="another"),
        "/moved.json": Page(b"", redirect=f"/gone.json?sig={secret('gone')}"),
    }


class Watched:
    """The server, and whatever process on this machine showed a canary in its command line meanwhile."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.shown: set[str] = set()
        server.fault = self._look

    def _look(self, asked: Asked, page: Page) -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes()
            except OSError:
                continue
            if CANARY.encode() in words and b"multiprocessing" in words:
                self.shown.add(words.decode())


@pytest.fixture
def world() -> Iterator[Watched]:
    with serve({}) as server:
        server.pages.update(
            {path: page if isinstance(page, Page) else Page(page) for path, page in pages(server.url[7:]).items()}
        )
        yield Watched(server)


def write_config(folder: Path, server: Server, webhook: str, workers: int = 1) -> Path:
    folder.mkdir(exist_ok=True)
    host = server.url[7:]
    path = folder / "tic-rates.toml"
    path.write_text(f"""\
workers = {workers}
output = "out"
[http]
attempts = 1
first_wait_seconds = 0
allow_private = true
[notify]
webhook = "{webhook}/{secret("hookpath")}?key={secret("hookquery")}"
[gates]
min_files_read = false
min_nppes_share = false
[[payer]]
name = "Signed"
contents = ["http://user:{secret("userpass")}@{host}/{{month}}/index.json?sig={secret("index")}",
    "{server.url}/missing.json?sig={secret("missing")}"]
files = ["{server.url}/named.json?X-Amz-Signature={secret("named")}&Expires=1"]
headers = {{ Authorization = "Bearer {secret("bearer")}", X-Token = {{ env = "PAYER_TOKEN" }} }}
[[payer]]
name = "Unsigned"
contents = ["{server.url}/unsigned/index.json"]
""")
    return path


SECRET_ENVIRONMENT = {
    "PAYER_TOKEN": secret("environment"),
    "HTTPS_PROXY": f"http://proxy:{secret('proxy')}@127.0.0.1:9",
    "NO_PROXY": "",
}


@pytest.mark.slow
def test_nothing_secret_is_left_or_said(
    world: Watched,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("flows.download.resumable_download.seconds_before_retry", lambda *_, **__: 0.0)
    for name, value in SECRET_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    signed = f"{world.server.url}/files/1.json?sig={secret('listed')}"
    index = f"{world.server.url}/2026-06/index.json?sig={secret('index')}"
    absent = index.replace("index.json", "none.json")
    s3 = f"s3://{secret('key')}:{secret('s3')}@bucket/x?sig={secret('s3sig')}"
    heard: list[bytes] = []
    with serve_raw(lambda connection: heard.append(connection.recv(65_536))) as webhook:
        config = write_config(tmp_path / "a", world.server, webhook)
        night = call(capsys, "nightly", "--config", config, "--month", "2026-06", "--report", "--json")
        failed_night = call(capsys, "backfill", "--config", config, "--from", "2026-05", "--to", "2026-05")
        here = ("--month", "2026-06", "--workers", "1", "--output", tmp_path / "b")
        run = call(capsys, "run", signed, index, *here)
        failed = [call(capsys, "run", wrong, *here) for wrong in (absent, s3)]
        inspected = [call(capsys, "inspect", source) for source in (signed, absent, s3)]
    assert (night.code, run.code, [each.code for each in failed]) == (3, 3, [4, 2])
    assert night.json_line["sources"]["matched"] == 5
    said = "".join(each.out + each.err for each in (night, failed_night, run, *failed, *inspected)) + caplog.text
    at = said.find(CANARY)
    assert at < 0, said[max(at - 300, 0) : at + 60]
    assert found_in(tmp_path, CANARY, but=NAMES) == {}
    manifest = json.loads((tmp_path / "a" / "out" / "manifest.json").read_bytes())["months"]["2026-06"]
    assert len(manifest["quarantined"]) > 5 and len(manifest["unresolved_locations"]) > 5, "what went wrong is told"


PREFECT_FLOW = """
import sys
from flows.settings.environment import set_client_defaults
set_client_defaults()
from flows.backfill import backfill
from flows.nightly import nightly
if __name__ == "__main__":  # worker processes import this file too
    config = sys.argv[1]
    print(nightly(config, "2026-06", return_state=True))
    print(backfill(config, "2026-05", "2026-06", force=True, return_state=True))
"""


@pytest.mark.soak
def test_nothing_secret_is_left_in_prefects_database_or_shown_in_command_lines(world: Watched, tmp_path: Path) -> None:
    place, home = tmp_path / "a", tmp_path / "prefect"
    told: list[bytes] = []
    with serve_raw(lambda connection: told.append(connection.recv(65_536))) as webhook:
        config = write_config(place, world.server, webhook, workers=2)
        own = {
            "PREFECT_HOME": str(home),
            "HOME": str(tmp_path),
            "PYTHONPATH": str(REPOSITORY),
            "PREFECT_LOGGING_LEVEL": "DEBUG",
        }
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        script = tmp_path / "flows_of_prefect.py"
        script.write_text(PREFECT_FLOW)
        ended = subprocess.run(
            [sys.executable, str(script), str(config)],
            cwd=REPOSITORY,
            env=environment | own | SECRET_ENVIRONMENT | {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180"},
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_SECONDS,
            check=False,
        )
    said = ended.stdout + ended.stderr
    assert "Completed" in said, said[-3_000:]
    at = said.find(CANARY)
    assert at < 0, said[max(at - 300, 0) : at + 60]
    assert (home / "prefect.db").exists()
    assert found_in(tmp_path, CANARY, but=NAMES) == {}
    assert world.shown == set()


def test_a_bugs_traceback_quotes_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"GET https://user:{secret('user')}@rates.example.com/x?sig={secret('bug')} went wrong")

    monkeypatch.setattr("flows.cli.inspection.inspect", fail)
    ended = call(capsys, "inspect", tmp_path / "x", "--json") if (tmp_path / "x").write_text("{}") else None
    assert ended is not None and ended.code == 1
    assert "Traceback" in ended.err and "RuntimeError: GET https://rates.example.com/x went wrong" in ended.err
    assert ended.json_line["exit_code"] == 1
    assert CANARY not in ended.out + ended.err

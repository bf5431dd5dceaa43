"""Ctrl-C and SIGTERM while a server never answers: the command ends, whichever of its threads wait for the answer.

Each waits an hour for its answer; only a command that is deaf to the signal waits so long.
"""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Semaphore

import pytest

from tests.command_line import PATIENCE_SECONDS, call, end, start
from tests.documents import ANN, document, group, item, price, rate
from tests.http_server import Asked, Fault, Page, serve, serve_raw
from tests.json_text import json_bytes

AN_HOUR = 3_600
STOPS = [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
MONTH = ("--month", "2026-06")


@dataclass
class Silent:
    """A server that takes requests and never answers."""

    url: str = ""
    asked: Semaphore = field(default_factory=lambda: Semaphore(0))

    def wait_for(self, requests: int) -> None:
        """Until so many have come."""
        for _ in range(requests):
            assert self.asked.acquire(timeout=PATIENCE_SECONDS), "no request came"


@contextmanager
def silence() -> Iterator[Silent]:
    over, silent = Event(), Silent()

    def say_nothing(_connection: socket.socket) -> None:
        silent.asked.release()
        over.wait()

    with serve_raw(say_nothing) as silent.url:
        try:
            yield silent
        finally:
            over.set()


def write_config(folder: Path, payers: dict[str, str], workers: int = 1) -> Path:
    """``payers``: the line that names each one's files."""
    path = folder / "tic-rates.toml"
    http = f"[http]\nread_seconds = {AN_HOUR}\nallow_private = true\n"
    blocks = "".join(f'[[payer]]\nname = "{name}"\n{line}\n' for name, line in payers.items())
    path.write_text(f'output = "{folder}/out"\nworkers = {workers}\n{http}{blocks}')
    return path


def stop_and_check(command: tuple[object, ...], wait: Callable[[], None], number: int, code: int, **env: str) -> None:
    process = start(*command, **env)
    try:
        wait()
        process.send_signal(number)
        ended = end(process)
    finally:
        process.kill()
    assert ended.code == code, ended.err
    assert ended.err.splitlines()[-1].startswith("tic-rates: stopped; finished work is saved"), ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(("number", "code"), STOPS)
def test_provider_references_that_never_come(number: int, code: int, tmp_path: Path) -> None:
    with silence() as silent:
        locations = [f"{silent.url}/{reference}.json" for reference in range(20)]
        references = [{"provider_group_id": no, "location": each} for no, each in enumerate(locations)]
        rates = [rate(provider_references=list(range(20)), prices=[price()])]
        (tmp_path / "a.json").write_bytes(json_bytes(document(item(*rates), provider_references=references)))
        config = write_config(tmp_path, {"Aetna": f'files = ["{tmp_path}/a.json"]'})
        command = ("nightly", "--config", config, *MONTH)
        stop_and_check(command, lambda: silent.wait_for(4), number, code)


@pytest.mark.parametrize(("number", "code"), STOPS)
def test_indexes_that_never_come(number: int, code: int, tmp_path: Path) -> None:
    with silence() as silent:
        payers = {f"Payer {each}": f'contents = ["{silent.url}/{each}.json"]' for each in range(6)}
        command = ("nightly", "--config", write_config(tmp_path, payers), *MONTH)
        stop_and_check(command, lambda: silent.wait_for(4), number, code)


@pytest.mark.parametrize(("number", "code"), STOPS)
@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_files_that_never_come(workers: int, number: int, code: int, tmp_path: Path) -> None:
    with silence() as silent:
        payers = {"Aetna": f'files = ["{silent.url}/0.json", "{silent.url}/1.json"]'}
        command = ("nightly", "--config", write_config(tmp_path, payers, workers), *MONTH)
        stop_and_check(command, lambda: silent.wait_for(workers), number, code)


@pytest.mark.parametrize(("number", "code"), STOPS)
def test_answers_about_changes_that_never_come(
    number: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second night asks in threads what has changed."""
    asked, over = Event(), Event()

    def stall(_asked: Asked, _page: Page) -> Fault | None:
        if first.is_set():
            asked.set()
            over.wait()
        return None

    first = Event()
    body = json_bytes(document(item(rate(group(ANN)))))
    with serve({"/0.json": body, "/1.json": body}, stall) as server:
        config = write_config(tmp_path, {"Aetna": f'files = ["{server.url}/0.json", "{server.url}/1.json"]'})
        command = ("nightly", "--config", config, *MONTH)
        assert call(capsys, *command).code == 0
        first.set()
        try:
            stop_and_check(command, lambda: wait_for(asked), number, code)
        finally:
            over.set()


def wait_for(event: Event) -> None:
    assert event.wait(PATIENCE_SECONDS), "no request came"


@pytest.mark.parametrize(("number", "code"), STOPS)
@pytest.mark.parametrize("what", ["sources", "output"])
def test_object_storage_that_never_answers(what: str, number: int, code: int, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(json_bytes(document(item(rate(group(ANN))))))
    source, output = {
        "sources": ("s3://bucket/mrf/", tmp_path / "out"),
        "output": (tmp_path / "a.json", "s3://bucket/out"),
    }[what]
    with silence() as silent:
        environment = {
            "AWS_ENDPOINT_URL": silent.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_TIMEOUT": f"{AN_HOUR}s",
            "XDG_CACHE_HOME": str(tmp_path / "machine"),
        }
        command = ("run", source, "--output", output, *MONTH)
        stop_and_check(command, lambda: silent.wait_for(1), number, code, **environment)

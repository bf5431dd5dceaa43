"""A service that does not answer is an outage, exit code 4: what is wrong is not how the command was called."""

from datetime import date
from pathlib import Path

import pytest

import flows.orchestration.dask_client
import flows.storage.object_store
from flows.extract.payer_listing import list_payer
from flows.settings.values import PayerSource
from tests.command_line import call, execute
from tests.documents import ANN, document, group, item, rate
from tests.json_text import json_bytes
from tests.machines import free_port

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "mrf.json"
    path.write_bytes(json_bytes(document(item(rate(group(ANN))))))
    return path


@pytest.fixture
def no_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A bucket whose store refuses connections."""
    flows.storage.object_store._store.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return "s3://bucket"


@pytest.mark.slow
def test_an_output_in_object_storage_that_does_not_answer_is_an_outage(
    source: Path, no_store: str, capsys: Capture
) -> None:
    ended = call(capsys, "run", source, "--output", f"{no_store}/out", "--month", "2026-06", "--json")
    assert ended.code == ended.json_line["exit_code"] == 4
    assert "run again when the store answers" in ended.err


def test_a_payer_whose_files_are_in_a_store_that_does_not_answer_is_left_out_alone(no_store: str) -> None:
    listing = list_payer(PayerSource("Aetna", files=(f"{no_store}/mrf/*.json",)), date(2026, 6, 1))
    ((failed, reason),) = listing.failed
    assert failed.location == f"{no_store}/mrf/*.json"
    assert "run again when the store answers" in reason


def test_a_dask_scheduler_that_does_not_answer_is_an_outage(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(flows.orchestration.dask_client, "CONNECT_SECONDS", 0.2)
    words = ("--dask", f"tcp://127.0.0.1:{free_port()}", "--output", tmp_path / "out", "--month", "2026-06", "--json")
    ended = call(capsys, "run", source, *words)
    assert ended.code == ended.json_line["exit_code"] == 4
    assert "start one with `dask scheduler`" in ended.err


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "serve"])
def test_a_prefect_server_that_does_not_answer_is_an_outage(command: str, source: Path, tmp_path: Path) -> None:
    (tmp_path / "tic-rates.toml").write_text(f'[[payer]]\nname = "Aetna"\nfiles = ["{source}"]\n')
    words = {
        "run": ("run", source, "--prefect", "--output", tmp_path / "out", "--json"),
        "serve": ("serve", "--config", tmp_path / "tic-rates.toml", "--json"),
    }
    api = f"http://127.0.0.1:{free_port()}/api"
    ended = execute(*words[command], PREFECT_API_URL=api, PREFECT_HOME=str(tmp_path / "prefect"))
    assert ended.code == ended.json_line["exit_code"] == 4, ended.err
    assert f"the Prefect server at {api} does not answer" in ended.err

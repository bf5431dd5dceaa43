"""Log lines as JSON: each line is one object of a declared event, with its fields, without secrets."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.storage.log_lines import COMMON, LOG_EVENTS
from tests.command_line import Ended, execute
from tests.containers import gzipped
from tests.documents import ANN, BOB, document, group, item, price, rate
from tests.http_server import Page, serve
from tests.json_text import json_bytes

ALWAYS = {"time", "level", "event", "message", "logger"}


def lines_of(ended: Ended) -> list[dict[str, Any]]:
    """Every line of stderr, each checked against the declaration of its event."""
    lines = [json.loads(line) for line in ended.err.splitlines()]
    for line in lines:
        allowed = {*COMMON, *LOG_EVENTS[line["event"]][1]}
        assert ALWAYS <= line.keys() <= allowed, line
        assert line["time"].endswith("+00:00")
    return lines


def files(folder: Path) -> Path:
    folder.mkdir()
    for number, npi in enumerate((ANN, BOB)):
        rates = rate(group(npi), prices=[price(negotiated_rate=20.0)])
        (folder / f"{number}.json").write_bytes(json_bytes(document(item(rates))))
    (folder / "cut.json").write_bytes(b'{"reporting_entity_name": "A", "in_network": [')
    return folder


def test_every_line_of_a_run_is_an_event_with_its_fields(tmp_path: Path) -> None:
    sources = files(tmp_path / "mrf")
    ended = execute("run", sources, "--month", "2026-06", "--output", tmp_path / "out", "--log-format", "json")
    assert ended.code == 3
    lines = lines_of(ended)
    events = [line["event"] for line in lines]
    assert (events.count("run_started"), events.count("run_finished")) == (1, 1)
    read = {Path(line["source"]).name: line["status"] for line in lines if line["event"] == "file_read"}
    assert read == {"0.json": "matched", "1.json": "matched", "cut.json": "quarantined"}
    stages = {line["stage"] for line in lines if line["event"] == "stage_finished"}
    assert stages == {"extract", "normalise", "summarise", "publish"}
    (quarantined,) = (line for line in lines if line["event"] == "file_quarantined")
    assert quarantined["source"] == str(sources / "cut.json") and quarantined["month"] == "2026-06"
    finished = next(line for line in lines if line["event"] == "run_finished")
    assert (finished["status"], finished["exit_code"], finished["month"]) == ("published", 3, "2026-06")


@pytest.mark.slow
def test_several_processes_and_signed_addresses(tmp_path: Path) -> None:
    body = gzipped(json_bytes(document(item(rate(group(ANN))))))
    with serve({"/one.json.gz": Page(body), "/two.json.gz": Page(body)}) as server:
        sources = [f"{server.url}/{name}.json.gz?sig=5ecre7" for name in ("one", "two", "none")]
        where = ("--month", "2026-06", "--output", tmp_path / "out", "--workers", 2)
        ended = execute("run", *sources, *where, TIC_RATES_LOG_FORMAT="json")
    read = [line for line in lines_of(ended) if line["event"] == "file_read"]
    assert {line["source"].rpartition("/")[2] for line in read} == {"one.json.gz", "two.json.gz", "none.json.gz"}
    assert "5ecre7" not in ended.err


@pytest.mark.parametrize(
    ("words", "environment", "code"),
    [
        (("--log-format", "json", "run", "nowhere"), {}, 2),
        (("run", "nowhere", "--log-format=json"), {}, 2),
        (("run", "--no-such-option"), {"TIC_RATES_LOG_FORMAT": "json"}, 2),
    ],
)
def test_the_error_at_the_end_is_an_event_too(words: tuple[str, ...], environment: dict[str, str], code: int) -> None:
    ended = execute(*words, **environment)
    (line,) = lines_of(ended)
    assert (ended.code, line["event"], line["exit_code"]) == (code, "command_failed", code)


def test_another_format_is_wrong_usage() -> None:
    assert "'xml' is not one of 'text', 'json'" in execute("--log-format", "xml", "rvu", "97026").err
    ended = execute("run", "nowhere", TIC_RATES_LOG_FORMAT="xml")
    assert (ended.code, ended.err) == (2, "tic-rates: TIC_RATES_LOG_FORMAT: expected text or json, not 'xml'\n")


def test_text_lines_have_their_time_where_stderr_is_no_terminal(tmp_path: Path) -> None:
    ended = execute("run", files(tmp_path / "mrf"), "--month", "2026-06", "--output", tmp_path / "out")
    assert all(line[:2] == "20" and line[19:21] == "Z " for line in ended.err.splitlines()), ended.err
    assert " INFO 2026-06 normalise: done after " in ended.err
    assert "0.json" not in ended.err, "files have a line where they take over a minute"

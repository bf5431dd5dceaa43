"""Six situations, driven through `status`, the metrics file and the events: what an operator is told."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_prometheus

from tests.command_line import Ended, call, digests
from tests.documents import ANN, BOB, document, group, item, price, rate
from tests.json_text import json_bytes

Capture = pytest.CaptureFixture[str]
Today = Callable[[str], None]
JUNE = "2026-06"
CONFIG = """\
output = "out"

[notify]
webhook = "https://hooks.example.com/5ecre7"
metrics_file = "tic-rates.prom"

[[payer]]
name = "Aetna"
files = ["mrf/{month}/aetna/*.json"]

[[payer]]
name = "Acme"
files = ["mrf/{month}/acme/*.json"]
"""
ENTITIES = {"aetna": "Aetna Life Insurance Company", "acme": "Acme Health Plan"}


@dataclass(frozen=True)
class World:
    """A configuration of two payers, and the commands on it."""

    folder: Path
    capsys: Capture
    today: Today
    posted: list[dict[str, Any]]

    def write(self, payer: str, *, month: str = JUNE, dollars: float = 30.0, updated: str = "2026-06-01") -> Path:
        rates = rate(group(ANN, BOB), prices=[price(negotiated_rate=dollars)])
        path = self.folder / "mrf" / month / payer / "rates.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        header = {"reporting_entity_name": ENTITIES[payer], "last_updated_on": updated}
        path.write_bytes(json_bytes(document(item(rates), **header)))
        return path

    def nightly(self, *more: str) -> Ended:
        return self.call("nightly", "--month", JUNE, *more)

    def status(self) -> Ended:
        return self.call("status")

    def call(self, command: str, *more: str) -> Ended:
        return call(self.capsys, command, "--config", self.folder / "tic-rates.toml", "--json", *more)

    def events(self) -> list[tuple[str, list[str]]]:
        """Those posted since the last call; each says what to do next."""
        assert all(each["version"] == 1 and each["month"] == JUNE and each["next"] for each in self.posted)
        found = [(each["status"], each["subjects"]) for each in self.posted]
        self.posted.clear()
        return found

    def text(self) -> str:
        return call(self.capsys, "status", "--config", self.folder / "tic-rates.toml").out

    def findings(self) -> list[tuple[str, str | None]]:
        return [(each["what"], each["subject"]) for each in self.status().json_line["findings"]]

    def metrics(self) -> dict[str, dict[str, float]]:
        """The values of each metric, by its labels but output and month."""
        return metrics_in(self.folder / "tic-rates.prom")


def metrics_in(path: Path) -> dict[str, dict[str, float]]:
    """As both formats read them."""
    text = path.read_text()
    found = []
    for families in (read_openmetrics(text), read_prometheus(text)):  # type: ignore[no-untyped-call]
        values: dict[str, dict[str, float]] = {}
        for sample in (sample for family in families for sample in family.samples):
            assert sample.timestamp is None, "node_exporter refuses a file with timestamps"
            rest = [value for name, value in sample.labels.items() if name not in ("output", "month")]
            values.setdefault(sample.name.removeprefix("tic_rates_"), {})[" ".join(rest)] = sample.value
        found.append(values)
    assert found[0] == found[1]
    return found[0]


@pytest.fixture
def world(tmp_path: Path, capsys: Capture, today: Today, monkeypatch: pytest.MonkeyPatch) -> World:
    posted: list[dict[str, Any]] = []

    def post(webhook: str, json: dict[str, Any], timeout: float) -> httpx.Response:
        posted.append(json)
        return httpx.Response(204, request=httpx.Request("POST", webhook))

    monkeypatch.setattr(httpx, "post", post)
    (tmp_path / "tic-rates.toml").write_text(CONFIG)
    today("2026-06-25T03:00")
    world = World(tmp_path, capsys, today, posted)
    for payer in ENTITIES:
        world.write(payer)
    return world


def test_a_good_night(world: World) -> None:
    assert world.nightly().code == 0
    ended = world.status()
    assert (ended.code, ended.json_line["exit_code"], ended.json_line["findings"]) == (0, 0, [])
    (month,) = ended.json_line["months"]
    assert (month["month"], month["rows"]["rates"], month["methodology"]) == (JUNE, 4, "2")
    assert (month["last_run"]["status"], month["running"], month["failed"]) == ("published", False, None)
    assert ended.json_line["cache"]["files"] > 0
    values = world.metrics()
    assert values["run_exit_code"] == {"": 0.0} and values["status_exit_code"] == {"": 0.0}
    assert values["files"] == {"matched": 2.0} and values["rows"]["rates"] == 4.0
    assert [values[f"payers_{what}"][""] for what in ("withheld", "awaited", "late", "stale")] == [0.0] * 4
    assert "attention" not in values
    assert world.events() == [("published", [])]
    again = world.nightly()
    assert (again.json_line["status"], world.events()) == ("unchanged", [])
    later = world.metrics()
    assert later["published_timestamp_seconds"] == values["published_timestamp_seconds"]
    assert later["run_success_timestamp_seconds"][""] > values["run_success_timestamp_seconds"][""]


def test_a_late_payer(world: World) -> None:
    world.write("acme").unlink()
    world.today("2026-06-05T03:00")
    assert world.nightly().code == 0
    assert (world.status().code, world.findings()) == (0, [("awaited", "Acme")])
    assert world.events() == [("published", [])]
    assert world.metrics()["payers_awaited"] == {"": 1.0} and world.metrics()["payers_late"] == {"": 0.0}
    world.today("2026-06-21T03:00")
    assert (world.status().code, world.findings()) == (3, [("late", "Acme")]), "also before the next night"
    assert world.nightly().code == 3
    assert (world.status().code, world.findings()) == (3, [("late", "Acme")])
    assert "2026-06 not there Acme: since 2026-06-05: " in world.text()
    assert world.metrics()["attention"] == {"Acme late": 1.0}
    assert world.events() == [("partial", ["Acme"])]


def test_a_withheld_payer(world: World) -> None:
    world.nightly()
    good = digests(world.folder / "out", "summaries")
    world.write("acme", dollars=0.0)
    world.folder.joinpath("mrf", JUNE, "acme", "rates.json").write_bytes(b"<html>expired</html>")
    assert world.nightly().code == 3
    ended = world.status()
    assert ended.code == 3
    withheld = next(each for each in ended.json_line["findings"] if each["what"] == "withheld")
    assert withheld["subject"] == "Acme Health Plan" and "--no-gates" in withheld["next"]
    assert world.metrics()["attention"] == {"Acme Health Plan withheld": 1.0}
    assert [status for status, _ in world.events()] == ["published", "withheld", "partial"]
    assert digests(world.folder / "out", "summaries") == good


def test_a_quarantined_file(world: World) -> None:
    world.nightly()
    for number in range(1, 11):
        copy = world.folder / "mrf" / JUNE / "acme" / f"{number}.json"
        copy.write_bytes((world.folder / "mrf" / JUNE / "acme" / "rates.json").read_bytes() + b" " * number)
    copy.write_bytes(b"{")
    assert world.nightly().code == 3
    ended = world.status()
    assert ended.code == 3
    (found,) = ended.json_line["findings"]
    assert (found["what"], found["subject"]) == ("quarantined", str(copy))
    assert "tic-rates inspect" in found["next"]
    assert world.events() == [("published", []), ("partial", [str(copy)])]
    assert world.metrics()["files_quarantined"] == {"": 1.0}
    assert world.metrics()["files"] == {"matched": 9.0, "quarantined": 1.0, "unchanged": 2.0}


def test_a_failed_publication(world: World) -> None:
    world.nightly()
    published = world.status().json_line["months"][0]["published_at"]
    for payer in ENTITIES:
        world.write(payer).write_bytes(b"")
    assert world.nightly().code == 4
    ended = world.status()
    assert ended.code == 3, "the last good tables stand"
    (month,) = ended.json_line["months"]
    assert (month["published_at"], month["last_run"]["status"]) == (published, "failed")
    assert "could be used" in month["failed"]
    assert ended.json_line["findings"][0]["what"] == "failed"
    assert [status for status, _ in world.events()] == ["published", "failed"]
    values = world.metrics()
    assert values["run_exit_code"] == {"": 4.0}
    assert values["run_success_timestamp_seconds"][""] < values["run_finished_timestamp_seconds"][""]
    for payer in ENTITIES:
        world.write(payer)
    assert (world.nightly().code, world.status().code, world.findings()) == (0, 0, [])


def test_a_stale_payer(world: World) -> None:
    world.write("acme", updated="2026-01-15")
    assert world.nightly().code == 0
    ended = world.status()
    assert (ended.code, world.findings()) == (3, [("stale", "Acme")])
    assert "2026-06 stale Acme: last updated on 2026-01-15" in world.text()
    assert world.metrics()["payers_stale"] == {"": 1.0}
    assert world.events() == [("published", []), ("stale", ["Acme"])]
    assert world.nightly().code == 0
    assert (world.events(), world.status().code) == ([], 3), "told once, and still to be seen"


def test_nothing_published(world: World) -> None:
    assert (world.status().code, world.findings()) == (4, [("unpublished", None)])
    for payer in ENTITIES:
        world.write(payer).write_bytes(b"")
    assert world.nightly().code == 4
    ended = world.status()
    assert ended.code == 4
    assert [each["what"] for each in ended.json_line["findings"]] == [
        "failed",
        "quarantined",
        "quarantined",
        "unpublished",
    ]
    assert not (world.folder / "out" / "summaries").exists()

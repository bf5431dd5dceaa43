"""Nights against a real server: what changed is fetched, nothing else; signatures come and go; kills lose nothing."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.command_line import Ended, call, digests, end, execute, files_with, start
from tests.containers import gzipped
from tests.documents import ANN, BOB, document, group, item, price, rate
from tests.effort import usually
from tests.http_server import Asked, Fault, Page, Server, serve
from tests.json_text import json_bytes

Capture = pytest.CaptureFixture[str]
FILES = 40
KILLS = usually(2, 30)
ENTITIES = ("Aetna Life Insurance Company", "Acme Health Plan")


def in_network(number: int, cents: int = 0) -> bytes:
    prices = [price(negotiated_rate=20 + number / 4 + cents / 100)]
    rates = [rate(group(ANN, BOB, tin={"type": "ein", "value": f"{number:09d}"}), prices=prices)]
    return gzipped(json_bytes(document(item(*rates), reporting_entity_name=ENTITIES[number % 2])))


def contents(query: str = "") -> bytes:
    files = [
        {"description": f"network {number}", "location": f"files/{number}.json.gz{query}"} for number in range(FILES)
    ]
    return json_bytes({"reporting_structure": [{"reporting_plans": [], "in_network_files": files}]})


def pages() -> dict[str, Page | bytes]:
    files: dict[str, Page | bytes] = {f"/files/{number}.json.gz": in_network(number) for number in range(FILES)}
    return files | {"/2026-06_index.json": contents()}


def write_config(place: Path, server: Server, more: str = "", workers: int = 1) -> Path:
    path = place / "tic-rates.toml"
    path.write_text(f"""\
output = "out"
workers = {workers}

[http]
connections_per_host = 8
{more}
[[payer]]
name = "All"
contents = ["{server.url}/{{month}}_index.json"]
""")
    return path


def nightly(capsys: Capture, config: Path, *more: str) -> Ended:
    return call(capsys, "nightly", "--config", config, "--month", "2026-06", "--json", *more)


def undisturbed(capsys: Capture, server: Server, place: Path) -> dict[str, str]:
    """The tables of one run from nothing."""
    place.mkdir()
    assert nightly(capsys, write_config(place, server)).code == 0
    return digests(place / "out")


def test_a_night_without_changes_costs_one_request_a_file_and_no_body(tmp_path: Path, capsys: Capture) -> None:
    with serve(pages()) as server:
        config = write_config(tmp_path, server)
        first = nightly(capsys, config).json_line
        assert (first["status"], first["sources"], first["rows"]) == ("published", {"matched": FILES}, 2 * FILES)
        server.forget()
        second = nightly(capsys, config).json_line
        assert (second["status"], second["sources"]) == ("unchanged", {"unchanged": FILES})
        assert set(server.requests) == set(server.pages)
        assert set(server.requests.values()) == {1}
        assert server.body_bytes.total() == 0


def test_a_changed_file_is_fetched_alone(tmp_path: Path, capsys: Capture) -> None:
    with serve(pages()) as server:
        config = write_config(tmp_path, server)
        nightly(capsys, config)
        server.forget()
        server.change("/files/7.json.gz", body=in_network(7, 50))
        found = nightly(capsys, config).json_line
        assert found["sources"] == {"unchanged": FILES - 1, "matched": 1}
        assert {path for path, sent in server.body_bytes.items() if sent} == {"/files/7.json.gz"}
        assert digests(tmp_path / "out") == undisturbed(capsys, server, tmp_path / "again")


def test_a_file_that_leaves_the_table_of_contents_leaves_the_month(tmp_path: Path, capsys: Capture) -> None:
    with serve(pages()) as server:
        config = write_config(tmp_path, server)
        nightly(capsys, config)
        listed = json.loads(contents())
        listed["reporting_structure"][0]["in_network_files"].pop()
        server.change("/2026-06_index.json", body=json_bytes(listed))
        found = nightly(capsys, config).json_line
        assert (found["status"], found["sources"], found["rows"]) == (
            "published",
            {"unchanged": FILES - 1},
            2 * (FILES - 1),
        )


def test_new_signatures_are_the_same_files_and_are_kept_nowhere(tmp_path: Path, capsys: Capture) -> None:
    with serve(pages()) as server:
        config = write_config(tmp_path, server)

        def sign(signature: str) -> None:
            for number in range(FILES):
                server.change(f"/files/{number}.json.gz", signature=signature)
            server.change("/2026-06_index.json", body=contents(f"?sig={signature}"))

        sign("c4n4ry-one")
        assert nightly(capsys, config).json_line["sources"] == {"matched": FILES}
        server.forget()
        sign("c4n4ry-two")
        assert nightly(capsys, config).json_line["sources"] == {"unchanged": FILES}
        assert {path for path, sent in server.body_bytes.items() if sent} == {"/2026-06_index.json"}
    assert files_with(tmp_path / "out", "c4n4ry") == []


def test_credentials_in_a_listed_address_are_kept_nowhere(tmp_path: Path, capsys: Capture) -> None:
    with serve({"/0.json.gz": in_network(0)}) as server:
        address = server.url.replace("//", "//user:c4n4ry@") + "/0.json.gz"
        server.pages["/2026-06_index.json"] = Page(json_bytes({"in_network_files": [{"location": address}]}))
        assert nightly(capsys, write_config(tmp_path, server)).json_line["sources"] == {"matched": 1}
    assert files_with(tmp_path / "out", "c4n4ry") == []


def test_a_signature_that_expires_during_the_night_is_renewed(tmp_path: Path, capsys: Capture) -> None:
    def expire(asked: Asked, page: Page) -> Fault | None:
        if asked.path == "/files/20.json.gz" and page.signature == "old":
            for number in range(FILES):
                server.change(f"/files/{number}.json.gz", signature="new")
            server.change("/2026-06_index.json", body=contents("?sig=new"))
            return Fault("status", status=403)
        return None

    with serve(pages(), expire) as server:
        for number in range(FILES):
            server.change(f"/files/{number}.json.gz", signature="old")
        server.change("/2026-06_index.json", body=contents("?sig=old"))
        found = nightly(capsys, write_config(tmp_path, server, "first_wait_seconds = 0.01")).json_line
        assert (found["sources"], found["quarantined"]) == ({"matched": FILES}, [])


def test_a_file_that_expires_together_with_its_index_is_quarantined(tmp_path: Path) -> None:
    def expire(asked: Asked, page: Page) -> Fault | None:
        if asked.path.startswith("/files/") and page.signature == "old":
            server.change("/2026-06_index.json", signature="new")
            return Fault("status", status=403)
        return None

    index = json_bytes({"in_network_files": [{"location": "files/0.json.gz?sig=old"}]})
    file = Page(in_network(0), signature="old")
    with serve({"/files/0.json.gz": file, "/2026-06_index.json": index}, expire) as server:
        config = write_config(tmp_path, server).read_text().replace("index.json", "index.json?sig=old")
        (tmp_path / "tic-rates.toml").write_text(config)
        ended = execute("nightly", "--config", tmp_path / "tic-rates.toml", "--month", "2026-06", "--json")
    assert ended.code == 4, ended.err
    ((_, reason),) = (entry.values() for entry in ended.json_line["quarantined"])
    assert reason == (
        f"expired, and its table of contents {server.url}/2026-06_index.json can't be read again: "
        "the server answers 403; the signature may have expired: read its table of contents again for a new address"
    )


def test_a_table_of_contents_that_can_not_be_read_withholds_its_payers(tmp_path: Path, capsys: Capture) -> None:
    with serve(pages()) as server:
        config = write_config(tmp_path, server)
        nightly(capsys, config)
        before = digests(tmp_path / "out")
        server.change("/2026-06_index.json", body=b"<html>maintenance</html>")
        ended = nightly(capsys, config)
        assert ended.code in (3, 4)
        assert "an HTML page" in str(ended.json_line)
        assert digests(tmp_path / "out") == before


def leftovers(place: Path) -> list[Path]:
    return [path for path in place.rglob("*") if path.name.startswith(".tmp-")]


@pytest.mark.slow
def test_kills_at_random_moments_and_one_more_night_give_the_tables(tmp_path: Path, capsys: Capture) -> None:
    random = Random(2026)
    with serve(pages()) as server:
        expected = undisturbed(capsys, server, tmp_path / "undisturbed")
        place = tmp_path / "killed"
        place.mkdir()
        config = write_config(place, server, workers=2)
        server.fault = lambda asked, page: Fault("delay", seconds=0.02)
        kills = since_begun = 0
        while kills < KILLS:
            if not (place / "out").exists():
                server.forget()
                since_begun = 0
            if _kill_in_the_middle(config, server, place, random):
                kills, since_begun = kills + 1, since_begun + 1
            else:  # it was through before its moment came
                assert (digests(place / "out"), leftovers(place)) == (expected, [])
                shutil.rmtree(place / "out")
        assert nightly(capsys, config).code == 0
        assert (digests(place / "out"), leftovers(place)) == (expected, [])
        bodies = {path: len(server.pages[path].body) for path in server.pages if path.startswith("/files")}
        in_flight = 2 * since_begun * max(bodies.values())
        assert sum(server.body_bytes[path] for path in bodies) <= sum(bodies.values()) + in_flight


def _kill_in_the_middle(config: Path, server: Server, place: Path, random: Random) -> bool:
    """Start a night and kill it, workers and all, at a moment that the dice choose; False: it was through before."""
    until = server.requests.total() + random.randint(0, FILES)
    moments: list[Callable[[], bool]] = [
        lambda: server.requests.total() > until,
        lambda: any((place / "out" / ".cache" / "extracts").glob(".tmp-*")),
        lambda: any((place / "out" / ".staging").glob(".tmp-*")),
        lambda: any((place / "out" / ".cache" / "payers").glob("*")),
        (place / "out" / "summaries").exists,
    ]
    moment = random.choice(moments)
    process = start("nightly", "--config", config, "--month", "2026-06")
    while process.poll() is None and not moment():
        pass
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    ended = end(process)
    assert running or ended.code == 0, ended.err
    return running

"""Sources over HTTP, from the socket to the extract: right or quarantined with a reason, and read once."""

import gzip
import hashlib
import logging
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from flows.download.sources import Source
from flows.extract.extract_source import extract
from flows.extract.outcome import Outcome
from flows.extract.provider_references import RemoteReferences
from flows.extract.stored_tables import StoredTables
from flows.extract.workers import extract_many
from flows.settings.values import Fetching, ReadSettings
from flows.storage.layout import Layout
from schemas.extracted import EXTRACTED
from tests.command_line import end, files_with, start, wait_until
from tests.containers import CONTAINERS, gzipped
from tests.documents import ANN, document, group, item, other_item, rate, reference
from tests.http_server import Fault, Page, Server, in_turn, now_and_then, once, serve
from tests.json_text import json_bytes

WANTED = frozenset({"97026", "97028"})
QUICK = Fetching(first_wait_seconds=0.0, longest_wait_seconds=0.0, allow_private=True)
CANARY = "canary0secret"
PATH = "/2026-06_rates.json.gz"


def rates(seed: int = 1, size: int = 20_000) -> bytes:
    """One price of 97026 and about ``size`` bytes that can't be packed further."""
    random = Random(seed)
    filler = other_item(description=random.randbytes(size).hex())
    return json_bytes(document(item(rate(group(ANN))), filler, last_updated_on=f"2026-06-{seed % 28 + 1:02d}"))


FILE = gzipped(rates())


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "output")
    layout.prepare()
    return layout


def read(url: str, layout: Layout, fetching: Fetching = QUICK, contents: str | None = None) -> Outcome:
    return extract(Source(url, contents=contents), layout, ReadSettings(WANTED, "ijson", fetching))


def read_locally(body: bytes, folder: Path) -> Outcome:
    layout = Layout(folder / "local")
    layout.prepare()
    (folder / "file").write_bytes(body)
    return extract(Source(str(folder / "file")), layout, ReadSettings(WANTED, "ijson"))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tables(outcome: Outcome) -> list[object]:
    assert outcome.extract is not None
    stored = StoredTables(Layout(outcome.extract.parents[2]), {0: outcome.extract})
    return [stored.scan(table).collect().to_dicts() for table in EXTRACTED]


@pytest.mark.parametrize("container", ["plain", "gzip", "gzip-members", "zip", "zip-many", "zstd"])
def test_a_file_over_http_gives_the_extract_of_the_local_one(container: str, layout: Layout, tmp_path: Path) -> None:
    body = CONTAINERS[container](rates())
    local = read_locally(body, tmp_path)
    with serve({PATH: body}, in_turn(Fault("cut", 700), Fault("reset", 3_000))) as server:
        outcome = read(server.url + PATH, layout, QUICK)
    assert (outcome.status, outcome.source_id, outcome.bytes) == ("matched", sha256(body), len(body)), outcome.reason
    assert (outcome.account, tables(outcome)) == (local.account, tables(local))


def test_a_file_that_the_server_calls_unchanged_is_not_read_again(layout: Layout) -> None:
    with serve({PATH: FILE}) as server:
        first = read(server.url + PATH, layout, contents=f"{server.url}/index.json")
        server.forget()
        second = read(server.url + PATH + "?sig=another", layout, contents=f"{server.url}/index.json")
        assert (server.requests[PATH], server.body_bytes[PATH]) == (1, 0)
    assert (first.unchanged, second.unchanged) == (False, True)
    assert second.etag == first.etag == server.pages[PATH].tag
    assert (second.status, second.extract, second.account) == (first.status, first.extract, first.account)


def test_a_local_file_not_touched_since_is_unchanged(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "local.json.gz").write_bytes(FILE)
    outcomes = [
        extract(Source(str(tmp_path / "local.json.gz")), layout, ReadSettings(WANTED, "ijson")) for _ in range(2)
    ]
    assert [outcome.unchanged for outcome in outcomes] == [False, True]


def test_only_what_changed_is_read_again(layout: Layout) -> None:
    paths = [f"/{number}.json.gz" for number in range(5)]
    with serve({path: gzipped(rates(number)) for number, path in enumerate(paths)}) as server:
        for path in paths:
            read(server.url + path, layout)
        server.change(paths[3], body=FILE)
        server.forget()
        outcomes = [read(server.url + path, layout) for path in paths]
        assert +server.body_bytes == {paths[3]: len(FILE)}
        assert sum(server.requests.values()) == 5
    assert [outcome.unchanged for outcome in outcomes] == [True, True, True, False, True]
    assert outcomes[3].source_id == sha256(FILE)


def test_a_lost_extract_is_read_again_and_a_file_without_validators_each_time(layout: Layout) -> None:
    with serve({PATH: FILE, "/bare": Page(FILE, etag=None, last_modified=None)}) as server:
        first = read(server.url + PATH, layout)
        assert first.extract is not None
        first.extract.rename(layout.cache / "lost")
        assert not read(server.url + PATH, layout).unchanged
        assert not any(read(server.url + "/bare", layout).unchanged for _ in range(2))
        assert server.body_bytes == {PATH: 2 * len(FILE), "/bare": 2 * len(FILE)}


def test_a_twin_under_another_address_shares_the_extract(layout: Layout) -> None:
    with serve({PATH: FILE, "/twin": Page(FILE, etag='"other"')}) as server:
        assert read(server.url + PATH, layout).extract == read(server.url + "/twin", layout).extract


def test_content_that_changes_midway_is_read_from_its_beginning(layout: Layout) -> None:
    after = gzipped(rates(2))
    with serve({PATH: FILE}, once(Fault("changed", 9_000, page=Page(after)))) as server:
        outcome = read(server.url + PATH, layout, QUICK)
    assert (outcome.status, outcome.source_id) == ("matched", sha256(after)), outcome.reason


def test_content_that_keeps_changing_is_quarantined_after_three_readings(layout: Layout) -> None:
    pages = [Page(gzipped(rates(number))) for number in range(9)]
    with serve({PATH: pages[0]}, in_turn(*[Fault("changed", 9_000, page=page) for page in pages[1:]])) as server:
        outcome = read(server.url + PATH, layout)
    assert outcome.status == "quarantined"
    assert outcome.reason is not None
    assert "changed on the server before byte" in outcome.reason
    assert outcome.reason.endswith("it changed during 3 readings; run again later")
    assert [path for path in layout.extracts.iterdir() if path.name.startswith(".tmp-")] == []


@pytest.mark.parametrize("body", [FILE[:-8], FILE[:2_000], rates()[:-1], b"<html>Sign in</html>", b""])
def test_a_bad_file_of_a_server_is_quarantined(body: bytes, layout: Layout) -> None:
    with serve({PATH: body}) as server:
        outcome = read(server.url + PATH, layout, QUICK)
    assert outcome.status == "quarantined"
    assert outcome.reason


def index_of(server: Server, signature: str, paths: Sequence[str]) -> bytes:
    locations = [{"location": f"{server.url}{path}?sig={signature}", "description": "rates"} for path in paths]
    return json_bytes({"reporting_entity_name": "Acme", "reporting_structure": [{"in_network_files": locations}]})


def test_expired_signatures_are_renewed_from_one_reading_of_the_table_of_contents(layout: Layout) -> None:
    paths = [f"/{number}.json.gz" for number in range(4)]
    pages = {path: Page(gzipped(rates(number)), signature="new") for number, path in enumerate(paths)}
    with serve(pages) as server:
        server.pages["/index.json"] = Page(index_of(server, "new", paths))
        contents = f"{server.url}/index.json"
        outcomes = [read(f"{server.url}{path}?sig=old", layout, contents=contents) for path in paths]
        assert server.requests["/index.json"] == 1
    assert [outcome.status for outcome in outcomes] == ["matched"] * 4, outcomes[0].reason
    assert outcomes[0].source.location.endswith("?sig=old"), "the source stays the one that was asked for"


def test_a_file_no_longer_listed_is_quarantined(layout: Layout) -> None:
    with serve({PATH: Page(FILE, signature="new")}) as server:
        server.pages["/index.json"] = Page(index_of(server, "new", ["/other.json.gz"]))
        outcome = read(f"{server.url}{PATH}?sig={CANARY}", layout, contents=f"{server.url}/index.json?sig={CANARY}")
        lost = read(f"{server.url}{PATH}?sig={CANARY}", layout, contents=f"{server.url}/lost.json?sig={CANARY}")
    assert (outcome.reason, lost.reason) == (
        "the server answers 403, and its table of contents lists no other address; run again later",
        f"expired, and its table of contents {server.url}/lost.json can't be read again: the server answers 404; "
        "check the address, or look for a newer one at the payer",
    )


def test_no_secret_reaches_disk_reasons_or_logs(layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    faults = in_turn(Fault("cut", 9_000), Fault("status"), None, None, *[Fault("status")] * 99)
    header = ("X-Api-Key", CANARY)
    with serve({PATH: Page(FILE, signature=CANARY, require=header)}, faults) as server:
        source = Source(f"{server.url.replace('//', f'//user:{CANARY}@')}{PATH}?sig={CANARY}", headers=(header,))
        outcomes = [extract(source, layout, ReadSettings(WANTED, "ijson", QUICK)) for _ in range(2)]
        outcomes += [
            extract(replace(source, location=source.location + "x"), layout, ReadSettings(WANTED, fetching=QUICK))
        ]
        (extracted,) = layout.extracts.iterdir()
        extracted.rename(layout.cache / "lost")
        outcomes += [extract(source, layout, ReadSettings(WANTED, "ijson", QUICK))]
    assert [outcome.status for outcome in outcomes] == ["matched", "matched", "quarantined", "quarantined"]
    assert CANARY not in caplog.text + repr(outcomes)
    paths = list(layout.cache.rglob("*"))
    assert "account.json" in {path.name for path in paths}
    assert [path for path in paths if CANARY in str(path)] == files_with(layout.cache, CANARY) == []


def test_remote_references_on_private_addresses_need_the_setting(layout: Layout) -> None:
    groups = json_bytes({"provider_groups": reference(1, group(ANN))["provider_groups"]})
    with serve({"/groups.json": groups}, once(Fault("cut", 20))) as server:
        location = f"{server.url}/groups.json"
        refused = RemoteReferences(layout)
        assert refused.fetch([location]) == {}
        assert "allow_private" in refused.failed[location]
        assert list(RemoteReferences(layout, QUICK).fetch([location])) == [location]


PROGRAM = """
import sys
from pathlib import Path
from flows.settings.values import Fetching, HostLimits
from flows.storage.layout import Layout
from flows.download.sources import Source
from flows.download.resumable_download import open_url
url, cache, connections = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
from concurrent.futures import ThreadPoolExecutor
def fetch(number):
    fetching = Fetching(limits=HostLimits(connections=connections))
    with open_url(Source(f"{url}/{number}"), fetching, Layout(cache)) as stream:
        stream.finish()
with ThreadPoolExecutor(4) as threads:
    list(threads.map(fetch, range(12)))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_wait_for_a_stalled_server(
    number: signal.Signals, code: int, layout: Layout, tmp_path: Path
) -> None:
    with serve({PATH: FILE}, lambda asked, page: Fault("stall", 9_000)) as server:
        process = start("run", f"{server.url}{PATH}?sig={CANARY}", "--output", layout.root, "--month", "2026-06")
        wait_until(lambda: server.body_bytes[PATH], "reading to begin")
        process.send_signal(number)
        ended = end(process)
    assert ended.code == code
    assert ended.err.splitlines()[-1].startswith("tic-rates: stopped; finished work is saved")
    assert CANARY not in ended.err


@pytest.mark.slow
def test_a_hosts_connections_are_limited_over_processes(tmp_path: Path) -> None:
    import subprocess
    import sys

    pages = {f"/{number}": FILE for number in range(12)}
    with serve(pages, lambda asked, page: Fault("delay", seconds=0.02)) as server:
        command = [sys.executable, "-c", PROGRAM, server.url, str(tmp_path), "2"]
        processes = [subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(Path.cwd())}) for _ in range(2)]
        assert [process.wait() for process in processes] == [0, 0]
        assert server.most_at_once == 2
        assert sum(server.requests.values()) == 24


@pytest.mark.slow
def test_two_hundred_files_of_a_faulty_server(layout: Layout, tmp_path: Path) -> None:
    """30% of the answers are faulty: every file is right or has a reason, and little is fetched twice."""
    random = Random(2026)
    bodies = {f"/{n:03d}.json.gz": gzip.compress(rates(n, random.randint(18_000, 170_000)), 1) for n in range(200)}
    assert min(map(len, bodies.values())) >= 20_000 and max(map(len, bodies.values())) <= 200_000
    changed = iter(range(1000, 9999))
    faults = now_and_then(5, 0.3, lambda page: Page(gzipped(rates(next(changed), len(page.body)))))
    with serve(bodies, faults) as server:
        sources = [Source(server.url + path) for path in bodies]
        outcomes = extract_many(sources, layout, ReadSettings(WANTED, fetching=QUICK, workers=2))
        assert sum(server.faults.values()) > 50
        held = {server.url + path: page.body for path, page in server.pages.items()}
        fetched, whole = sum(server.body_bytes.values()), sum(map(len, held.values()))
        server.fault = None
        server.forget()
        again = extract_many(sources, layout, ReadSettings(WANTED, fetching=QUICK, workers=2))
        assert (sum(server.requests.values()), sum(server.body_bytes.values())) == (200, 0)
    assert fetched <= 1.2 * whole, f"{fetched / whole:.3f}"
    assert all(outcome.unchanged for outcome in again)
    assert [outcome.source_id for outcome in again] == [outcome.source_id for outcome in outcomes]
    for outcome in outcomes:
        assert outcome.source_id == sha256(held[outcome.source.location]), outcome.reason
    for outcome in outcomes[::20]:
        local = read_locally(held[outcome.source.location], tmp_path)
        assert (outcome.account, tables(outcome)) == (local.account, tables(local))

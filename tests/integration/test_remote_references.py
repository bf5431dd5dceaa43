"""Remote provider references: validated like sources, part of what is built, and given up only where a host fails."""

import json
import os
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

from flows.extract.provider_references import FAILURES_PER_HOST, FETCHES_AT_ONCE, RemoteReferences
from flows.settings.values import Fetching
from flows.storage.layout import Layout
from tests.command_line import Ended, call, digests, files_with
from tests.documents import ANN, BOB, EVE, document, group, item, rate
from tests.http_server import Asked, ChooseFault, Fault, Page, serve
from tests.json_text import json_bytes

Capture = pytest.CaptureFixture[str]
QUICK = Fetching(attempts=1, allow_private=True)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "output")
    layout.prepare()
    return layout


def groups(*npis: int) -> bytes:
    return json_bytes({"provider_groups": [group(*npis)]})


def fetch(layout: Layout, *locations: str, **how: Any) -> set[int]:
    """The NPIs had by a run of its own."""
    found = RemoteReferences(layout, QUICK, **how).fetch(locations)
    return {npi for path in found.values() for npis in pl.read_parquet(path)["npi"] for npi in npis}


# ---- Whether it changed ---------------------------------------------------------------------------------------------


def test_changed_content_is_seen_and_unchanged_content_is_not_fetched(layout: Layout) -> None:
    with serve({"/g.json": groups(ANN)}) as server:
        url = f"{server.url}/g.json"
        assert fetch(layout, url) == {ANN}
        server.forget()
        assert fetch(layout, url) == {ANN}
        assert (server.requests["/g.json"], server.body_bytes["/g.json"]) == (1, 0)
        server.change("/g.json", body=groups(BOB))
        assert fetch(layout, url) == {BOB}


def test_force_fetches_what_is_unchanged(layout: Layout) -> None:
    with serve({"/g.json": groups(ANN)}) as server:
        fetch(layout, f"{server.url}/g.json")
        server.forget()
        fetch(layout, f"{server.url}/g.json", force=True)
        assert server.body_bytes["/g.json"] == len(groups(ANN))


def test_a_server_without_validators_is_asked_for_the_content_each_time(layout: Layout) -> None:
    with serve({"/g.json": Page(groups(ANN), etag=None, last_modified=None)}) as server:
        url = f"{server.url}/g.json"
        assert fetch(layout, url) == {ANN}
        server.change("/g.json", body=groups(BOB))
        assert fetch(layout, url) == {BOB}


def test_one_run_asks_once(layout: Layout) -> None:
    with serve({"/g.json": groups(ANN)}) as server:
        remote = RemoteReferences(layout, QUICK)
        for _ in range(2):
            remote.fetch([f"{server.url}/g.json", f"{server.url}/dead.json"])
        assert dict(server.requests) == {"/g.json": 1, "/dead.json": 1}
        assert remote.unresolved == 1


def test_queries_are_different_references(layout: Layout) -> None:
    with serve({"/g?f=a": groups(ANN), "/g?f=b": groups(BOB)}) as server:
        assert fetch(layout, f"{server.url}/g?f=a", f"{server.url}/g?f=b") == {ANN, BOB}
        remote = RemoteReferences(layout, QUICK)
        remote.fetch([f"{server.url}/none?f={number}" for number in range(3)])
        assert (remote.unresolved, len(remote.failed)) == (3, 1)


def test_a_file_beside_that_changed_is_read_again(layout: Layout, tmp_path: Path) -> None:
    beside = tmp_path / "groups.json"
    for npi in (ANN, BOB):
        beside.write_bytes(groups(npi))
        assert fetch(layout, str(beside)) == {npi}


@pytest.mark.parametrize("content", [[group(ANN)], group(ANN)], ids=["a bare list", "one group"])
def test_every_shape_is_read(content: object, layout: Layout) -> None:
    with serve({"/g.json": json_bytes(content)}) as server:
        assert fetch(layout, f"{server.url}/g.json") == {ANN}


# ---- Which host fails -----------------------------------------------------------------------------------------------


def failing(*paths: str, status: int = 503, shuffled: int = 0) -> ChooseFault:
    random = Random(shuffled)

    def choose(asked: Asked, page: Page) -> Fault | None:
        if asked.path in paths:
            return Fault("status", status=status)
        return Fault("delay", seconds=random.choice((0.0, 0.01))) if shuffled else None

    return choose


def test_dead_files_and_other_files_say_nothing_of_their_host(layout: Layout) -> None:
    pages: dict[str, Page | bytes] = {f"/a{number}": b'{"message": "Forbidden"}' for number in range(10)}
    with serve(pages | {"/z": groups(ANN)}) as server:
        remote = RemoteReferences(layout, QUICK)
        dead = [f"{server.url}/dead{number}" for number in range(10)]
        found = remote.fetch([*dead, *(server.url + path for path in pages), f"{server.url}/z"])
    assert list(found) == [f"{server.url}/z"]
    assert (remote.unresolved, remote.given_up) == (20, {})


def test_too_many_requests_are_no_failure_of_the_host(layout: Layout) -> None:
    paths = [f"/a{number}" for number in range(10)]
    pages = {path: groups(EVE) for path in paths}
    with serve(pages | {"/z": groups(ANN)}, failing(*paths, status=429)) as server:
        assert fetch(layout, *(server.url + path for path in (*paths, "/z"))) == {ANN}


def test_a_host_that_fails_is_left_alone_and_what_is_given_up_is_counted(layout: Layout) -> None:
    paths = [f"/{number:02}" for number in range(40)]
    with serve(dict.fromkeys(paths, groups(ANN)), failing(*paths)) as server:
        remote = RemoteReferences(layout, QUICK)
        assert remote.fetch([server.url + path for path in paths]) == {}
        assert server.requests.total() == FETCHES_AT_ONCE
    assert (remote.unresolved, dict(remote.given_up)) == (40, {"127.0.0.1": 40})
    assert remote.failed[f"{server.url}/39"] == (
        f"not asked for: 127.0.0.1 failed {FETCHES_AT_ONCE} times in a row; run again later"
    )


def test_a_host_that_nobody_reaches_is_left_alone(layout: Layout) -> None:
    with serve({}) as server:
        pass
    remote = RemoteReferences(layout, QUICK)
    remote.fetch([f"{server.url}/{number}" for number in range(40)])
    assert dict(remote.given_up) == {"127.0.0.1": 40}
    assert sum(reason.startswith("not asked for") for reason in remote.failed.values()) == 40 - FETCHES_AT_ONCE


def test_a_success_ends_a_row_of_failures(layout: Layout) -> None:
    paths = [f"/{number:02}" for number in range(10 * FAILURES_PER_HOST)]
    bad = [path for number, path in enumerate(paths) if number % FAILURES_PER_HOST]
    with serve(dict.fromkeys(paths, groups(ANN)), failing(*bad)) as server:
        remote = RemoteReferences(layout, QUICK)
        found = remote.fetch([server.url + path for path in paths])
    assert set(found) == {server.url + path for path in paths if path not in bad}
    assert remote.given_up["127.0.0.1"] == len(bad)


def test_what_stays_unresolved_does_not_depend_on_which_thread_is_first(layout: Layout) -> None:
    """Two thirds fail, by chance; which ones does not."""
    paths = [f"/{number:02}" for number in range(60)]
    bad = Random(7).sample(paths, 40)
    found = set()
    for seed in range(1, 5):
        with serve(dict.fromkeys(paths, groups(ANN)), failing(*bad, shuffled=seed)) as server:
            had = RemoteReferences(layout, QUICK).fetch([server.url + path for path in reversed(paths)])
        found.add(tuple(location.removeprefix(server.url) for location in had))
    assert len(found) == 1


# ---- What a night makes of it ---------------------------------------------------------------------------------------


def citing(place: Path, url: str, *queries: str) -> Path:
    """A configuration of one file that cites remote references; the first two, each by an item of its own."""
    references = [{"provider_group_id": no, "location": url + query} for no, query in enumerate(queries)]
    items = [item(rate(provider_references=[no]), name=str(no)) for no in range(len(queries))]
    items[1:] = [each | {"billing_code": "97028"} for each in items[1:]]
    (place / "mrf.json").write_bytes(json_bytes(document(*items, references=references)))
    config = place / "tic-rates.toml"
    config.write_text(
        "output = 'out'\nworkers = 1\n[http]\nallow_private = true\nattempts = 1\n"
        f"[[payer]]\nname = 'All'\nfiles = ['{place / 'mrf.json'}']\n"
    )
    return config


def nightly(capsys: Capture, config: Path) -> Ended:
    return call(capsys, "nightly", "--config", config, "--month", "2026-06", "--json")


def providers(output: Path) -> set[tuple[str, int]]:
    rates = pl.read_parquet(output / "rates" / "*" / "*" / "*.parquet", hive_partitioning=False)
    return set(rates.select("billing_code", "npi").iter_rows())


def test_a_night_sees_that_a_reference_changed(tmp_path: Path, capsys: Capture) -> None:
    with serve({"/a": groups(ANN), "/b": groups(BOB)}) as server:
        config = citing(tmp_path, server.url, "/a", "/b")
        assert nightly(capsys, config).json_line["status"] == "published"
        server.forget()
        assert nightly(capsys, config).json_line["status"] == "unchanged"
        assert (server.requests.total(), server.body_bytes.total()) == (2, 0)
        server.change("/a", body=groups(BOB))
        server.change("/b", body=groups(ANN))  # the same contents, each in the other's place
        assert nightly(capsys, config).json_line["status"] == "published"
        assert providers(tmp_path / "out") == {("97026", BOB), ("97028", ANN)}
        again = tmp_path / "again"
        again.mkdir()
        nightly(capsys, citing(again, server.url, "/a", "/b"))
    assert digests(tmp_path / "out") == digests(again / "out")


def test_a_signed_reference_stays_resolved_while_the_file_that_cites_it_stays(tmp_path: Path, capsys: Capture) -> None:
    with serve({"/a": Page(groups(ANN), etag=None, last_modified=None)}) as server:
        config = citing(tmp_path, server.url, "/a?sig=c4n4ry")
        nightly(capsys, config)
        assert nightly(capsys, config).json_line["status"] == "unchanged"
    assert providers(tmp_path / "out") == {("97026", ANN)}
    assert files_with(tmp_path / "out", "c4n4ry") == []


def test_a_signed_reference_outlives_a_prune_with_the_file_that_cites_it(tmp_path: Path, capsys: Capture) -> None:
    with serve({"/a": Page(groups(ANN), etag=None, last_modified=None)}) as server:
        config = citing(tmp_path, server.url, "/a?sig=c4n4ry")
        nightly(capsys, config)
        cache = tmp_path / "out" / ".cache"
        for path in (*(cache / "remote").iterdir(), *(cache / "sources").iterdir()):  # a run was killed in between
            os.utime(path, (0, 0))
        pruned = call(capsys, "prune", "--cache-days", "1", "--output", tmp_path / "out", "--json")
        assert pruned.json_line["kinds"]["remote_references"]["entries"] == 0
        assert pruned.json_line["kinds"]["sources"]["entries"] == 1, "of the file itself"
        nightly(capsys, config)
    assert providers(tmp_path / "out") == {("97026", ANN)}


def test_a_file_beside_with_a_query_is_read_and_its_change_is_seen(tmp_path: Path, capsys: Capture) -> None:
    config = citing(tmp_path, "", "groups.json?sig=1")
    for npi in (ANN, BOB):
        (tmp_path / "groups.json").write_bytes(groups(npi))
        assert nightly(capsys, config).json_line["status"] == "published"
        assert providers(tmp_path / "out") == {("97026", npi)}


def test_a_dead_reference_is_counted_and_a_failing_host_is_exit_3(tmp_path: Path, capsys: Capture) -> None:
    with serve({"/a": groups(ANN)}) as server:
        config = citing(tmp_path, server.url, "/a", "/dead")
        dead = nightly(capsys, config)
        server.fault = failing("/a")
        failed = nightly(capsys, config)
    assert (dead.code, dead.json_line["references"]) == (0, {"unresolved": 1, "given_up": {}})
    expected = {"unresolved": 2, "given_up": {"127.0.0.1": 1}}
    assert (failed.code, failed.json_line["references"]) == (3, expected)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["months"]["2026-06"]["references"] == expected

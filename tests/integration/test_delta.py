"""Delta tables beside the published ones: read back at two versions, committed once, put right after what went wrong.

In a folder, and in object storage: a mounted folder taken as a store, or a real S3 server (`make test-slow`).
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pytest

from flows.orchestration.steps import Publication, publish_tables, undo_publication
from flows.publish import delta
from flows.publish.delta import commit_months
from flows.publish.manifest import read_manifest
from flows.publish.publish import TABLES, change_manifest
from flows.storage.layout import Layout
from flows.storage.object_store import Objects
from schemas.published import PROVIDERS, SUMMARIES
from tests import ceph
from tests.command_line import Ended, call, digests
from tests.documents import ANN, BOB, document, group, item, price, rate
from tests.json_text import json_bytes
from tests.object_places import BOTH, ceph_server, digests_at, make_place
from tests.shared_files import REPOSITORY

if TYPE_CHECKING:
    from deltalake import DeltaTable

Capture = pytest.CaptureFixture[str]
MAY, JUNE = "2026-05", "2026-06"
NAMES = ("summaries", "providers")
DECLARED = {"summaries": SUMMARIES, "providers": PROVIDERS}


def write_source(folder: Path, rate_usd: float) -> Path:
    path = folder / "in.json"
    path.write_bytes(json_bytes(document(item(rate(group(ANN, BOB), prices=[price(negotiated_rate=rate_usd)])))))
    return path


def publish(
    capsys: Capture, folder: Path, rate_usd: float, *words: object, month: str = JUNE, output: object = None
) -> Ended:
    source = write_source(folder, rate_usd)
    return call(capsys, "run", source, "--month", month, "--output", output or folder / "out", "--json", *words)


def opened(place: object, name: str, version: int | None = None) -> "DeltaTable":
    from deltalake import DeltaTable

    options = Objects.of(str(place)).library_options if "://" in str(place) else None
    return DeltaTable(f"{place}/delta/{name}", version=version, storage_options=options)


def rows(table: "DeltaTable", name: str) -> pl.DataFrame:
    """The declared columns, sorted as published."""
    found = pl.DataFrame(pl.from_arrow(table.to_pyarrow_table()))
    assert found.columns[: len(DECLARED[name].names)] == DECLARED[name].names, "in the published order"
    assert pl.Schema(found.schema).items() >= DECLARED[name].polars.items()
    return found.select(DECLARED[name].names).sort(DECLARED[name].order)


def published(output: Path, name: str, month: str = "*") -> pl.DataFrame:
    return pl.read_parquet(output / name / f"period={month}" / "*.parquet", hive_partitioning=False)


def identities(table: "DeltaTable") -> list[dict[str, Any]]:
    """What the commits say of the manifest, the oldest first."""
    return [json.loads(commit["userMetadata"]) for commit in reversed(table.history())]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ceph.Server]:
    """An S3 server, for as long as this file's tests run."""
    yield from ceph_server(tmp_path_factory.mktemp("ceph"))


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty place in object storage."""
    running = request.getfixturevalue("server") if request.param == "s3" else None
    return make_place(request.param, tmp_path, running, monkeypatch)


def test_each_version_has_the_rows_of_its_publication_in_every_reader(tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "out"
    may = publish(capsys, tmp_path, 20.0, "--delta", month=MAY)
    assert may.json_line["delta"] == {"commits": 2, "versions": dict.fromkeys(NAMES, 0), "failed": None}
    publish(capsys, tmp_path, 30.0, "--delta")
    first = {name: published(output, name) for name in NAMES}
    assert publish(capsys, tmp_path, 31.0, "--delta").code == 0
    for name in NAMES:
        second, order = published(output, name), DECLARED[name].order
        assert not second.equals(first[name])
        assert second.filter(month=date(2026, 5, 1)).equals(first[name].filter(month=date(2026, 5, 1)))
        for version, expected in ((1, first[name]), (2, second)):
            table = opened(output, name, version)
            assert rows(table, name).equals(expected.sort(order))
            by_polars = pl.read_delta(str(output / "delta" / name), version=version)
            assert by_polars.select(expected.columns).sort(order).equals(expected.sort(order))
            dataset = table.to_pyarrow_dataset()
            found = duckdb.sql("FROM dataset")
            assert found is not None and found.columns == dataset.schema.names
            by_duckdb: pl.DataFrame = found.pl()
            assert by_duckdb.select(expected.columns).sort(order).equals(expected.sort(order))


def test_a_commit_says_which_publication_it_is(tmp_path: Path, capsys: Capture) -> None:
    publish(capsys, tmp_path, 30.0, "--delta")
    entry = read_manifest(Layout(tmp_path / "out"))["months"][JUNE]
    for name in NAMES:
        (identity,) = identities(opened(tmp_path / "out", name))
        assert identity["month"] == JUNE
        assert {key: identity[key] for key in ("published_at", "software", "methodology")}.items() <= entry.items()
        assert identity["sha256"] == entry["sha256"][name]
        assert identity["sha256"] == digests(tmp_path / "out", name)[f"{name}/period={JUNE}/{name}.parquet"]


def test_the_same_tables_are_not_committed_twice(tmp_path: Path, capsys: Capture) -> None:
    publish(capsys, tmp_path, 30.0, "--delta")
    again = publish(capsys, tmp_path, 30.0, "--delta")
    assert again.json_line["delta"]["commits"] == 0
    for name in NAMES:
        table = opened(tmp_path / "out", name)
        table.create_checkpoint()
        assert table.version() == 0
    for log in (tmp_path / "out" / "delta").glob("*/_delta_log/*.json"):
        log.unlink()  # as the library does after delta.logRetentionDuration
    assert publish(capsys, tmp_path, 30.0, "--delta").json_line["delta"]["commits"] == 0


def test_months_that_were_published_without_delta_are_committed_by_the_first_run_with_it(
    tmp_path: Path, capsys: Capture
) -> None:
    for month in (MAY, JUNE):
        assert publish(capsys, tmp_path, 30.0, month=month).json_line["delta"] is None
    assert not (tmp_path / "out" / "delta").exists()
    layout = Layout(tmp_path / "out")
    change_manifest(layout, lambda manifest: manifest["months"][MAY].pop("sha256"))  # as an earlier version left it
    assert publish(capsys, tmp_path, 30.0, "--delta").json_line["delta"]["commits"] == 4
    for name in NAMES:
        assert [each["month"] for each in identities(opened(tmp_path / "out", name))] == [MAY, JUNE]
        assert rows(opened(tmp_path / "out", name), name).equals(
            published(tmp_path / "out", name).sort(DECLARED[name].order)
        )


def test_a_commit_that_fails_leaves_the_published_tables_and_says_so(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(capsys, tmp_path, 30.0, "--delta")
    publish(capsys, tmp_path / "out", 31.0, output=tmp_path / "expected")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(delta, "_write", full)
    failed = publish(capsys, tmp_path, 31.0, "--delta")
    assert failed.code == 3
    assert failed.json_line["status"] == "published"
    reason = failed.json_line["delta"]["failed"]
    assert "delta/summaries: not committed: OSError" in reason and "No space left" in reason
    assert "the same `tic-rates run` repeats the commit" in reason
    assert digests(tmp_path / "out") == digests(tmp_path / "expected")
    assert opened(tmp_path / "out", "summaries").version() == 0
    for_people = call(capsys, "run", tmp_path / "in.json", "--month", JUNE, "--output", tmp_path / "out", "--delta")
    assert for_people.code == 3 and "not committed" in for_people.out
    monkeypatch.undo()
    assert publish(capsys, tmp_path, 31.0, "--delta").json_line["delta"]["commits"] == 2
    for name in NAMES:
        assert rows(opened(tmp_path / "out", name), name).equals(
            published(tmp_path / "out", name).sort(DECLARED[name].order)
        )


def test_a_log_that_cannot_be_read_is_a_failed_commit_too(tmp_path: Path, capsys: Capture) -> None:
    log = tmp_path / "out" / "delta" / "summaries" / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json").write_text("no JSON\n")
    failed = publish(capsys, tmp_path, 30.0, "--delta")
    assert failed.code == 3 and "delta/summaries: not committed" in failed.json_line["delta"]["failed"]
    assert published(tmp_path / "out", "summaries").height


def test_a_run_that_is_killed_before_its_commit_is_made_up_for_by_the_next_one(tmp_path: Path, capsys: Capture) -> None:
    source = write_source(tmp_path, 30.0)
    config = tmp_path / "tic-rates.toml"
    config.write_text(f'output = "out"\ndelta = true\n[[payer]]\nname = "Aetna"\nfiles = ["{source}"]\n')
    night = ["nightly", "--config", str(config), "--month", JUNE, "--no-report", "--no-prefect", "--json"]
    script = (
        "import os, signal, sys\nfrom flows.publish import delta\n"
        "delta._write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"from flows.cli.app import main\nsys.exit(main({night!r}))"
    )
    killed = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    assert read_manifest(Layout(tmp_path / "out"))["months"].keys() == {JUNE}
    resumed = call(capsys, *night)
    assert (resumed.code, resumed.json_line["status"]) == (0, "unchanged")
    assert resumed.json_line["delta"]["commits"] == 2
    assert call(capsys, *night).json_line["delta"]["commits"] == 0


def test_an_undone_publication_is_followed(tmp_path: Path, capsys: Capture) -> None:
    """A later step of the transaction fails: the previous tables, or none, are published again."""
    output = tmp_path / "out"
    publish(capsys, tmp_path, 30.0, "--delta")
    before = {name: published(output, name) for name in NAMES}
    layout = Layout(output)
    for month, rate_usd in ((JUNE, 31.0), (MAY, 31.0)):
        folder = layout.staging / f"built-{month}"
        publish(capsys, tmp_path, rate_usd, month=month, output=tmp_path / "other")
        entry = read_manifest(Layout(tmp_path / "other"))["months"][month]
        folder.mkdir(parents=True)
        for table in TABLES:
            if (built := tmp_path / "other" / table / f"period={month}").exists():
                built.rename(folder / table)
        publication = Publication(layout, date.fromisoformat(f"{month}-01"), folder, entry)
        publish_tables(publication)
        assert commit_months(layout).commits == 2
        undo_publication(publication)
        assert commit_months(layout).commits == 2
        assert commit_months(layout).commits == 0
        for name in NAMES:
            assert rows(opened(output, name), name).equals(before[name].sort(DECLARED[name].order))
    publish(capsys, tmp_path, 31.0, "--delta", month=MAY)  # what was undone, published after all
    for name in NAMES:
        assert rows(opened(output, name), name).equals(published(output, name).sort(DECLARED[name].order))


def test_columns_that_a_later_version_adds_are_null_in_earlier_months(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from schemas.table import Table

    fewer = Table(**{**SUMMARIES.__dict__, "columns": tuple(c for c in SUMMARIES if c.name != "pct_of_local_medicare")})
    monkeypatch.setitem(delta.DELTA_TABLES, "summaries", fewer)
    publish(capsys, tmp_path, 30.0, "--delta", month=MAY)
    assert "pct_of_local_medicare" not in {each.name for each in opened(tmp_path / "out", "summaries").schema().fields}
    monkeypatch.undo()
    assert publish(capsys, tmp_path, 30.0, "--delta").code == 0
    found = pl.read_delta(str(tmp_path / "out" / "delta" / "summaries"))
    assert found.select(SUMMARIES.names).schema == SUMMARIES.polars
    assert set(found["month"]) == {date(2026, 5, 1), date(2026, 6, 1)}


@pytest.mark.parametrize("url", BOTH, indirect=True)
def test_two_machines_may_commit_at_once(
    url: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second finds the first one's commit of the month, and makes none; a commit of another month stays."""
    publish(capsys, tmp_path, 30.0, "--delta", output=url)
    publish(capsys, tmp_path, 31.0, output=url)
    publish(capsys, tmp_path, 20.0, month=MAY, output=url)
    layout, write = Layout.at(url), delta._write
    raced: list[str] = []

    def write_after_another(*arguments: Any) -> None:
        place, file, _, identity = arguments
        if identity["month"] not in raced:
            raced.append(identity["month"])
            write(place, file, place.open(), identity)
            file.seek(0)
        write(*arguments)

    monkeypatch.setattr(delta, "_write", write_after_another)
    commit_months(layout)
    table = opened(url, "summaries")
    assert [each["month"] for each in identities(table)] == [JUNE, MAY, JUNE]
    assert sorted(rows(table, "summaries")["month"].unique()) == [date(2026, 5, 1), date(2026, 6, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("url", BOTH, indirect=True)
def test_delta_tables_in_object_storage(
    url: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rate_usd, month in ((20.0, MAY), (30.0, JUNE), (31.0, JUNE)):
        done = publish(capsys, tmp_path, rate_usd, "--delta", month=month, output=url)
        assert (done.code, done.json_line["delta"]["commits"]) == (0, 2), done
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another-machine"))
    assert publish(capsys, tmp_path, 31.0, "--delta", output=url).json_line["delta"]["commits"] == 0
    for name in NAMES:
        for version, rate_usd in ((1, 30.0), (2, 31.0)):
            output = tmp_path / f"local-{rate_usd}"
            publish(capsys, tmp_path, 20.0, month=MAY, output=output)
            publish(capsys, tmp_path, rate_usd, output=output)
            expected = published(output, name).sort(DECLARED[name].order)
            assert rows(opened(url, name, version), name).equals(expected)
        stated = digests_at(url, name)[f"{name}/period={JUNE}/{name}.parquet"]
        assert identities(opened(url, name))[-1]["sha256"] == stated


@pytest.mark.parametrize(
    "words", [["run", "in.json", "--delta"], ["nightly", "--delta"], ["nightly", "--config", "d.toml"]]
)
def test_without_the_extra_delta_is_refused_with_the_command_that_installs_it(
    words: list[str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_source(tmp_path, 30.0)
    block = '[[payer]]\nname = "Aetna"\nfiles = ["in.json"]\n'
    (tmp_path / "tic-rates.toml").write_text(block)
    (tmp_path / "d.toml").write_text(f"delta = true\n{block}")
    monkeypatch.chdir(tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr(delta, "find_spec", lambda name: None if name == "deltalake" else find(name))
    refused = call(capsys, *words)
    assert refused.code == 2
    assert "pip install 'tic-rates[delta]'" in refused.err
    assert not (tmp_path / "output").exists()

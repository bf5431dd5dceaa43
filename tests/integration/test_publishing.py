"""Readers beside publishing: no error, no missing table, no mix of versions; and two runs of one month at once."""

import json
import os
import shutil
import time
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flows.download.sources import Source
from flows.orchestration.run import RunRequest, run
from flows.publish.retention import remove_unused_builds
from flows.storage.atomic_files import exchange_folders, put_in_place
from flows.storage.layout import Layout
from tests.command_line import digests, end, start
from tests.documents import ANN, BOB, document, group, item, price, rate
from tests.effort import usually
from tests.json_text import json_bytes
from tests.looping import looping
from transforms.errors import OutOfResourcesError

MONTH = date(2026, 6, 1)
PUBLISHES = usually(3, 20)
ENTITIES = ("Aetna Life Insurance Company", "Acme Health Plan", "Bcme Health Plan", "Ccme Health Plan")


def publish(folder: Path, version: int) -> None:
    """A month whose every price says which version it is."""
    sources = []
    for number, entity in enumerate(ENTITIES):
        path = folder / f"{number}.json"
        prices = [price(negotiated_rate=10 + version)]
        path.write_bytes(json_bytes(document(item(rate(group(ANN, BOB), prices=prices)), reporting_entity_name=entity)))
        sources.append(Source(str(path)))
    run(RunRequest(tuple(sources), MONTH, ("97026",), folder / "out", report=False))


def versions(frame: pl.DataFrame, column: str) -> set[Any]:
    return set(frame[column].unique().to_list())


def opened_once(path: Path) -> pl.DataFrame:
    """polars opens a path twice, for the footer and for the rows, and may meet two versions: give it one open file."""
    with path.open("rb") as file:
        return pl.read_parquet(file)


def read_single_files(output: Path) -> None:
    """Files that are opened once, without looking left or right."""
    for table, column in (("summaries", "p50_usd"), ("providers", "representative_rate_usd")):
        frame = opened_once(output / table / "period=2026-06" / f"{table}.parquet")
        if table == "summaries":
            frame = frame.filter(pl.col("payer_kind") == "payer")
        assert len(versions(frame, column)) == 1, table
    for table in ("files", "exclusions", "unmapped"):
        opened_once(output / "quality" / "period=2026-06" / f"{table}.parquet")


def read_rates_as_documented(output: Path) -> None:
    """output/README.md: the manifest before and after, and again when it moved."""

    def state() -> tuple[object, bool]:
        manifest = json.loads((output / "manifest.json").read_bytes())
        return manifest["months"]["2026-06"]["published_at"], "2026-06" in manifest["publishing"]

    while True:
        before = state()
        try:
            frame = pl.read_parquet(output / "rates" / "period=2026-06" / "*" / "*.parquet", hive_partitioning=False)
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
            assert before != state() or before[1], "an error though nothing was published meanwhile"
            continue
        if before == state() and not before[1]:
            break
    assert len(versions(frame, "negotiated_rate")) == 1
    assert frame["payer"].n_unique() == len(ENTITIES)


@pytest.mark.slow
def test_readers_beside_publishing_see_whole_versions(tmp_path: Path) -> None:
    publish(tmp_path, 0)
    output = tmp_path / "out"
    with (
        looping(partial(read_single_files, output)) as one,
        looping(partial(read_rates_as_documented, output)) as other,
    ):
        for version in range(1, PUBLISHES + 1):
            publish(tmp_path, version)
    for times in (*one, *other):
        assert isinstance(times, int), times
        assert times > PUBLISHES / 2, "it read while months were published"


def test_a_kill_between_tables_is_told_and_mended_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import flows.publish.publish

    publish(tmp_path, 0)

    def die(new: Path, target: Path) -> None:
        if target.parent.name == "providers":
            raise KeyboardInterrupt
        exchange_folders(new, target)

    def undo_nothing(*_: Path) -> None:
        raise KeyboardInterrupt  # who is killed undoes nothing

    with monkeypatch.context() as patch:
        patch.setattr(flows.publish.publish, "exchange_folders", die)
        patch.setattr(flows.publish.publish, "_put_back", undo_nothing)
        with pytest.raises(KeyboardInterrupt):
            publish(tmp_path, 1)
    manifest = Layout(tmp_path / "out").manifest
    assert json.loads(manifest.read_bytes())["publishing"] == ["2026-06"]
    publish(tmp_path, 1)
    assert json.loads(manifest.read_bytes())["publishing"] == []
    read_rates_as_documented(tmp_path / "out")


@pytest.mark.slow
def test_two_runs_of_one_month_at_once_wait_for_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "mrf"
    folder.mkdir()
    for number in range(6):
        prices = [price(negotiated_rate=10 + number)]
        (folder / f"{number}.json").write_bytes(json_bytes(document(item(rate(group(ANN), prices=prices)))))
    arguments = ("run", folder, "--month", "2026-06", "--output")
    assert end(start(*arguments, tmp_path / "alone")).code == 0
    both = [start(*arguments, tmp_path / "both") for _ in range(2)]
    assert [end(process).code for process in both] == [0, 0]
    assert digests(tmp_path / "both") == digests(tmp_path / "alone")


@pytest.mark.slow
def test_a_folder_made_anew_in_the_cache_is_never_absent(tmp_path: Path) -> None:
    """Two runs that build the same payer: one reads what the other builds once more."""
    target = tmp_path / "build"

    def put(version: int) -> None:
        new = tmp_path / f"new-{version}"
        new.mkdir()
        (new / "rates.parquet").write_bytes(b"rates")
        put_in_place(new, target)
        shutil.rmtree(new, ignore_errors=True)

    put(0)
    with looping(lambda: require(target / "rates.parquet")) as found:
        for version in range(1, 500):
            put(version)
    assert isinstance(found[0], int), found
    assert found[0] > 100, "it looked while folders were exchanged"


def require(path: Path) -> None:
    assert path.exists(), path


def test_what_never_was_made_is_put_nowhere(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "nothing", tmp_path / "nowhere")


@pytest.mark.parametrize(("shared", "days", "stands"), [(False, 2, False), (True, 2, True), (True, 200, False)])
def test_builds_that_nobody_uses_are_dropped_later_where_other_outputs_may_use_them(
    tmp_path: Path, shared: bool, days: int, stands: bool
) -> None:
    layout = Layout.at(tmp_path / "out", str(tmp_path / "cache") if shared else "")
    layout.prepare()
    old = layout.payer_builds / "0123"
    old.mkdir()
    used = time.time() - days * 24 * 3600
    os.utime(old, (used, used))
    remove_unused_builds(layout)
    assert old.exists() is stands


def test_a_failure_after_publishing_puts_the_previous_tables_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_layout: Layout) -> None:
        raise OSError(28, "No space left on device")

    publish(tmp_path, 1)
    tables, manifest = digests(tmp_path / "out"), json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    monkeypatch.setattr("flows.orchestration.run.remove_unused_builds", fail)
    with pytest.raises(OutOfResourcesError, match="the last good tables are unchanged"):
        publish(tmp_path, 2)
    assert digests(tmp_path / "out") == tables
    now = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    for each in (now, manifest):
        each["months"]["2026-06"].pop("published_at")
    assert now == manifest
    read_single_files(tmp_path / "out")


def test_a_failure_after_the_first_publication_leaves_no_month(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_layout: Layout) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flows.orchestration.run.remove_unused_builds", stop)
    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path, 1)
    assert json.loads((tmp_path / "out" / "manifest.json").read_bytes())["months"] == {}
    assert [str(path) for path in (tmp_path / "out").rglob("period=*") if path.is_dir()] == []

"""Reading on other machines: nothing lost or read in vain, whatever becomes of workers, which are pretended here."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.download.open_source import expand
from flows.download.sources import Source
from flows.extract.extract_source import extract
from flows.extract.outcome import Outcome
from flows.orchestration import dask_cluster
from flows.orchestration.dask_cluster import (
    Answer,
    Batch,
    Lost,
    Watch,
    connect,
    read_elsewhere,
    read_on_dask,
    read_one_by_one,
    share,
)
from flows.orchestration.run import RunRequest, run
from flows.orchestration.steps import Steps
from flows.settings.fetching import Cluster, Fetching, HostLimits, ReadSettings
from flows.storage.layout import Layout
from tests.command_line import digests
from tests.documents import ANN, BOB, document, group, item, rate
from tests.json_text import json_bytes
from tests.pipeline import CODES
from tests.shared_files import REPOSITORY
from transforms.errors import OutageError, UsageError

Work = Callable[[Batch], Answer]
SETTINGS = ReadSettings(CODES, "ijson", workers=1)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Three files of different sizes beside it."""
    (tmp_path / "mrf").mkdir()
    for number, npi in enumerate((ANN, BOB, ANN), start=1):
        prices = [rate(group(npi), negotiated_rate=10 + number)] * number
        (tmp_path / "mrf" / f"{number}.json").write_bytes(json_bytes(document(item(*prices))))
    layout = Layout(tmp_path / "out", cache_location=str(tmp_path / "cache"))
    layout.prepare()
    return layout


class Pretended:
    """A cluster whose workers do as they are told, and which remembers what it sent."""

    def __init__(self, work: Work, size: int = 2) -> None:
        self.work, self.size = work, size
        self.sent: list[list[str]] = []

    def put(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In the place of Dask."""

        def cut(sources: Sequence[Source], _threads: int) -> list[list[Source]]:
            return [list(sources[at : at + self.size]) for at in range(0, len(sources), self.size)]

        monkeypatch.setattr(dask_cluster, "connect", lambda _: nullcontext(SimpleNamespace(nthreads=lambda: {"w": 1})))
        monkeypatch.setattr(dask_cluster, "batch_sources", cut)
        monkeypatch.setattr(dask_cluster, "answers", lambda _address, _client, batches: self.run(batches))

    def run(self, batches: Sequence[Batch]) -> Iterator[tuple[int, Answer | Lost]]:
        for number, batch in reversed(list(enumerate(batches))):
            self.sent.append([Path(source.location).name for source in batch.sources])
            try:
                yield number, self.work(batch)
            except MemoryError:
                yield number, Lost("killed")


def sources_of(layout: Layout) -> list[Source]:
    """The largest first, as ``extract_many`` hands them over."""
    return sorted(expand([str(layout.root.parent / "mrf")]), key=lambda source: -source.size)


def read(layout: Layout, engine: Pretended, machines: int = 1) -> list[Outcome]:
    with pytest.MonkeyPatch.context() as patch:
        engine.put(patch)
        return read_on_dask(sources_of(layout), layout, SETTINGS, cluster=Cluster("tcp://pretended", machines))


def test_outcomes_come_in_order_and_the_largest_files_go_first(layout: Layout) -> None:
    engine = Pretended(read_one_by_one)
    outcomes = read(layout, engine)
    assert [outcome.source for outcome in outcomes] == sources_of(layout)
    assert [outcome.status for outcome in outcomes] == ["matched"] * 3
    assert engine.sent == [["1.json"], ["3.json", "2.json"]]
    assert all(outcome.extract is not None and outcome.extract.parent == layout.extracts for outcome in outcomes)


def test_what_a_lost_worker_had_finished_is_not_sent_again(layout: Layout) -> None:
    def die_after_one(batch: Batch) -> Answer:
        if len(batch.sources) > 1:
            read_one_by_one(replace(batch, sources=batch.sources[:1], sizes=batch.sizes[:1]))
            raise MemoryError
        return read_one_by_one(batch)

    engine = Pretended(die_after_one)
    outcomes = read(layout, engine)
    assert [outcome.status for outcome in outcomes] == ["matched"] * 3
    assert not any(outcome.unchanged for outcome in outcomes)
    assert engine.sent == [["1.json"], ["3.json", "2.json"], ["2.json"]]


def test_a_file_that_costs_worker_after_worker_is_quarantined_and_the_others_are_read(layout: Layout) -> None:
    def die_of_two(batch: Batch) -> Answer:
        if any(source.location.endswith("2.json") for source in batch.sources):
            raise MemoryError
        return read_one_by_one(batch)

    outcomes = {Path(outcome.source.location).name: outcome for outcome in read(layout, Pretended(die_of_two))}
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "1.json": "matched",
        "2.json": "quarantined",
        "3.json": "matched",
    }
    assert "3 workers that read it were lost, the last one: killed" in str(outcomes["2.json"].reason)


def test_a_run_elsewhere_gives_the_same_tables(layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = RunRequest(
        tuple(sources_of(layout)), date(2026, 6, 1), tuple(sorted(CODES)), tmp_path / "here", report=False
    )
    run(replace(request, workers=1))
    Pretended(read_one_by_one, 1).put(monkeypatch)
    steps = Steps(read_elsewhere(Cluster("tcp://pretended")))
    run(replace(request, workers=1, output=tmp_path / "there", force=True), steps)
    assert digests(tmp_path / "there") == digests(tmp_path / "here")


def test_a_worker_that_does_not_see_the_files_is_named(layout: Layout) -> None:
    def look_elsewhere(batch: Batch) -> Answer:
        return read_one_by_one(replace(batch, sizes=tuple(size + 1 for size in batch.sizes)))

    with pytest.raises(UsageError, match=r"3\.json is not the same file on .*; sources must lie where all machines"):
        read(layout, Pretended(look_elsewhere, 3))


def test_a_cache_that_is_not_shared_is_named(layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(dask_cluster, "SEEN_SECONDS", 0.0)

    def write_elsewhere(batch: Batch) -> Answer:
        return read_one_by_one(replace(batch, layout=Layout(tmp_path / "another")))

    with pytest.raises(UsageError, match=r"is not here; output \(or TIC_RATES_CACHE\) must lie on a file"):
        read(layout, Pretended(write_elsewhere))


def test_two_runs_on_one_worker_write_into_their_own_caches(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second run's batch is read in the same process while the first one's is half read."""
    sources = tuple(sources_of(layout))
    first, second = (
        Batch(sources, tuple(source.size for source in sources), Layout.at(tmp_path / name, cache), SETTINGS)
        for name, cache in (("first", str(tmp_path / "first-cache")), ("second", ""))
    )

    def extract_beside(source: Source, *given: Any, **more: Any) -> Outcome:
        monkeypatch.setattr(dask_cluster, "extract", extract)
        read_one_by_one(second)
        return extract(source, *given, **more)

    monkeypatch.setattr(dask_cluster, "extract", extract_beside)
    (extracted, *_) = read_one_by_one(first).outcomes
    assert extracted.extract is not None
    assert extracted.extract.is_relative_to(tmp_path / "first-cache")
    names = sorted(path.name for path in (tmp_path / "first-cache" / "extracts").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "second" / ".cache" / "extracts").iterdir())


def test_machines_that_share_no_locks_share_a_hosts_limits() -> None:
    fetching = Fetching(limits=HostLimits(8, 10.0), hosts=(("mrf.example.com", HostLimits(1, None)),))
    assert share(fetching, 1) == fetching
    shared = share(fetching, 5)
    assert shared.limits == HostLimits(1, 2.0)
    assert shared.limits_of("mrf.example.com") == HostLimits(1, None)


def test_a_batch_shows_no_secret() -> None:
    secret = Source("https://mrf.example.com/a.json?sig=5ecre7", headers=(("Authorization", "5ecre7"),))
    assert "5ecre7" not in repr(Batch((secret,), (0,), Layout(Path()), SETTINGS))


def test_a_scheduler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 0.2)
    with pytest.raises(OutageError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:1 .*start one"):
        connect("tcp://127.0.0.1:1").__enter__()


def test_one_machine_imports_neither_dask_nor_prefect() -> None:
    program = (
        "import sys; from flows.orchestration import dask_cluster, months\n"
        "assert dask_cluster.read_elsewhere(dask_cluster.Cluster()) is None\n"
        "print({'dask', 'distributed', 'prefect'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert ended.stdout == "set()\n"


def test_a_lost_dask_worker_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    workers = {"tcp://10.0.0.2:1", "tcp://10.0.0.3:1"}
    client = SimpleNamespace(scheduler_info=lambda **_: {"workers": set(workers)})
    watch = Watch("tcp://10.0.0.1:8786", client)
    workers.remove("tcp://10.0.0.3:1")
    watch.check(last=True)
    watch.check(last=True)
    assert caplog.text.count("lost the Dask worker at tcp://10.0.0.3:1") == 1

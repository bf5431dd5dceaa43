"""Reading on other machines: nothing lost or read in vain, whatever becomes of workers, which are pretended here."""

import logging
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import date
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from flows.download.open_source import expand
from flows.download.sources import Source
from flows.extract.extract_source import extract
from flows.extract.outcome import Outcome
from flows.orchestration import dask_client, dask_cluster
from flows.orchestration.dask_client import Lost, Watch, Workplace, connect, machines_of
from flows.orchestration.dask_cluster import (
    Answer,
    Batch,
    Built,
    build_on_worker,
    is_shared,
    read_on_dask,
    read_one_by_one,
    share,
)
from flows.orchestration.run import RunRequest, run
from flows.orchestration.steps import Steps
from flows.settings.values import Cluster, Fetching, HostLimits, ReadSettings
from flows.storage.layout import Layout
from flows.storage.parquet import write_table
from flows.tables.payer_jobs import PayerJob
from flows.tables.utilization_lookup import build_utilization
from schemas.reference import NPPES
from tests.command_line import digests
from tests.documents import ANN, BOB, document, group, item, rate
from tests.json_text import json_bytes
from tests.pipeline import CODES
from tests.shared_files import REPOSITORY
from transforms.errors import OutageError, UsageError

Work = Callable[[Workplace[Batch]], Answer]
Build = Callable[[Any], Built]
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


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the pretended workers write."""
    folder = tmp_path / "machine" / "scratch"
    folder.mkdir(parents=True)
    monkeypatch.setattr(dask_client, "worker_folder", lambda: folder)
    monkeypatch.setattr(dask_cluster, "worker_folder", lambda: folder)
    return folder


class Pretended:
    """A cluster whose workers do as they are told, and which remembers what it sent."""

    def __init__(self, work: Work, size: int = 2, build: Build = build_on_worker) -> None:
        self.work, self.size, self.build = work, size, build
        self.sent: list[list[str]] = []
        self.built: list[str] = []

    def put(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In the place of Dask."""

        def cut(sources: Sequence[Source], _threads: int) -> list[list[Source]]:
            return [list(sources[at : at + self.size]) for at in range(0, len(sources), self.size)]

        client = SimpleNamespace(nthreads=lambda: {"tcp://127.0.0.1:1": 1})
        monkeypatch.setattr(dask_cluster, "connect", lambda _: nullcontext(client))
        monkeypatch.setattr(dask_cluster, "batch_sources", cut)
        monkeypatch.setattr(dask_cluster, "answers", self.run)

    def run(
        self, _address: str, _client: Any, work: Any, next_job: Callable[[], Any], at_once: int
    ) -> Iterator[tuple[Any, Any]]:
        while sent := list(takewhile(bool, (next_job() for _ in range(at_once)))):
            for name, place in reversed(sent):
                try:
                    yield name, self.do(work, pickle.loads(pickle.dumps(place)))
                except MemoryError:
                    yield name, Lost("killed")

    def do(self, work: Any, place: Any) -> Any:
        """What a worker answers."""
        if work is is_shared:
            return is_shared(place)
        if work is build_on_worker:
            self.built.append(place.job.inputs.payer)
            return self.build(place)
        self.sent.append([Path(source.location).name for source in place.job.sources])
        return self.work(place)


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
    def die_after_one(place: Workplace[Batch]) -> Answer:
        batch = place.job
        if len(batch.sources) > 1:
            read_one_by_one(place.of(replace(batch, sources=batch.sources[:1], sizes=batch.sizes[:1])))
            raise MemoryError
        return read_one_by_one(place)

    engine = Pretended(die_after_one)
    outcomes = read(layout, engine)
    assert [outcome.status for outcome in outcomes] == ["matched"] * 3
    assert not any(outcome.unchanged for outcome in outcomes)
    assert engine.sent == [["1.json"], ["3.json", "2.json"], ["2.json"]]


def test_a_file_that_costs_worker_after_worker_is_quarantined_and_the_others_are_read(layout: Layout) -> None:
    def die_of_two(place: Workplace[Batch]) -> Answer:
        if any(source.location.endswith("2.json") for source in place.job.sources):
            raise MemoryError
        return read_one_by_one(place)

    outcomes = {Path(outcome.source.location).name: outcome for outcome in read(layout, Pretended(die_of_two))}
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "1.json": "matched",
        "2.json": "quarantined",
        "3.json": "matched",
    }
    assert "3 workers that read it were lost, the last one: killed" in str(outcomes["2.json"].reason)


def test_a_run_elsewhere_gives_the_same_tables(
    layout: Layout, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = RunRequest(
        tuple(sources_of(layout)), date(2026, 6, 1), tuple(sorted(CODES)), tmp_path / "here", report=False
    )
    run(replace(request, workers=1))
    Pretended(read_one_by_one, 1).put(monkeypatch)
    cluster = Cluster("tcp://pretended")
    steps = Steps(cluster)
    run(replace(request, workers=1, output=tmp_path / "there", force=True), steps)
    assert digests(tmp_path / "there") == digests(tmp_path / "here")


def test_a_worker_that_does_not_see_the_files_is_named(layout: Layout) -> None:
    def look_elsewhere(place: Workplace[Batch]) -> Answer:
        return read_one_by_one(place.of(replace(place.job, sizes=tuple(size + 1 for size in place.job.sizes))))

    with pytest.raises(UsageError, match=r"3\.json is not the same file on .*; sources must lie where all machines"):
        read(layout, Pretended(look_elsewhere, 3))


def test_an_extract_that_does_not_appear_in_the_shared_cache_is_named(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dask_cluster, "SEEN_SECONDS", 0.0)

    def write_elsewhere(place: Workplace[Batch]) -> Answer:
        return read_one_by_one(replace(place, layout=Layout(tmp_path / "another")))

    with pytest.raises(UsageError, match=r"was written on .* and is not here; check the file system"):
        read(layout, Pretended(write_elsewhere))


def test_two_runs_on_one_worker_write_into_their_own_caches(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second run's batch is read in the same process while the first one's is half read."""
    sources = tuple(sources_of(layout))
    batch = Batch(sources, tuple(source.size for source in sources), SETTINGS)
    (tmp_path / "seen").touch()
    first, second = (
        Workplace(batch, Layout.at(tmp_path / name, cache), tmp_path / "seen")
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
    assert "5ecre7" not in repr(Batch((secret,), (0,), SETTINGS))


def test_a_scheduler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_client, "CONNECT_SECONDS", 0.2)
    with pytest.raises(OutageError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:1 .*start one"):
        connect("tcp://127.0.0.1:1").__enter__()


def test_one_machine_imports_neither_dask_nor_prefect() -> None:
    program = (
        "import sys; from flows.orchestration import dask_cluster, months\n"
        "assert months.Steps(dask_cluster.Cluster()).elsewhere is None\n"
        "print({'dask', 'distributed', 'prefect'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert ended.stdout == "set()\n"


class Scheduler:
    """A client whose scheduler has events and no workers but one."""

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[[Any], None]] = {}
        self.subscribe_topic = self.handlers.__setitem__
        self.nthreads = lambda: {"tcp://10.0.0.2:1": 1}

    def send(self, **message: object) -> None:
        self.handlers["all"]((0.0, message))


def test_a_worker_that_joins_and_is_lost_between_two_looks_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch("tcp://10.0.0.1:8786", client := Scheduler())
    client.send(action="add-worker", worker="tcp://10.0.0.3:1")
    client.send(action="remove-worker", worker="tcp://10.0.0.3:1", expected=False)
    watch.check()
    watch.check(last=True)
    assert caplog.text.count("lost the Dask worker at ") == 1
    assert "lost the Dask worker at tcp://10.0.0.3:1; the others do its work" in caplog.text


def test_other_events_of_the_cluster_are_no_lost_workers(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch("tcp://10.0.0.1:8786", client := Scheduler())
    client.send(action="gather", count=3)
    client.handlers["all"]((0.0, "what another client logs"))
    watch.check(last=True)
    assert "lost" not in caplog.text


def test_machines_are_counted_by_the_hosts_of_their_workers() -> None:
    addresses = ("tcp://10.0.0.2:1", "tcp://10.0.0.2:2", "tls://[2001:db8::1]:3")
    assert machines_of(SimpleNamespace(nthreads=lambda: dict.fromkeys(addresses, 1))) == 2
    assert machines_of(SimpleNamespace(nthreads=dict)) == 1


def without_cache(place: Workplace[Any]) -> Workplace[Any]:
    """As it is on a machine that does not see the client's folders."""
    return replace(place, layout=Layout(Path("/nowhere")), marker=Path("/nowhere/marker"))


class Apart(Pretended):
    """Workers that share nothing with the client but the sources."""

    def do(self, work: Any, place: Any) -> Any:
        return super().do(work, without_cache(place))


@pytest.fixture
def request_of_two_payers(tmp_path: Path) -> RunRequest:
    """Three files of two payers, one of them with a provider reference beside it."""
    folder = tmp_path / "two"
    folder.mkdir()
    (folder / "group.json").write_bytes(json_bytes({"provider_groups": [group(BOB)]}))
    cited = rate(provider_references=[1], negotiated_rate=11.0)
    references = [{"provider_group_id": 1, "location": "group.json"}]
    documents = (
        document(item(rate(group(ANN), negotiated_rate=10.0)), reporting_entity_name="First"),
        document(item(rate(group(BOB), negotiated_rate=12.0)), reporting_entity_name="First"),
        document(
            item(*[rate(group(BOB), negotiated_rate=10.0 + cents) for cents in range(5)], cited),
            references=references,
            reporting_entity_name="Second",
        ),
    )
    for number, each in enumerate(documents):
        (folder / f"{number}.json").write_bytes(json_bytes(each))
    nppes = tmp_path / "nppes.parquet"
    states = pl.LazyFrame({"npi": sorted((ANN, BOB)), "state": ["AK", "VT"]})
    rest = {"country": "US", "zip5": "99501", "entity_type": "1", "deactivated": False, "taxonomies": ["225100000X"]}
    known = NPPES.conform(states.with_columns(**{name: pl.lit(value) for name, value in rest.items()}))
    write_table(nppes, NPPES, [known.collect()])
    codes = tuple(sorted(CODES))
    services = tmp_path / "services_2024.csv"
    services.write_text(f"npi,billing_code,services\n{ANN},97026,3.5\n{BOB},97110,8\n")
    build_utilization([services], tmp_path / "utilization", codes)
    sources = expand([str(folder / f"{number}.json") for number in range(3)])
    request = RunRequest(sources, date(2026, 6, 1), codes, tmp_path / "out", nppes, workers=1, report=False)
    return replace(request, utilization=tmp_path / "utilization")


def run_on(cluster: Pretended, request: RunRequest) -> None:
    with pytest.MonkeyPatch.context() as patch:
        cluster.put(patch)
        named = Cluster("tcp://pretended")
        run(request, Steps(named))


def tables_of(request: RunRequest, tmp_path: Path) -> dict[str, str]:
    """The tables of a run without a cluster."""
    run(replace(request, output=tmp_path / "plain"))
    return digests(tmp_path / "plain")


def test_workers_that_share_nothing_give_the_same_tables_and_the_cache_has_all_of_it(
    request_of_two_payers: RunRequest, scratch: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cluster = Apart(read_one_by_one)
    run_on(cluster, request_of_two_payers)
    assert digests(tmp_path / "out") == tables_of(request_of_two_payers, tmp_path)
    published = pl.read_parquet(tmp_path / "out" / "providers" / "*" / "*.parquet", hive_partitioning=False)
    assert set(published.select("npi", "evidence", "services").rows()) == {(ANN, "billed", 3.5), (BOB, "related", None)}
    assert cluster.built[::-1] == ["Second", "First"]  # sent in this order, the one with the most prices first
    assert list(scratch.iterdir()) == []
    assert caplog.text.count("extracts come back through Dask") == 1
    run_on(again := Apart(read_one_by_one), request_of_two_payers)
    assert (again.sent, again.built) == ([], [])


def test_a_shared_cache_keeps_what_workers_write(
    request_of_two_payers: RunRequest, scratch: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answered: list[Any] = []

    class Beside(Pretended):
        def do(self, work: Any, place: Any) -> Any:
            answered.append(super().do(work, place))
            return answered[-1]

    run_on(Beside(read_one_by_one), request_of_two_payers)
    assert digests(tmp_path / "out") == tables_of(request_of_two_payers, tmp_path)
    assert all(answer.returned is None for answer in answered if not isinstance(answer, bool))
    assert "the workers share the cache: extracts stay there" in caplog.text


def test_a_worker_that_joins_without_the_cache_gets_the_payers_files(
    request_of_two_payers: RunRequest, scratch: Path, tmp_path: Path
) -> None:
    cluster = Pretended(read_one_by_one, build=lambda place: build_on_worker(without_cache(place)))
    run_on(cluster, request_of_two_payers)
    assert digests(tmp_path / "out") == tables_of(request_of_two_payers, tmp_path)
    assert sorted(cluster.built) == ["First", "First", "Second", "Second"]


def test_a_payer_that_loses_worker_after_worker_is_built_here(
    request_of_two_payers: RunRequest, scratch: Path, tmp_path: Path
) -> None:
    def die_of_the_second(place: Workplace[PayerJob]) -> Built:
        if place.job.inputs.payer == "Second":
            raise MemoryError
        return build_on_worker(place)

    cluster = Apart(read_one_by_one, build=die_of_the_second)
    run_on(cluster, request_of_two_payers)
    assert digests(tmp_path / "out") == tables_of(request_of_two_payers, tmp_path)
    assert cluster.built.count("Second") == dask_cluster.ROUNDS


def test_a_worker_of_another_version_is_named_and_builds_nothing(
    request_of_two_payers: RunRequest, scratch: Path, tmp_path: Path
) -> None:
    def build_by_other_rules(place: Workplace[PayerJob]) -> Built:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dask_cluster, "building_version", lambda: "another")
            return build_on_worker(place)

    with pytest.raises(UsageError, match=r"runs another version of tic-rates or its libraries; install this one there"):
        run_on(Pretended(read_one_by_one, build=build_by_other_rules), request_of_two_payers)
    assert list((tmp_path / "out" / ".cache" / "payers").iterdir()) == []


def test_a_source_that_changes_while_it_is_away_is_read_again_next_time(
    request_of_two_payers: RunRequest, scratch: Path
) -> None:
    changed = Path(request_of_two_payers.sources[0].location)

    def change_after(place: Workplace[Batch]) -> Answer:
        answer = read_one_by_one(place)
        if any(source.location == str(changed) for source in place.job.sources):
            changed.write_bytes(changed.read_bytes() + b"\n")
        return answer

    run_on(Apart(change_after), request_of_two_payers)
    run_on(again := Apart(read_one_by_one), request_of_two_payers)
    assert again.sent == [[changed.name]]


def test_a_job_shows_no_bytes_of_files() -> None:
    assert "5ecre7" not in repr(Built("m", "v", returned={"a": b"5ecre7"}))


def test_a_cache_in_object_storage_stays_there(
    request_of_two_payers: RunRequest, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each machine has a working folder of its own for the store; what was read and built is in the store."""
    expected = tables_of(request_of_two_payers, tmp_path)
    (tmp_path / "store").mkdir()
    monkeypatch.setenv("TIC_RATES_CACHE", (tmp_path / "store").as_uri())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "client"))

    class Elsewhere(Pretended):
        def do(self, work: Any, place: Any) -> Any:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("XDG_CACHE_HOME", str(tmp_path / "worker"))
                answer = super().do(work, replace(place, marker=Path("/nowhere/marker")))
            assert answer is True or answer.returned is None
            return answer

    run_on(Elsewhere(read_one_by_one), request_of_two_payers)
    assert digests(tmp_path / "out") == expected
    assert len(list((tmp_path / "store").glob("extracts/*/account.json"))) == 3
    assert len(list((tmp_path / "store").glob("payers/*/figures.json"))) == 2

"""Everything in object storage: the same tables as in a folder, whichever machine goes on, whatever is killed.

With a mounted folder taken as a store in `make test`; against a real S3 server (Ceph's gateway, on loopback) in
`make test-slow`, and more of it in `make soak`. Another machine is another ``XDG_CACHE_HOME``: it has nothing but what
the store has.
"""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flows.publish.object_publication import finish_publication, named_files, published_manifest
from flows.publish.publish import TABLES
from flows.storage.layout import Layout
from flows.storage.object_store import Objects
from tests import ceph
from tests.command_line import Ended, call, digests, end, execute, start
from tests.coverage_files import POLICY_HEADER
from tests.documents import ANN, BOB, EVE, document, group, item, price, rate
from tests.effort import SOAK, usually
from tests.json_text import json_bytes
from tests.looping import looping
from tests.machines import dask_machines
from tests.nppes_files import npidata, record
from tests.object_places import BOTH, REAL, ceph_server, digests_at, make_place
from tests.shared_files import REPOSITORY

Capture = pytest.CaptureFixture[str]
ENTITIES = {
    "aetna": "Aetna Life Insurance Company",
    "acme": "Acme Health Plan",
    "bcme": "Bcme Health Plan",
    "ccme": "Ccme Health Plan",
}
KILLS = (0, 4, 7, 8, 9, 10, 12, 15, 18, 19)[:: usually(4, 1)]  # before so many of the writes that publish a month
ALL = ("rates/period=2026-06", "summaries/period=2026-06", "providers/period=2026-06", "quality/period=2026-06")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ceph.Server]:
    """An S3 server, for as long as this file's tests run."""
    yield from ceph_server(tmp_path_factory.mktemp("ceph"))


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty place."""
    kind: str = request.param
    running = request.getfixturevalue("server") if kind == "s3" else None
    return make_place(kind, tmp_path, running, monkeypatch)


both = pytest.mark.parametrize("url", BOTH, indirect=True)
real = pytest.mark.parametrize("url", REAL, indirect=True)


@pytest.fixture
def move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Go on with another machine."""
    numbers = iter(range(1, 1_000))

    def to_another() -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"machine-{next(numbers)}"))

    return to_another


def content(payer: str, rate_usd: float) -> bytes:
    rates = rate(group(ANN, BOB, EVE), prices=[price(negotiated_rate=rate_usd)])
    return json_bytes(document(item(rates), reporting_entity_name=ENTITIES[payer]))


def put_sources(url: str, rate_usd: float = 30.0) -> None:
    for month in ("2026-05", "2026-06"):
        for number, payer in enumerate(ENTITIES):
            Objects.of(url).put(f"mrf/{month}/{payer}/a.json", content(payer, rate_usd + number))
    Objects.of(url).put("nppes.csv", npidata(*(record(npi, "AK", "225100000X") for npi in (ANN, BOB, EVE))))


def write_config(folder: Path, url: str, output: str | None = None, **more: str) -> Path:
    place = url if "://" in url else f"{url}"
    lines = [f'output = "{output or f"{url}/out"}"', f'nppes = "{place}/nppes.csv"', "workers = 1"]
    lines += [f'{key} = "{value}"' for key, value in more.items()]
    for payer in ENTITIES:
        lines += ["[[payer]]", f'name = "{payer}"', f'files = ["{place}/mrf/{{month}}/{payer}/*.json"]']
    path = folder / f"{len(list(folder.glob('*.toml')))}.toml"
    path.write_text("\n".join(lines))
    return path


def nightly(capsys: Capture, config: Path, *more: str) -> Ended:
    return call(capsys, "nightly", "--config", config, "--month", "2026-06", "--no-gates", "--json", *more)


def download(url: str, folder: Path) -> None:
    """The sources as local files."""
    for found in Objects.of(url).list():
        path = folder / found.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Objects.of(url).get(found.key) or b"")


def read_published(url: str, *folders: str) -> pl.DataFrame:
    """Every file that the manifest names there."""
    objects = Objects.of(url)
    files = named_files(published_manifest(objects), *folders)
    return pl.concat([pl.read_parquet(io.BytesIO(objects.get(path) or b"")) for path in files])


def named_digests(url: str) -> dict[str, str]:
    """sha256 of every table's files, as the manifest names them."""
    files = named_files(published_manifest(Objects.of(url)), *TABLES)
    return {path: file["sha256"] for path, file in files.items()}


@both
def test_a_withheld_payer_keeps_its_rows_on_a_machine_without_any_cache(
    url: str, tmp_path: Path, capsys: Capture, move: Callable[[], None]
) -> None:
    put_sources(url)
    config, out = write_config(tmp_path, url), Objects.of(f"{url}/out")
    words = ("nightly", "--config", config, "--month", "2026-06", "--json")
    assert call(capsys, *words).code == 0
    before = digests_at(f"{url}/out")
    Objects.of(url).put("mrf/2026-06/aetna/a.json", b"<html>expired</html>")
    out.delete([found.key for found in out.list(".cache")])
    move()
    ended = call(capsys, *words)
    assert (ended.code, [each["payer"] for each in ended.json_line["withheld"]]) == (3, ["Aetna"])
    assert digests_at(f"{url}/out") == before
    out.delete([found.key for found in out.list(".cache")])
    move()
    assert call(capsys, *words, "--payer", "acme", "--force").code == 0
    assert digests_at(f"{url}/out") == before
    files = read_published(f"{url}/out", "quality/period=2026-06/files.parquet")
    assert files["source"].is_unique().all() and files["rows"].sum() == 12


@both
def test_a_run_in_object_storage_publishes_the_bytes_of_a_local_one(url: str, tmp_path: Path, capsys: Capture) -> None:
    put_sources(url)
    download(url, tmp_path / "here")
    words = ("--month", "2026-06", "--workers", "1", "--json")
    out = f"{url}/out"
    stored = call(capsys, "run", f"{url}/mrf/2026-06/", *words, "--nppes", f"{url}/nppes.csv", "--output", out)
    local = tmp_path / "local"
    here = tmp_path / "here"
    call(capsys, "run", here / "mrf" / "2026-06", *words, "--nppes", here / "nppes.csv", "--output", local)
    assert stored.code == 0, stored.err
    assert stored.json_line["output"] == out
    assert digests_at(out) == digests(local)
    assert digests_at(out, but="/") == named_digests(out)
    assert json.loads(Objects.of(out).get("manifest.json") or b"")["publishing"] == []
    assert read_published(out, "summaries/period=2026-06").filter(geography="AK").height > 0, (
        "NPPES came from there too"
    )


@both
def test_a_night_on_another_machine_goes_on_where_the_last_one_stopped(
    url: str, tmp_path: Path, capsys: Capture, move: Callable[[], None]
) -> None:
    put_sources(url)
    config = write_config(tmp_path, url)
    assert nightly(capsys, config).json_line["sources"] == {"matched": 4}
    move()
    again = nightly(capsys, config).json_line
    assert (again["status"], again["sources"]) == ("unchanged", {"unchanged": 4})
    move()
    Objects.of(url).put("mrf/2026-06/acme/a.json", content("acme", 77.0))
    Objects.of(url).put("mrf/2026-06/bcme/a.json", content("bcme", 88.0))
    some = nightly(capsys, config, "--payer", "acme").json_line
    assert (some["status"], some["sources"]) == ("published", {"matched": 1, "unchanged": 3})
    rates = read_published(f"{url}/out", "rates/period=2026-06")
    seen = dict(rates.group_by("payer").agg(pl.col("negotiated_rate").unique().sort().first()).iter_rows())
    assert seen == {"Aetna": 30.0, "Acme Health Plan": 77.0, "Bcme Health Plan": 32.0, "Ccme Health Plan": 33.0}


@real
def test_a_backfill_goes_on_there_too(url: str, tmp_path: Path, capsys: Capture, move: Callable[[], None]) -> None:
    put_sources(url)
    config = write_config(tmp_path, url)
    assert nightly(capsys, config).code == 0
    Objects.of(url).put("mrf/2026-06/bcme/a.json", content("bcme", 88.0))
    move()
    span = ("--from", "2026-05", "--to", "2026-06", "--no-gates", "--json")
    months = call(capsys, "backfill", "--config", config, *span).json_line["months"]
    assert [(month["status"], month["sources"]) for month in months] == [
        ("published", {"matched": 4}),
        ("published", {"matched": 1, "unchanged": 3}),
    ]
    objects = Objects.of(f"{url}/out")
    assert sorted(json.loads(objects.get("manifest.json") or b"")["months"]) == ["2026-05", "2026-06"]
    objects.delete([found.key for found in objects.list()])
    assert nightly(capsys, config).json_line["status"] == "published", "this machine remembers what is there no more"
    assert len(digests_at(f"{url}/out")) == 4 + 5


@real
def test_the_report_is_built_from_the_store_and_published_there(
    url: str, tmp_path: Path, capsys: Capture, move: Callable[[], None]
) -> None:
    put_sources(url)
    out = f"{url}/out"
    assert nightly(capsys, write_config(tmp_path, url)).code == 0
    move()
    built = call(capsys, "report", "--output", out, "--json").json_line
    assert built["report"] == f"{out}/report/index.html"
    objects = Objects.of(out)
    pages = [found.key for found in objects.list("report")]
    assert len(pages) == built["files"]
    assert b"Negotiated rates" in (objects.get("report/index.html") or b"")
    manifest = published_manifest(objects)
    assert len(named_files(manifest, "report")) == built["files"]
    assert len(named_files(manifest, *ALL)) == 4 + 1 + 1 + 3, "the tables stand beside it"


@real
def test_the_cache_alone_may_be_in_the_store(
    url: str, tmp_path: Path, capsys: Capture, move: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_sources(url)
    monkeypatch.setenv("TIC_RATES_CACHE", f"{url}/cache")
    first, second = (write_config(tmp_path, url, str(tmp_path / name)) for name in ("one", "two"))
    assert nightly(capsys, first).json_line["sources"] == {"matched": 4}
    move()
    assert nightly(capsys, second).json_line["sources"] == {"unchanged": 4}
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert not (tmp_path / "one" / ".cache").exists()
    assert {found.key.partition("/")[0] for found in Objects.of(f"{url}/cache").list()} >= {"extracts", "payers"}


@real
def test_reference_data_that_was_built_there_is_found_by_every_machine(
    url: str, tmp_path: Path, capsys: Capture, move: Callable[[], None]
) -> None:
    put_sources(url)
    download(url, tmp_path / "here")
    out = f"{url}/out"
    built = call(capsys, "reference", "nppes", tmp_path / "here" / "nppes.csv", "--output", out, "--json").json_line
    assert built["lookup"] == f"{out}/reference/nppes.parquet"
    move()
    ran = call(
        capsys,
        "run",
        f"{url}/mrf/2026-06/aetna/a.json",
        "--month",
        "2026-06",
        "--output",
        out,
        "--workers",
        "1",
        "--json",
    )
    assert (ran.code, ran.json_line["with_nppes"]) == (0, True)
    assert call(capsys, "rvu", "97026", "--state", "AK", "--year", "2025", "--output", out, "--json").code == 0


@both
def test_editions_of_coverage_rules_are_kept_in_the_store_and_published_there(
    url: str, tmp_path: Path, capsys: Capture, move: Callable[[], None]
) -> None:
    put_sources(url)
    out = f"{url}/out"
    for day, stance in (("2026-05-01", "restricted"), ("2026-06-01", "not_covered")):
        path = tmp_path / f"policies_{day}.csv"
        path.write_text(f"{POLICY_HEADER}\nAetna,97026,AK,2025-01-01,Infrared,,{stance}\n")
        assert call(capsys, "reference", "coverage", path, "--output", out).code == 0
        move()
    (change,) = call(capsys, "reference", "coverage", "--changes", "--output", out, "--json").json_line["changes"]
    assert (change["edition"], change["changes"]) == ("2026-06-01", ["stance: restricted -> not_covered"])
    words = ("--month", "2026-06", "--output", out, "--workers", "1", "--json")
    assert call(capsys, "run", f"{url}/mrf/2026-06/aetna/a.json", *words).code == 0
    download(url, tmp_path / "here")
    published = tmp_path / "here" / "out" / "coverage" / "period=2026-06" / "coverage.parquet"
    assert pl.read_parquet(published)["changes"].to_list() == [change["changes"]]


@both
def test_commands_that_need_no_provider_lookup_leave_this_machines_copy(
    url: str, tmp_path: Path, capsys: Capture
) -> None:
    put_sources(url)
    download(url, tmp_path / "here")
    out, nppes = f"{url}/out", tmp_path / "here" / "nppes.csv"
    assert call(capsys, "reference", "nppes", nppes, "--output", out).code == 0
    lookup = Layout.at(out).nppes
    copy = lookup.stat().st_ino
    source = f"{url}/mrf/2026-06/aetna/a.json"
    for words in (
        ("rvu", "97026", "--state", "AK", "--year", "2025"),
        ("run", source, "--month", "2026-06", "--workers", "1", "--nppes", nppes),
        ("report",),
    ):
        ended = call(capsys, *words, "--output", out)
        assert ended.code == 0, ended.err
        assert lookup.exists(), words
    assert lookup.stat().st_ino == copy, "it was fetched again"
    Objects.of(out).delete(["reference/nppes.parquet"])
    assert call(capsys, "rvu", "97026", "--state", "AK", "--year", "2025", "--output", out).code == 0
    assert not lookup.exists(), "what another machine deleted in the store goes here too"


@both
def test_wrong_places_end_with_one_line_and_code_2(url: str, tmp_path: Path, capsys: Capture) -> None:
    put_sources(url)
    source = f"{url}/mrf/2026-06/aetna/a.json"
    absent = call(capsys, "run", f"{url}/absent/", "--output", f"{url}/out", "--json")
    assert (absent.code, absent.json_line["error"]) == (2, f"{url}/absent/: no object there; check the address")
    nppes = call(capsys, "run", source, "--nppes", f"{url}/no.zip", "--output", f"{url}/out", "--json")
    assert (nppes.code, nppes.json_line["error"]) == (2, f"{url}/no.zip: no such object; check the address")
    other = call(capsys, "run", source, "--output", "ftp://host/x", "--json")
    assert (other.code, "ftp:// is not object storage" in other.json_line["error"]) == (2, True)
    nothing = call(capsys, "report", "--output", f"{url}/empty", "--json")
    assert (nothing.code, f"no month is published under {url}/empty" in nothing.json_line["error"]) == (2, True)


@real
def test_inspect_reads_an_object(url: str, capsys: Capture) -> None:
    put_sources(url)
    found = call(capsys, "inspect", f"{url}/mrf/2026-06/aetna/a.json", "--json").json_line
    assert (found["reporting_entity_name"], found["items_matched"]) == (ENTITIES["aetna"], 1)


@real
def test_a_table_of_contents_lists_the_objects_beside_it(url: str, tmp_path: Path, capsys: Capture) -> None:
    put_sources(url)
    contents = {
        "reporting_entity_name": "Aetna",
        "reporting_structure": [
            {
                "reporting_plans": [{"plan_name": "a", "plan_id": "1"}],
                "in_network_files": [{"location": "aetna/a.json"}, {"location": "../nppes.csv"}],
            }
        ],
    }
    Objects.of(url).put("mrf/2026-06/index.json", json_bytes(contents))
    words = ("--month", "2026-06", "--workers", "1", "--output", tmp_path / "out", "--json")
    ran = call(capsys, "run", f"{url}/mrf/2026-06/index.json", *words)
    assert ran.code == 3
    assert ran.json_line["sources"] == {"no_match": 1, "matched": 1, "quarantined": 1}


@real
def test_a_real_server_s_refusals_are_said_in_our_words(
    url: str, server: ceph.Server, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_sources(url)

    def refused(output: str, **environment: str | None) -> str:
        fresh = {name: value for name, value in os.environ.items() if environment.get(name, "") is not None}
        given = {name: value for name, value in environment.items() if value is not None}
        words = ["run", f"{url}/mrf/2026-06/aetna/a.json", "--month", "2026-06", "--output", output, "--no-report"]
        ended = subprocess.run(
            [sys.executable, "-m", "flows.cli.app", *words],
            env=fresh | {"PYTHONPATH": str(REPOSITORY)} | given,
            capture_output=True,
            text=True,
            check=False,
            cwd=REPOSITORY,
        )
        assert ended.returncode == 2, ended.stderr
        assert server.secret_key not in ended.stderr
        return ended.stderr

    assert "s3://no-such-bucket: no such bucket; create it, or give another" in refused("s3://no-such-bucket/out")
    assert "access denied; check what the credentials" in refused(f"{url}/out", AWS_SECRET_ACCESS_KEY="wrong")
    assert "AWS_ALLOW_HTTP=true" in refused(f"{url}/out", AWS_ALLOW_HTTP=None)
    missing = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_METADATA_ENDPOINT": "http://127.0.0.1:9"}
    assert "no credentials were found; set AWS_ACCESS_KEY_ID" in refused(f"{url}/out", **missing)


KILLED_AT_WRITE = """
import os, signal, sys
import flows.publish.object_publication
from flows.cli.app import main
from flows.storage.object_store import Objects

left = int(sys.argv[1])
publish = flows.publish.object_publication.publish

def counted(method):
    def act(*words, **more):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return method(*words, **more)
    return act

def armed(*words, **more):
    for name in ("put", "create", "copy", "delete"):
        setattr(Objects, name, counted(getattr(Objects, name)))
    return publish(*words, **more)

flows.publish.object_publication.publish = armed
sys.exit(main(sys.argv[2:]))
"""


def publish_version(url: str, tmp_path: Path, version: float, killed_at: int | None = None) -> int:
    """A run whose every price says which version it is; its exit code, -9 when it was killed."""
    folder = tmp_path / f"v{version}"
    for number, payer in enumerate(ENTITIES):
        (folder / payer).mkdir(parents=True, exist_ok=True)
        (folder / payer / f"{number}.json").write_bytes(content(payer, version))
    words = ["run", str(folder), "--month", "2026-06", "--workers", "1", "--output", f"{url}/out", "--no-report"]
    if killed_at is None:
        return execute(*words).code
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_AT_WRITE, str(killed_at), *words],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        check=False,
        cwd=REPOSITORY,
    )
    return ended.returncode


def read_tables(url: str, compared: list[float]) -> None:
    """As output/README.md says: the manifest before and after; nothing to compare when it moved or said so."""
    objects = Objects.of(f"{url}/out")

    def state() -> tuple[object, bool]:
        manifest = json.loads(objects.get("manifest.json") or b"")
        return manifest["months"]["2026-06"]["published_at"], "2026-06" in manifest["publishing"]

    before = state()
    found = [each.key for each in objects.list("rates/period=2026-06")]
    data = [objects.get(key) for key in found]
    summaries = objects.get("summaries/period=2026-06/summaries.parquet")
    if before[1] or before != state():
        return
    rates = pl.concat([pl.read_parquet(io.BytesIO(each or b"")) for each in data])
    p50 = pl.read_parquet(io.BytesIO(summaries or b"")).filter(pl.col("payer_kind") == "payer")["p50_usd"]
    versions = {*rates["negotiated_rate"].to_list(), *p50.to_list()}
    assert len(versions) == 1, versions
    assert rates["payer"].n_unique() == len(ENTITIES)
    compared.append(versions.pop())


@real
def test_the_documented_way_of_reading_works_as_it_stands(url: str, tmp_path: Path, capsys: Capture) -> None:
    put_sources(url)
    assert nightly(capsys, write_config(tmp_path, url)).code == 0
    text = (REPOSITORY / "output" / "README.md").read_text()
    section = text[text.index("## In object storage") : text.index("## Examples")]
    code = section.partition("```python\n")[2].partition("```")[0]
    assert '"s3://bucket/folder"' in code
    names: dict[str, Any] = {}
    exec(code.replace("s3://bucket/folder", f"{url}/out").replace("2025-06", "2026-06"), names)
    assert names["answer"]["len"].to_list() == [3, 3, 3, 3]


@real
def test_a_kill_9_during_publishing_is_told_to_readers_and_the_next_run_recovers(
    url: str, tmp_path: Path, move: Callable[[], None]
) -> None:
    assert publish_version(url, tmp_path, 10.0) == 0
    compared: list[float] = []
    with looping(lambda: read_tables(url, compared)) as reads:
        for version, writes in enumerate(KILLS, start=11):
            move()
            assert publish_version(url, tmp_path, float(version), killed_at=writes) == -signal.SIGKILL, writes
            move()
            finish_publication(Objects.of(f"{url}/out"))  # as every run begins
            after: list[float] = []
            read_tables(url, after)
            assert after in ([float(version)], [float(version - 1)])
            assert publish_version(url, tmp_path, float(version)) == 0
            assert digests_at(f"{url}/out", but="/") == named_digests(f"{url}/out")
    for times in reads:
        assert isinstance(times, int), times
        assert times > len(KILLS)
    assert len({*compared}) > len(KILLS) / 2, "it read while months were published"


@real
def test_two_publishers_at_once_lose_nothing_of_each_other(url: str, tmp_path: Path) -> None:
    put_sources(url)
    config = write_config(tmp_path, url)
    words = ("nightly", "--config", config, "--month", "2026-06", "--no-gates", "--json")
    assert execute(*words).code == 0
    began_anew = 0
    for version in range(usually(1, 3)):
        for payer in ("acme", "bcme"):
            Objects.of(url).put(f"mrf/2026-06/{payer}/a.json", content(payer, 50.0 + version))
        both_of_them = [
            start(*words, "--payer", payer, XDG_CACHE_HOME=str(tmp_path / f"of-{payer}")) for payer in ("acme", "bcme")
        ]
        ended = [end(process) for process in both_of_them]
        assert [each.code for each in ended] == [0, 0], [each.err for each in ended]
        began_anew += sum("published by another run" in each.err for each in ended)
        rates = read_published(f"{url}/out", "rates/period=2026-06")
        seen = dict(rates.group_by("payer").agg(pl.col("negotiated_rate").unique().sort().first()).iter_rows())
        assert (seen["Acme Health Plan"], seen["Bcme Health Plan"]) == (50.0 + version, 50.0 + version)
        assert digests_at(f"{url}/out", but="/") == named_digests(f"{url}/out")
    assert began_anew or not SOAK, "none of the rounds was at once: nothing was tried"


@pytest.mark.soak
@real
def test_a_machine_that_is_killed_loses_only_the_files_in_flight(
    url: str, tmp_path: Path, move: Callable[[], None]
) -> None:
    objects = Objects.of(url)
    for number in range(40):
        objects.put(f"mrf/{number:02}.json", content("aetna", 10.0 + number))
    words = ("run", f"{url}/mrf/", "--month", "2026-06", "--workers", "1", "--output", f"{url}/out", "--json")
    process = start(*words)
    kept = Objects.of(f"{url}/out/.cache/sources")
    while len(list(kept.list())) < 10:
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = {found.key: found.modified for found in kept.list()}
    time.sleep(1.1)  # the server's clock shows seconds
    move()
    ended = execute(*words)
    assert (ended.code, ended.json_line["sources"]) == (0, {"matched": 40})
    after = {found.key: found.modified for found in kept.list()}
    assert len(after) == 40
    assert {key: after[key] for key in before} == before, "what was read is not read again"


@pytest.mark.slow
@both
def test_a_practice_of_an_output_in_the_store_is_published_there(
    url: str, tmp_path: Path, capsys: Capture, move: Callable[[], None]
) -> None:
    put_sources(url, rate_usd=7.0)
    assert nightly(capsys, write_config(tmp_path, url)).code == 0
    names = []
    for npi in (ANN, BOB):
        move()
        asked = call(capsys, "practice", "--npi", npi, "--output", f"{url}/out", "--json")
        assert asked.code == 0, asked.err
        assert asked.json_line["page"] == Objects.of(f"{url}/out").full(f"report/practices/2026-06/{npi}.html")
        names += [f"report/practices/2026-06/{npi}.{kind}" for kind in ("csv", "html")]
    objects = Objects.of(f"{url}/out")
    files = named_files(published_manifest(objects), "report/practices", "practices")
    tables = [f"practices/period=2026-06/practice_slug={npi}/practices.parquet" for npi in (ANN, BOB)]
    assert sorted(files) == sorted([*names, *tables])
    first = objects.get("report/index.html") or b""
    assert all(name.removeprefix("report/").encode() in first for name in names if name.endswith("html"))
    (resource,) = (
        each for each in json.loads(objects.get("datapackage.json") or b"")["resources"] if each["name"] == "practices"
    )
    assert resource["path"]
    move()
    assert call(capsys, "report", "--output", f"{url}/out").code == 0
    assert {*named_files(published_manifest(objects), "report")} >= {*names, "report/97026/US.html"}


@pytest.mark.soak
@real
def test_the_demo_runs_from_and_to_the_store(url: str, tmp_path: Path) -> None:
    stored = execute("demo", "--output", f"{url}/out", "--json")
    local = execute("demo", "--output", tmp_path / "local", "--json")
    assert (stored.code, local.code) == (0, 0), stored.err
    assert stored.json_line["wrong"] == 0
    assert digests_at(f"{url}/out") == digests(tmp_path / "local")


@pytest.mark.soak
@real
def test_workers_that_share_nothing_but_the_store_give_the_bytes_of_one_machine(url: str, tmp_path: Path) -> None:
    put_sources(url)
    words = ("run", f"{url}/mrf/", "--month", "2026-06", "--json")
    with dask_machines(tmp_path / "machines", 0) as cluster:
        for number in range(2):
            cluster.environment["XDG_CACHE_HOME"] = str(tmp_path / f"worker-{number}")
            cluster.add_worker()
        own = {name: cluster.environment[name] for name in cluster.environment.keys() - os.environ.keys()}
        here = {"XDG_CACHE_HOME": str(tmp_path / "here")}
        spread = execute(*words, "--dask", cluster.address, "--output", f"{url}/spread", **own | here)
    assert (spread.code, spread.json_line["sources"]) == (0, {"matched": 8}), spread.err
    assert "8 file(s) read elsewhere" in spread.err
    alone = execute(*words, "--output", f"{url}/alone", XDG_CACHE_HOME=str(tmp_path / "alone"))
    assert alone.code == 0, alone.err
    assert digests_at(f"{url}/spread") == digests_at(f"{url}/alone")

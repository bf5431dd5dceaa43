"""Outputs and caches of the version before this one, and of a later one.

``tests/outputs/version-0.1.0.tar.xz`` was written by commit fb6fcac, the last of 0.1.0: an NPPES lookup of two
providers, two months of three payers by `nightly`, Cigna withheld in the second with its rows of an earlier night, a
page of a practice (the report itself is left out), the cache, the sources and the configuration.
"""

import json
import tarfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flows.publish.manifest import LAYOUT_VERSION
from tests.command_line import call, digests
from tests.documents import ANN

Capture = pytest.CaptureFixture[str]
ARCHIVE = Path(__file__).parents[1] / "outputs" / "version-0.1.0.tar.xz"
NEWER = LAYOUT_VERSION + 1
MONTHS = ("2026-05", "2026-06")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The output of version 0.1.0, with its sources and configuration."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def manifest_of(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "manifest.json").read_bytes())
    return found


def payers(output: Path, month: str) -> dict[str, list[float]]:
    rates = pl.read_parquet(output / "rates" / f"period={month}" / "*" / "*.parquet", hive_partitioning=False)
    return dict(sorted(rates.group_by("payer").agg(pl.col("negotiated_rate").unique().sort()).iter_rows()))


def test_the_archive_is_what_it_says(place: Path) -> None:
    manifest = manifest_of(place / "out")
    assert (manifest["format"], "layout" in manifest) == (1, False)
    assert {entry["software"] for entry in manifest["months"].values()} == {"0.1.0"}
    assert not (place / "out" / ".cache" / "layout.json").exists()


def test_its_output_and_cache_serve_a_night_whose_tables_are_those_of_a_new_output(
    place: Path, capsys: Capture
) -> None:
    words = ("nightly", "--config", place / "tic-rates.toml", "--json", "--month")
    nights = [call(capsys, *words, month) for month in MONTHS]
    assert [night.code for night in nights] == [0, 3], nights[0].err
    assert nights[1].json_line["withheld"][0]["payer"] == "Cigna"
    assert payers(place / "out", "2026-06") == {"Acme Health Plan": [40.0], "Aetna": [30.0, 31.0], "Cigna": [50.0]}
    manifest = manifest_of(place / "out")
    assert (manifest["layout"], "format" in manifest) == (LAYOUT_VERSION, False)
    record = json.loads((place / "out" / ".cache" / "layout.json").read_bytes())
    assert record["layout"] == LAYOUT_VERSION
    again = call(capsys, *words, "2026-06")
    assert again.json_line["status"] == "unchanged"

    config = (place / "tic-rates.toml").read_text().replace('output = "out"', 'output = "new"')
    (place / "new.toml").write_text(f'nppes = "out/reference/nppes.parquet"\n{config}')
    call(capsys, "nightly", "--config", place / "new.toml", "--month", "2026-05")
    new, old = digests(place / "new"), digests(place / "out")
    assert new == {path: digest for path, digest in old.items() if "period=2026-05" in path}


@pytest.mark.parametrize(
    "words",
    [
        ("report",),
        ("practice", "--npi", str(ANN)),
        ("run", "mrf/2026-06/*/*.json", "--month", "2026-06"),
        ("prune", "--keep-months", "1"),
        ("status",),
    ],
    ids=lambda words: words[0],
)
def test_every_command_works_on_its_output(
    words: tuple[str, ...], place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    ended = call(capsys, *words, "--output", "out", "--json")
    assert ended.code == (3 if words == ("status",) else 0), "3: Cigna is withheld"
    assert payers(place / "out", "2026-06")["Acme Health Plan"] == [40.0]


# ---- A later version's ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("report",),
        ("practice", "--npi", str(ANN)),
        ("run", "mrf/2026-06/*/*.json", "--month", "2026-06"),
        ("prune",),
        ("prune", "--dry-run"),
        ("status",),
    ],
    ids=" ".join,
)
def test_an_output_of_a_later_version_is_refused(
    words: tuple[str, ...], place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    path = place / "out" / "manifest.json"
    manifest = manifest_of(place / "out") | {"layout": NEWER}
    manifest["months"]["2026-06"]["software"] = "9.1"
    path.write_text(json.dumps(manifest))
    before = path.read_bytes(), digests(place / "out")
    ended = call(capsys, *words, "--output", "out")
    assert ended.code == 2
    assert f"has layout version {NEWER}" in ended.err
    assert "tic-rates 9.1" in ended.err.partition("install")[2]
    assert (path.read_bytes(), digests(place / "out")) == before


def test_a_cache_of_a_later_version_is_refused(place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIC_RATES_CACHE", str(place / "shared"))
    (place / "shared").mkdir()
    record = place / "shared" / "layout.json"
    record.write_text(json.dumps({"layout": NEWER, "software": "9.1"}))
    ended = call(capsys, "nightly", "--config", place / "tic-rates.toml", "--month", "2026-06")
    assert (ended.code, "give another TIC_RATES_CACHE" in ended.err) == (2, True)
    assert json.loads(record.read_bytes())["layout"] == NEWER


def test_an_output_in_object_storage_of_a_later_version_is_refused(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine"))
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "manifest.json").write_text(json.dumps({"layout": NEWER, "publication": 1}))
    ended = call(capsys, "report", "--output", f"file://{tmp_path}/store")
    assert (ended.code, f"has layout version {NEWER}" in ended.err) == (2, True)


def test_version_says_what_decides_the_tables(capsys: Capture) -> None:
    printed, line = call(capsys, "--version"), call(capsys, "--version", "--json").json_line
    assert printed.out.splitlines()[0] == f"tic-rates {line['version']}"
    assert line["layout"] == LAYOUT_VERSION
    for name in ("methodology", "layout", "python"):
        assert str(line[name]) in printed.out

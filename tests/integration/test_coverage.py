"""Coverage rules from the command line to the published table, and what a month is when editions come and go."""

import io
import json
import zipfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from flows.publish.manifest import read_manifest
from flows.storage.layout import Layout
from flows.tables.coverage_editions import find_editions
from schemas.coverage import COVERAGE
from tests.command_line import call
from tests.coverage_files import ARTICLES, LCDS, NCDS, POLICIES, Rows, mue_text, ptp_text, write_export
from tests.walk import MONTH, Capture, World, published

OCTOBER: Rows = [("2", "2026-09-28", "2026-10-05")]


@pytest.fixture
def world(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, capsys, monkeypatch, 1)


def exports(folder: Path, tables: Sequence[dict[str, Rows]] = (NCDS, LCDS, ARTICLES)) -> list[Path]:
    names = ("ncd.zip", "current_lcd.zip", "current_article.zip")
    return [write_export(folder / name, own) for name, own in zip(names, tables, strict=True)]


def later_exports(folder: Path) -> list[Path]:
    """An edition of a week later: a diagnosis more, an article less, a new period."""
    diagnoses = [*ARTICLES["article_x_icd10_covered"], ("52369", "17", "M54.59", "2025", "1", "")]
    changed = ARTICLES | {"article": ARTICLES["article"][:3], "article_x_icd10_covered": diagnoses}
    return exports(folder / "later", [own | {"update_period": OCTOBER} for own in (NCDS, LCDS, changed)])


def load(world: World, *words: object) -> None:
    assert call(world.capsys, "reference", *words, "--output", world.output).code == 0


def table(world: World) -> pl.DataFrame:
    return pl.read_parquet(world.output / "coverage" / f"period={MONTH}" / "coverage.parquet", hive_partitioning=False)


def other_tables(world: World) -> dict[str, str]:
    return {path: digest for path, digest in published(world.output).items() if not path.startswith("coverage")}


def test_a_month_without_editions_has_no_coverage(world: World) -> None:
    assert world.publish("run").code == 0
    assert not (world.output / "coverage").exists()
    assert read_manifest(Layout(world.output))["months"][MONTH]["coverage"] == []


def test_editions_are_published_with_the_month_and_stated_in_the_manifest(world: World) -> None:
    (world.place / "policies_2026-09-01.csv").write_text("\n".join(POLICIES))
    (world.place / "MUE_Eff_10-01-2026.csv").write_bytes(mue_text())
    (world.place / "ccipra-v323r0-f1.txt").write_bytes(ptp_text())
    load(world, "coverage", *exports(world.place), world.place / "policies_2026-09-01.csv")
    load(world, "ncci", world.place / "MUE_Eff_10-01-2026.csv", world.place / "ccipra-v323r0-f1.txt")
    assert world.publish("run").code == 0
    rows = table(world)
    counts = {"ncd": 3, "lcd": 4, "article": 8, "payer_policy": 2, "mue": 1, "ncci_ptp": 4}
    assert dict(rows["kind"].value_counts().iter_rows()) == counts
    assert rows.sort(COVERAGE.grain).equals(rows)
    schema = pq.read_schema(world.output / "coverage" / f"period={MONTH}" / "coverage.parquet")
    assert schema.names[0] == "month"
    assert schema.equals(COVERAGE.arrow())
    stated = read_manifest(Layout(world.output))["months"][MONTH]
    assert {each["kind"] for each in stated["coverage"]} == set(counts)
    assert stated["coverage"][0]["made_from"] == ["current_article.zip"]
    assert stated["rows"]["coverage"] == 22
    package = json.loads((world.output / "datapackage.json").read_bytes())
    (described,) = (each for each in package["resources"] if each["name"] == "coverage")
    assert described["path"] == f"coverage/period={MONTH}/coverage.parquet"


def test_a_newer_edition_publishes_anew_and_tells_what_changed(world: World) -> None:
    load(world, "coverage", *exports(world.place))
    assert world.publish("nightly").json_line["status"] == "published"
    without = other_tables(world)
    assert world.publish("nightly").json_line["status"] == "unchanged"
    load(world, "coverage", *later_exports(world.place), "--edition", "2026-06-20")
    load(world, "coverage", *exports(world.place), "--edition", "2026-06-13")
    ended = world.publish("nightly")
    assert (ended.json_line["status"], ended.json_line["sources"]) == ("published", {"unchanged": 4})
    assert other_tables(world) == without
    told = [(each["edition"], each["document_id"], each["changes"]) for each in ended.json_line["coverage_changes"]]
    assert told == [
        ("2026-06-20", "A52369", ["diagnoses_covered added: M54.59"]),
        ("2026-06-20", "A52369", ["diagnoses_covered added: M54.59"]),
        ("2026-06-20", "A52372", ["withdrawn"]),
    ]
    assert world.publish("nightly").json_line["coverage_changes"] == []
    changed = table(world).filter(pl.col("changed_on") == date(2026, 6, 20))
    assert changed.select("document_id", "geography", "status", "changes").unique().sort("*").rows() == [
        ("A52369", "AK", "in_force", ["diagnoses_covered added: M54.59"]),
        ("A52369", "MP", "in_force", ["diagnoses_covered added: M54.59"]),
        ("A52369", "NY", "in_force", ["diagnoses_covered added: M54.59"]),
        ("A52372", "AK", "withdrawn", ["withdrawn"]),
        ("A52372", "MP", "withdrawn", ["withdrawn"]),
    ]
    for path in Layout(world.output).coverage.rglob("*.parquet"):
        path.unlink()
    assert world.publish("nightly").json_line["status"] == "published"
    assert not (world.output / "coverage").exists()


def test_the_night_of_this_month_fetches_what_the_configuration_names(world: World) -> None:
    world.monkeypatch.setattr("flows.orchestration.months.this_month", lambda _: date(2026, 6, 1))
    config, csv = world.place / "tic-rates.toml", world.place / "policies_2026-06-01.csv"
    config.write_text(f'{config.read_text()}[reference]\ncoverage = ["policies_2026-06-01.csv"]\n')
    failed = world.publish("nightly")
    assert (failed.code, failed.json_line["status"]) == (3, "published")
    assert "can't be opened" in failed.json_line["references_failed"][0]["reason"]
    csv.write_text("\n".join(POLICIES))
    ended = world.publish("nightly")
    assert (ended.code, ended.json_line["status"], ended.json_line["references_failed"]) == (0, "published", [])
    assert table(world).height == 2
    assert world.publish("nightly").json_line["status"] == "unchanged"


def test_editions_are_fetched_where_no_payer_has_published_the_month(world: World) -> None:
    world.monkeypatch.setattr("flows.orchestration.months.this_month", lambda _: date(2026, 7, 1))
    config, csv = world.place / "tic-rates.toml", world.place / "policies_2026-07-01.csv"
    config.write_text(f'{config.read_text()}[reference]\ncoverage = ["policies_2026-07-01.csv"]\n')
    csv.write_text("\n".join(POLICIES))
    assert call(world.capsys, "nightly", "--config", config, "--month", "2026-07").code == 4
    assert [each.kind for each in find_editions(Layout(world.output).coverage)] == ["payer_policy"]


def test_the_published_bytes_depend_on_the_editions_alone(world: World) -> None:
    early, late = exports(world.place), later_exports(world.place)
    load(world, "coverage", *early, "--edition", "2026-06-01")
    assert world.publish("run").code == 0
    load(world, "coverage", *late, "--edition", "2026-06-08")
    assert world.publish("run").code == 0
    found = table(world)
    assert published(world.output) == world.clean_tables()
    for path in Layout(world.output).coverage.rglob("*.parquet"):
        path.unlink()
    load(world, "coverage", *late, "--edition", "2026-06-08")
    load(world, "coverage", *early, "--edition", "2026-06-01")
    assert world.clean_tables() == published(world.output)
    assert found["changed_on"].n_unique() == 2


def test_changes_are_printed_for_people_and_machines(tmp_path: Path, capsys: Capture) -> None:
    output = ("--output", tmp_path / "output")
    assert call(capsys, "reference", "coverage", *exports(tmp_path), *output).code == 0
    nothing = call(capsys, "reference", "coverage", "--changes", *output)
    assert (nothing.code, "no changes" in nothing.out) == (0, True)
    shown = call(capsys, "reference", "coverage", *later_exports(tmp_path), "--changes", *output)
    assert "2026-10-05 article A52369 version 17, Lantern MAC, AK, MP\n" in shown.out
    assert "    97026, 97028: Infrared & heat: détails\n    diagnoses_covered added: M54.59\n" in shown.out
    line = json.loads(call(capsys, "reference", "coverage", "--changes", "--json", *output).out)
    assert [(each["document_id"], each["authority"], each["changes"]) for each in line["changes"]] == [
        ("A52369", "Harbor MAC, Inc.", ["diagnoses_covered added: M54.59"]),
        ("A52369", "Lantern MAC", ["diagnoses_covered added: M54.59"]),
        ("A52372", "Lantern MAC", ["withdrawn"]),
    ]


@pytest.mark.parametrize(
    ("table", "spoil", "code", "said"),
    [
        ("article", (b'"status"', b'"state"'), 2, "article.csv: a column is missing: status; it has article_id"),
        (
            "article",
            (b'"A","",', b'"A",'),
            2,
            "article.csv line 3: 7 cells, where its header has 8; the file is damaged",
        ),
        ("article", (b"Ultraviolet", b"word\r\n" * 900_000), 0, "article 2026-09-28: 8 rows, 0 left out"),
        ("article", (b"description", b'description","new_one'), 2, "8 cells, where its header has 9"),
    ],
)
def test_the_command_says_what_is_wrong_with_an_export_and_writes_nothing(
    table: str, spoil: tuple[bytes, bytes], code: int, said: str, tmp_path: Path, capsys: Capture
) -> None:
    path = exports(tmp_path)[2]
    with zipfile.ZipFile(path) as outer, zipfile.ZipFile(io.BytesIO(outer.read("current_article_csv.zip"))) as inner:
        tables = {name: inner.read(name) for name in inner.namelist()}
    assert spoil[0] in tables[f"{table}.csv"]
    tables[f"{table}.csv"] = tables[f"{table}.csv"].replace(*spoil)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as inner:
        for name, content in tables.items():
            inner.writestr(name, content)
    with zipfile.ZipFile(path, "w") as outer:
        outer.writestr("current_article_csv.zip", packed.getvalue())
    ended = call(capsys, "reference", "coverage", path, "--output", tmp_path / "out")
    assert (ended.code, said in ended.err + ended.out) == (code, True), ended.err
    assert bool(find_editions(Layout(tmp_path / "out").coverage)) == (code == 0)


def test_without_files_and_changes_the_command_says_what_to_give(tmp_path: Path, capsys: Capture) -> None:
    ended = call(capsys, "reference", "coverage", "--output", tmp_path)
    assert (ended.code, "give FILE, or --changes" in ended.err) == (2, True)

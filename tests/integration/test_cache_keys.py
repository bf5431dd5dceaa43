"""What stands in the cache is taken for exactly what it was made from; a record that can't be decoded is made anew."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import flows.extract.readers
from flows.download.sources import Source
from flows.extract.extract_source import extract
from flows.extract.ledger import content_of, recall
from flows.publish.manifest import read_manifest
from flows.settings.values import Fetching, ReadSettings
from flows.storage.layout import Layout
from tests.documents import ANN, document, group, item, price, rate
from tests.faults import execute
from tests.json_text import json_bytes
from tests.walk import MONTH, STEPS, Capture, World, published
from transforms.errors import UsageError
from transforms.limits import Limits

CHANGES = (
    *("change_rule", "change_nppes"),
    *(
        pytest.param(change, marks=pytest.mark.slow)
        for change in ("raise_methodology", "change_bounds", "change_taxonomies", "change_payers", "add_medicare_year")
    ),
)
GARBAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda content: content[: len(content) // 2],
    "binary": lambda _: b"\x00\xff\xfe" * 50,
    "null": lambda _: b"null",
    "a list": lambda _: b"[]",
    "no field": lambda _: b"{}",
    "a field of another type": lambda content: content.replace(b":", b':{"x":', 1).replace(b",", b"},", 1),
    "other names": lambda content: content.replace(b'"s', b'"z').replace(b'"f', b'"g').replace(b'"d', b'"e'),
    "deep": lambda _: b"[" * 100_000,
}


@pytest.fixture
def world(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, capsys, monkeypatch, 1)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_rule_or_table_rebuilds_without_being_told(change: str, world: World) -> None:
    world.publish("nightly")
    before = published(world.output)
    STEPS[change](world)
    ended = world.publish("nightly")
    assert (ended.code, ended.json_line["status"]) == (0, "published")
    assert ended.json_line["sources"] == {"unchanged": 4}, "nothing is read again"
    assert published(world.output) == world.clean_tables() != before
    assert world.publish("nightly").json_line["status"] == "unchanged"


def test_a_fee_schedule_year_that_another_month_is_compared_with_rebuilds_nothing(world: World) -> None:
    world.publish("nightly")
    STEPS["add_medicare_year"](world)
    (world.output / "reference" / "2026").rename(world.output / "reference" / "2019")
    for path in (world.output / "reference" / "2019").iterdir():
        path.write_text(path.read_text().replace("2026", "2019"))
    assert world.publish("nightly").json_line["status"] == "unchanged"


def test_a_lookup_replaced_by_another_of_the_same_size_and_time_is_noticed(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "out")
    layout.prepare()
    lookup, other = tmp_path / "nppes.parquet", tmp_path / "other"
    lookup.write_bytes(b"one")
    before, status = content_of(lookup, layout), lookup.stat()
    assert content_of(lookup, layout) == before
    other.write_bytes(b"two")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(lookup)
    assert content_of(lookup, layout) != before


@pytest.mark.parametrize("damage", GARBAGE.values(), ids=GARBAGE)
def test_records_that_can_not_be_decoded_are_misses(damage: Callable[[bytes], bytes], world: World) -> None:
    contents = world.place / "index.json"
    listed = [{"description": "x", "location": f"mrf/{MONTH}/aetna/{number}.json"} for number in (1, 2)]
    contents.write_bytes(json_bytes({"reporting_structure": [{"in_network_files": listed}]}))
    config = world.place / "tic-rates.toml"
    config.write_text(config.read_text() + '[[payer]]\nname = "indexed"\ncontents = ["index.json"]\n')
    assert world.publish("nightly").code == 0
    expected = published(world.output)
    records = [path for path in (world.output / ".cache").rglob("*") if path.suffix in (".json", ".jsonl")]
    kinds = {path.relative_to(world.output / ".cache").parts[0] for path in records}
    assert kinds == {"extracts", "sources", "payers", "listings", "layout.json"}
    for path in records:
        path.write_bytes(damage(path.read_bytes()))
    ended = world.publish("nightly")
    assert (ended.code, ended.err.count("Traceback")) == (0, 0), ended.err
    assert published(world.output) == expected


def test_a_listing_that_lost_a_line_is_read_again(world: World) -> None:
    (world.place / "index.json").write_bytes(
        json_bytes({"reporting_structure": [{"in_network_files": [{"location": f"mrf/{MONTH}/aetna/1.json"}]}]})
    )
    (world.place / "tic-rates.toml").write_text('output = "out"\n[[payer]]\nname = "a"\ncontents = ["index.json"]\n')
    assert world.publish("nightly").json_line["sources"] == {"matched": 1}
    (kept,) = (world.output / ".cache" / "listings").iterdir()
    kept.write_bytes(kept.read_bytes().splitlines(keepends=True)[0])
    ended = world.publish("nightly")
    assert (ended.code, ended.json_line["sources"]) == (0, {"unchanged": 1})


def test_a_ledger_entry_of_another_layout_is_a_miss(tmp_path: Path) -> None:
    layout, source = Layout(tmp_path / "out"), tmp_path / "a.json"
    layout.prepare()
    source.write_bytes(b"x")
    content_of(source, layout)
    (entry,) = layout.ledger.iterdir()
    assert recall(Source(str(source)), layout) is not None
    entry.write_bytes(entry.read_bytes().replace(b'"layout":1', b'"layout":2'))
    assert recall(Source(str(source)), layout) is None


def extract_twice(tmp_path: Path, first: Limits, second: Limits) -> tuple[str, bool]:
    """The second reading's status, and whether the first one's extract was taken."""
    layout, path = Layout(tmp_path / "out"), tmp_path / "a.json"
    layout.prepare()
    path.write_bytes(json_bytes(document(item(rate(group(ANN), prices=[price(service_code=["11", "12", "13"])])))))
    earlier, later = (ReadSettings(frozenset({"97026"}), fetching=Fetching(bounds=each)) for each in (first, second))
    assert extract(Source(str(path)), layout, earlier).status == "matched"
    again = extract(Source(str(path)), layout, later)
    return again.status, again.unchanged


def test_a_lowered_limit_reads_again_and_a_raised_one_does_not(tmp_path: Path) -> None:
    assert extract_twice(tmp_path, Limits(), Limits(list_entries=2)) == ("quarantined", False)
    assert extract_twice(tmp_path, Limits(), Limits(list_entries=200_000)) == ("matched", True)
    assert extract_twice(tmp_path, Limits(), Limits(redirects=0)) == ("matched", True)


def test_another_version_of_reading_reads_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.publish("nightly")
    monkeypatch.setattr(flows.extract.readers, "READER_VERSION", "test")
    ended = world.publish("nightly")
    assert (ended.json_line["status"], ended.json_line["sources"]) == ("published", {"matched": 4})


EDIT = """
import flows.storage.code_versions
held = flows.storage.code_versions._source
def edited(name):
    return held(name) + (b"# edited" if name == {module!r} else b"")
flows.storage.code_versions._source = edited
"""


@pytest.mark.parametrize(
    ("module", "status", "read"),
    [
        ("transforms.read.clean", "published", "matched"),
        ("transforms.benchmark.exclude", "published", "unchanged"),
        pytest.param("transforms.report.charts", "unchanged", "unchanged", marks=pytest.mark.slow),
        ("flows.report.report", "unchanged", "unchanged"),
    ],
)
def test_edited_code_makes_anew_what_it_touches_and_no_more(module: str, status: str, read: str, world: World) -> None:
    assert world.publish("nightly").code == 0
    config = ("--config", world.place / "tic-rates.toml", "--no-gates", "--month", MONTH, "--no-report", "--json")
    ended = execute("nightly", *config, program=EDIT.format(module=module))
    assert ended.code == 0, ended.err
    assert (ended.json_line["status"], ended.json_line["sources"]) == (status, {read: 4})


def test_a_manifest_that_can_not_be_decoded_is_an_error_that_names_it(world: World) -> None:
    world.publish("run")
    (world.output / "manifest.json").write_bytes(b"{")
    ended = world.publish("nightly")
    assert (ended.code, ended.err.count("Traceback")) == (2, 0)
    with pytest.raises(UsageError, match=r"manifest\.json: can't be decoded .*; restore it, or move it away"):
        read_manifest(Layout(world.output))

"""`tic-rates run` as its users meet it: exit codes, what is printed, what is published (CONTRACT sections 2, 3, 5)."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from flows.download.sources import Source
from tests.command_line import Ended, call, digests, execute
from tests.containers import gzipped, zipped
from tests.documents import ANN, BOB, document, group, item, other_item, price, rate
from tests.json_text import json_bytes

MONTH = ("--month", "2026-06")
HTML = b"<!DOCTYPE html>\n<html><head><title>403</title></head><body>Request has expired</body></html>"
RUN_KEYS = {"month", "sources", "rows", "seconds", "bytes_json", "output"}
INSPECT_KEYS = {
    *("source", "root_keys", "items", "codes", "provider_references", "cited"),
    *("bytes_read", "bytes_json", "seconds", "engine"),
}

Capture = pytest.CaptureFixture[str]


def good_file(rate_usd: float = 30.0, entity: str = "Aetna Life Insurance Company") -> bytes:
    prices = [price(negotiated_rate=rate_usd)]
    return json_bytes(document(item(rate(group(ANN, BOB), prices=prices)), other_item(), reporting_entity_name=entity))


@pytest.fixture
def mrf(tmp_path: Path) -> Path:
    """Two good files."""
    folder = tmp_path / "mrf"
    folder.mkdir()
    (folder / "aetna.json.gz").write_bytes(gzipped(good_file()))
    (folder / "acme.json").write_bytes(good_file(40.0, "Acme Health Plan"))
    return folder


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A truncated gzip, an HTML page, an empty file."""
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "cut.json.gz").write_bytes(gzipped(good_file())[:-20])
    (folder / "page.json.gz").write_bytes(HTML)
    (folder / "empty.json").write_bytes(b"")
    return folder


def files_of(output: Path) -> dict[str, dict[str, object]]:
    files = pl.read_parquet(output / "quality" / "period=2026-06" / "files.parquet")
    return {Path(row["source"]).name: row for row in files.iter_rows(named=True)}


def rates_of(output: Path) -> pl.DataFrame:
    return pl.read_parquet(output / "rates" / "period=2026-06" / "*" / "*.parquet", hive_partitioning=False)


def test_good_files_are_published_and_said_so(mrf: Path, tmp_path: Path, capsys: Capture) -> None:
    ended = call(capsys, "run", mrf, "--output", tmp_path / "out", *MONTH, "--json")
    assert (ended.code, ended.err) == (0, "")
    line = ended.json_line
    assert set(line) >= RUN_KEYS
    assert (line["month"], line["sources"], line["rows"]) == ("2026-06", {"matched": 2}, 4)
    assert line["bytes_json"] == len(good_file()) + len(good_file(40.0, "Acme Health Plan"))
    assert line["output"] == str(tmp_path / "out")
    assert rates_of(tmp_path / "out")["negotiated_rate"].to_list() == [40.0, 40.0, 30.0, 30.0]


def test_each_run_builds_the_report_unless_told_otherwise(mrf: Path, tmp_path: Path, capsys: Capture) -> None:
    call(capsys, "run", mrf, "--output", tmp_path / "with", *MONTH, "--report")
    assert "Acme Health Plan" in (tmp_path / "with" / "report" / "97026" / "US.html").read_text()
    call(capsys, "run", mrf, "--output", tmp_path / "without", *MONTH, "--no-report")
    assert not (tmp_path / "without" / "report").exists()


def test_people_get_the_national_table_and_the_place_of_the_parquet(mrf: Path, tmp_path: Path, capsys: Capture) -> None:
    ended = call(capsys, "run", mrf, "--output", tmp_path / "out", *MONTH)
    assert ended.code == 0
    assert "CPT 97026, professional, 2026-06" in ended.out
    assert "Aetna" in ended.out and "All commercial" in ended.out and "Medicare" in ended.out
    assert f"Parquet: {tmp_path}/out/summaries/period=2026-06/summaries.parquet" in ended.out


def test_bad_files_are_quarantined_with_reasons_and_the_good_ones_published(
    mrf: Path, bad: Path, tmp_path: Path
) -> None:
    ended = execute("run", mrf, bad, "--output", tmp_path / "out", *MONTH, "--json")
    assert ended.code == 3
    assert ended.json_line["sources"] == {"matched": 2, "quarantined": 3}
    said = {Path(entry["source"]).name: entry["reason"] for entry in ended.json_line["quarantined"]}
    says = {"cut.json.gz": "truncated", "page.json.gz": "HTML", "empty.json": "empty"}
    assert said.keys() == says.keys()
    published = files_of(tmp_path / "out")
    for name, part in says.items():
        assert part in said[name]
        assert published[name]["status"] == "quarantined"
        assert published[name]["reason"] == said[name]
        assert f"{name}: {said[name]}" in ended.err
    assert "Traceback" not in ended.err
    assert {published[name]["status"] for name in ("aetna.json.gz", "acme.json")} == {"matched"}
    assert rates_of(tmp_path / "out").height == 4


def test_a_table_of_contents_is_told_by_its_content_and_a_broken_one_stops_nothing(mrf: Path, tmp_path: Path) -> None:
    listed = {"in_network_files": [{"location": "acme.json"}], "reporting_plans": []}
    tables = {
        "late.json": {"x": [[{}] * 99], "reporting_structure": [listed]},
        "root.json": listed,
        "wrapped.json": {"TOC_Files": [{"reporting_structure": listed}]},
    }
    for name, content in tables.items():
        (mrf / name).write_bytes(json_bytes(content))
    (mrf / "broken.json").write_bytes(
        b'{"reporting_structure": [{"in_network_files": [{"location": "aetna.json.gz" 1}]}]}'
    )
    ended = execute("run", mrf, "--output", tmp_path / "out", *MONTH, "--json")
    assert ended.code == 3, ended.err
    found = files_of(tmp_path / "out")
    assert {name: found[name]["status"] for name in (*tables, "broken.json")} == {
        **dict.fromkeys(tables, "no_match"),
        "broken.json": "quarantined",
    }
    assert "not well-formed JSON" in str(found["broken.json"]["reason"])
    assert found["acme.json"]["status"] == "matched"


def test_nothing_usable_leaves_the_last_good_tables_alone(
    mrf: Path, bad: Path, tmp_path: Path, capsys: Capture
) -> None:
    output = tmp_path / "out"
    call(capsys, "run", mrf, "--output", output, *MONTH)
    before = digests(output) | digests(output, "quality")
    ended = call(capsys, "run", bad, "--output", output, *MONTH, "--json")
    assert ended.code == 4
    assert ended.json_line["exit_code"] == 4
    assert digests(output) | digests(output, "quality") == before
    assert "none of 3 source(s) could be used" in ended.err
    manifest = json.loads((output / "manifest.json").read_bytes())
    assert len(manifest["failures"]["2026-06"]["quarantined"]) == 3
    assert "2026-06" in manifest["months"]


def test_a_later_success_clears_the_failure(mrf: Path, bad: Path, tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "out"
    assert call(capsys, "run", bad, "--output", output, *MONTH).code == 4
    assert call(capsys, "run", mrf, "--output", output, *MONTH).code == 0
    assert json.loads((output / "manifest.json").read_bytes())["failures"] == {}


def test_files_without_the_codes_are_no_match_and_well(tmp_path: Path, capsys: Capture) -> None:
    source = tmp_path / "other.json"
    source.write_bytes(json_bytes(document(other_item())))
    ended = call(capsys, "run", source, "--output", tmp_path / "out", *MONTH, "--json")
    assert (ended.code, ended.json_line["sources"], ended.json_line["rows"]) == (0, {"no_match": 1}, 0)
    assert files_of(tmp_path / "out")["other.json"]["status"] == "no_match"


def test_a_matched_item_without_prices_is_published_as_no_rows(tmp_path: Path, capsys: Capture) -> None:
    source = tmp_path / "bare.json"
    source.write_bytes(json_bytes(document(item(negotiated_rates=[]))))
    ended = call(capsys, "run", source, "--output", tmp_path / "out", *MONTH, "--json")
    assert (ended.code, ended.json_line["sources"], ended.json_line["rows"]) == (0, {"matched": 1}, 0)


WRONG: dict[str, tuple[list[str], str]] = {
    "a missing file": (["run", "{tmp}/absent.json"], "absent.json: no such file"),
    "a glob without files": (["run", "{tmp}/*.nothing"], "no file matches"),
    "an empty folder": (["run", "{tmp}/empty"], "the folder holds no file"),
    "an unknown scheme": (["run", "ftp://example.com/a.json"], "ftp:// is not supported"),
    "a bad month": (["run", "{good}", "--month", "2026-13"], "expected YYYY-MM, for example 2025-06, not '2026-13'"),
    "garbage codes": (["run", "{good}", "--codes", "97026;DROP"], "not a billing code"),
    "no codes": (["run", "{good}", "--codes", ","], "not a billing code"),
    "no workers": (["run", "{good}", "--workers", "0"], "0 is not in the range x>=1"),
    "no source": (["run"], "SOURCE"),
    "no command": ([], "Missing command"),
    "an unknown command": (["fly"], "'fly'"),
    "a missing --nppes": (["run", "{good}", "--nppes", "{tmp}/absent.zip"], "absent.zip: no such file"),
    "a garbage --nppes": (["run", "{good}", "--nppes", "{tmp}/garbage"], "garbage"),
    "a --nppes that is a zip of something else": (["run", "{good}", "--nppes", "{tmp}/other.zip"], "npidata"),
    "a --nppes that is a cut zip": (["run", "{good}", "--nppes", "{tmp}/cut.zip"], "cut.zip: cut or damaged"),
    "a --nppes that is a cut Parquet file": (["run", "{good}", "--nppes", "{tmp}/cut.parquet"], "cut.parquet"),
    "a --nppes that is another table": (["run", "{good}", "--nppes", "{tmp}/other.parquet"], "not an NPPES lookup"),
    "a --nppes that is a folder": (["run", "{good}", "--nppes", "{tmp}/empty"], "empty: is a folder"),
    "an --output that is a file": (["run", "{good}", "--output", "{good}"], "can't write under"),
    "an --output where nothing can be made": (["run", "{good}", "--output", "/proc/no"], "can't write under /proc/no"),
    "inspect of a missing file": (["inspect", "{tmp}/absent.json"], "absent.json: no such file"),
    "inspect of several files": (["inspect", "{tmp}/several"], "inspect reads one"),
    "rvu of an unknown code": (["rvu", "00000", "--state", "AK", "--year", "2025"], "00000"),
    "rvu of an unknown state": (["rvu", "97026", "--state", "ZZ", "--year", "2025"], "ZZ"),
    "rvu of an unknown year": (["rvu", "97026", "--state", "AK", "--year", "1999"], "1999"),
    "reference of a missing file": (["reference", "nppes", "{tmp}/absent.zip"], "absent.zip: no such file"),
}


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """What the wrong commands name."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "several").mkdir()
    for name in ("one.json", "two.json"):
        (tmp_path / "several" / name).write_bytes(good_file())
    good = tmp_path / "good.json"
    good.write_bytes(good_file())
    (tmp_path / "garbage").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "other.zip").write_bytes(zipped({"readme.txt": b"hello"}))
    (tmp_path / "cut.zip").write_bytes(zipped({"npidata_pfile_1.csv": b"hello" * 100})[:-30])
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "other.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "other.parquet").read_bytes()[:-10])
    return {"tmp": str(tmp_path), "good": str(good)}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage_is_one_clear_line_and_exit_2(
    name: str, places: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(places["tmp"])
    words, says = WRONG[name]
    ended = call(capsys, *(word.format(**places) for word in words))
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("tic-rates: ")
    assert says in line
    assert not (Path(places["tmp"]) / "output" / "summaries").exists()


def test_wrong_usage_is_one_json_line_too(places: dict[str, str], capsys: Capture) -> None:
    for words in (["run", "--json"], ["run", "{tmp}/absent.json", "--json"], ["rvu", "x", "--year", "y", "--json"]):
        ended = call(capsys, *(word.format(**places) for word in words))
        assert ended.code == 2
        assert ended.json_line["exit_code"] == 2
        assert f"tic-rates: {ended.json_line['error']}\n" == ended.err


def test_a_wrong_nppes_is_told_before_anything_is_read(places: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "out"
    ended = call(capsys, "run", places["good"], "--nppes", places["tmp"] + "/garbage", "--output", output)
    assert ended.code == 2
    assert list((output / ".cache" / "extracts").iterdir()) == []


def test_a_process_of_its_own_says_no_more_than_that_line(places: dict[str, str]) -> None:
    ended = execute("run", places["good"], "--nppes", places["tmp"] + "/garbage", "--output", places["tmp"] + "/out")
    assert ended.code == 2
    *logged, last = ended.err.splitlines()
    assert [line.split()[1] for line in logged] == ["INFO"] * len(logged), (
        "a time stands first, and no traceback follows"
    )
    assert last.startswith("tic-rates: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_output_is_wrong_usage(places: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "locked"
    output.mkdir(mode=0o500)
    ended = call(capsys, "run", places["good"], "--output", output)
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)


def test_an_unreadable_file_among_others_is_quarantined(
    mrf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """It was there when the folder was listed, and is gone, or closed to us, when it is to be read."""
    from flows.download import open_source

    expand: Callable[[list[str]], tuple[Source, ...]] = open_source.expand
    monkeypatch.setattr(open_source, "expand", lambda words: (*expand(words), Source(str(mrf / "vanished.json"))))
    ended = call(capsys, "run", mrf, "--output", tmp_path / "out", *MONTH, "--json")
    assert ended.code == 3
    assert ended.json_line["sources"] == {"matched": 2, "quarantined": 1}
    assert "can't be opened: No such file" in ended.json_line["quarantined"][0]["reason"]


def test_a_name_that_is_not_utf_8_is_read_like_any_other(mrf: Path, tmp_path: Path, capsys: Capture) -> None:
    odd = mrf / os.fsdecode(b"caf\xe9.json.gz")
    (mrf / "aetna.json.gz").rename(odd)
    (mrf / os.fsdecode(b"\xff.json")).write_bytes(b"")
    ended = call(capsys, "run", mrf, "--output", tmp_path / "out", *MONTH, "--json")
    assert (ended.code, ended.json_line["sources"]) == (3, {"matched": 2, "quarantined": 1})
    files = pl.read_parquet(tmp_path / "out" / "quality" / "*" / "files.parquet", hive_partitioning=False)
    assert {Path(name).name for name in files["source"]} >= {r"caf\udce9.json.gz", r"\udcff.json"}
    again = call(capsys, "run", odd, "--output", tmp_path / "out", *MONTH)
    assert again.code == 0
    assert inspect(capsys, odd).json_line["source"].endswith(r"caf\udce9.json.gz")


def inspect(capsys: Capture, path: Path) -> Ended:
    return call(capsys, "inspect", path, "--json")


def test_inspect_says_what_is_in_a_file(mrf: Path, capsys: Capture) -> None:
    ended = inspect(capsys, mrf / "aetna.json.gz")
    assert (ended.code, ended.err) == (0, "")
    line = ended.json_line
    assert set(line) >= INSPECT_KEYS
    assert line["reporting_entity_name"] == "Aetna Life Insurance Company"
    assert line["version"] == "2.0.0"
    assert line["root_keys"] == [
        *("reporting_entity_name", "reporting_entity_type", "last_updated_on", "version", "in_network")
    ]
    assert line["codes"] == {"97026": {"items": 1, "prices": 1}, "97028": {"items": 0, "prices": 0}}
    assert (line["items"], line["provider_references"], line["cited"]) == (2, 0, 0)
    assert line["bytes_read"] == (mrf / "aetna.json.gz").stat().st_size
    assert line["bytes_json"] == len(good_file())


def test_inspect_prints_a_line_a_field_for_people(mrf: Path, capsys: Capture) -> None:
    ended = call(capsys, "inspect", mrf / "acme.json")
    assert ended.code == 0
    assert "Acme Health Plan" in ended.out


@pytest.mark.parametrize("name", ["cut.json.gz", "page.json.gz", "empty.json"])
def test_inspect_of_a_bad_file_says_why_and_ends_with_4(name: str, bad: Path, capsys: Capture) -> None:
    ended = inspect(capsys, bad / name)
    assert ended.code == 4
    assert name in ended.json_line["error"]
    assert len(ended.err.splitlines()) == 1


def test_inspect_writes_nothing(mrf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    inspect(capsys, mrf / "aetna.json.gz")
    assert sorted(tmp_path.rglob("*")) == before


OFFICIAL = (("97026", 8.00, 5.55), ("97028", 9.67, 6.87))


@pytest.mark.parametrize(("code", "amount", "reduced"), OFFICIAL)
def test_rvu_gives_the_official_amounts_of_alaska_2025(
    code: str, amount: float, reduced: float, tmp_path: Path, capsys: Capture
) -> None:
    words = ("rvu", code, "--state", "ak", "--year", "2025", "--units", "2", "--output", tmp_path, "--json")
    ended = call(capsys, *words)
    assert ended.code == 0
    (place,) = ended.json_line["localities"]
    assert (place["amount_usd"], place["therapy_reduced_usd"]) == (amount, reduced)
    assert place["units_usd"] == pytest.approx(2 * amount)


def test_rvu_prints_amounts_for_people(tmp_path: Path, capsys: Capture) -> None:
    ended = call(capsys, "rvu", "97026", "--state", "AK", "--year", "2025", "--output", tmp_path)
    assert ended.code == 0
    assert "8.00" in ended.out and "5.55" in ended.out


@pytest.mark.parametrize("words", [[], ["run"], ["demo"], ["inspect"], ["reference", "nppes"], ["rvu"]])
def test_every_command_has_help_with_an_example(words: list[str], capsys: Capture) -> None:
    ended = call(capsys, *words, "--help")
    assert ended.code == 0
    assert not words or "example: tic-rates" in ended.out

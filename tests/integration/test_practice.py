"""`tic-rates practice` on the demo: answers and exit codes, a page that says what its table says, links and sheets."""

import base64
import json
import re
import shutil
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from flows.report.report import build_report
from flows.storage.layout import Layout
from schemas.practices import PRACTICES
from tests.browser import needs_chromium, open_browser
from tests.command_line import Ended, call
from tests.html_tables import Page, read_page

Capture = pytest.CaptureFixture[str]
UNKNOWN, UNLISTED = 2000006801, 1234567893
BENCHMARKS = ("p25", "p50", "p75", "medicare")
SHEETS = {"A4": (8.27, 11.69), "Letter": (8.5, 11.0)}


@pytest.fixture
def output(demo_output: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    shutil.copytree(demo_output, folder, ignore=shutil.ignore_patterns(".cache"))
    return folder


@pytest.fixture(scope="module")
def shown(demo_output: Path) -> str:
    """The practice that the demo ends with."""
    (path,) = (demo_output / "report" / "practices").rglob("*.html")
    return path.stem


def ask(capsys: Capture, output: Path, *words: object) -> Ended:
    return call(capsys, "practice", "--output", output, *words)


def table_of(ended: Ended) -> pl.DataFrame:
    return pl.read_parquet(ended.json_line["table"], hive_partitioning=False)


def page_of(ended: Ended) -> Page:
    return read_page(Path(ended.json_line["page"]).read_text(encoding="utf-8"))


def cents(value: float) -> Decimal:
    return Decimal(repr(value)).quantize(Decimal("0.01"), ROUND_HALF_UP)


def number(text: str) -> Decimal:
    return Decimal(text.replace(",", "").split()[0]) if text else Decimal("NaN")


def check_gaps(text: str, row: dict[str, Any], name: str) -> None:
    amount = cents(row[f"gap_{name}_usd"])
    assert number(text) == amount
    if amount:
        percent = Decimal(repr(row[f"gap_{name}_pct"])).quantize(Decimal("0.1"), ROUND_HALF_UP)
        assert f"({percent:+,}%)" in text or percent == 0


def test_every_number_of_the_page_is_one_of_the_table(output: Path, shown: str, capsys: Capture) -> None:
    ended = ask(capsys, output, "--npi", shown, "--volumes", output / "demo" / "units.csv", "--json")
    assert ended.code == 0, ended.err
    rows, page = table_of(ended), page_of(ended)
    ours = rows.filter(level="practice", status="rated", billing_class="professional", taxonomy_tier="balanced")
    by_key = {(row["payer"], row["billing_code"]): row for row in ours.iter_rows(named=True)}
    assert len(by_key) > 5
    gaps, yearly = page.tables["gaps"], page.tables["yearly"]
    assert {(each["Payer"], each["Code"]) for each in gaps} == set(by_key)
    for each in gaps:
        for name, heading in zip(BENCHMARKS, ("to P25", "to P50", "to P75", "to Medicare"), strict=True):
            check_gaps(each[heading], by_key[each["Payer"], each["Code"]], name)
    assert len(yearly) == len(gaps)
    for each in yearly:
        row = by_key[each["Payer"], each["Code"]]
        assert number(each["Units a year"]) == Decimal(row["yearly_units"])
        for name, heading in zip(BENCHMARKS, ("to P25", "to P50", "to P75", "to Medicare"), strict=True):
            assert number(each[heading]) == cents(row[f"gap_{name}_yearly_usd"])
    last = ours.filter(billing_code=max(ours["billing_code"]))
    positions = {each["Payer"]: each for each in page.tables["positions"]}  # the page's last table of the kind
    assert set(positions) == {*last["payer"]}
    for row in last.iter_rows(named=True):
        each = positions[row["payer"]]
        assert number(each["Own rate"]) == cents(row["own_rate_usd"])
        assert each["Rank"] == f"{row['rank']} of {row['n_market']}"
        assert ("*" in each["Percentile"]) == row["low_sample"]
        assert number(each["Percentile"]) == Decimal(repr(row["percentile"])).quantize(Decimal("0.1"), ROUND_HALF_UP)
        for heading, name in (("P25", "p25_usd"), ("P50", "p50_usd"), ("P75", "p75_usd"), ("Medicare", "medicare_usd")):
            assert number(each[heading]) == cents(row[name])
    figures = {cents(value) for column in rows.select(pl.selectors.float()) for value in column.drop_nulls()}
    for amount in re.findall(r"\$([0-9,]+\.\d\d)", page.text):
        assert {number(amount), -number(amount)} & figures, amount
    lines = page.tables["contracts"]
    rates = {
        (row["payer"], row["billing_code"], row["tin"], cents(row["own_rate_usd"]))
        for row in rows.filter(status="rated").filter(pl.col("level").is_in(["tin", "network"])).iter_rows(named=True)
    }
    assert lines
    assert all((each["Payer"], each["Code"], each["TIN"], number(each["Rate"])) in rates for each in lines)


def test_the_table_has_its_declared_shape_and_says_what_was_asked(output: Path, shown: str, capsys: Capture) -> None:
    ended = ask(capsys, output, "--npi", f"{shown},{UNLISTED}", "--json")
    found = pq.read_schema(ended.json_line["table"])
    assert found.equals(PRACTICES.arrow(), check_metadata=False)
    assert found.metadata[b"npis"].decode() == f"{UNLISTED},{shown}"
    manifest = json.loads((output / "manifest.json").read_bytes())
    assert found.metadata[b"published_at"].decode() == manifest["months"]["2026-06"]["published_at"]
    assert ended.json_line["npis_without_rows"] == [UNLISTED]
    rows = table_of(ended)
    assert rows.equals(rows.sort(PRACTICES.grain))
    assert rows.height == rows.select(PRACTICES.grain).n_unique()
    package = json.loads((output / "datapackage.json").read_bytes())
    (resource,) = (each for each in package["resources"] if each["name"] == "practices")
    paths = [resource["path"]] if isinstance(resource["path"], str) else resource["path"]
    assert any("*" in path or ended.json_line["practice"] in path for path in paths)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "give --npi, --tin, or both"),
        (["--npi", "1234567890"], 2, "is not an NPI"),
        (["--npi", "123"], 2, "is not an NPI"),
        (["--npi", "3000000000"], 2, "is not an NPI"),
        (["--tin", "12"], 2, "is not a TIN"),
        (["--npi", UNLISTED], 4, f"names NPI {UNLISTED} for 97026, 97028: no payer lists it"),
        (["--tin", "99-9999999"], 4, "names TIN 999999999"),
        (["--npi", UNKNOWN], 4, "npi_unknown (not in NPPES)"),
        (["--npi", UNLISTED, "--month", "2026-05"], 2, "2026-05 is not published under"),
    ],
)
def test_each_kind_of_no_answer_has_its_own_words_and_code(
    words: list[object], code: int, said: str, output: Path, capsys: Capture
) -> None:
    before = sorted((output / "practices").rglob("*"))
    ended = ask(capsys, output, *words)
    assert (ended.code, said in ended.err) == (code, True), ended.err
    assert sorted((output / "practices").rglob("*")) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("npi,code,units\n", "column billing_code is missing; found: npi, code, units"),
        ("billing_code,units\n97110,5\n", "no line has one of the published codes 97026, 97028; 1 have others"),
        ("billing_code,units\n97026,many\n", "line 2: units 'many' is not a number of zero or more"),
        ("billing_code,units\n97026,-1\n", "line 2: units '-1' is not a number"),
        ("npi,billing_code,units\n1234567893,97026,1\n", "line 2: npi '1234567893' is not of the practice"),
        ("payer,billing_code,units\nAtena,97026,1\n", "line 2: payer 'Atena' is not in the tables; there are: Aetna"),
        ("", "column billing_code, units is missing; found: none"),
        ("billing_code,units\n97026,\ud800\n", "can't decode"),
    ],
)
def test_a_wrong_csv_of_volumes_is_named(
    text: str, said: str, output: Path, shown: str, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "units.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    ended = ask(capsys, output, "--npi", shown, "--volumes", path)
    assert (ended.code, said in ended.err) == (2, True), ended.err
    assert str(path) in ended.err


def test_units_of_a_group_in_two_states_need_an_npi(output: Path, tmp_path: Path, capsys: Capture) -> None:
    providers = pl.read_parquet(output / "providers/period=2026-06/providers.parquet")
    npis = [min(providers.filter(state=state, taxonomy_tier="strict")["npi"].to_list()) for state in ("CA", "TX")]
    path = tmp_path / "units.csv"
    path.write_text("billing_code,units\n97026,1\n")
    ended = ask(capsys, output, "--npi", npis[0], "--npi", npis[1], "--volumes", path)
    assert (ended.code, "the practice is in CA, TX: add a column npi" in ended.err) == (2, True), ended.err
    path.write_text(f"npi,billing_code,units\n{npis[0]},97026,10\n{npis[1]},97026,1.5\n{npis[1]},97026,1\n,,\n")
    ended = ask(capsys, output, "--npi", npis[0], "--npi", npis[1], "--volumes", path, "--json")
    units = table_of(ended).filter(pl.col("yearly_units").is_not_null())
    assert set(units.select("geography", "yearly_units").iter_rows()) == {("CA", 10.0), ("TX", 2.5)}


@pytest.mark.slow
def test_the_first_page_links_the_page_and_a_rebuilt_report_has_the_same(
    output: Path, shown: str, capsys: Capture
) -> None:
    ended = ask(capsys, output, "--npi", shown, "--json")
    page, first = Path(ended.json_line["page"]), output / "report" / "index.html"
    href = page.relative_to(output / "report").as_posix()
    assert any(each.get("href") == href for each in read_page(first.read_text(encoding="utf-8")).attributes("a"))
    before = {path: path.read_bytes() for path in (page, page.with_suffix(".csv"), first)}
    build_report(Layout(output))
    assert {path: path.read_bytes() for path in before} == before
    for link in page_of(ended).attributes("a"):
        target = link["href"].partition("#")[0]
        assert not target or (page.parent / target).exists(), target


@pytest.mark.slow
def test_without_a_report_the_command_builds_one(output: Path, shown: str, capsys: Capture) -> None:
    shutil.rmtree(output / "report")
    ended = ask(capsys, output, "--npi", shown, "--json")
    assert ended.code == 0
    assert Path(ended.json_line["page"]).exists()
    assert (output / "report" / "97026" / "US.html").exists()


@pytest.mark.slow
def test_a_page_of_an_earlier_publication_says_so(output: Path, shown: str, capsys: Capture) -> None:
    ended = ask(capsys, output, "--npi", shown, "--json")
    assert "were published again" not in page_of(ended).text
    manifest = output / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"published_at": "2', '"published_at": "3'))
    build_report(Layout(output))
    assert "were published again since" in page_of(ended).text


def test_people_see_positions_and_where_the_page_is(output: Path, shown: str, capsys: Capture) -> None:
    ended = ask(capsys, output, "--npi", shown)
    assert ended.code == 0
    assert "percentile" in ended.out
    assert f"Page: {output}/report/practices/2026-06/{shown}.html" in ended.out


@needs_chromium
@pytest.mark.slow
def test_a_page_prints_on_two_sheets_and_fits_a_phone(output: Path, shown: str, capsys: Capture) -> None:
    providers = pl.read_parquet(output / "providers/period=2026-06/providers.parquet")
    strict = providers.filter(taxonomy_tier="strict")["npi"].unique().sort().to_list()
    most = providers.group_by("tin").agg(pl.len()).sort("len", "tin")["tin"][-1]
    asked: list[list[object]] = [
        ["--npi", shown, "--volumes", output / "demo" / "units.csv"],
        ["--npi", shown],
        ["--npi", strict[0]],
        ["--npi", ",".join(map(str, strict[:40]))],
        ["--tin", most],
    ]
    with open_browser() as browser:
        for words in asked:
            ended = ask(capsys, output, *words, "--json")
            browser.send("Emulation.setDeviceMetricsOverride", width=360, height=800, deviceScaleFactor=1, mobile=False)
            browser.open(Path(ended.json_line["page"]).as_uri())
            assert browser.run("document.documentElement.scrollWidth") <= 360
            browser.send("Emulation.clearDeviceMetricsOverride")
            for name, (width, height) in SHEETS.items():
                answer = browser.send("Page.printToPDF", paperWidth=width, paperHeight=height)
                sheets = len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(answer["data"])))
                assert sheets == 2, (words, name)
        assert browser.complaints == []

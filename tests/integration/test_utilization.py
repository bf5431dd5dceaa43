"""`reference utilization`, and what a month's tables are when years of it come, change and go."""

import gzip
import zipfile
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from flows.publish.manifest import read_manifest
from flows.storage.layout import Layout
from flows.tables.utilization_lookup import build_utilization, find_utilization
from schemas import code_families
from schemas.reference import CODE_FAMILIES, UTILIZATION, load_reference
from tests.command_line import call
from tests.market_files import CODES, SERVICES, utilization_csv
from tests.walk import MONTH, NPIS, Capture, World, published
from transforms.errors import UsageError

NAME = "MUP_PHY_R26_P05_V10_D24_Prov_Svc.csv"


def write_services(world: World, year: int, *codes: str, build_codes: tuple[str, ...] = CODES) -> Path:
    """A built year in which the first NPIs have services, each of its own code."""
    lines = [f"{npi},{code},{world.next()}.5" for npi, code in zip(NPIS, codes, strict=False)]
    path = world.place / f"services_{year}.csv"
    path.write_text("\n".join(["npi,billing_code,services", *lines, ""]))
    build_utilization([path], Layout(world.output).utilization, build_codes)
    return Layout(world.output).utilization / f"{year}.parquet"


@pytest.fixture
def world(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, capsys, monkeypatch, 1)


def table(world: World, name: str) -> pl.DataFrame:
    return pl.read_parquet(world.output / name / f"period={MONTH}" / f"{name}.parquet", hive_partitioning=False)


def evidence(world: World) -> dict[int, str | None]:
    return dict(table(world, "providers").filter(billing_code="97026").select("npi", "evidence").iter_rows())


def test_evidence_of_the_year_that_counts_is_in_the_tables_and_in_the_manifest(world: World) -> None:
    write_services(world, 2023, "97026", "97026", "97026")
    write_services(world, 2027, *["97026"] * 12)
    write_services(world, 2024, "97026", "97110", "99213")
    assert world.publish("run").code == 0
    found = evidence(world)
    expected = dict(zip(NPIS, ("billed", "related", "none"), strict=False))
    assert found and found == {npi: expected.get(npi) for npi in found}
    summaries = table(world, "summaries").filter(payer_kind="payer")
    assert ("billed" in summaries["taxonomy_tier"]) == (not {"billed", "related"}.isdisjoint(found.values()))
    entry = read_manifest(Layout(world.output))["months"][MONTH]["utilization"]
    stated = {name: entry[name] for name in ("year", "lookup", "made_from", "codes", "npis")}
    assert stated == {
        "year": 2024,
        "lookup": "2024.parquet",
        "made_from": "services_2024.csv",
        "codes": ["97026", "97028"],
        "npis": 3,
    }


@pytest.mark.slow
def test_a_year_that_counts_publishes_anew_and_others_do_not(world: World) -> None:
    world.publish("nightly")
    without = published(world.output)
    write_services(world, 2027, *["97026"] * 12)
    assert world.publish("nightly").json_line["status"] == "unchanged"
    for year, status in ((2022, "published"), (2024, "published"), (2023, "unchanged"), (2024, "published")):
        write_services(world, year, *["97026"] * 12)
        ended = world.publish("nightly")
        assert (ended.code, ended.json_line["status"]) == (0, status), year
        assert published(world.output) == world.clean_tables() != without
        assert ended.json_line["sources"] == {"unchanged": 4}, "nothing is read again"
    for path in Layout(world.output).utilization.iterdir():
        path.unlink()
    assert world.publish("nightly").json_line["status"] == "published"
    assert published(world.output) == without


def test_a_changed_family_publishes_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    write_services(world, 2024, *["97750"] * 12)
    world.publish("nightly")
    assert set(evidence(world).values()) == {"related"}
    narrower = load_reference(CODE_FAMILIES).with_columns(last_code=pl.lit("97039"))
    monkeypatch.setattr(code_families, "load_reference", lambda _: narrower)
    code_families._families.cache_clear()
    assert world.publish("nightly").json_line["status"] == "published"
    assert set(evidence(world).values()) == {"none"}
    code_families._families.cache_clear()


def test_payers_that_are_not_read_have_the_evidence_of_today_too(world: World) -> None:
    world.publish("nightly")
    write_services(world, 2024, *["97026"] * 12)
    config = ("--config", world.place / "tic-rates.toml", "--no-gates", "--month", MONTH, "--json")
    assert call(world.capsys, "nightly", *config, "--payer", "aetna").code == 0
    assert set(evidence(world).values()) == {"billed"}
    assert published(world.output) == world.clean_tables()


def test_a_code_whose_family_was_not_built_has_no_evidence_and_is_said(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    write_services(world, 2024, *["97026"] * 12, build_codes=("98940",))
    assert world.publish("run").code == 0
    assert set(evidence(world).values()) == {None}
    assert "no evidence of 97026" in caplog.text and "reference utilization FILE --codes 97026" in caplog.text


def test_a_damaged_year_is_named(world: World) -> None:
    path = write_services(world, 2024, "97026")
    path.write_bytes(path.read_bytes()[:100])
    ended = world.publish("run")
    assert ended.code == 2
    assert "2024.parquet: not a utilization lookup; build it again" in ended.json_line["error"]


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "download.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MUP_PHY_R26_P05_V10_D24_Prov_Svc_Data_Dictionary.pdf", b"%PDF")
        archive.writestr("__MACOSX/._" + NAME, b"x")
        archive.writestr(NAME, utilization_csv())
    return folder / "download.zip"


@pytest.mark.parametrize("form", ["csv", "zip", "gzip"])
def test_the_command_builds_a_year_and_replaces_it(form: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / NAME
    path.write_bytes(gzip.compress(utilization_csv()) if form == "gzip" else utilization_csv())
    source = zipped(tmp_path) if form == "zip" else path
    for _ in range(2):
        line = call(capsys, "reference", "utilization", source, "--output", tmp_path / "out", "--json").json_line
    assert (line["years"], line["families"], line["npis"], line["left_out"]) == ([2024], "97010-97799", 44, 0)
    built = Layout(tmp_path / "out").utilization / "2024.parquet"
    assert [path.name for path in built.parent.iterdir()] == [built.name]
    rows = pl.read_parquet(built)
    assert rows.schema == UTILIZATION.polars and rows.equals(rows.sort(UTILIZATION.grain))
    assert {(npi, code): services for _, npi, code, services in rows.drop_nulls().iter_rows()} == {
        (npi, code): float(services)
        for npi, billed in SERVICES.items()
        for code, services in billed.items()
        if code != "97800" and services
    }
    assert set(rows["npi"]) == set(SERVICES)
    found = find_utilization(built.parent, date(2026, 6, 1))
    assert found is not None and (found.year, found.made_from) == (2024, NAME)
    assert found.evidence_codes(["97026", "97035", "98940"]) == ("97026", "97035")


WRONG = {
    "a year in no place": (["claims.csv"], "claims.csv: neither its name nor a column states the year"),
    "a year twice": (["a 2024.csv", "b 2024.csv"], "b 2024.csv: it has services of 2024, which .*a 2024.csv has too"),
    "a missing file": (["absent_2024.csv"], "absent_2024.csv: no such file"),
    "no row": (["empty_2024.csv"], "empty_2024.csv: none of 0 rows has an NPI"),
    "no column": (["columns_2024.csv"], "columns_2024.csv: read as Medicare .*, a column is missing: TOT_SRVCS"),
    "another year": (["--year", "2023", "years.csv"], "years.csv: it has services of 2021, but --year is 2023"),
}


@pytest.mark.parametrize(("words", "text"), WRONG.values(), ids=WRONG)
def test_what_can_not_be_read_is_named_and_nothing_is_written(
    words: list[str], text: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = utilization_csv()
    for name in ("claims.csv", "a 2024.csv", "b 2024.csv"):
        Path(name).write_bytes(content)
    Path("empty_2024.csv").write_bytes(content.split(b"\n")[0])
    Path("columns_2024.csv").write_bytes(content.replace(b"Tot_Srvcs", b"Total"))
    Path("years.csv").write_text(f"year,npi,billing_code,services\n2021,{NPIS[0]},97026,3\n")
    ended = call(capsys, "reference", "utilization", *words, "--output", "out")
    assert ended.code == 2
    with pytest.raises(UsageError, match=text):
        raise UsageError(ended.err)
    assert not list(Path().glob("out/reference/utilization/*"))

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from flows.tables.fee_schedules import build_localities, build_medicare, load_localities, load_medicare
from flows.tables.nppes_lookup import build_nppes, check_lookup, downloads_behind, nppes_lookup
from schemas.reference import MEDICARE_TABLES, NPPES, ZIP_LOCALITIES, load_reference, parse_reference
from tests.fee_schedule_files import gpci, pprrvu
from tests.nppes_files import many_records, npidata, record, rows
from transforms.cms.medicare import MedicareReference, price_service
from transforms.errors import UsageError

REPOSITORY = Path(__file__).resolve().parents[2]
CONTENT = npidata(record(1992999999, "NY", "111N00000X"), record(1003000126, "AK"), record(2003000126, "PR"))
LOOKUP = [(1003000126, "AK", [], False), (1992999999, "NY", ["111N00000X"], False), (2003000126, "PR", [], False)]


def monthly_zip(*members: tuple[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members:
            archive.writestr(name, member)
    return content.getvalue()


MONTHLY = monthly_zip(
    ("NPPES_Data_Dissemination_Readme.pdf", b"%PDF"),
    ("npidata_pfile_20050523-20260607.csv", CONTENT),
    ("npidata_pfile_20050523-20260607_fileheader.csv", CONTENT[:100]),
    ("pl_pfile_20050523-20260607.csv", b"NPI\n"),
)


def built(tmp_path: Path, content: bytes, name: str = "download") -> list[tuple[object, ...]]:
    source = tmp_path / name
    source.write_bytes(content)
    build_nppes(source, tmp_path / "nppes.parquet")
    return rows(pl.read_parquet(tmp_path / "nppes.parquet"))


@pytest.mark.parametrize("content", [CONTENT, MONTHLY, gzip.compress(CONTENT)], ids=["csv", "zip", "gzip"])
def test_the_download_is_told_apart_by_content_and_gives_one_sorted_lookup(tmp_path: Path, content: bytes) -> None:
    assert built(tmp_path, content) == LOOKUP


def test_the_lookup_carries_its_schema_and_figures(tmp_path: Path) -> None:
    (tmp_path / "npidata.csv").write_bytes(CONTENT)
    told: list[int] = []
    figures = build_nppes(tmp_path / "npidata.csv", tmp_path / "deep" / "nppes.parquet", progress=told.append)
    found = pq.read_schema(tmp_path / "deep" / "nppes.parquet")
    assert found.equals(NPPES.arrow())
    assert found.metadata[b"description"].decode() == NPPES.description
    assert found.field("state").metadata[b"description"].startswith(b"practice location state")
    assert (figures["rows"], figures["records"], figures["bytes"]) == (3, 3, len(CONTENT))
    assert sum(told) == len(CONTENT)
    assert figures["output_bytes"] == (tmp_path / "deep" / "nppes.parquet").stat().st_size
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["nppes.parquet"]


def test_weekly_files_and_deactivation_reports_come_on_top_in_order(tmp_path: Path) -> None:
    files = {
        "monthly.zip": MONTHLY,
        "week1.csv": npidata(record(1003000126, "CA"), record(1114000000, "TX")),
        "week2.zip": monthly_zip(("npidata_pfile_20260608-20260614.csv", npidata(record(1003000126, "WA")))),
        "report.zip": monthly_zip(("NPPES Deactivated NPI Report.csv", b"Title,\nNPI,Date\n1992999999,06/01/2026\n")),
        "report.csv": b"NPI,Date\n1888888888,06/02/2026\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    weekly = [tmp_path / "week1.csv", tmp_path / "week2.zip"]
    reports = [tmp_path / "report.zip", tmp_path / "report.csv"]
    build_nppes(tmp_path / "monthly.zip", tmp_path / "nppes.parquet", weekly, reports)
    assert rows(pl.read_parquet(tmp_path / "nppes.parquet")) == [
        (1003000126, "WA", [], False),
        (1114000000, "TX", [], False),
        (1888888888, None, [], True),
        (1992999999, "NY", ["111N00000X"], True),
        (2003000126, "PR", [], False),
    ]


def test_the_same_download_gives_the_same_bytes(tmp_path: Path) -> None:
    first = built(tmp_path, CONTENT)
    bytes_before = (tmp_path / "nppes.parquet").read_bytes()
    assert built(tmp_path, MONTHLY) == first
    assert built(tmp_path, CONTENT) == first
    assert (tmp_path / "nppes.parquet").read_bytes() == bytes_before


def test_a_lookup_says_which_downloads_it_was_made_from(tmp_path: Path) -> None:
    built(tmp_path, MONTHLY)
    assert downloads_behind(tmp_path / "nppes.parquet") == "npidata_pfile_20050523-20260607.csv"
    pl.DataFrame({"npi": [1]}).write_parquet(tmp_path / "other.parquet")
    assert downloads_behind(tmp_path / "other.parquet") is None


def damaged(content: bytes) -> bytes:
    middle = content.index(b"npidata_pfile") + 200
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (MONTHLY[:-200], "cut or damaged"),
        (damaged(MONTHLY), "cut or damaged"),
        (gzip.compress(CONTENT)[:-12], "cut or damaged"),
        (gzip.compress(CONTENT)[:200] + b"\xff" * 200 + gzip.compress(CONTENT)[400:], "cut or damaged"),
        (CONTENT[:-300], "Expected 330 columns"),
        (b"<html>Access Denied</html>", "not an NPPES npidata csv"),
        (b"", "not an NPPES npidata csv"),
        (monthly_zip(("readme.txt", b"x")), "no npidata_pfile csv in the zip, expected one; it holds readme.txt"),
        (monthly_zip(("npidata_pfile_1.csv", CONTENT), ("npidata_pfile_2.csv", CONTENT)), "2 npidata_pfile csv"),
    ],
    ids=["cut zip", "damaged zip", "cut gzip", "damaged gzip", "cut csv", "html", "empty", "other zip", "two files"],
)
def test_a_bad_download_is_named_and_leaves_the_last_lookup(tmp_path: Path, content: bytes, says: str) -> None:
    built(tmp_path, CONTENT)
    with pytest.raises(UsageError, match=f"download2: .*{says}"):
        built(tmp_path, content, "download2")
    assert rows(pl.read_parquet(tmp_path / "nppes.parquet")) == LOOKUP
    assert sorted(path.name for path in tmp_path.iterdir()) == ["download", "download2", "nppes.parquet"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.zip: no such file"):
        nppes_lookup(tmp_path / "nowhere.zip", tmp_path)
    with pytest.raises(UsageError, match="Is a directory"):
        build_nppes(tmp_path, tmp_path / "nppes.parquet")


def test_a_download_is_built_once_and_again_when_it_changes(tmp_path: Path) -> None:
    source = tmp_path / "npidata.csv"
    source.write_bytes(CONTENT)
    first = nppes_lookup(source, tmp_path / "cache")
    stamp = first.stat().st_mtime_ns
    assert nppes_lookup(source, tmp_path / "cache") == first
    assert first.stat().st_mtime_ns == stamp
    source.write_bytes(CONTENT + record(1444444444, "TX").encode())
    again = nppes_lookup(source, tmp_path / "cache")
    assert again != first
    assert len(pl.read_parquet(again)) == 4


def test_a_download_replaced_by_one_of_the_same_size_and_time_is_built_anew(tmp_path: Path) -> None:
    source, other = tmp_path / "npidata.csv", tmp_path / "other.csv"
    for path, state in ((source, "TX"), (other, "WY")):
        path.write_bytes(CONTENT + record(1444444444, state).encode())
        os.utime(path, ns=(10**18, 10**18))
    first = pl.read_parquet(nppes_lookup(source, tmp_path / "cache"))
    other.replace(source)
    again = pl.read_parquet(nppes_lookup(source, tmp_path / "cache"))
    assert set(again["state"]) - set(first["state"]) == {"WY"}


def test_a_built_lookup_is_its_own_lookup(tmp_path: Path) -> None:
    built(tmp_path, CONTENT)
    assert nppes_lookup(tmp_path / "nppes.parquet", tmp_path / "cache") == tmp_path / "nppes.parquet"
    pl.read_parquet(tmp_path / "nppes.parquet").write_parquet(tmp_path / "by_polars.parquet")
    check_lookup(tmp_path / "by_polars.parquet")


def test_another_parquet_file_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"npi": ["1"], "state": ["AK"]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(UsageError, match="npi is String, expected Int64; entity_type is missing"):
        nppes_lookup(tmp_path / "other.parquet", tmp_path)
    (tmp_path / "cut.parquet").write_bytes(b"PAR1cut")
    with pytest.raises(UsageError, match="not a readable Parquet file"):
        nppes_lookup(tmp_path / "cut.parquet", tmp_path)


MEASURED = """
import json, resource, sys
from pathlib import Path
from flows.tables.nppes_lookup import build_nppes
from tests.peak_memory import peak_bytes
figures = build_nppes(Path(sys.argv[1]), Path(sys.argv[2]))
print(json.dumps(figures | {"rss_kib": peak_bytes() // 1024}))
"""


def figures_of(source: Path, target: Path) -> dict[str, int]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", MEASURED, str(source), str(target)]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    figures: dict[str, int] = json.loads(finished.stdout)
    return figures


@pytest.mark.slow
def test_memory_does_not_grow_with_the_download(tmp_path: Path) -> None:
    """Two hundred thousand records against fifty thousand: 320 MB of csv more, the lookup's own working set apart."""
    with (tmp_path / "small.csv").open("wb") as small, (tmp_path / "large.csv").open("wb") as large:
        small.write(npidata())
        large.write(npidata())
        lines = "".join(many_records(50_000)).encode()
        small.write(lines)
        for _ in range(4):
            large.write(lines)
    small_figures = figures_of(tmp_path / "small.csv", tmp_path / "small.parquet")
    large_figures = figures_of(tmp_path / "large.csv", tmp_path / "large.parquet")
    assert (small_figures["records"], large_figures["records"]) == (50_000, 200_000)
    assert large_figures["rows"] == small_figures["rows"]
    assert large_figures["rss_kib"] < 1 << 20
    assert large_figures["rss_kib"] - small_figures["rss_kib"] < 300 << 10


def fee_schedule_files(tmp_path: Path, year: int) -> tuple[Path, Path]:
    rvu, indices = tmp_path / "rvu.csv", tmp_path / "gpci.csv"
    rvu.write_text(pprrvu(year))
    indices.write_text(gpci(year))
    return rvu, indices


def test_a_built_fee_schedule_year_is_loaded_over_the_packaged_ones(tmp_path: Path) -> None:
    figures = build_medicare(*fee_schedule_files(tmp_path, 2026), 2026, tmp_path / "built")
    assert figures == {
        "year": 2026, "codes": 3, "localities": 2, "conversion_factor": 32.3465, "left_out": 0,
        "output": str(tmp_path / "built" / "2026"),
    }  # fmt: skip
    reference = load_medicare(tmp_path / "built")
    assert reference.years == (2020, 2021, 2022, 2023, 2024, 2025, 2026)
    assert float(price_service(reference, "97026", 1, "AK", 2026).localities[0].amount_usd) == 8.00
    assert price_service(reference, "71046", 1, "CA", 2026).localities[0].therapy_reduced_usd is None


def test_the_files_of_2026_in_their_layout_give_the_packaged_year(tmp_path: Path) -> None:
    packaged = [load_reference(table).filter(pl.col("year") == 2026) for table in MEDICARE_TABLES]
    places = packaged[1].drop("year").write_csv(include_header=False).splitlines()
    rvu, indices = tmp_path / "PPRRVU2026_Jan_nonQPP.csv", tmp_path / "GPCI2026.csv"
    rvu.write_text(pprrvu(2026, pe="0.13", total="0.20", factor="33.4009"))
    indices.write_text(gpci(2026, places))
    build_medicare(rvu, indices, 2026, tmp_path / "built", ["97026", "97028"])
    for table, expected in zip(MEDICARE_TABLES, packaged, strict=True):
        found = parse_reference((tmp_path / "built" / "2026" / table.path).read_bytes(), table)
        assert found.sort(table.grain).equals(expected.sort(table.grain))


def test_of_the_two_files_of_2026_the_one_for_clinicians_outside_apms_is_taken(tmp_path: Path) -> None:
    archive = tmp_path / "rvu26a.zip"
    archive.write_bytes(
        monthly_zip(
            ("PPRRVU2026_Jan_QPP.csv", pprrvu(2026, factor="33.5675").encode()),
            ("PPRRVU2026_Jan_nonQPP.csv", pprrvu(2026, factor="33.4009").encode()),
            ("GPCI2026.csv", gpci(2026).encode()),
        )
    )
    assert build_medicare(archive, archive, 2026, tmp_path / "built", ["97026"])["conversion_factor"] == 33.4009


def test_a_bad_fee_schedule_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    rvu, indices = fee_schedule_files(tmp_path, 2025)
    with pytest.raises(UsageError, match=r"rvu\.csv.*is of 2025, not 2026"):
        build_medicare(rvu, indices, 2026, tmp_path / "built")
    with pytest.raises(UsageError, match=r"none\.csv: no such file"):
        build_medicare(tmp_path / "none.csv", indices, 2025, tmp_path / "built")
    (tmp_path / "other.zip").write_bytes(monthly_zip(("a.txt", b"a")))
    with pytest.raises(UsageError, match=r"other\.zip: no PPRRVU csv in the zip"):
        build_medicare(tmp_path / "other.zip", indices, 2025, tmp_path / "built")
    assert not (tmp_path / "built").exists()


def test_without_built_years_the_packaged_reference_stands(tmp_path: Path) -> None:
    packaged = MedicareReference.packaged()
    assert load_medicare(None).years == packaged.years == load_medicare(tmp_path / "absent").years


def test_a_damaged_built_year_is_named(tmp_path: Path) -> None:
    build_medicare(*fee_schedule_files(tmp_path, 2026), 2026, tmp_path / "built")
    (tmp_path / "built" / "2026" / "medicare_gpcis.csv").write_text("year,mac\n")
    with pytest.raises(UsageError, match=r"2026: medicare_gpcis\.csv: columns are year,mac, expected year,mac,state"):
        load_medicare(tmp_path / "built")
    (tmp_path / "built" / "2026" / "medicare_gpcis.csv").unlink()
    with pytest.raises(UsageError, match=r"medicare_gpcis\.csv: no such file"):
        load_medicare(tmp_path / "built")


ZIP5 = (
    "STATE,ZIP CODE,CARRIER,PRICING LOCALITY,RURAL IND,LAB CB LOCALITY,RURAL IND2,PLUS 4 FLAG,"
    "PART B PAYMENT INDICATOR,YEAR/QTR\nCA,94110,01112,05,,05,,0,,{edition}\n"
)


def test_an_edition_of_the_zip_file_replaces_the_one_of_its_year_and_no_other(tmp_path: Path) -> None:
    built = tmp_path / "reference" / "zip_localities.parquet"
    packaged = load_reference(ZIP_LOCALITIES)
    assert load_localities(built).equals(packaged)
    for edition in ("20251", "20253", "20262"):
        members = (("ZIP9_X.csv", b""), (f"zip5_{edition}.csv", ZIP5.format(edition=edition).encode()))
        (tmp_path / "localities.zip").write_bytes(monthly_zip(*members))
        figures = build_localities(tmp_path / "localities.zip", built)
        assert (figures["year"], figures["quarter"], figures["zips"]) == (int(edition[:4]), int(edition[4]), 1)
    assert load_localities(built).rows() == [(2025, 3, "94110", "01112", "05"), (2026, 2, "94110", "01112", "05")]
    text = f"CA941100111205 05   0{'20263':>59}\r\n".encode()
    texts = (("ZIP5lyout.txt", b"layout"), ("ZIP5_JUL2026.txt", text), ("ZIP9_JUL2026.txt", b""))
    (tmp_path / "localities.zip").write_bytes(monthly_zip(*texts))
    assert build_localities(tmp_path / "localities.zip", built)["quarter"] == 3
    assert [path.name for path in built.parent.iterdir()] == [built.name]


def test_a_bad_zip_file_is_named_and_the_last_edition_stays(tmp_path: Path) -> None:
    built, source = tmp_path / "zip_localities.parquet", tmp_path / "zip5.csv"
    source.write_text(ZIP5.format(edition="20262"))
    build_localities(source, built)
    before = built.read_bytes()
    source.write_text(ZIP5.format(edition="20262").replace("CARRIER", "MAC"))
    with pytest.raises(UsageError, match=r"zip5\.csv: ZIP to locality file: no column headed 'CARRIER'"):
        build_localities(source, built)
    assert built.read_bytes() == before

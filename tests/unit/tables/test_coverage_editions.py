"""Building editions from downloads: what is written, merged and refused."""

import logging
import zipfile
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from flows.tables.coverage_editions import build_coverage, build_ncci, find_changes, find_editions
from schemas.coverage import COVERAGE_EDITION
from tests.bench.coverage import write_workbook
from tests.coverage_files import (
    AMA,
    ARTICLES,
    CODES,
    LCDS,
    NCDS,
    POLICIES,
    PTP_ROWS,
    mue_text,
    ptp_text,
    write_export,
)
from transforms.errors import UsageError

DAY = date(2026, 9, 28)


def exports(folder: Path) -> list[Path]:
    """The three downloads of a week."""
    tables = {"ncd": NCDS, "current_lcd": LCDS, "current_article": ARTICLES}
    return [write_export(folder / f"{name}.zip", own) for name, own in tables.items()]


def policies(folder: Path, *lines: str, name: str = "policies_2026-09-01.csv") -> Path:
    (folder / name).write_text("\n".join(lines))
    return folder / name


def edits(folder: Path, name: str, *rows: tuple[str, ...]) -> Path:
    (folder / name).write_bytes(ptp_text(rows))
    return folder / name


def names(folder: Path) -> list[str]:
    return [f"{each.kind} {each.date}" for each in find_editions(folder)]


def test_the_exports_of_a_week_are_an_edition_of_each_kind(tmp_path: Path) -> None:
    figures = build_coverage(exports(tmp_path), tmp_path / "built", CODES)
    assert figures["editions"] == {
        "article 2026-09-28": {"rows": 8, "left out": 0},
        "lcd 2026-09-28": {"rows": 4, "left out": 0},
        "ncd 2026-09-28": {"rows": 3, "left out": 0},
    }
    assert names(tmp_path / "built") == list(figures["editions"])
    for each in find_editions(tmp_path / "built"):
        assert pq.read_schema(each.path).equals(COVERAGE_EDITION.arrow())
        assert each.codes == CODES
        assert AMA.encode() not in each.path.read_bytes()
        assert each.read().rows.equals(pl.read_parquet(each.path))


def test_the_same_downloads_are_the_same_bytes_whatever_their_order(tmp_path: Path) -> None:
    sources = exports(tmp_path)
    for folder, given in (("one", sources), ("other", sources[::-1])):
        build_coverage(given, tmp_path / folder, CODES[::-1] if folder == "other" else CODES)
    for path in (tmp_path / "one").glob("*/*"):
        assert path.read_bytes() == (tmp_path / "other" / path.relative_to(tmp_path / "one")).read_bytes()


def test_an_inner_zip_is_read_by_itself(tmp_path: Path) -> None:
    with zipfile.ZipFile(exports(tmp_path)[0]) as outer:
        inner = Path(outer.extract("ncd_csv.zip", tmp_path))
    assert build_coverage([inner], tmp_path / "built", CODES)["editions"] == {
        "ncd 2026-09-28": {"rows": 3, "left out": 0}
    }


def test_a_truncated_inner_zip_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    whole = exports(tmp_path)
    with zipfile.ZipFile(whole[2]) as archive:
        inner = archive.read("current_article_csv.zip")
    for cut in (len(inner) // 2, len(inner) - 30):
        with zipfile.ZipFile(whole[2], "w") as archive:
            archive.writestr("current_article_csv.zip", inner[:cut])
        with pytest.raises(UsageError, match=r"current_article.zip: current_article_csv.zip in it: cut or damaged"):
            build_coverage(whole, tmp_path / "built", CODES)
    assert names(tmp_path / "built") == []


def test_lcds_need_articles(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"current_lcd.zip: LCDs have no codes; give current_article.zip"):
        build_coverage(exports(tmp_path)[:2], tmp_path / "built", CODES)


def test_two_exports_of_a_kind_are_refused(tmp_path: Path) -> None:
    other = write_export(tmp_path / "ncd_again.zip", NCDS)
    with pytest.raises(UsageError, match=r"ncd_again.zip: an export of the same kind as .*ncd.zip; give one edition"):
        build_coverage([*exports(tmp_path)[:1], other], tmp_path / "built", CODES)


def test_an_edition_is_given_stated_or_in_the_name(tmp_path: Path) -> None:
    target = tmp_path / "built"
    build_coverage([policies(tmp_path, *POLICIES)], target, CODES)
    build_coverage(exports(tmp_path)[:1], target, CODES, date(2026, 1, 2))
    assert names(target) == ["ncd 2026-01-02", "payer_policy 2026-09-01"]
    undated = policies(tmp_path, *POLICIES, name="policies.csv")
    with pytest.raises(UsageError, match=r"policies.csv: neither the file nor its name states its edition; give --ed"):
        build_coverage([undated], target, CODES)


def test_an_export_that_states_no_edition_has_that_of_those_beside_it(tmp_path: Path) -> None:
    undated = {name: rows for name, rows in NCDS.items() if name != "update_period"}
    paths = [*exports(tmp_path)[1:], write_export(tmp_path / "ncd.zip", undated)]
    build_coverage(paths, tmp_path / "built", CODES)
    assert names(tmp_path / "built") == ["article 2026-09-28", "lcd 2026-09-28", "ncd 2026-09-28"]
    dated = write_export(tmp_path / "ncd_20260901.zip", undated)
    build_coverage([*paths[:2], dated], tmp_path / "other", CODES)
    assert names(tmp_path / "other")[2] == "ncd 2026-09-01"
    with pytest.raises(UsageError, match=r"ncd.zip: neither the file nor its name states its edition"):
        build_coverage(paths[2:], tmp_path / "alone", CODES)


def test_a_zip_of_a_workbook_is_read(tmp_path: Path) -> None:
    heading = [
        ["Heading"],
        ["Column 1", "Column 2", "*", "Effective Date", "Deletion Date", "Modifier", "PTP Edit Rationale"],
    ]
    for number, shared in ((1, True), (2, False)):
        path = tmp_path / f"ccipra-v323r0-f{number}.xlsx"
        write_workbook(path, heading, PTP_ROWS, shared=shared)
        with zipfile.ZipFile(tmp_path / f"f{number}.zip", "w") as archive:
            archive.write(path, path.name)
        build_ncci([tmp_path / f"f{number}.zip"], tmp_path / f"built{number}", CODES)
    build_ncci([edits(tmp_path, "ccipra-v323r0-f1.txt", *PTP_ROWS)], tmp_path / "text", CODES)
    text, one, other = (
        find_editions(tmp_path / name)[0].read().rows.drop("title", "part") for name in ("text", "built1", "built2")
    )
    assert text.equals(one)
    assert text.equals(other)


def test_a_code_without_reviewed_sections_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build_coverage(exports(tmp_path)[:1], tmp_path / "built", ("97110",))
    assert "no NCDs of 97110: schemas/coding.json names no section for it" in caplog.text


def test_files_of_an_edition_of_edits_add_up_in_any_order(tmp_path: Path) -> None:
    one, two = (
        edits(tmp_path, "ccipra-v323r0-f1.txt", *PTP_ROWS[:1]),
        edits(tmp_path, "ccipra-v323r0-f2.txt", *PTP_ROWS),
    )
    build_ncci([one, two], tmp_path / "together", CODES)
    build_ncci([two], tmp_path / "apart", CODES)
    build_ncci([one], tmp_path / "apart", CODES)
    for folder in ("together", "apart"):
        (edition,) = find_editions(tmp_path / folder)
        assert (edition.kind, edition.date) == ("ncci_ptp", date(2026, 10, 1))
        assert edition.parts == ("ccipra-v323r0-f1", "ccipra-v323r0-f2")
        assert edition.read().rows.height == 4
    with pytest.raises(UsageError, match=r"load all files of 2026-10-01 at once"):
        build_ncci([one], tmp_path / "apart", ("97026",))


def test_a_file_of_edits_replaces_itself_alone(tmp_path: Path) -> None:
    build_ncci([edits(tmp_path, f"ccipra-v323r0-f{n}.txt", PTP_ROWS[n]) for n in (0, 1)], tmp_path / "built", CODES)
    build_ncci([edits(tmp_path, "ccipra-v323r0-f1.txt", PTP_ROWS[2])], tmp_path / "built", CODES)
    rows = find_editions(tmp_path / "built")[0].read().rows
    assert rows["document_id"].unique().sort().to_list() == ["97026/97028", "97140/97028"]


def test_an_edition_with_fewer_files_than_another_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build_ncci([edits(tmp_path, f"ccipra-v322r0-f{n}.txt", *PTP_ROWS) for n in (1, 2)], tmp_path / "built", CODES)
    assert caplog.text == ""
    build_ncci([edits(tmp_path, "ccipra-v323r0-f1.txt", *PTP_ROWS)], tmp_path / "built", CODES)
    assert "ncci_ptp 2026-10-01: 1 file(s), another edition has 2; load the others too" in caplog.text


def test_zips_of_edits_and_limits_are_read(tmp_path: Path) -> None:
    for name, content in (
        ("ccipra-v323r0-f1", ptp_text()),
        ("MCR_MUE_PractitionerServices_Eff_10-01-2026", mue_text()),
    ):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{name}.{'csv' if 'MUE' in name else 'TXT'}", content)
            archive.writestr(f"{name}.xlsx", b"not read, for there is a text")
    figures = build_ncci(sorted(tmp_path.glob("*.zip")), tmp_path / "built", CODES)
    assert figures["editions"] == {
        "mue 2026-10-01": {"rows": 1, "left out": 0},
        "ncci_ptp 2026-10-01": {"rows": 4, "left out": 0},
    }


def test_what_is_left_out_is_counted_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wrong = [("97026", f"0{n:04}", "", "someday", "*", "1", "") for n in range(25)]
    with caplog.at_level(logging.WARNING):
        figures = build_ncci([edits(tmp_path, "ccipra-v323r0-f1.txt", *wrong)], tmp_path / "built", CODES)
    assert figures["editions"] == {"ncci_ptp 2026-10-01": {"rows": 0, "left out": 25}}
    assert caplog.text.count("date not read: 'someday'") == 20
    assert "5 more left out" in caplog.text


def test_an_older_edition_that_is_loaded_later_stands_before_the_newer(tmp_path: Path) -> None:
    def build(day: date, limit: str) -> None:
        (tmp_path / "mue.csv").write_bytes(mue_text([("97026", limit, "2 Policy", "")]))
        build_ncci([tmp_path / "mue.csv"], tmp_path / "built", CODES, day)

    build(date(2026, 7, 1), "2")
    build(date(2026, 4, 1), "1")
    changes = find_changes(tmp_path / "built", CODES)
    assert [(each["edition"], each["changes"]) for each in changes] == [(date(2026, 7, 1), ["unit_limit: 1 -> 2"])]
    assert find_changes(tmp_path / "built", ("97028",)) == []


def test_another_file_among_the_editions_is_named(tmp_path: Path) -> None:
    build_ncci([edits(tmp_path, "ccipra-v323r0-f1.txt", *PTP_ROWS)], tmp_path / "built", CODES)
    path = find_editions(tmp_path / "built")[0].path
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(
        UsageError, match=r"2026-10-01.parquet: not an edition of coverage rules.*; delete it, and load"
    ):
        find_editions(tmp_path / "built")


@pytest.mark.parametrize("build", [build_coverage, build_ncci])
def test_a_missing_file_is_named(build: object, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere.zip: no such file"):
        build([tmp_path / "nowhere.zip"], tmp_path / "built", CODES)  # type: ignore[operator]

"""Exports of the Medicare Coverage Database: what is kept of them, against a plain reading of the same files."""

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from schemas.coverage import COVERAGE_EDITION
from tests.coverage_files import AMA, ARTICLES, CODES, LCDS, NCDS, PLACES, Rows, ncd, write_export
from transforms.cms.coverage_exports import Export, Lcds, read_articles, read_lcds, read_ncds
from transforms.cms.coverage_rules import Rules, date_of, readable, state_of
from transforms.demo.rules import HEADERS
from transforms.errors import UsageError

STATES = {"AK": "AK", "CNMI": "MP", "WA": "WA", "UN": "NY", "NY": "NY"}


@contextmanager
def export(folder: Path, tables: Mapping[str, Rows], headers: Mapping[str, str] = HEADERS) -> Iterator[Export]:
    """The csv tables of a made download."""
    path = write_export(folder / "export.zip", tables, headers)
    with zipfile.ZipFile(path) as outer, zipfile.ZipFile(io.BytesIO(outer.read("export_csv.zip"))) as inner:
        yield Export(inner)


def articles(
    folder: Path, tables: Mapping[str, Rows] = ARTICLES, headers: Mapping[str, str] = HEADERS
) -> tuple[Rules, Lcds]:
    with export(folder, tables, headers) as opened:
        return read_articles(opened, CODES)


def plain_table(folder: Path, name: str) -> list[dict[str, str]]:
    """All rows of a table, held in memory."""
    with (
        zipfile.ZipFile(folder / "export.zip") as outer,
        zipfile.ZipFile(io.BytesIO(outer.read("export_csv.zip"))) as z,
    ):
        return list(csv.DictReader(io.StringIO(z.read(f"{name}.csv").decode("latin-1"), newline="")))


def plain_places(folder: Path, what: str, document: tuple[str, str]) -> dict[str, set[str]]:
    """Contractor -> states, joined row by row."""
    found: dict[str, set[str]] = {}
    names = {row["contractor_id"]: row["contractor_bus_name"] for row in plain_table(folder, "contractor")}
    abbreviations = {row["state_id"]: row["state_abbrev"] for row in plain_table(folder, "state_lookup")}
    for own in plain_table(folder, f"{what}_x_contractor"):
        for row in plain_table(folder, "contractor_jurisdiction"):
            same = all(row[k] == own[k] for k in ("contractor_id", "contractor_type_id", "contractor_version"))
            if same and (own[f"{what}_id"], own[f"{what}_version"]) == document and not row["term_date"]:
                state = STATES[abbreviations[row["state_id"]]]
                found.setdefault(names[own["contractor_id"]], set()).add(state)
    return found


def plain_articles(folder: Path) -> set[tuple[Any, ...]]:
    """What is kept of the articles: code, authority, document, version, geography, diagnoses."""
    kept = set()
    for article in plain_table(folder, "article"):
        document = article["article_id"], article["article_version"]
        for listed in plain_table(folder, "article_x_hcpc_code"):
            is_own = (listed["article_id"], listed["article_version"]) == document
            if not is_own or listed["hcpc_code_id"] not in CODES or article["status"] != "A":
                continue
            diagnoses = [
                tuple(
                    sorted(
                        {
                            row["icd10_code_id"]
                            for row in plain_table(folder, f"article_x_icd10_{kind}")
                            if (row["article_id"], row["article_version"]) == document
                        }
                    )
                )
                for kind in ("covered", "noncovered")
            ]
            for authority, states in plain_places(folder, "article", document).items():
                for state in states:
                    code = listed["hcpc_code_id"]
                    kept.add((code, authority, f"A{document[0]}", document[1], state, *diagnoses))
    return kept


def kept(table: pl.DataFrame) -> set[tuple[Any, ...]]:
    names = [*COVERAGE_EDITION.grain, "diagnoses_covered", "diagnoses_not_covered"]
    return {tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in table.select(names).iter_rows()}


def row_of(rules: Rules, **wanted: str) -> dict[str, Any]:
    return rules.table().row(by_predicate=pl.all_horizontal(pl.col(k) == v for k, v in wanted.items()), named=True)


def test_every_kept_article_equals_a_plain_reading(tmp_path: Path) -> None:
    table = articles(tmp_path)[0].table()
    assert kept(table) == plain_articles(tmp_path)
    assert table.height == 8


def test_an_article_has_its_dates_text_states_and_lcds(tmp_path: Path) -> None:
    row = row_of(articles(tmp_path)[0], billing_code="97026", geography="AK")
    assert row["title"] == "Infrared & heat: détails"
    assert (row["effective_date"], row["end_date"]) == (date(2025, 1, 1), None)
    assert row["states"] == ["AK", "MP"]
    assert row["related_documents"] == ["L33631"]
    assert row["source_url"].endswith("/article.aspx?articleid=52369&ver=17")
    assert row["stance"] is None
    other = row_of(articles(tmp_path)[0], document_id="A52372", geography="MP")
    assert (other["effective_date"], other["end_date"]) == (date(2024, 2, 1), date(2099, 12, 31))
    assert other["related_documents"] == []


def test_descriptions_of_codes_are_not_kept(tmp_path: Path) -> None:
    assert AMA not in articles(tmp_path)[0].table().write_json()


def test_lcds_are_found_by_the_articles_of_the_codes(tmp_path: Path) -> None:
    found = articles(tmp_path)[1]
    with export(tmp_path, LCDS) as opened:
        table = read_lcds(opened, found).table()
    assert table.select("billing_code", "authority", "document_id", "version", "geography").rows() == [
        (code, "Lantern MAC", "L33631", "40", state) for code in CODES for state in ("AK", "MP")
    ]
    assert table["effective_date"].unique().to_list() == [date(2024, 4, 1)]
    assert table["related_documents"].to_list() == [["A52369"]] * 4


def test_ncds_are_those_of_the_sections(tmp_path: Path) -> None:
    with export(tmp_path, NCDS) as opened:
        table = read_ncds(opened, {"97026": ("270.6",), "97028": ("250.1",)}).table()
    assert table.select("billing_code", "authority", "document_id", "version", "geography", "stance").rows() == [
        ("97026", "CMS", "270.6", "1", "US", "not_covered"),
        ("97028", "CMS", "250.1", "1", "US", "covered"),
        ("97028", "CMS", "250.1", "2", "US", "restricted"),
    ]
    assert table["states"].to_list() == [[]] * 3


def test_the_last_period_is_the_edition(tmp_path: Path) -> None:
    with export(tmp_path, ARTICLES) as opened:
        assert (opened.kind, opened.edition) == ("article", date(2026, 9, 28))


def test_a_digest_tells_other_words_and_no_other_line_ends(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        with export(tmp_path, NCDS | {"ncd_trkg": [ncd("1", "1", "1", "270.6", "", "", text=text)]}) as opened:
            found: str = read_ncds(opened, {"97026": ("270.6",)}).table()["text_digest"][0]
            return found

    assert digest("one two") == digest("one\r\n  two") != digest("one three")


def test_a_cell_of_5_mb_is_read(tmp_path: Path) -> None:
    tables = NCDS | {"ncd_trkg": [ncd("1", "1", "1", "270.6", "", "", text="word\r\n" * 900_000)]}
    with export(tmp_path, tables) as opened:
        assert read_ncds(opened, {"97026": ("270.6",)}).table().height == 1
    assert csv.field_size_limit() == 131_072


@pytest.mark.parametrize(
    ("table", "column"),
    [("article", "status"), ("article_x_icd10_covered", "icd10_code_id"), ("state_lookup", "state_id")],
)
def test_a_missing_column_is_named(table: str, column: str, tmp_path: Path) -> None:
    headers = HEADERS | {table: HEADERS[table].replace(column, "renamed", 1)}
    with pytest.raises(UsageError, match=rf"{table}.csv: a column is missing: {column}; it has .*renamed"):
        articles(tmp_path, headers=headers)


def test_a_new_column_changes_no_row(tmp_path: Path) -> None:
    before = articles(tmp_path)[0].table()
    headers = {name: f"new_one {header}" for name, header in HEADERS.items()}
    tables = {name: [("new", *row) for row in rows] for name, rows in ARTICLES.items()}
    assert articles(tmp_path, tables, headers)[0].table().equals(before)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    tables = {name: rows for name, rows in ARTICLES.items() if name != "contractor_jurisdiction"}
    with pytest.raises(UsageError, match=r"contractor_jurisdiction.csv is missing from the export; it has article, "):
        articles(tmp_path, tables)


def test_a_row_of_another_width_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"article.csv line 2: 2 cells, where its header has 8"):
        articles(tmp_path, ARTICLES | {"article": [("52369", "17")]})


def test_what_can_t_be_placed_or_dated_is_left_out_and_said(tmp_path: Path) -> None:
    article = ("52372", "3", "Ultraviolet", "A", "", "soon", "", "")
    found = articles(tmp_path, ARTICLES | {"article": [*ARTICLES["article"][:1], article]})
    assert found[0].left_out == ["A52372 version 3: date not read: 'soon'"]
    nowhere = articles(tmp_path, ARTICLES | {"state_lookup": [(n, "FC", "Foreign Country") for n in "12345"]})
    assert nowhere[0].table().is_empty()
    assert "contractor 10: state 1 is no published geography" in nowhere[0].left_out
    assert "A52372 version 3: no contractor of it has a state" in nowhere[0].left_out


def test_contractors_without_a_name_have_their_number(tmp_path: Path) -> None:
    tables = {name: rows for name, rows in ARTICLES.items() if name != "contractor"}
    assert set(articles(tmp_path, tables)[0].table()["authority"]) == {"contractor 10", "contractor 11"}


def test_another_export_is_refused(tmp_path: Path) -> None:
    with export(tmp_path, PLACES) as opened, pytest.raises(UsageError, match="not an export of articles, LCDs or NCDs"):
        _ = opened.kind


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-09-21 00:00:00", date(2026, 9, 21)),
        ("10/24/2006", date(2006, 10, 24)),
        ("20200101", date(2020, 1, 1)),
        ("2026-09-21T10:00", date(2026, 9, 21)),
        ("9999-12-31", None),
        ("12/31/9999", None),
        (" ", None),
    ],
)
def test_dates_are_read_in_their_spellings(text: str, found: date | None) -> None:
    assert date_of(text) == found


def test_texts_are_read_whatever_they_are_encoded_in() -> None:
    for encoding in ("utf-8", "cp1252"):
        assert readable("“é”\r\n&lt;b&gt;".encode(encoding).decode("latin-1")) == "“é” <b>"
    assert readable("日本") == "日本"


@pytest.mark.parametrize(
    ("abbreviation", "name", "state"),
    [
        ("CA", "", "CA"),
        ("UN", "New York - Upstate", "NY"),
        ("CNMI", "", "MP"),
        ("EM", "", "MO"),
        ("CA - Northern", "", "CA"),
        ("FC", "Foreign", None),
    ],
)
def test_parts_of_states_are_the_state(abbreviation: str, name: str, state: str | None) -> None:
    assert state_of(abbreviation, name) == state

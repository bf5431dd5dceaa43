"""What `reference coverage` and `reference ncci` must keep, by a plain reading: whole files in memory, row by row."""

import csv
import html
import io
import zipfile
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Tables = Mapping[str, list[dict[str, str]]]

STATES = {"AK": "AK", "CNMI": "MP", "UN": "NY", "NY": "NY", "EK": "KS", "WM": "MO", "PR": "PR", "CA": "CA", "DC": "DC"}
LEVELS = {"1": "covered", "2": "restricted", "3": "not_covered"}
VIEW = "https://www.cms.gov/medicare-coverage-database/view"
NCCI = "https://www.cms.gov/medicare/coding-billing/national-correct-coding-initiative-ncci-edits"
EMPTY: Row = dict.fromkeys(
    "title effective_date end_date stance partner_code partner_column modifier_indicator unit_limit "
    "adjudication_indicator source_url".split()
) | {name: [] for name in ("states", "diagnoses_covered", "diagnoses_not_covered", "related_documents")}


def plain_tables(export: Path) -> Tables:
    """Every csv of a download with a header, by its name; columns in lower case."""
    with zipfile.ZipFile(export) as outer:
        (inner,) = (name for name in outer.namelist() if name.endswith("_csv.zip"))
        archive = zipfile.ZipFile(io.BytesIO(outer.read(inner)))
    csv.field_size_limit(1 << 30)
    try:
        found = {}
        for name in archive.namelist():
            if name != "lcd_x_requestor_letters.csv":
                header, *lines = csv.reader(io.StringIO(archive.read(name).decode("latin-1"), newline=""))
                keys = [column.lower() for column in header]
                found[name.removesuffix(".csv")] = [dict(zip(keys, line, strict=True)) for line in lines]
        return found
    finally:
        csv.field_size_limit(131_072)


def day(*texts: str) -> date | None:
    """The first text that is a date."""
    for text in texts:
        stated = text.strip().split(" ")[0]
        for form in ("%Y-%m-%d", "%m/%d/%Y", "%Y%m%d"):
            try:
                return datetime.strptime(stated, form).date() if "9999" not in stated else None
            except ValueError:
                pass
    return None


def words(text: str) -> str:
    """One line, whatever a cell's bytes were."""
    content = text.encode("latin-1")
    for encoding in ("utf-8", "cp1252", "latin-1"):
        try:
            return " ".join(html.unescape(content.decode(encoding)).split())
        except UnicodeDecodeError:
            pass
    raise AssertionError


def places(tables: Tables, kind: str, document: tuple[str, str]) -> dict[str, set[str]]:
    """Contractors' names and states of a document."""
    found: dict[str, set[str]] = {}
    names = ("contractor_id", "contractor_type_id", "contractor_version")
    for listed in tables[f"{kind}_x_contractor"]:
        for held in tables["contractor_jurisdiction"]:
            for state in tables["state_lookup"]:
                if (
                    (listed[f"{kind}_id"], listed[f"{kind}_version"]) == document
                    and all(listed[name] == held[name] for name in names)
                    and held["term_date"] == ""
                    and held["state_id"] == state["state_id"]
                    and state["state_abbrev"] in STATES
                ):
                    (own,) = (each for each in tables["contractor"] if all(each[n] == listed[n] for n in names))
                    found.setdefault(words(own["contractor_bus_name"]), set()).add(STATES[state["state_abbrev"]])
    return found


def plain_articles(tables: Tables, codes: Iterable[str]) -> list[Row]:
    """Rows of active articles that list a code."""
    rows = []
    for article in tables["article"]:
        document = article["article_id"], article["article_version"]

        def own(table: str, column: str, document: tuple[str, str] = document) -> set[str]:
            return {r[column] for r in tables[table] if (r["article_id"], r["article_version"]) == document}

        for code in sorted(set(codes) & own("article_x_hcpc_code", "hcpc_code_id")):
            if article["status"] != "A":
                continue
            said = {
                "billing_code": code,
                "document_id": f"A{document[0]}",
                "version": document[1],
                "title": words(article["title"]),
                "effective_date": day(article["article_eff_date"]),
                "end_date": day(article["date_retired"], article["article_end_date"]),
                "diagnoses_covered": sorted(own("article_x_icd10_covered", "icd10_code_id")),
                "diagnoses_not_covered": sorted(own("article_x_icd10_noncovered", "icd10_code_id")),
                "related_documents": sorted(f"L{n}" for n in own("article_related_documents", "r_lcd_id") - {"", "0"}),
                "source_url": f"{VIEW}/article.aspx?articleid={document[0]}&ver={document[1]}",
            }
            rows += placed(said, places(tables, "article", document))
    return rows


def plain_lcds(tables: Tables, articles: Iterable[Row]) -> list[Row]:
    """Rows of active LCDs to which those articles belong. Articles without a state count, too: none is made here."""
    rows = []
    for lcd in tables["lcd"]:
        document = lcd["lcd_id"], lcd["lcd_version"]
        listing = [row for row in articles if f"L{lcd['lcd_id']}" in row["related_documents"]]
        for code in sorted({row["billing_code"] for row in listing} if lcd["status"] == "A" else ()):
            said = {
                "billing_code": code,
                "document_id": f"L{document[0]}",
                "version": document[1],
                "title": words(lcd["title"]),
                "effective_date": day(lcd["rev_eff_date"], lcd["orig_det_eff_date"]),
                "related_documents": sorted({row["document_id"] for row in listing if row["billing_code"] == code}),
                "source_url": f"{VIEW}/lcd.aspx?lcdid={document[0]}&ver={document[1]}",
            }
            rows += placed(said, places(tables, "lcd", document))
    return rows


def plain_ncds(tables: Tables, sections: Mapping[str, str]) -> list[Row]:
    """Rows of the NCDs of these sections, by code."""
    return [
        row
        for ncd in tables["ncd_trkg"]
        for code, section in sections.items()
        if ncd["ncd_mnl_sect"] == section
        for row in placed(
            {
                "billing_code": code,
                "document_id": section,
                "version": ncd["ncd_vrsn_num"],
                "title": words(ncd["ncd_mnl_sect_title"]),
                "effective_date": day(ncd["ncd_efctv_dt"]),
                "end_date": day(ncd["ncd_trmntn_dt"]),
                "stance": LEVELS.get(ncd["cvrg_lvl_cd"]),
                "source_url": f"{VIEW}/ncd.aspx?ncdid={ncd['ncd_id']}&ncdver={ncd['ncd_vrsn_num']}",
            },
            {"CMS": {"US"}},
        )
    ]


def plain_edits(content: bytes, codes: Iterable[str]) -> list[Row]:
    """Rows of a text of PTP edits; the first line that begins with a code is the first edit."""
    rows = []
    for line in csv.reader(io.StringIO(content.decode("latin-1"), newline=""), delimiter="\t"):
        if len(line) == 7 and len(line[0]) == 5 and line[0].isalnum():
            first, second, _, effective, deleted, modifier, rationale = line
            for code, partner, column in ((first, second, 2), (second, first, 1)):
                said = {
                    "billing_code": code,
                    "document_id": f"{first}/{second}",
                    "version": effective,
                    "title": words(rationale),
                    "effective_date": day(effective),
                    "end_date": day(deleted),
                    "stance": "bundled",
                    "partner_code": partner,
                    "partner_column": column,
                    "modifier_indicator": modifier,
                    "source_url": NCCI,
                }
                rows += placed(said, {"CMS": {"US"}}) if code in codes else []
    return rows


def plain_limits(content: bytes, codes: Iterable[str]) -> list[Row]:
    """Rows of a csv of MUE values."""
    rows = []
    for line in csv.reader(io.StringIO(content.decode("latin-1"), newline="")):
        if line and line[0] in codes:
            said = {
                "billing_code": line[0],
                "document_id": line[0],
                "version": "",
                "title": words(line[3]),
                "stance": "units",
                "unit_limit": int(line[1]),
                "adjudication_indicator": line[2][0],
                "source_url": f"{NCCI}/medicare-ncci-medically-unlikely-edits",
            }
            rows += placed(said, {"CMS": {"US"}})
    return rows


def placed(said: Row, authorities: Mapping[str, set[str]]) -> list[Row]:
    """A row for each authority and place."""
    return [
        EMPTY | said | {"authority": who, "geography": place, "states": sorted(states - {"US"})}
        for who, states in authorities.items()
        for place in states
    ]

"""Exports of the Medicare Coverage Database: articles, LCDs and NCDs of the wanted codes, as ``COVERAGE_EDITION``.

Codes stand on articles: article -> LCD, and article or LCD -> contractor -> state. NCDs have no codes; they are found
by sections of the NCD manual. Descriptions of codes and of diagnoses are not read.

Memory: the keys and diagnoses of the documents that concern the codes, and one cell.
"""

import csv
import io
import zipfile
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Any

from schemas.coverage import ARTICLE, CMS, COVERED, LCD, NCD, NOT_COVERED, RESTRICTED
from transforms.cms.coverage_rules import Rules, date_of, digest_of_texts, first_date, readable, state_of
from transforms.cms.sheets import csv_rows
from transforms.errors import UsageError

MOST_CELL = 64 << 20
_ACTIVE = frozenset({"A", "ACTIVE"})
_SITE = "https://www.cms.gov/medicare-coverage-database/view"
_STANCES = {"1": COVERED, "2": RESTRICTED, "3": NOT_COVERED}
_CONTRACTOR = ("contractor_id", "contractor_type_id", "contractor_version")
_TABLE_OF_KIND = {ARTICLE: "article", LCD: "lcd", NCD: "ncd_trkg"}
_ARTICLE_TEXTS = ("description", "other_comments")
_LCD_TEXTS = (
    *("indication", "coding_guidelines", "doc_reqs", "util_guide", "diagnoses_support", "diagnoses_dont_support"),
    *("associated_info", "summary_of_evidence", "analysis_of_evidence"),
)
_NCD_TEXTS = ("itm_srvc_desc", "indctn_lmtn", "xref_txt", "othr_txt")

Document = tuple[str, str]  # id, version
Places = Mapping[Document, Mapping[str, set[str]]]  # authority -> states
Lcds = dict[str, dict[str, set[str]]]  # LCD -> code -> articles


class Export:
    """The csv tables of one export, read by column names in any case. Cells may be Latin-1, HTML, and long."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """Args: archive: the inner zip."""
        self._zip = archive
        self._members = {
            name.rpartition("/")[2].lower().removesuffix(".csv"): name
            for name in archive.namelist()
            if name.lower().endswith(".csv")
        }

    @property
    def kind(self) -> str:
        """``article``, ``lcd`` or ``ncd``.

        Raises:
            UsageError: it is none of these.
        """
        found = [kind for kind, table in _TABLE_OF_KIND.items() if table in self._members]
        if len(found) != 1:
            inside = ", ".join(sorted(self._members)[:10]) or "no csv"
            raise UsageError(f"not an export of articles, LCDs or NCDs: no single article, lcd or ncd_trkg in {inside}")
        return found[0]

    @property
    def edition(self) -> date | None:
        """The day on which its period ends; None where it has no table of that."""
        if "update_period" not in self._members:
            return None
        try:
            ends = [date_of(row["end_date"]) for row in self.rows("update_period", ["end_date"])]
        except ValueError as error:
            raise UsageError(f"update_period.csv: {error}; give --edition") from error
        return max((end for end in ends if end is not None), default=None)

    def has(self, table: str) -> bool:
        """Whether it has this table."""
        return table in self._members

    def rows(self, table: str, needed: Collection[str], optional: Collection[str] = ()) -> Iterator[dict[str, str]]:
        """The rows of a table in its order, as texts without blanks around them.

        Args: optional: columns that are left out where the table lacks them.

        Raises:
            UsageError: the table or a needed column is missing, a row has another width, a cell is too long.
        """
        member = self._members.get(table)
        if member is None:
            raise UsageError(f"{table}.csv is missing from the export; it has {', '.join(sorted(self._members))}")
        archive, file, before = self._zip, f"{table}.csv", csv.field_size_limit(MOST_CELL)
        try:
            with archive.open(member) as stream, io.TextIOWrapper(stream, "latin-1", newline="") as text:
                lines = csv_rows(text, file=file)
                header = [readable(cell).lstrip("\ufeff").lower() for cell in next(lines, (0, []))[1]]
                if missing := [name for name in needed if name not in header]:
                    raise UsageError(f"{file}: a column is missing: {', '.join(missing)}; it has {', '.join(header)}")
                positions = {name: header.index(name) for name in (*needed, *optional) if name in header}
                for line, cells in lines:
                    if cells and len(cells) != len(header):
                        found = f"{len(cells)} cells, where its header has {len(header)}"
                        raise UsageError(f"{file} line {line}: {found}; the file is damaged, download it again")
                    if cells:
                        yield {name: cells[position] for name, position in positions.items()}
        finally:
            csv.field_size_limit(before)


def read_articles(export: Export, codes: Collection[str]) -> tuple[Rules, Lcds]:
    """The active articles that list a wanted code, and the LCDs to which they belong."""
    rules, key = Rules(ARTICLE), ("article_id", "article_version")
    groups: dict[Document, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))  # by code, of its paragraphs
    for row in export.rows("article_x_hcpc_code", (*key, "hcpc_code_id", "hcpc_code_group")):
        if (code := row["hcpc_code_id"].upper()) in codes:
            groups[row["article_id"], row["article_version"]][code].add(row["hcpc_code_group"])
    paragraphs = {
        (row["article_id"], row["article_version"], row["hcpc_code_group"]): row["paragraph"]
        for row in export.rows("article_x_hcpc_code_group", (*key, "hcpc_code_group", "paragraph"))
        if (row["article_id"], row["article_version"]) in groups
    }
    covered = _lists(export, "article_x_icd10_covered", "icd10_code_id", groups)
    noncovered = _lists(export, "article_x_icd10_noncovered", "icd10_code_id", groups)
    related = _lists(export, "article_related_documents", "r_lcd_id", groups)
    places = _places(export, "article", groups, rules)
    articles_of: Lcds = defaultdict(lambda: defaultdict(set))
    needed = (*key, "title", "status", "date_retired")
    ends, starts = ("article_end_date",), ("article_rev_eff_date", "article_eff_date", "article_pub_date")
    for row in export.rows("article", needed, (*_ARTICLE_TEXTS, *ends, *starts)):
        document = row["article_id"], row["article_version"]
        if document not in groups or row["status"].upper() not in _ACTIVE:
            continue
        lcds = sorted({f"L{each.removeprefix('L')}" for each in related[document] if each.strip("0 ")})
        for code, own in sorted(groups[document].items()):
            for lcd in lcds:
                articles_of[lcd][code].add(f"A{row['article_id']}")
            texts = [paragraphs.get((*document, group), "") for group in sorted(own)]
            _add_document(
                rules,
                row,
                places.get(document, {}),
                dates=(starts, ("date_retired", *ends)),
                billing_code=code,
                document_id=f"A{row['article_id']}",
                version=row["article_version"],
                diagnoses_covered=sorted(covered[document]),
                diagnoses_not_covered=sorted(noncovered[document]),
                related_documents=lcds,
                source_url=f"{_SITE}/article.aspx?articleid={document[0]}&ver={document[1]}",
                text_digest=digest_of_texts([*texts, *(row.get(name, "") for name in _ARTICLE_TEXTS)]),
            )
    return rules, articles_of


def read_lcds(export: Export, lcds: Lcds) -> Rules:
    """The active LCDs to which articles of the wanted codes belong."""
    rules = Rules(LCD)
    needed = ("lcd_id", "lcd_version", "title", "status", "orig_det_eff_date", "rev_eff_date", "indication")
    starts, ends = ("rev_eff_date", "orig_det_eff_date"), ("date_retired", "rev_end_date", "ent_det_end_date")
    found = [
        row
        for row in export.rows("lcd", needed, (*_LCD_TEXTS[1:], *ends))
        if f"L{row['lcd_id']}" in lcds and row["status"].upper() in _ACTIVE
    ]
    places = _places(export, "lcd", {(row["lcd_id"], row["lcd_version"]) for row in found}, rules)
    for row in found:
        for code, articles in sorted(lcds[f"L{row['lcd_id']}"].items()):
            _add_document(
                rules,
                row,
                places.get((row["lcd_id"], row["lcd_version"]), {}),
                dates=(starts, ends),
                billing_code=code,
                document_id=f"L{row['lcd_id']}",
                version=row["lcd_version"],
                related_documents=sorted(articles),
                source_url=f"{_SITE}/lcd.aspx?lcdid={row['lcd_id']}&ver={row['lcd_version']}",
                text_digest=digest_of_texts(row.get(name, "") for name in _LCD_TEXTS),
            )
    return rules


def read_ncds(export: Export, sections: Mapping[str, Collection[str]]) -> Rules:
    """The NCDs of these sections of the manual, in all versions that the export has.

    Args: sections: of each wanted code, such as ``270.6``.
    """
    rules = Rules(NCD)
    needed = ("ncd_id", "ncd_vrsn_num", "cvrg_lvl_cd", "ncd_mnl_sect", "ncd_mnl_sect_title")
    starts, ends = ("ncd_efctv_dt",), ("ncd_trmntn_dt",)
    for row in export.rows("ncd_trkg", (*needed, *starts, *ends, *_NCD_TEXTS)):
        for code in sorted(code for code, own in sections.items() if row["ncd_mnl_sect"] in own):
            _add_document(
                rules,
                row | {"title": row["ncd_mnl_sect_title"]},
                {CMS: {"US"}},
                dates=(starts, ends),
                billing_code=code,
                document_id=row["ncd_mnl_sect"],
                version=row["ncd_vrsn_num"],
                stance=_STANCES.get(row["cvrg_lvl_cd"]),
                source_url=f"{_SITE}/ncd.aspx?ncdid={row['ncd_id']}&ncdver={row['ncd_vrsn_num']}",
                text_digest=digest_of_texts(row[name] for name in _NCD_TEXTS),
            )
    return rules


def _add_document(
    rules: Rules,
    row: Mapping[str, str],
    places: Mapping[str, set[str]],
    dates: tuple[tuple[str, ...], tuple[str, ...]],
    **values: Any,
) -> None:
    """Add a row for each authority and state; without them, or with a date that can't be read, it is left out."""
    name = f"{values['document_id']} version {values['version']}"
    try:
        effective, end = (first_date(row, names) for names in dates)
    except ValueError as error:
        rules.left_out.append(f"{name}: {error}")
        return
    if not places:
        rules.left_out.append(f"{name}: no contractor of it has a state")
    for authority, states in sorted(places.items()):
        title = readable(row["title"])
        rules.add(states, authority=authority, title=title, effective_date=effective, end_date=end, **values)


def _lists(export: Export, table: str, column: str, wanted: Collection[Document]) -> dict[Document, set[str]]:
    """The values of a column that belong to each wanted article."""
    found: dict[Document, set[str]] = defaultdict(set)
    for row in export.rows(table, ("article_id", "article_version", column)):
        document = row["article_id"], row["article_version"]
        if document in wanted and row[column]:
            found[document].add(row[column])
    return found


def _places(export: Export, what: str, wanted: Collection[Document], rules: Rules) -> Places:
    """The contractors of each wanted document, and the states of their present jurisdictions."""
    states = {
        row["state_id"]: state_of(row["state_abbrev"], row.get("description", ""))
        for row in export.rows("state_lookup", ("state_id", "state_abbrev"), ("description",))
    }
    state_ids: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for row in export.rows("contractor_jurisdiction", (*_CONTRACTOR, "state_id", "term_date")):
        if not row["term_date"]:
            state_ids[tuple(row[name] for name in _CONTRACTOR)].add(row["state_id"])
    names = {}
    if export.has("contractor"):
        for row in export.rows("contractor", _CONTRACTOR, ("contractor_bus_name",)):
            names[tuple(row[name] for name in _CONTRACTOR)] = readable(row.get("contractor_bus_name", ""))
    found: dict[Document, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    unknown = set()
    key = (f"{what}_id", f"{what}_version")
    for row in export.rows(f"{what}_x_contractor", (*key, *_CONTRACTOR)):
        document, contractor = (row[key[0]], row[key[1]]), tuple(row[name] for name in _CONTRACTOR)
        for state_id in state_ids[contractor] if document in wanted else ():
            state = states.get(state_id)
            if state is None:
                unknown.add(f"contractor {row['contractor_id']}: state {state_id} is no published geography")
            else:
                found[document][names.get(contractor) or f"contractor {row['contractor_id']}"].add(state)
    rules.left_out += sorted(unknown)
    return found

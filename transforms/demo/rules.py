"""The demo's coverage rules as files: two editions of CMS's exports, of NCCI's edits and of a csv of payers' policies.

The layouts are CMS's; documents, contractors, partner codes and words are made up. Document numbers are beyond CMS's.
``rule_answers`` says what the pipeline must find in them.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from io import StringIO

Rows = Iterable[Sequence[str]]
Tables = Mapping[str, bytes]  # csv by name

LANTERN, HARBOR = "Demo Lantern Administrators", "Demo Harbor Administrators, Inc."
_NCCI_BEGAN = 1994  # version 32.0 is the first quarter of 2026
_LONG = "A sentence of the demo, of no meaning.\r\n" * 4_000  # more than csv's usual limit for a cell
_CONTRACTOR = "contractor_id contractor_type_id contractor_version"
HEADERS = {
    "article": "article_id article_version title status date_retired article_eff_date article_end_date description",
    "article_x_hcpc_code": "article_id article_version hcpc_code_id hcpc_code_version hcpc_code_group long_description "
    "short_description",
    "article_x_hcpc_code_group": "article_id article_version hcpc_code_group paragraph",
    "article_x_icd10_covered": "article_id article_version icd10_code_id icd10_code_version icd10_covered_group "
    "description",
    "article_x_icd10_noncovered": "article_id article_version icd10_code_id icd10_code_version icd10_noncovered_group "
    "description",
    "article_related_documents": "article_id article_version r_lcd_id",
    "article_x_contractor": f"article_id article_version {_CONTRACTOR}",
    "lcd_x_contractor": f"lcd_id lcd_version {_CONTRACTOR}",
    "lcd": "lcd_id lcd_version title determination_number status orig_det_eff_date rev_eff_date indication",
    "contractor": f"{_CONTRACTOR} contractor_bus_name",
    "contractor_jurisdiction": f"{_CONTRACTOR} state_id active_date term_date",
    "state_lookup": "state_id state_abbrev description",
    "update_period": "period_id begin_date end_date",
    "ncd_trkg": "NCD_id NCD_vrsn_num natl_cvrg_type cvrg_lvl_cd NCD_mnl_sect NCD_mnl_sect_title NCD_efctv_dt "
    "NCD_impltn_dt NCD_trmntn_dt itm_srvc_desc indctn_lmtn xref_txt othr_txt trnsmtl_num trnsmtl_issnc_dt trnsmtl_url "
    "chg_rqst_num pblctn_cd rev_hstry under_rvw creatd_tmstmp last_updt_tmstmp last_clrnc_tmstmp NCD_lab ncd_keyword "
    "NCD_AMA",
}


@dataclass(frozen=True)
class RuleDates:
    """The days of the editions of a month: of the weekly exports and the policies, and of the quarterly edits."""

    weeks: tuple[date, date]
    quarters: tuple[date, date]

    @classmethod
    def of(cls, month: date) -> "RuleDates":
        """Two weeks of the month; its quarter and the one before."""
        now = date(month.year, 3 * ((month.month - 1) // 3) + 1, 1)
        day = now - timedelta(days=1)
        return cls((month.replace(day=7), month.replace(day=14)), (date(day.year, day.month - 2, 1), now))


@dataclass(frozen=True)
class RuleFiles:
    """One edition: the tables of each export by its name, and the other files by theirs."""

    exports: Mapping[str, Tables]
    policies: Tables
    ncci: Tables


def write_rules(month: date) -> tuple[RuleFiles, RuleFiles]:
    """The earlier and the later edition."""
    dates = RuleDates.of(month)
    earlier, later = (
        RuleFiles(
            {
                name: {table: _table(table, rows) for table, rows in tables.items()}
                for name, tables in _exports(dates.weeks[n], is_later=n == 1).items()
            },
            {f"policies_{dates.weeks[n]}.csv": _policies(is_later=n == 1)},
            _ncci(dates.quarters[n], is_later=n == 1),
        )
        for n in range(2)
    )
    return earlier, later


def _exports(week: date, *, is_later: bool) -> dict[str, dict[str, Rows]]:
    period = [("1", str(week - timedelta(days=7)), f"{week} 00:00:00")]
    shared: dict[str, Rows] = _PLACES | {"update_period": period}
    return {
        "current_article": shared | _articles(is_later=is_later),
        "current_lcd": shared | _lcds(is_later=is_later),
        "ncd": {"update_period": period, "ncd_trkg": _ncds(is_later=is_later)},
    }


_PLACES: dict[str, Rows] = {
    "contractor": [("9101", "12", "2", LANTERN), ("9102", "8", "1", HARBOR)],
    "contractor_jurisdiction": [
        ("9101", "12", "2", "1", "2015-10-01", ""),
        ("9101", "12", "2", "2", "2015-10-01", ""),
        ("9101", "12", "2", "3", "2015-10-01", "2019-01-01 00:00:00"),  # no longer its
        ("9101", "12", "1", "4", "2010-10-01", ""),  # another version of the contractor
        ("9102", "8", "1", "5", "2015-10-01", ""),
        ("9102", "8", "1", "6", "2015-10-01", ""),
    ],
    "state_lookup": [
        ("1", "AK", "Alaska"),
        ("2", "CNMI", "Northern Mariana Islands"),
        ("3", "WA", "Washington"),
        ("4", "HI", "Hawaii"),
        ("5", "UN", "New York - Upstate"),
        ("6", "NJ", "New Jersey"),
    ],
}


def _articles(*, is_later: bool) -> dict[str, Rows]:
    """990001 of both codes; 990002 goes, 990003 gets a version, 990004 comes; a retired one, and one of other codes."""
    title = "Demo: infrared &amp; ultraviolet, d\xe9tails"
    other = ("2", "2018-01-01") if is_later else ("1", "2016-01-01")  # version and effective date
    rows = [
        ("990001", "17", title, "A", "", "2016-01-01 00:00:00", "", f"<p>{_LONG}</p>"),
        ("990003", other[0], "Demo: infrared", "A", "", other[1], "", ""),
        ("990005", "1", "Demo: retired", "R", "2019-01-01", "2016-01-01", "", ""),
        ("990006", "1", "Demo: of another code", "A", "", "2016-01-01", "", ""),
        ("990004", "1", "Demo: comes later", "A", "", "02/01/2017", "12/31/2099", "")
        if is_later
        else ("990002", "3", "Demo: goes", "A", "", "02/01/2017", "", ""),
    ]
    versions = {row[0]: row[:2] for row in rows}
    listed = {"990001": ("97026", "97028"), "990002": ("97028",), "990003": ("97026",), "990004": ("97028",)}
    listed["990005"] = ("97026",)
    lantern, harbor = ("9101", "12", "2"), ("9102", "8", "1")
    of_contractors = {"990001": (lantern, harbor), "990003": (harbor,), "990004": (harbor,)}
    return {
        "article": rows,
        "article_x_hcpc_code": [
            (*version, code, "2026", str(group), "a description", "a description")
            for article, version in versions.items()
            for group, code in enumerate((*listed.get(article, ()), "97110"), 1)
        ],
        "article_x_hcpc_code_group": [(*versions["990001"], "1", '<p>Say "GP",\r\nplease.</p>')],
        "article_x_icd10_covered": [
            (*versions["990001"], code, "2026", "1", "a description")
            for code in ("M54.50", "M54.59" if is_later else "M54.51")
        ],
        "article_x_icd10_noncovered": [(*versions["990001"], "E11.42", "2026", "1", "a description")],
        "article_related_documents": [(*versions["990001"], "990101"), (*versions["990003"], "")],
        "article_x_contractor": [
            (*version, *contractor)
            for article, version in versions.items()
            for contractor in of_contractors.get(article, (lantern,))
        ],
    }


def _lcds(*, is_later: bool) -> dict[str, Rows]:
    """990101 gets another text; 990102 belongs to no article."""
    text = f"<b>{_LONG}</b>{'Now with one more.' if is_later else ''}"
    return {
        "lcd": [
            ("990101", "40", "Demo: therapy of outpatients", "D1", "A", "2015-10-01", "2019-04-01", text),
            ("990102", "1", "Demo: of no article", "D2", "A", "2015-10-01", "2019-04-01", ""),
        ],
        "lcd_x_contractor": [(lcd, version, "9101", "12", "2") for lcd, version in (("990101", "40"), ("990102", "1"))],
    }


def _ncds(*, is_later: bool) -> Rows:
    """That of 270.6 gets another level; 250.1 has an ended version; one of another section."""
    rows = (
        ("990201", "1", "3" if is_later else "2", "270.6", "Demo: infrared devices", "10/24/2006", ""),
        ("990202", "1", "1", "250.1", "Demo: ultraviolet", "1990-01-01", "1999-12-31"),
        ("990202", "2", "2", "250.1", "Demo: ultraviolet", "2000-01-01", ""),
        ("990203", "1", "1", "150.9", "Demo: of another section", "1990-01-01", ""),
    )
    names = ("NCD_id", "NCD_vrsn_num", "cvrg_lvl_cd", "NCD_mnl_sect", "NCD_mnl_sect_title", "NCD_efctv_dt")
    for row in rows:
        stated = dict(zip((*names, "NCD_trmntn_dt"), row, strict=True)) | {"indctn_lmtn": "<p>A text of the demo.</p>"}
        yield [stated.get(name, "") for name in HEADERS["ncd_trkg"].split()]


def _policies(*, is_later: bool) -> bytes:
    """Aetna changes one and drops another; the later file does not name Cigna, whose policy stays."""
    stance = "not_covered" if is_later else "restricted"
    lines = [f"Aetna,97026,AK,2015-03-01,Demo: infrared <b>at home</b>,https://example.org/aetna,{stance}"]
    if not is_later:
        lines += [
            "Aetna,97026,NY,2015-03-01,Demo: infrared in New York,https://example.org/aetna,covered",
            "Cigna,97028,,3/1/2015,Demo: ultraviolet,https://example.org/cigna,covered",
        ]
    return "\n".join(["payer,billing_code,state,effective_date,title,url,stance", *lines, ""]).encode()


def _ncci(quarter: date, *, is_later: bool) -> dict[str, bytes]:
    """Edits in two files, and unit limits; partner codes are none of CPT or HCPCS."""
    modifier, ended = ("0", f"{quarter - timedelta(days=1):%Y%m%d}") if is_later else ("1", "*")
    new = [("97026", "0D002", "", f"{quarter:%Y%m%d}", "*", "1")] if is_later else []
    edits = (
        [("97026", "97028", "", "20150101", "*", modifier), ("0D001", "0D002", "", "20150101", "*", "1")],
        [("0D001", "97028", "*", "19960101", ended, "9"), *new],
    )
    version = f"{quarter.year - _NCCI_BEGAN:02}{(quarter.month - 1) // 3}"
    columns = ("Column 1", "Column 2", "*=in existence\nprior to 1996", "Effective", "Deletion", "Modifier")
    heading = [
        ["Heading of the demo"],
        ["Column1/Column2 Edits"],
        [*columns, "PTP Edit Rationale"],
        ["", "", "", "Date", "Date", "0=not allowed", ""],
        ["", "", "", "", "*=no data", "1=allowed", ""],
        ["", "", "", "", "", "9=not applicable", ""],
    ]
    files = {
        f"ccipra-v{version}r0-f{number}.txt": _csv([*heading, *((*row, "Demo") for row in rows)], "\t")
        for number, rows in enumerate(edits, 1)
    }
    header = ["HCPCS/\nCPT Code", "Practitioner Services MUE Values", "MUE Adjudication Indicator", "MUE Rationale"]
    limits = [
        ["97026", "2" if is_later else "1", "2 Date of Service Edit: Policy", "Demo"],
        ["97028", "1", "3 Date of Service Edit: Clinical", "Demo"],
        ["0D001", "6", "1 Line Edit", "Demo"],
    ]
    name = f"MCR_MUE_PractitionerServices_Eff_{quarter:%m-%d-%Y}.csv"
    return files | {name: _csv([*[["Heading of the demo", "", "", ""]] * 9, header, *limits])}


def _table(name: str, rows: Rows) -> bytes:
    return _csv([HEADERS[name].split(), *rows], quoting=csv.QUOTE_ALL)


def _csv(rows: Rows, delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    """Latin-1, as CMS publishes it."""
    text = StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return text.getvalue().encode("latin-1")

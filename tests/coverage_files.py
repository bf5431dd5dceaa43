"""Made exports of the Medicare Coverage Database and NCCI files, with the headers and traps of the published ones."""

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from transforms.demo.rules import HEADERS

Rows = Sequence[Sequence[str]]
AMA = "DESCRIPTION OF THE AMA"
CODES = ("97026", "97028")
PLACES: dict[str, Rows] = {
    "contractor": [("10", "12", "1", "Lantern MAC"), ("11", "12", "3", "Harbor MAC, Inc.")],
    "contractor_jurisdiction": [
        ("10", "12", "1", "1", "2015-10-01", ""),
        ("10", "12", "1", "2", "2015-10-01", ""),
        ("10", "12", "1", "3", "2015-10-01", "2020-01-01 00:00:00"),  # no longer its
        ("11", "12", "3", "4", "2015-10-01", ""),
        ("11", "12", "3", "5", "2015-10-01", ""),
    ],
    "state_lookup": [
        ("1", "AK", "Alaska"),
        ("2", "CNMI", "Northern Mariana Islands"),
        ("3", "WA", "Washington"),
        ("4", "UN", "New York - Upstate"),
        ("5", "NY", "New York - Entire State"),
    ],
}
ARTICLES: dict[str, Rows] = PLACES | {
    "article": [
        ("52369", "17", "Infrared &amp; heat: d\xe9tails", "A", "", "2025-01-01 00:00:00", "", "<p>Bill\r\nonce</p>"),
        ("52370", "2", "Retired long ago", "R", "2019-01-01", "2016-01-01", "", ""),
        ("52371", "1", "Of another code", "A", "", "2025-01-01", "", ""),
        ("52372", "3", "Ultraviolet", "A", "", "02/01/2024", "12/31/2099", ""),
    ],
    "article_x_hcpc_code": [
        ("52369", "17", "97026", "2025", "1", AMA, AMA),
        ("52369", "17", "97028", "2025", "2", AMA, AMA),
        ("52369", "17", "97110", "2025", "1", AMA, AMA),
        ("52370", "2", "97026", "2025", "1", AMA, AMA),
        ("52371", "1", "97110", "2025", "1", AMA, AMA),
        ("52372", "3", "97028", "2025", "1", AMA, AMA),
    ],
    "article_x_hcpc_code_group": [
        ("52369", "17", "1", '<p>Say "GP",\r\nplease; a line.</p>'),
        ("52369", "17", "2", ""),
    ],
    "article_x_icd10_covered": [
        ("52369", "17", "M54.51", "2025", "1", "pain"),
        ("52369", "17", "M54.50", "2025", "1", "pain"),
        ("52369", "17", "M54.50", "2025", "2", "pain"),
        ("52371", "1", "E11.42", "2025", "1", "other"),
    ],
    "article_x_icd10_noncovered": [("52369", "17", "E11.42", "2025", "1", "other")],
    "article_related_documents": [("52369", "17", "33631"), ("52369", "17", ""), ("52372", "3", "0")],
    "article_x_contractor": [
        ("52369", "17", "10", "12", "1"),
        ("52369", "17", "11", "12", "3"),
        ("52370", "2", "10", "12", "1"),
        ("52371", "1", "10", "12", "1"),
        ("52372", "3", "10", "12", "1"),
    ],
    "update_period": [("1", "2026-09-14", "2026-09-21 00:00:00"), ("2", "2026-09-21", "2026-09-28 00:00:00")],
}
LCDS: dict[str, Rows] = PLACES | {
    "lcd": [
        (
            "33631",
            "40",
            "Outpatient therapy",
            "L1",
            "A",
            "2015-10-01",
            "2024-04-01",
            "<b>" + "long, " * 50_000 + "</b>",
        ),
        ("33632", "1", "Of no article", "L2", "A", "2015-10-01", "2024-04-01", ""),
    ],
    "lcd_x_contractor": [("33631", "40", "10", "12", "1"), ("33632", "1", "10", "12", "1")],
    "update_period": ARTICLES["update_period"],
}


def ncd(number: str, version: str, level: str, section: str, title: str, *dates: str, text: str = "text") -> list[str]:
    """A row of ``ncd_trkg``: effective, and ended where there is a second date."""
    given = {
        "NCD_id": number,
        "NCD_vrsn_num": version,
        "cvrg_lvl_cd": level,
        "NCD_mnl_sect": section,
        "NCD_mnl_sect_title": title,
        "indctn_lmtn": text,
        **dict(zip(("NCD_efctv_dt", "NCD_trmntn_dt"), dates, strict=False)),
    }
    return [given.get(name, "") for name in HEADERS["ncd_trkg"].split()]


NCDS: dict[str, Rows] = {
    "ncd_trkg": [
        ncd("306", "1", "3", "270.6", "Infrared Therapy Devices", "10/24/2006"),
        ncd("50", "2", "2", "250.1", "Treatment of Psoriasis", "2000-01-01"),
        ncd("50", "1", "1", "250.1", "Treatment of Psoriasis", "1990-01-01"),
        ncd("51", "1", "1", "150.9", "Another section", "1990-01-01"),
    ],
    "update_period": ARTICLES["update_period"],
}


def csv_text(header: str, rows: Rows) -> bytes:
    """A table as the exports have it: Latin-1, CRLF, quotes."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([header.split(), *rows])
    return text.getvalue().encode("latin-1")


def write_export(path: Path, tables: Mapping[str, Rows], headers: Mapping[str, str] = HEADERS) -> Path:
    """A download: a zip that holds a zip of csv, a readme and a dictionary."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, rows in tables.items():
            archive.writestr(f"{name}.csv", csv_text(headers[name], rows))
        archive.writestr("lcd_x_requestor_letters.csv", "33631,40,no header here\r\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme_first.txt", "read me")
        archive.writestr(f"{path.stem}_csv.zip", inner.getvalue())
        archive.writestr("data_dictionary.pdf", b"%PDF")
    return path


PTP_HEADING = (
    '"CPT only copyright 2025 American Medical Association.  All rights reserved."\r\n'
    "Column1/Column2 Edits\t\t\t\t\t\t\r\n"
    'Column 1\tColumn 2\t"*=in existence\nprior to 1996"\tEffective\tDeletion\tModifier\tPTP Edit Rationale\r\n'
    "\t\t\tDate\tDate\t0=not allowed\t\r\n"
    "\t\t\t\t*=no data\t1=allowed\t\r\n"
    "\t\t\t\t\t9=not applicable\t\r\n"
)
PTP_ROWS = (
    ("97026", "97028", "", "20200101", "*", "1", "Misuse of Column Two code with Column One code"),
    ("0001A", "97026", "*", "19960101", "20231231", "0", "Standards of medical / surgical practice"),
    ("97140", "97028", "", "20150401", "*", "9", "CPT \x93separate procedure\x94 definition"),
    ("97110", "97140", "", "20150401", "*", "1", "Of other codes"),
)
MUE_HEADING = (
    '"CPT codes, descriptions and other data only are copyright 2025\nAmerican Medical Association.",,,\r\n'
    + ",,,\r\n" * 7
)
MUE_HEADER = (
    "HCPCS/\nCPT Code",
    "Practitioner Services MUE Values",
    "MUE Adjudication Indicator",
    "MUE Rationale",
)
MUE_ROWS = (
    ("97026", "1", "2 Date of Service Edit: Policy", "Nature of Service/Procedure"),
    ("97110", "6", "3 Date of Service Edit: Clinical", "Clinical: Data"),
)


def ptp_text(rows: Rows = PTP_ROWS) -> bytes:
    """A file of PTP edits, tab-separated."""
    return (PTP_HEADING + "".join("\t".join(row) + "\r\n" for row in rows)).encode("latin-1")


def mue_text(rows: Rows = MUE_ROWS) -> bytes:
    """A file of MUE values, as csv."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([MUE_HEADER, *rows])
    return (MUE_HEADING + text.getvalue()).encode("latin-1")


POLICY_HEADER = "payer,billing_code,state,effective_date,title,url,stance"
POLICIES = (
    POLICY_HEADER,
    "Aetna,97026,,2025-03-01,Infrared therapy,https://example.org/a,not_covered",
    "Aetna,97110,,2025-03-01,Exercise,https://example.org/b,covered",
    "Cigna,97028,AK,3/1/2024,<script>alert(1)</script>,,restricted",
)

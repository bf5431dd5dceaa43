"""npidata CSV in CMS's real layout (330 columns, V2 of June 2026), every value quoted, few of them filled."""

import io
import random
import zipfile
from collections.abc import Iterator

import polars as pl

_TAXONOMY_GROUPS = 15


def _numbered(names: str, count: int) -> list[str]:
    return [f"{name}_{number}" for number in range(1, count + 1) for name in names.split("|")]


def header() -> list[str]:
    """The real names where the reader looks for them, and 330 columns in all."""
    names = ["NPI", "Entity Type Code", *(f"Name And Mailing {number}" for number in range(29))]
    names += [
        "Provider Business Practice Location Address State Name",
        "Provider Business Practice Location Address Postal Code",
        "Provider Business Practice Location Address Country Code (If outside U.S.)",
        *(f"Contact {number}" for number in range(4)),
        "NPI Deactivation Reason Code",
        "NPI Deactivation Date",
        "NPI Reactivation Date",
        *(f"Official {number}" for number in range(6)),
    ]
    names += _numbered(
        "Healthcare Provider Taxonomy Code|Provider License Number|Provider License Number State Code|"
        "Healthcare Provider Primary Taxonomy Switch",
        _TAXONOMY_GROUPS,
    )
    names += _numbered(
        "Other Provider Identifier|Other Provider Identifier Type Code|Other Provider Identifier State|"
        "Other Provider Identifier Issuer",
        50,
    )
    names += [f"Organization {number}" for number in range(7)]
    return [*names, *_numbered("Healthcare Provider Taxonomy Group", _TAXONOMY_GROUPS), "Certification Date"]


NAMES = header()
_INDEX = {name: index for index, name in enumerate(NAMES)}


def record(npi: object, state: str = "", *taxonomies: str, **other: str) -> str:
    """One line; ``other``: entity, country, postal_code, deactivated, reactivated, and filler of unread columns."""
    cells = [other.get("filler", "") if name.startswith(("Name And", "Other Provider")) else "" for name in NAMES]
    values = {
        "NPI": str(npi),
        "Entity Type Code": other.get("entity", "1"),
        "Name And Mailing 3": 'O""NEIL, ""JO""',
        "Provider Business Practice Location Address State Name": state,
        "Provider Business Practice Location Address Postal Code": other.get("postal_code", ""),
        "Provider Business Practice Location Address Country Code (If outside U.S.)": other.get("country", "US"),
        "NPI Deactivation Date": other.get("deactivated", ""),
        "NPI Reactivation Date": other.get("reactivated", ""),
    }
    values |= {f"Healthcare Provider Taxonomy Code_{number}": code for number, code in enumerate(taxonomies, 1)}
    for name, value in values.items():
        cells[_INDEX[name]] = value
    return '"' + '","'.join(cells) + '"\n'


def npidata(*records: str, names: list[str] | None = None) -> bytes:
    """A file of the records under the header."""
    return ('"' + '","'.join(names or NAMES) + '"\n' + "".join(records)).encode()


def many_records(count: int, seed: int = 1) -> Iterator[str]:
    """Records of about 1.2 kB like the real ones, NPIs nearly sorted."""
    chance = random.Random(seed)
    padded = record("@npi", "@state", "@taxonomy", "111N00000X", filler="abc")
    for number in range(count):
        npi = 1_000_000_000 + number * 4000 + chance.randrange(20_000)
        taxonomy = chance.choice(["225100000X", "207Q00000X", "261QP2000X"])
        yield (
            padded.replace("@npi", str(npi))
            .replace("@state", chance.choice(["AK", "ny", "PR"]))
            .replace("@taxonomy", taxonomy)
        )


SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def workbook(rows: str, strings: str = "") -> bytes:
    """An .xlsx of one sheet: its ``row`` elements, and the ``si`` elements of its shared texts."""
    sheets = '<sheets><sheet name="Report" sheetId="1" r:id="rId1"/></sheets>'
    parts = {
        "_rels/.rels": _relation("officeDocument", "xl/workbook.xml"),
        "xl/workbook.xml": f'<workbook xmlns="{SHEET}" xmlns:r="{_OFFICE}">{sheets}</workbook>',
        "xl/_rels/workbook.xml.rels": _relation("worksheet", "worksheets/sheet1.xml"),
        "xl/sharedStrings.xml": f'<sst xmlns="{SHEET}">{strings}</sst>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{SHEET}"><sheetData>{rows}</sheetData></worksheet>',
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as book:
        for name, part in parts.items():
            book.writestr(name, part)
    return content.getvalue()


def _relation(kind: str, target: str) -> str:
    relation = f'<Relationship Id="rId1" Type="{_OFFICE}/{kind}" Target="{target}"/>'
    return f'<Relationships xmlns="{_PACKAGE}">{relation}</Relationships>'


def rows(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    """npi, state, taxonomies, deactivated: what the tests look at."""
    return frame.select("npi", "state", "taxonomies", "deactivated").rows()

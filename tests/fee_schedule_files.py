"""PPRRVU and GPCI in CMS's real layouts (RVU26D, October 2026; until 2025 without PRIC IND), few rows."""

from collections.abc import Sequence

_ABOVE_ABOVE = ["", "", "", "", "NOT USED", *[""] * 20, "PHYSICIAN", "", "DIAGNOSTIC", "PE USED", "PE USED", "MP USED"]
_ABOVE = [
    "",
    "",
    "",
    "",
    "FOR",
    "",
    "",
    "NON-FAC",
    "",
    "FACILITY",
    *[""] * 15,
    "SUPERVISION OF",
    "",
    "IMAGING",
    *["FOR OPPS"] * 3,
]
_STACKED = (
    ",,,STATUS,MEDICARE,WORK,NON-FAC,NA,FACILITY,NA,MP,NON-FACILITY,FACILITY,PCTC,GLOB,PRE,INTRA,POST,MULT,BILAT,ASST,"
    "CO-,TEAM,ENDO,CONV,DIAGNOSTIC,CALCULATION,FAMILY,PAYMENT,PAYMENT,PAYMENT"
).split(",")
_HEADER = (
    "HCPCS,MOD,DESCRIPTION,CODE,PAYMENT,RVU,PE RVU,INDICATOR,PE RVU,INDICATOR,RVU,TOTAL,TOTAL,IND,DAYS,OP,OP,OP,PROC,"
    "SURG,SURG,SURG,SURG,BASE,FACTOR,PROCEDURES,FLAG,INDICATOR,AMOUNT,AMOUNT,AMOUNT"
).split(",")
_PRIC_IND = 23  # where 2026 put a column


def pprrvu(year: int, pe: str = "0.14", total: str = "0.21", factor: str = "32.3465") -> str:
    """97026 with the given parts, 97028, 71046 and 71046-26."""
    titles = [
        f"{year} National Physician Fee Schedule Relative Value File October Release",
        "CPT codes and descriptions only are copyright 2019 American Medical Association. All Rights Reserved.",
        "RELEASED 08/26/2017",
        "",
    ]
    rows = [
        *((["", "", title, *[""] * 28], "") for title in titles),
        ([*[""] * 28, "NON-FACILITY", "FACILITY", ""], ""),
        (_ABOVE_ABOVE, ""),
        (_ABOVE, ""),
        (_STACKED, "PRIC"),
        (_HEADER, "IND"),
        (_service("97026", "", ("0.06", pe, "0.01", total), "5", factor), "9"),
        (_service("97028", "", ("0.08", "0.16", "0.01", "0.25"), "5", factor), "9"),
        (_service("71046", "", ("0.21", "0.76", "0.02", "0.99"), "0", factor), "9"),
        (_service("71046", "26", ("0.21", "0.08", "0.01", "0.30"), "0", factor), "9"),
    ]
    wide = year >= 2026
    return "".join(",".join([*cells[:_PRIC_IND], *[cell][:wide], *cells[_PRIC_IND:]]) + "\r\n" for cells, cell in rows)


def _service(code: str, modifier: str, parts: tuple[str, str, str, str], mult: str, factor: str) -> list[str]:
    work, pe, mp, total = parts
    values = [work, pe, "", pe, "NA", mp, total, total, "7", "XXX", "0.00", "0.00", "0.00", mult, "0", "0", "0", "0"]
    return [
        code,
        modifier,
        '"Descriptor, with a comma"',
        "R" if code == "97026" else "A",
        "",
        *values,
        "",
        factor,
        "09",
        "0",
        "99",
        *["0.00"] * 3,
    ]


ALASKA_AND_SAN_FRANCISCO = ("02102,AK,01,ALASKA*,1.5,1.081,0.592", "1112,CA,5,SAN FRANCISCO,1.089,1.345,0.421")


def gpci(year: int, places: Sequence[str] = ALASKA_AND_SAN_FRANCISCO) -> str:
    """Places between title and footnotes; San Francisco's numbers have no leading zeros."""
    columns = ["Medicare Administrative Contractor (MAC)", "State", "Locality Number", "Locality Name"]
    columns += [f"{year} PW GPCI (with 1.0 Floor)", f"{year} PE GPCI", f"{year} MP GPCI"]
    return "\r\n".join(
        [
            f'"ADDENDUM E. FINAL CY {year} GEOGRAPHIC PRACTICE COST INDICES (GPCIs) BY STATE AND LOCALITY",,,,,,',
            ",,,,,,",
            ",".join(columns),
            *places,
            ",,,,,,",
            "* Work GPCI reflects a 1.5 floor in Alaska,,,,,,",
            "Note: MAC assignments as of November 22 2023,,,,,,",
        ]
    )

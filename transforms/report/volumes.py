"""A practice's own volumes: a csv of npi, billing_code, units, and perhaps payer, to ``schemas.VOLUMES``."""

import csv
import math
from collections.abc import Collection, Iterable

import polars as pl

from schemas.practices import VOLUMES

_NEEDED = ("billing_code", "units")


def read_volumes(
    lines: Iterable[str], npis: Collection[int], codes: Collection[str], payers: Collection[str]
) -> tuple[pl.DataFrame, int]:
    """``schemas.VOLUMES``, lines with one grain added up; and how many lines are of other codes, and left out.

    Args:
        lines: of the csv, the heading first.
        npis, codes, payers: those that a line may name.

    Raises:
        ValueError: a column is missing, or a line is wrong; names it and says what is expected.
    """
    reader = csv.DictReader(lines, skipinitialspace=True)
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
    if missing := [name for name in _NEEDED if name not in reader.fieldnames]:
        found = ", ".join(reader.fieldnames) or "none"
        raise ValueError(f"column {', '.join(missing)} is missing; found: {found}; expected: npi, billing_code, units")
    rows, others = [], 0
    for row in reader:
        values = {name: (row.get(name) or "").strip() for name in ("payer", "npi", *_NEEDED)}
        if not any(values.values()):
            continue
        where = f"line {reader.line_num}"
        if values["billing_code"].upper() not in codes:
            others += 1
            continue
        rows.append(
            (
                _one_of(values["payer"], payers, f"{where}: payer"),
                _npi(values["npi"], npis, where),
                values["billing_code"].upper(),
                _units(values["units"], where),
            )
        )
    if not rows:
        raise ValueError(f"no line has one of the published codes {', '.join(sorted(codes))}; {others} have others")
    frame = pl.DataFrame(rows, schema=VOLUMES.polars, orient="row")
    return frame.group_by(VOLUMES.grain).agg(pl.col("units").sum()).select(VOLUMES.names).sort(VOLUMES.grain), others


def _one_of(text: str, known: Collection[str], where: str) -> str | None:
    if text and text not in known:
        raise ValueError(f"{where} {text!r} is not in the tables; there are: {', '.join(sorted(known))}")
    return text or None


def _npi(text: str, npis: Collection[int], where: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or int(text) not in npis:
        raise ValueError(f"{where}: npi {text!r} is not of the practice; name it with --npi, or leave the line out")
    return int(text)


def _units(text: str, where: str) -> float:
    try:
        units = float(text.replace(",", ""))
    except ValueError:
        units = math.nan
    if not 0 <= units < math.inf:
        raise ValueError(f"{where}: units {text!r} is not a number of zero or more")
    return units

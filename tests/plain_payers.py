"""The plain reading of payers: which parent a month's reporting entities stand under (CONTRACT section 4, Payer)."""

import csv
from collections.abc import Collection, Mapping
from pathlib import Path

TABLE = Path(__file__).parents[1] / "schemas" / "reference" / "payers.csv"
ENDINGS = {"inc", "llc", "co", "company", "corp", "corporation", "ltd"}
APOSTROPHES = "'\u2018\u2019\u201b\u02bc\uff07`\u00b4"


def reviewed_payers() -> dict[str, str]:
    """The payer of each spelling in the packaged table, in its order."""
    with TABLE.open(encoding="utf-8", newline="") as lines:
        return {row["reporting_entity_name"]: row["payer"] for row in csv.DictReader(lines)}


def plain_payers(names: Collection[str | None], reviewed: Mapping[str, str]) -> dict[str | None, str]:
    """The payer of each name of a month: by its spelling, else its folded name; unknown names that fold alike are one.

    Args:
        reviewed: payer by spelling, in the order of the table.
    """
    payers: dict[str | None, str] = {}
    for name in names:
        alike = [spelling for spelling in reviewed if folded(spelling) == folded(name or "")]
        unknown = sorted(other for other in names if other and folded(other) == folded(name or ""))
        if not (name or "").strip():
            payers[name] = "Unknown"
        elif name in reviewed or alike:
            payers[name] = reviewed[name if name in reviewed else alike[0]]  # type: ignore[index]
        else:
            reserved = unknown[0] in ("BUCA", "All commercial", "Medicare")
            payers[name] = f"{unknown[0]} (reporting entity)" if reserved else unknown[0]
    return payers


def folded(name: str) -> str:
    """Letters and digits in lower case, single spaces, no legal ending behind another word."""
    letters = [letter for letter in name.casefold() if letter not in APOSTROPHES]
    words = "".join(letter if letter.isalnum() else " " for letter in letters).split()
    while len(words) > 1 and (words[-1] in ENDINGS or (len(words) > 3 and words[-3:] == ["l", "l", "c"])):
        del words[-1 if words[-1] in ENDINGS else -3 :]
    return " ".join(words) or name.strip()

"""What the readers of coverage files share: dates, texts, digests, and documents as rows of ``COVERAGE_EDITION``."""

import hashlib
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import polars as pl

from schemas.codes import GEOGRAPHIES
from schemas.coverage import COVERAGE_EDITION
from schemas.geographies import BY_CODE
from transforms.errors import UsageError

_FORMATS = ("%Y-%m-%d", "%m/%d/%Y", "%Y%m%d", "%m-%d-%Y")
_NO_END = 9999
_CODES_BY_NAME = {place.name.lower(): code for code, place in BY_CODE.items()}
_PARTS = {"CNMI": "MP", "EK": "KS", "WK": "KS", "EM": "MO", "WM": "MO"}
_LISTS = {column.name for column in COVERAGE_EDITION if column.dtype.startswith("list")}


@dataclass
class Rules:
    """Rows of ``COVERAGE_EDITION`` of one kind, as they are found, and what was left out and why."""

    kind: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    parts: set[str] = field(default_factory=set)  # those read, with rows or without

    def add(self, places: Iterable[str], part: str = "", **values: Any) -> None:
        """Add a document's row for each geography."""
        stated = sorted(set(places))
        empty: dict[str, Any] = {name: [] if name in _LISTS else None for name in COVERAGE_EDITION.names}
        own = empty | values | {"part": part, "states": [place for place in stated if place != "US"]}
        self.rows += (own | {"geography": place} for place in stated)

    def table(self) -> pl.DataFrame:
        """``COVERAGE_EDITION``, sorted; a row that stands in several parts is kept once.

        Raises:
            UsageError: two rows of the same document and place that differ.
        """
        grain = list(COVERAGE_EDITION.grain)
        frame = pl.DataFrame(self.rows, schema=COVERAGE_EDITION.polars).sort(*grain, "part")
        distinct = frame.unique([name for name in frame.columns if name != "part"], keep="first", maintain_order=True)
        twice = distinct.filter(distinct.select(grain).is_duplicated())
        if twice.height:
            named = " ".join(twice.row(0)[frame.columns.index(name)] for name in grain)
            raise UsageError(f"{self.kind}: {named} stands there twice, with different values")
        return distinct


def date_of(text: str) -> date | None:
    """A date, whatever time follows; None for blank text and for the year 9999.

    Raises:
        ValueError: it is another text.
    """
    stated = text.strip().partition(" ")[0].partition("T")[0].removesuffix(".0")
    if not stated or stated.startswith(str(_NO_END)) or stated.endswith(str(_NO_END)):
        return None
    for form in _FORMATS:
        try:
            return datetime.strptime(stated, form).date()
        except ValueError:
            continue
    raise ValueError(f"date not read: {text!r}")


def readable(text: str) -> str:
    """A cell that was read as Latin-1, as one line: UTF-8 or Windows-1252 where it is that, entities as characters."""
    for encoding in ("utf-8", "cp1252"):
        with suppress(UnicodeError):
            text = text.encode("latin-1").decode(encoding)
            break
    return " ".join(html.unescape(text).split())


def digest_of_texts(texts: Iterable[str]) -> str | None:
    """The same for texts of the same words; None where all are blank."""
    words = [" ".join(text.split()) for text in texts]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16] if any(words) else None


def state_of(abbreviation: str, name: str = "") -> str | None:
    """The USPS code of a state or of a part of one, such as ``New York - Upstate``; None for another place."""
    stated = abbreviation.strip().upper()
    parts = [stated, _PARTS.get(stated, ""), re.split(r"[^A-Z]", stated, maxsplit=1)[0]]
    of_name = _CODES_BY_NAME.get(re.split(r"\s+-|\(", name.strip(), maxsplit=1)[0].strip().lower())
    return next((code for code in (*parts, of_name) if code in GEOGRAPHIES), None)


def first_date(row: Mapping[str, str], names: Sequence[str]) -> date | None:
    """The first of these columns that has a date; ``ValueError``: one has another text."""
    return next((found for name in names if (found := date_of(row.get(name, ""))) is not None), None)

"""Who publishes is not who pays: reporting entity names become payers by the reviewed table, never by likeness."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from functools import cache

import polars as pl

from schemas.codes import COMPOSITE_ALL, COMPOSITE_BUCA, MEDICARE
from schemas.reference import PAYERS, load_reference

UNKNOWN_PAYER = "Unknown"
LEGAL_ENDINGS = frozenset({"inc", "llc", "co", "company", "corp", "corporation", "ltd"})
RESERVED_PAYERS = frozenset({COMPOSITE_BUCA, COMPOSITE_ALL, MEDICARE})  # rows of SUMMARIES that are no payers

_PUNCTUATION = re.compile(r"[\W_]+")
_NOT_SLUG = re.compile(r"[^a-z0-9]+")
_DEVICES = frozenset(("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))))
_SLUG_LENGTH = 80  # a folder name may hold 255 bytes
_MAPPED = pl.Schema(
    {
        "reporting_entity_name": pl.String(),
        "payer": pl.String(),
        "parent_company": pl.String(),
        "payer_mapped": pl.Boolean(),
    }
)


def reviewed_payers() -> pl.DataFrame:
    """``schemas.reference.PAYERS`` as packaged."""
    return load_reference(PAYERS)


def fold_name(name: str) -> str:
    """The key that spellings share: case, punctuation and trailing legal endings removed, never to nothing.

    ``"United-HealthCare-Services--Inc-"`` and ``"United HealthCare Services, Inc."`` are one.
    """
    words = _PUNCTUATION.sub(" ", name.casefold()).split()
    while len(words) > 1 and words[-1] in LEGAL_ENDINGS:
        words.pop()
    return " ".join(words)


def map_payers(names: Iterable[str | None], table: pl.DataFrame | None = None) -> pl.DataFrame:
    """One row per distinct name: reporting_entity_name, payer, parent_company, payer_mapped; sorted, null first.

    An unknown name is its own payer as published, its parent null; a missing or blank one is ``Unknown``.
    The null name stands in the frame as null: join with ``nulls_equal=True``.

    Args:
        names: reporting entity names as published.
        table: ``schemas.reference.PAYERS``; the packaged one unless given.
    """
    reviewed = reviewed_payers() if table is None else table
    # the very spelling first: "BCBSM, Inc." is Minnesota, "BCBSM" is Michigan, and they fold alike
    by_spelling = {row["reporting_entity_name"]: row for row in reviewed.iter_rows(named=True)}
    by_key = {fold_name(spelling): row for spelling, row in reversed(by_spelling.items())}
    rows = []
    for name in sorted(set(names), key=lambda name: (name is not None, name or "")):
        known = None if name is None else by_spelling.get(name) or by_key.get(fold_name(name))
        payer = known["payer"] if known else _own_payer(name)
        rows.append((name, payer, known["parent_company"] if known else None, known is not None))
    return pl.DataFrame(rows, schema=_MAPPED, orient="row")


def _own_payer(name: str | None) -> str:
    if name is None or not name.strip():
        return UNKNOWN_PAYER
    return f"{name} (reporting entity)" if name in RESERVED_PAYERS else name


def conflicting_keys(table: pl.DataFrame) -> dict[str, list[str]]:
    """Folded names that the table gives to several payers, with those payers: a defect of the table, to be reviewed."""
    payers: dict[str, set[str]] = {}
    for spelling, payer in table.select("reporting_entity_name", "payer").iter_rows():
        payers.setdefault(fold_name(spelling), set()).add(payer)
    return {key: sorted(found) for key, found in payers.items() if len(found) > 1}


def unused_mappings(names: Iterable[str | None], table: pl.DataFrame | None = None) -> list[str]:
    """Spellings of the table that no published name matches, sorted: to be pruned, or a payer has gone missing."""
    reviewed = reviewed_payers() if table is None else table
    used = {fold_name(name) for name in names if name is not None}
    return sorted(name for name in reviewed["reporting_entity_name"] if fold_name(name) not in used)


def payer_slug(payer: str) -> str:
    """Folder name of a payer: lower-case ASCII, e.g. ``blue-cross-blue-shield``; different payers never share one.

    Payers of the reviewed table, and names that their slug gives back (``Foo Health Plan``), stay bare;
    any other name would be lossy and carries eight hex digits of its SHA-256.
    """
    slug = _bare_slug(payer)
    if payer in _known_payers() or (_titled(slug) == payer and slug not in _known_slugs()):
        return slug
    digest = hashlib.sha256(payer.encode()).hexdigest()[:8]
    return f"{slug[:_SLUG_LENGTH].strip('-') or 'payer'}-{digest}"


def _bare_slug(payer: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", payer).encode("ascii", "ignore").decode()
    return _NOT_SLUG.sub("-", ascii_text.lower()).strip("-")


def _titled(slug: str) -> str | None:
    if not 0 < len(slug) <= _SLUG_LENGTH or slug in _DEVICES:  # no file of Windows may have a device's name
        return None
    return " ".join(word.capitalize() for word in slug.split("-"))


@cache
def _known_payers() -> frozenset[str]:
    return frozenset(reviewed_payers()["payer"])


@cache
def _known_slugs() -> frozenset[str]:
    return frozenset(map(_bare_slug, _known_payers()))

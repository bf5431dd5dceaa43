"""Payers: reporting entity names to payers by a reviewed table, without fuzzy matching (CONTRACT section 4, Payer)."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from functools import cache

import polars as pl

from schemas.codes import COMPOSITE_ALL, COMPOSITE_BUCA, MEDICARE
from schemas.reference import PAYERS, load_reference

UNKNOWN_PAYER = "Unknown"
RESERVED_PAYERS = frozenset({COMPOSITE_BUCA, COMPOSITE_ALL, MEDICARE})  # names of other rows of SUMMARIES

_APOSTROPHES = re.compile("['\u2018\u2019\u201b\u02bc\uff07`\u00b4]")  # removed inside a word, not replaced by a space
_PUNCTUATION = re.compile(r"[\W_]+")
_LEGAL_ENDINGS = re.compile(r"( (inc|llc|l l c|co|company|corp|corporation|ltd))+$")  # L.L.C. is "l l c" by then
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
    """The folded name, without case, punctuation and trailing legal endings. Spellings of one name share it.

    ``"United-HealthCare-Services--Inc-"`` folds like ``"United HealthCare Services, Inc."``, and
    ``"Children's, L.L.C."`` like ``"Childrens LLC"``. A name that consists of punctuation is not changed.
    """
    words = _PUNCTUATION.sub(" ", _APOSTROPHES.sub("", name.casefold())).strip()
    return _LEGAL_ENDINGS.sub("", words) or name.strip()


def map_payers(names: Iterable[str | None], table: pl.DataFrame | None = None) -> pl.DataFrame:
    """One row per distinct name: reporting_entity_name, payer, parent_company, payer_mapped; sorted, null first.

    An unknown name is its own payer with null parent; unknown names that fold alike are one payer, named by the first
    spelling in code point order. A missing or blank name is ``Unknown``.
    A null name has a row with null: join with ``nulls_equal=True``.

    Args:
        names: reporting entity names as published, all of a month: the payer of an unknown name depends on the others.
        table: ``schemas.reference.PAYERS``; the packaged one unless given.
    """
    reviewed = reviewed_payers() if table is None else table
    # exact spellings first: "BCBSM, Inc." (Minnesota) and "BCBSM" (Michigan) fold alike
    by_spelling = {row["reporting_entity_name"]: row for row in reviewed.iter_rows(named=True)}
    by_key = {fold_name(spelling): row for spelling, row in reversed(by_spelling.items())}
    rows: list[tuple[str | None, str, str | None, bool]] = []
    first_spellings: dict[str, str] = {}
    for name in sorted(set(names), key=lambda name: (name is not None, name or "")):
        if name is None or not name.strip():
            rows.append((name, UNKNOWN_PAYER, None, False))
            continue
        key = fold_name(name)
        known = by_spelling.get(name) or by_key.get(key)
        if known:
            rows.append((name, known["payer"], known["parent_company"], True))
        else:
            rows.append((name, _own_payer(first_spellings.setdefault(key, name)), None, False))
    return pl.DataFrame(rows, schema=_MAPPED, orient="row")


def _own_payer(name: str) -> str:
    return f"{name} (reporting entity)" if name in RESERVED_PAYERS else name


def conflicting_keys(table: pl.DataFrame) -> dict[str, list[str]]:
    """Folded names that the table maps to several payers, with those payers: errors in the table."""
    payers: dict[str, set[str]] = {}
    for spelling, payer in table.select("reporting_entity_name", "payer").iter_rows():
        payers.setdefault(fold_name(spelling), set()).add(payer)
    return {key: sorted(found) for key, found in payers.items() if len(found) > 1}


def unused_mappings(names: Iterable[str | None], table: pl.DataFrame | None = None) -> list[str]:
    """Spellings of the table that match no published name, sorted: unused entries, or a missing payer."""
    reviewed = reviewed_payers() if table is None else table
    used = {fold_name(name) for name in names if name is not None}
    return sorted(name for name in reviewed["reporting_entity_name"] if fold_name(name) not in used)


def payer_slug(payer: str) -> str:
    """The folder name of a payer: lower-case ASCII, e.g. ``blue-cross-blue-shield``, different for different payers.

    For payers of the reviewed table and for names that can be restored from the slug (``Foo Health Plan``), the slug
    alone; for others, the slug and eight hex digits of the name's SHA-256.
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
    if not 0 < len(slug) <= _SLUG_LENGTH or slug in _DEVICES:  # Windows reserves device names
        return None
    return " ".join(word.capitalize() for word in slug.split("-"))


@cache
def _known_payers() -> frozenset[str]:
    return frozenset(reviewed_payers()["payer"])


@cache
def _known_slugs() -> frozenset[str]:
    return frozenset(map(_bare_slug, _known_payers()))

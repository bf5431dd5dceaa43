"""Editions of coverage rules in order: the published ``COVERAGE`` of a month, and what each edition changed.

A function of the editions alone: the order in which they were loaded does not matter.

Memory: the rows of the versions seen, and two editions.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import polars as pl

from schemas.coverage import COVERAGE, ENDED, FUTURE, IN_FORCE, POLICY, SUPERSEDED, WITHDRAWN

NEW, AGAIN, CODE_ADDED, CODE_REMOVED = "new", "published again", "code added", "code removed"
STATE_ADDED, STATE_REMOVED = "state added", "state removed"
_VALUES = (
    *("title", "effective_date", "end_date", "stance", "modifier_indicator", "unit_limit", "adjudication_indicator"),
    "source_url",
)
_LISTS = ("diagnoses_covered", "diagnoses_not_covered", "related_documents")

Row = Mapping[str, Any]
Document = tuple[str, str]  # authority, document_id
Key = tuple[str, str, str, str]  # billing_code, authority, document_id, geography


@dataclass(frozen=True)
class Edition:
    """What one edition of a kind says of ``codes``. parts: those it has, with rows or without."""

    kind: str
    date: date
    codes: frozenset[str]
    parts: frozenset[str]
    rows: pl.DataFrame  # COVERAGE_EDITION


@dataclass(frozen=True)
class Change:
    """What an edition changed of a version of a document, for a code and geography."""

    edition: date
    kind: str
    row: Row
    changes: tuple[str, ...]


@dataclass
class _Seen:
    """A version of a document as the last edition that has it says."""

    row: Row
    first_seen: date
    last_seen: date
    changed_on: date | None = None
    changes: tuple[str, ...] = ()
    gone: str | None = None  # SUPERSEDED or WITHDRAWN


@dataclass
class History:
    """The editions of one kind, oldest first."""

    kind: str
    changes: list[Change] = field(default_factory=list)
    _seen: dict[Key, dict[str, _Seen]] = field(default_factory=lambda: defaultdict(dict))
    _known: set[tuple[str, str]] = field(default_factory=set)  # codes, and payers, of the editions so far

    def add(self, edition: Edition) -> None:
        """Compare the next edition with those before, for each code that one of them has."""
        rows: dict[Key, dict[str, Row]] = defaultdict(dict)
        row: Row
        for row in edition.rows.drop("part").iter_rows(named=True):
            rows[_key(row)][row["version"]] = row
        before = {
            key: versions
            for key, seen in self._seen.items()
            if key[0] in edition.codes and (self.kind != POLICY or key[1] in edition.parts)
            if (versions := {version: each for version, each in seen.items() if each.gone is None})
        }
        earlier, later = _Places(before), _Places(rows)
        for key in sorted(before.keys() | rows.keys()):
            is_known = (key[0], self._part(key)) in self._known
            for version, row in rows.get(key, {}).items():
                changes = self._compare(key, version, row, before.get(key, {}), earlier) if is_known else []
                self._note(edition.date, key, version, row, changes)
            for version in sorted(before.get(key, {}).keys() - rows.get(key, {}).keys()):
                self._remove(edition.date, key, version, rows.get(key, {}), later)
        parts = edition.parts if self.kind == POLICY else {""}
        self._known |= {(code, part) for code in edition.codes for part in parts}

    def _part(self, key: Key) -> str:
        """The payer of a policy: an edition says nothing of payers that it does not name."""
        return key[1] if self.kind == POLICY else ""

    def _compare(self, key: Key, version: str, row: Row, before: Mapping[str, _Seen], earlier: "_Places") -> list[str]:
        """What is new in a row against the same version, or else against the latest version before."""
        if version in before:
            return list(_differences(before[version].row, row))
        if before:
            last = max(before, key=_order)
            return [f"version: {last} -> {version}", *_differences(before[last].row, row, ignored=["source_url"])]
        if version in self._seen.get(key, {}):
            return [AGAIN]
        return [earlier.describe(key, CODE_ADDED, STATE_ADDED, NEW)]

    def _note(self, on: date, key: Key, version: str, row: Row, changes: Collection[str]) -> None:
        seen = self._seen[key].setdefault(version, _Seen(row, on, on))
        seen.row, seen.last_seen, seen.gone = row, on, None
        self._change(seen, on, changes)

    def _remove(self, on: date, key: Key, version: str, now: Mapping[str, Row], later: "_Places") -> None:
        seen = self._seen[key][version]
        seen.gone = SUPERSEDED if now else WITHDRAWN
        new = f"superseded by version {max(now, key=_order)}" if now else None
        self._change(seen, on, [new or later.describe(key, CODE_REMOVED, STATE_REMOVED, WITHDRAWN)])

    def _change(self, seen: _Seen, on: date, changes: Collection[str]) -> None:
        if changes:
            seen.changed_on, seen.changes = on, tuple(changes)
            self.changes.append(Change(on, self.kind, seen.row, seen.changes))

    def rows(self, month: date) -> Iterator[dict[str, Any]]:
        """``COVERAGE`` of the month, one row per version seen."""
        day = _last_day(month)
        for versions in self._seen.values():
            statuses = {version: seen.gone or _status(seen.row, day) for version, seen in versions.items()}
            newest = max((each for each, status in statuses.items() if status == IN_FORCE), key=_order, default=None)
            for version, seen in versions.items():
                yield {
                    **seen.row,
                    "month": month,
                    "kind": self.kind,
                    "status": SUPERSEDED if statuses[version] == IN_FORCE and version != newest else statuses[version],
                    "first_seen": seen.first_seen,
                    "last_seen": seen.last_seen,
                    "changed_on": seen.changed_on,
                    "changes": list(seen.changes),
                }


class _Places:
    """The codes and geographies of each document in an edition."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._codes: dict[Document, set[str]] = defaultdict(set)
        for billing_code, authority, document_id, _ in keys:
            self._codes[authority, document_id].add(billing_code)

    def describe(self, key: Key, code: str, state: str, document: str) -> str:
        """Which of the three is new or gone: the state of a code of a document, the code, or the document."""
        codes = self._codes.get((key[1], key[2]), set())
        return state if key[0] in codes else code if codes else document


def read_histories(editions: Iterable[Edition]) -> list[History]:
    """The history of each kind; the editions may come in any order."""
    histories: dict[str, History] = {}
    for edition in sorted(editions, key=lambda each: (each.kind, each.date)):
        histories.setdefault(edition.kind, History(edition.kind)).add(edition)
    return list(histories.values())


def coverage_of(editions: Iterable[Edition], codes: Collection[str], month: date) -> pl.DataFrame:
    """``COVERAGE`` of a month, sorted: what the editions say of these codes."""
    rows = (row for history in read_histories(editions) for row in history.rows(month) if row["billing_code"] in codes)
    return pl.DataFrame(list(rows), schema=COVERAGE.polars).sort(COVERAGE.grain)


def counted_editions(loaded: Iterable[tuple[str, date]], month: date) -> set[tuple[str, date]]:
    """The kinds and dates of the editions that count for a month: until its end, or else the kind's first one."""
    dates: dict[str, list[date]] = defaultdict(list)
    for kind, edition in loaded:
        dates[kind].append(edition)
    day = _last_day(month)
    return {(kind, each) for kind, own in dates.items() for each in own if each <= day or each == min(own)}


def list_changes(histories: Iterable[History], codes: Collection[str]) -> list[dict[str, Any]]:
    """Each change once, with those of the codes and the geographies that have it; the latest edition first."""
    found: dict[tuple[Any, ...], tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    named = ("authority", "document_id", "version", "title", "source_url")
    own = (each for history in histories for each in history.changes if each.row["billing_code"] in codes)
    for change in own:
        key = (change.edition, change.kind, *(change.row[name] for name in named), change.changes)
        with_code, geographies = found[key]
        with_code.add(change.row["billing_code"])
        geographies.add(change.row["geography"])
    ordered = sorted(found, key=lambda key: (-key[0].toordinal(), *map(str, key[1:])))
    names = ("edition", "kind", *named, "changes")
    return [
        {
            **dict(zip(names, key, strict=True)),
            "changes": list(key[-1]),
            "billing_codes": sorted(found[key][0]),
            "geographies": sorted(found[key][1]),
        }
        for key in ordered
    ]


def rules_for(coverage: pl.DataFrame, billing_code: str, geography: str) -> pl.DataFrame:
    """The rows of ``COVERAGE`` that concern a code in a geography: its own and ``US``, those in force first."""
    is_in_force = pl.col("status") == IN_FORCE
    own = coverage.filter(pl.col("billing_code") == billing_code, pl.col("geography").is_in({geography, "US"}))
    return own.sort(~is_in_force, *COVERAGE.grain)


def _status(row: Row, day: date) -> str:
    effective, end = row["effective_date"], row["end_date"]
    is_retired = (row["title"] or "").upper().startswith("RETIRED")
    if is_retired or (end is not None and (end < day or (effective is not None and end < effective))):
        return ENDED
    return FUTURE if effective is not None and effective > day else IN_FORCE


def _last_day(month: date) -> date:
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def _key(row: Row) -> Key:
    return row["billing_code"], row["authority"], row["document_id"], row["geography"]


def _order(version: str) -> tuple[int, str]:
    return (int(version) if version.isdecimal() else -1, version)


def _differences(old: Row, new: Row, ignored: Collection[str] = ()) -> Iterator[str]:
    """What is another value, and which codes are added and removed."""
    if old == new:  # most rows of most editions
        return
    for name in _VALUES:
        if old[name] != new[name] and name not in ignored:
            yield f"{name}: {_text(old[name])} -> {_text(new[name])}"
    for name in _LISTS:
        for what, codes in (("added", set(new[name]) - set(old[name])), ("removed", set(old[name]) - set(new[name]))):
            if codes:
                yield f"{name} {what}: {', '.join(sorted(codes))}"
    if old["text_digest"] != new["text_digest"]:
        yield "text"


def _text(value: object) -> str:
    return "none" if value is None else str(value)

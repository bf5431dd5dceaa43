"""The coverage rules of a code as pages show them: documents, unit limits, bundling partners, and what changed.

Everything comes from the published ``COVERAGE``. Texts and lists are cut to what a page can hold.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import polars as pl

from schemas.coverage import (
    ARTICLE,
    ENDED,
    FUTURE,
    IN_FORCE,
    LCD,
    MUE,
    NCD,
    POLICY,
    PTP,
    WITHDRAWN,
)
from schemas.geographies import NATIONAL, name_of
from transforms.cms.coverage_history import rules_for
from transforms.report.figures import show_name
from transforms.report.sentences import join_names

MOST_DOCUMENTS = 30
MOST_GONE = 20
MOST_PARTNERS = 40  # of one column and modifier indicator
MOST_EDIT_CHANGES = 8
MOST_LISTED = 8  # diagnoses, partner codes
MOST_CHANGES = 6  # of one document
_LONGEST = 120
_LONGEST_URL = 500
KIND_NAMES = {NCD: "NCD", LCD: "LCD", ARTICLE: "article", PTP: "PTP edit", MUE: "unit limit", POLICY: "payer policy"}
_SHOWN = (NCD, LCD, ARTICLE, MUE, POLICY)  # in this order; PTP edits are a list of their own
_STANCES = {"covered": "Covered", "restricted": "Covered with restrictions", "not_covered": "Not covered"}
_LIMITS = {"1": "a claim line", "2": "a day (policy)", "3": "a day (clinical)"}
_MODIFIERS = {
    "0": "no modifier allows both",
    "1": "a modifier can allow both",
    "9": "the modifier indicator does not apply",
}
_COLUMNS = {
    "diagnoses_covered": "covering diagnoses",
    "diagnoses_not_covered": "diagnoses that are not covering",
    "related_documents": "related documents",
    "source_url": "address",
}
_SAME = (
    *("kind", "authority", "document_id", "version", "status", "title", "effective_date", "end_date", "stance"),
    *("unit_limit", "adjudication_indicator", "source_url", "first_seen", "changed_on", "changes"),
    *("diagnoses_covered", "diagnoses_not_covered", "related_documents"),
)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """What an edition changed."""

    edition: date
    is_latest: bool
    text: str


@dataclass(frozen=True)
class Document:
    """A version of a document, policy or limit, with the geographies for which it says the same."""

    kind: str
    document_id: str
    name: str  # with its version
    title: str
    authority: str
    geographies: tuple[str, ...]
    status: str
    dates: str
    url: str  # empty unless http(s)
    says: tuple[str, ...]
    first_seen: date
    change: Change | None

    @property
    def key(self) -> tuple[str, ...]:
        """The same for a document of several contractors."""
        return (self.kind, self.document_id, self.authority if self.kind == POLICY else "")

    @property
    def order(self) -> tuple[Any, ...]:
        """Documents of a kind: by authority, number, geographies, version."""
        return (self.authority, self.document_id, self.geographies, len(self.name), self.name)

    @property
    def is_news(self) -> bool:
        """Whether the latest edition changed it."""
        return self.change is not None and self.change.is_latest

    @property
    def is_new(self) -> bool:
        """Whether no edition before that change has it."""
        return self.change is not None and self.change.edition == self.first_seen


@dataclass(frozen=True)
class Partners:
    """The partner codes of edits that say the same, by their dates."""

    text: str
    codes: dict[str, list[str]]
    count: int
    left_out: int


@dataclass(frozen=True)
class Edits:
    """The PTP edits of a code, all national."""

    groups: list[Partners]
    changes: list[str]  # with the latest edition
    changed: int
    count: int
    url: str


@dataclass(frozen=True)
class PlaceRules:
    """What a page shows of one code at one place."""

    sentences: list[str]
    editions: str
    documents: list[Document]  # of Medicare
    policies: list[Document]
    gone: list[Document]  # since the latest edition
    left_out: Mapping[str, int]  # of those three lists, what the CSV alone has
    edits: Edits
    rows: list[Row]  # all those at the place


class CodeRules:
    """The rules of one code. coverage: ``COVERAGE`` of a month. editions: entries of the manifest's ``coverage``."""

    def __init__(self, code: str, coverage: pl.DataFrame, editions: Iterable[Mapping[str, Any]]) -> None:
        self.code = code
        self.table = coverage.filter(pl.col("billing_code") == code)
        self._editions: dict[str, list[date]] = {kind: [] for kind in KIND_NAMES}
        stated = [*editions]
        self._without_code = bool(stated) and not any(code in each.get("codes", (code,)) for each in stated)
        for each in stated:
            if code in each.get("codes", (code,)) and each["kind"] in self._editions:
                self._editions[each["kind"]].append(date.fromisoformat(each["edition"]))

    @cached_property
    def edits(self) -> Edits:
        """The PTP edits."""
        rows = [row for row in self._edit_rows if row["status"] in (IN_FORCE, FUTURE)]
        keys = sorted({(-row["partner_column"], row["modifier_indicator"]) for row in rows})
        groups = [
            _partners(self.code, -column, indicator, [row for row in rows if _edit_key(row) == (column, indicator)])
            for column, indicator in keys
        ]
        news: dict[str, list[str]] = {}
        for row in self._edit_rows:
            if self._is_latest(row):
                news.setdefault(describe_changes(row["changes"]), []).append(row["partner_code"])
        texts = [f"{text}: {join_names(sorted({*codes}), MOST_LISTED)}" for text, codes in sorted(news.items())]
        urls = [_link(row["source_url"]) for row in rows[:1]]
        changed = len({code for codes in news.values() for code in codes})
        return Edits(groups, texts[:MOST_EDIT_CHANGES], changed, len({_partner(row) for row in rows}), "".join(urls))

    @cached_property
    def _edit_rows(self) -> Sequence[Row]:
        return self.table.filter(pl.col("kind") == PTP).sort("partner_code", "effective_date").to_dicts()

    @cached_property
    def _last_editions(self) -> dict[tuple[str, str], date]:
        """By kind and authority: the last edition that shows in the rows."""
        last = pl.max_horizontal("last_seen", "changed_on").max()
        found = self.table.group_by("kind", "authority").agg(last.alias("last"))
        return {(kind, authority): day for kind, authority, day in found.iter_rows()}

    def _is_latest(self, row: Row) -> bool:
        """Whether the latest edition changed it; of policies, the latest that names the payer."""
        stated = self._editions[row["kind"]] if row["kind"] != POLICY else []
        last = max(stated, default=self._last_editions[row["kind"], row["authority"]])
        return row["changed_on"] is not None and bool(row["changed_on"] == last)

    def at(self, geography: str) -> PlaceRules:
        """The rules at a place: its own and the national ones; for the nation, those of every state."""
        table = self.table if geography == NATIONAL else rules_for(self.table, self.code, geography)
        rows = table.filter(pl.col("kind") != PTP).to_dicts()
        found = self._documents(rows)
        lists = {
            "documents": [each for each in found if each.kind != POLICY and each.status in (IN_FORCE, FUTURE)],
            "policies": [each for each in found if each.kind == POLICY and each.status in (IN_FORCE, FUTURE)],
            "gone": _last_versions(
                each for each in found if each.is_news and each.status in (ENDED, WITHDRAWN) and not each.is_new
            ),
        }
        most = {"documents": MOST_DOCUMENTS, "policies": MOST_DOCUMENTS, "gone": MOST_GONE}
        return PlaceRules(
            sentences=list(self._sentences(geography, **lists)),
            editions=self._name_editions(),
            **{name: _first(documents, most[name]) for name, documents in lists.items()},
            left_out={name: max(len(documents) - most[name], 0) for name, documents in lists.items()},
            edits=self.edits,
            rows=[*rows, *self._edit_rows],
        )

    def of_payers(self, authorities: Collection[str]) -> tuple[list[Document], int]:
        """Policies of these authorities in every state, and how many more there are."""
        own = self.table.filter(pl.col("kind") == POLICY, pl.col("authority").is_in([*authorities])).to_dicts()
        found = [each for each in self._documents(own) if each.status in (IN_FORCE, FUTURE) or each.is_news]
        return _first(found, MOST_DOCUMENTS), max(len(found) - MOST_DOCUMENTS, 0)

    def _documents(self, rows: Iterable[Row]) -> list[Document]:
        """Each version once, with all geographies for which its row is the same."""
        places: dict[tuple[Any, ...], list[str]] = {}
        first: dict[tuple[Any, ...], Row] = {}
        for row in rows:
            key = tuple(tuple(row[name]) if isinstance(row[name], list) else row[name] for name in _SAME)
            places.setdefault(key, []).append(row["geography"])
            first.setdefault(key, row)
        found = [self._document(row, tuple(sorted(places[key]))) for key, row in first.items()]
        return sorted(found, key=lambda each: (_SHOWN.index(each.kind), *each.order))

    def _document(self, row: Row, geographies: tuple[str, ...]) -> Document:
        kind, version = row["kind"], row["version"]
        name = {MUE: "unit limit (MUE)", POLICY: row["title"] or ""}.get(
            kind, f"{KIND_NAMES[kind]} {row['document_id']}"
        )
        if version:
            name = f"{name}, version {version}"
        change = None
        if row["changed_on"] is not None:
            change = Change(row["changed_on"], self._is_latest(row), describe_changes(row["changes"]))
        return Document(
            kind=kind,
            document_id=row["document_id"],
            name=_cut(name if kind == POLICY else name[:1].upper() + name[1:]),
            title="" if kind == POLICY else _cut(row["title"] or ""),
            authority=_cut(row["authority"]),
            geographies=geographies,
            status=row["status"],
            dates=_dates(row),
            url=_link(row["source_url"]),
            says=tuple(_says(row)),
            first_seen=row["first_seen"],
            change=change,
        )

    def _name_editions(self) -> str:
        """``2026-09-28: NCD and LCD; 2026-10-05, the latest of 2: article``."""
        kinds: dict[str, list[str]] = {}
        for kind, days in self._editions.items():
            if days:
                more = f", the latest of {len(days)}" if len(days) > 1 else ""
                kinds.setdefault(f"{max(days)}{more}", []).append(KIND_NAMES[kind])
        return "; ".join(f"{edition}: {join_names(names)}" for edition, names in kinds.items())

    def _sentences(
        self, geography: str, documents: list[Document], policies: list[Document], gone: list[Document]
    ) -> Iterator[str]:
        where = "" if geography == NATIONAL else f" in {name_of(geography)}"
        present = [*documents, *policies]
        counts = Counter(kind for kind, *_ in {each.key for each in present})
        parts = [
            f"{count:,} {KIND_NAMES[kind] if count == 1 else _plural(KIND_NAMES[kind])}"
            for kind in _SHOWN
            if (count := counts[kind])
        ]
        count = sum(counts.values())
        if parts:
            verb = "concerns" if count == 1 else "concern"
            yield f"{join_names(parts)} {verb} CPT {self.code}{where}."
        else:
            yield f"No document of the loaded editions concerns CPT {self.code}{where}."
        if edits := self.edits.count:
            yield f"NCCI bundles it with {edits:,} other {'code' if edits == 1 else 'codes'}."
        yield self._describe_news(len({each.key for each in present if each.is_news}), len({each.key for each in gone}))

    def _describe_news(self, changed: int, gone: int) -> str:
        if self._without_code:
            return f"The loaded editions are not of {self.code}; load them again with --codes."
        if all(len(days) < 2 for days in self._editions.values()) and not changed and not gone:
            return "There is one edition of each kind, so there is no change to show yet."
        edits = self.edits.changed
        told = [
            *([f"{changed:,} of them changed"] if changed else []),
            *([f"{gone:,} ended or {'was' if gone == 1 else 'were'} withdrawn"] if gone else []),
            *([f"the edits with {edits:,} {'code' if edits == 1 else 'codes'} changed"] if edits else []),
        ]
        return f"With the latest editions, {join_names(told or ['none of them changed'])}."


def _plural(name: str) -> str:
    return f"{name.removesuffix('y')}ies" if name.endswith("y") else f"{name}s"


def _first(documents: list[Document], most: int) -> list[Document]:
    """So many in their order; where there are more, those that the latest edition changed come before the others."""
    if len(documents) <= most:
        return documents
    chosen = sorted(range(len(documents)), key=lambda n: (not documents[n].is_news, n))[:most]
    return [documents[n] for n in sorted(chosen)]


def _last_versions(documents: Iterable[Document]) -> list[Document]:
    """Of several versions of a document at the same places, the latest: those are in order."""
    found = {(each.kind, each.authority, each.document_id, each.geographies): each for each in documents}
    return list(found.values())


def _edit_key(row: Row) -> tuple[int, str]:
    return -row["partner_column"], row["modifier_indicator"]


def _partner(row: Row) -> tuple[str, int]:
    return row["partner_code"], row["partner_column"]


def _partners(code: str, column: int, indicator: str, rows: Sequence[Row]) -> Partners:
    pays = f"not paid beside {code}" if column == 2 else f"{code} is not paid beside them"
    modifier = f"modifier indicator {indicator}: {_MODIFIERS.get(indicator, 'unknown')}"
    codes: dict[str, list[str]] = {}
    for row in sorted(rows[:MOST_PARTNERS], key=lambda row: row["effective_date"]):
        codes.setdefault(_dates(row), []).append(row["partner_code"])
    return Partners(f"{pays} ({modifier})", codes, len(rows), max(len(rows) - MOST_PARTNERS, 0))


def _dates(row: Row) -> str:
    """``since 2025-01-01, until 2026-12-31``; empty where it states neither."""
    start, end = row["effective_date"], row["end_date"]
    if row["status"] in (ENDED, WITHDRAWN):
        return "no longer"
    since = "from" if row["status"] == FUTURE else "since"
    return ", ".join([*([f"{since} {start}"] if start else []), *([f"until {end}"] if end else [])])


def _says(row: Row) -> Iterator[str]:
    """What the row states, in words; nothing where it states nothing."""
    if row["unit_limit"] is not None:
        units = "1 unit" if row["unit_limit"] == 1 else f"{row['unit_limit']:,} units"
        yield f"At most {units} {_LIMITS.get(row['adjudication_indicator'], '')}".strip()
    if row["stance"] in _STANCES:
        yield f"{_STANCES[row['stance']]}{', for what the NCD describes' if row['kind'] == NCD else ''}"
    for name, label in (
        ("diagnoses_covered", "Covering diagnoses"),
        ("diagnoses_not_covered", "Diagnoses that are not covering"),
        ("related_documents", "Articles" if row["kind"] == LCD else "LCDs"),
    ):
        if listed := row[name]:
            yield f"{label} ({len(listed):,}): {join_names(list(listed), MOST_LISTED)}"


def describe_changes(changes: Sequence[str]) -> str:
    """What an edition changed, in words.

    Args: changes: of ``COVERAGE``, such as ``effective_date: A -> B``, ``diagnoses_covered added: A, B``.
    """
    told = [_describe_change(change) for change in changes]
    more = [f"{len(told) - MOST_CHANGES} more changes"] if len(told) > MOST_CHANGES else []
    return "; ".join([*told[:MOST_CHANGES], *more])


def _describe_change(change: str) -> str:
    name, colon, rest = change.partition(": ")
    column, _, what = name.partition(" ")
    label = _COLUMNS.get(column, column.replace("_", " "))
    if colon and what in ("added", "removed"):
        listed = rest.split(", ")
        return _cut(f"{label} {what} ({len(listed):,}): {join_names(listed, MOST_LISTED)}")
    if name in ("title", "source_url", "text"):
        return f"{label} changed"
    if colon and " -> " in rest:
        before, after = (value.replace("_", " ") for value in rest.split(" -> ", 1))
        return _cut(f"{label} changed from {before} to {after}")
    return _cut(change)


def _link(url: str | None) -> str:
    """The address if it is one of the web and of usual length, else empty: a page links nothing else."""
    stated = (url or "").strip()
    is_web = re.fullmatch(r"https?://[^\s\x00-\x1f\x7f]+", stated, re.IGNORECASE)
    return stated if is_web and len(stated) <= _LONGEST_URL else ""


def _cut(text: str) -> str:
    """A text from a file as a page shows it, on one line, without its end where it is long."""
    line = " ".join(text[: 4 * _LONGEST].split())
    if not line:
        return ""
    return show_name(line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1].rstrip()}…")

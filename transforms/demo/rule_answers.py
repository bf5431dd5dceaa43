"""The known answers on the demo's coverage rules: every row of ``coverage``, stated by hand beside ``rules``."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, NamedTuple

import polars as pl

from schemas.coverage import (
    ARTICLE,
    BUNDLED,
    CMS,
    COVERED,
    ENDED,
    IN_FORCE,
    LCD,
    MUE,
    NCD,
    NOT_COVERED,
    POLICY,
    PTP,
    RESTRICTED,
    SUPERSEDED,
    UNITS,
    WITHDRAWN,
)
from transforms.demo.answers import CheckResult
from transforms.demo.rules import HARBOR, LANTERN, RuleDates

_BOTH = ("97026", "97028")
_LANTERN, _HARBOR = (LANTERN, ("AK", "MP")), (HARBOR, ("NJ", "NY"))  # authorities and their states
_CMS = (CMS, ("US",))


class Rule(NamedTuple):
    """A row of ``coverage``, as far as the demo states it."""

    billing_code: str
    kind: str
    authority: str
    document_id: str
    version: str
    geography: str
    stance: str | None
    status: str
    first_seen: date
    changed_on: date | None
    changes: tuple[str, ...]


def answer_rules(month: date) -> list[Rule]:
    """All rows of the month."""
    dates = RuleDates.of(month)
    return [
        Rule._make((code, kind, authority, document, version, place, *stated))
        for codes, kind, (authority, places), document, version, *stated in (
            *_documents(*dates.weeks),
            *_policies(*dates.weeks),
            *_edits(*dates.quarters),
        )
        for code in codes
        for place in places
    ]


def _documents(earlier: date, later: date) -> Iterator[tuple[Any, ...]]:
    diagnoses = ("diagnoses_covered added: M54.59", "diagnoses_covered removed: M54.51")
    level = ("stance: restricted -> not_covered",)
    version = ("version: 1 -> 2", "effective_date: 2016-01-01 -> 2018-01-01")
    yield _BOTH, ARTICLE, _LANTERN, "A990001", "17", None, IN_FORCE, earlier, later, diagnoses
    yield _BOTH, ARTICLE, _HARBOR, "A990001", "17", None, IN_FORCE, earlier, later, diagnoses
    yield ["97028"], ARTICLE, _LANTERN, "A990002", "3", None, WITHDRAWN, earlier, later, ("withdrawn",)
    yield ["97026"], ARTICLE, _HARBOR, "A990003", "1", None, SUPERSEDED, earlier, later, ("superseded by version 2",)
    yield ["97026"], ARTICLE, _HARBOR, "A990003", "2", None, IN_FORCE, later, later, version
    yield ["97028"], ARTICLE, _HARBOR, "A990004", "1", None, IN_FORCE, later, later, ("new",)
    yield _BOTH, LCD, _LANTERN, "L990101", "40", None, IN_FORCE, earlier, later, ("text",)
    yield ["97026"], NCD, _CMS, "270.6", "1", NOT_COVERED, IN_FORCE, earlier, later, level
    yield ["97028"], NCD, _CMS, "250.1", "1", COVERED, ENDED, earlier, None, ()
    yield ["97028"], NCD, _CMS, "250.1", "2", RESTRICTED, IN_FORCE, earlier, None, ()


def _policies(earlier: date, later: date) -> Iterator[tuple[Any, ...]]:
    at_home, stance = "Demo: infrared <b>at home</b>", ("stance: restricted -> not_covered",)
    in_new_york = ("Aetna", ("NY",)), "Demo: infrared in New York", ""
    yield ["97026"], POLICY, ("Aetna", ("AK",)), at_home, "", NOT_COVERED, IN_FORCE, earlier, later, stance
    yield ["97026"], POLICY, *in_new_york, COVERED, WITHDRAWN, earlier, later, ("withdrawn",)
    yield ["97028"], POLICY, ("Cigna", ("US",)), "Demo: ultraviolet", "", COVERED, IN_FORCE, earlier, None, ()


def _edits(earlier: date, later: date) -> Iterator[tuple[Any, ...]]:
    modifier, end = ("modifier_indicator: 1 -> 0",), (f"end_date: none -> {later - timedelta(days=1)}",)
    new = f"{later:%Y%m%d}"
    yield _BOTH, PTP, _CMS, "97026/97028", "20150101", BUNDLED, IN_FORCE, earlier, later, modifier
    yield ["97028"], PTP, _CMS, "0D001/97028", "19960101", BUNDLED, ENDED, earlier, later, end
    yield ["97026"], PTP, _CMS, "97026/0D002", new, BUNDLED, IN_FORCE, later, later, ("new",)
    yield ["97026"], MUE, _CMS, "97026", "", UNITS, IN_FORCE, earlier, later, ("unit_limit: 1 -> 2",)
    yield ["97028"], MUE, _CMS, "97028", "", UNITS, IN_FORCE, earlier, None, ()


def check_rules(month: date, coverage: pl.DataFrame) -> CheckResult:
    """Every row of the month, in both directions."""
    rows = coverage.filter(pl.col("month") == month).select(Rule._fields).rows()
    found = Counter(Rule._make((*row[:-1], tuple(row[-1]))) for row in rows)
    known = Counter(answer_rules(month))
    missing, unknown = (known - found).elements(), (found - known).elements()
    wrong = [f"rule not published: {_shown(rule)}" for rule in missing]
    wrong += [f"rule published, not expected: {_shown(rule)}" for rule in unknown]
    return CheckResult(known.total(), tuple(wrong))


def _shown(rule: Rule) -> str:
    return ", ".join(str(value) for value in rule)

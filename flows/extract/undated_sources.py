"""Which month a source belongs to where its address does not say: by the date that it, or its index, states.

A past month takes such a source only when that date lies in the month or the 31 days before it: a payer that replaces
one file under one address would otherwise have today's prices in every month of its history.
"""

import calendar
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta

from flows.download.sources import Source
from flows.extract.outcome import Outcome
from flows.storage.layout import month_name
from transforms.read.clean import date_of

UNDATED = "undated"  # the status of a source that does not count for the month
DAYS_BEFORE = 31


def names_month(location: str, month: date) -> bool:
    """Whether an address holds the month: 2025-06, 2025/06, 202506, with or without a day after it."""
    return re.search(rf"(?<!\d){month:%Y}([-_/.]?){month:%m}(?:\1\d\d)?(?!\d)", location) is not None


def lies_in(month: date, stated: object) -> bool:
    """Whether a ``last_updated_on``, as stated, lies in the month or the days before it."""
    day = date_of(stated)
    return day is not None and _first_day(month) <= day <= last_day(month)


def _first_day(month: date) -> date:
    return month - timedelta(days=DAYS_BEFORE)


def last_day(month: date) -> date:
    """The month's last day."""
    return month.replace(day=calendar.monthrange(month.year, month.month)[1])


def mark_undated(outcomes: Iterable[Outcome], undated: Collection[Source], month: date) -> list[Outcome]:
    """The outcomes, with status ``undated`` where neither the address nor a date says that a source is the month's.

    Args:
        undated: sources that neither their address nor an index places in the month.
    """
    outcomes = list(outcomes)
    # tables of contents that were named as files: what they list is theirs
    tables = {o.source.location for o in outcomes if o.is_index and o.source in undated}
    tables -= {o.source.location for o in outcomes if o.source.location in tables and _is_of(o, month)}
    return [_marked(outcome, undated, tables, month) for outcome in outcomes]


def _marked(outcome: Outcome, undated: Collection[Source], tables: Collection[str], month: date) -> Outcome:
    source = outcome.source
    placed = source not in undated and (source.contents not in tables or names_month(source.location, month))
    if placed or not outcome.usable or outcome.is_index or _is_of(outcome, month):
        return outcome
    return replace(outcome, status=UNDATED, reason=_reason(outcome, month), extract=None)


def stated_dates(outcome: Outcome) -> list[object]:
    """The ``last_updated_on`` of each document of a file, as stated."""
    return [document.header.get("last_updated_on") for document in outcome.account.documents]


def _is_of(outcome: Outcome, month: date) -> bool:
    """Whether all of a file's documents are of the month."""
    stated = stated_dates(outcome)
    return bool(stated) and all(lies_in(month, each) for each in stated)


def _reason(outcome: Outcome, month: date) -> str:
    days = sorted({day.isoformat() for each in stated_dates(outcome) if (day := date_of(each)) is not None})
    found = f"its last_updated_on is {', '.join(days)}" if days else "it states no last_updated_on"
    return (
        f"its address names no month and {found}, not from {_first_day(month)} to {last_day(month)}; "
        f'for every month: undated = "any" in its [[payer]]'
    )


def undated_blocks(outcomes: Sequence[Outcome], month: date) -> dict[str, str]:
    """The configuration's blocks none of whose files count for the month because of their dates, and why."""
    files = [outcome for outcome in outcomes if not outcome.is_index]
    counted = {outcome.source.payer for outcome in files if outcome.status != UNDATED}
    found: dict[str, list[Outcome]] = {}
    for outcome in files:
        name = outcome.source.payer
        if outcome.status == UNDATED and name is not None and name not in counted:
            found.setdefault(name, []).append(outcome)
    return {name: f"{month_name(month)} has none of its {len(o)} file(s): {o[0].reason}" for name, o in found.items()}

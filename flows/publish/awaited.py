"""Payers of a month whose indexes or files are not there yet, and payers whose files are old.

The manifest keeps since when a payer is awaited. What is published does not depend on it.
"""

import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from flows.download.sources import Source
from flows.extract.outcome import Outcome
from flows.extract.payer_listing import PayerListing
from flows.extract.undated_sources import last_day, names_month, stated_dates
from flows.publish.manifest import read_manifest
from flows.publish.publish import change_manifest
from flows.publish.published_month import PublishedMonth
from flows.settings.values import Nightly, PayerSource, fill_month
from flows.storage.layout import Layout, month_name
from flows.storage.log_lines import log_event
from transforms.read.clean import date_of

LOG = logging.getLogger(__name__)
NOT_PUBLISHED = "not_published"
_ANY_MONTH = re.compile(r"(?<!\d)20\d\d([-_/.]?)(?:0[1-9]|1[0-2])(?:\1\d\d)?(?!\d)")


@dataclass(frozen=True)
class AwaitedPayer:
    """A payer some or all of whose sources are not there. since: the first day on which they were asked for."""

    payer: str
    since: date
    reason: str


@dataclass(frozen=True)
class StalePayer:
    """A payer whose newest file is old. is_new: the last run of the month did not find it so."""

    payer: str
    last_updated_on: date
    is_new: bool = True


@dataclass(frozen=True)
class MissingSplit:
    """What a month's missing sources mean.

    outcomes: those that count. awaited: sources that are not there, by block. removed: blocks all of whose published
    files are gone, which keep what is published of them.
    """

    outcomes: list[Outcome]
    awaited: dict[str, list[Outcome]] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)


def missing_outcomes(listing: PayerListing, payer: PayerSource, month: date, *, is_past: bool) -> list[Outcome]:
    """The configured locations of a payer where nothing is, or an index that has no entry of the month."""
    found = [Outcome(source, "quarantined", reason=reason, missing=True) for source, reason in listing.missing]
    if found or listing.failed or not payer.contents:
        return found
    if not listing.listed:
        reason = "its index lists no in-network file"
    elif (
        listing.sources
        and not is_past
        and all(each in listing.undated and _names_another_month(each.location, month) for each in listing.sources)
    ):
        reason = f"its index lists {len(listing.sources):,} file(s), all of other months by their addresses"
    else:
        return []
    index = Source(fill_month(payer.contents[0], month), payer.name, headers=payer.headers)
    return [Outcome(index, "quarantined", reason=reason, missing=True)]


def _names_another_month(address: str, month: date) -> bool:
    return _ANY_MONTH.search(address) is not None and not names_month(address, month)


def split_missing(outcomes: Sequence[Outcome], before: PublishedMonth, *, is_past: bool) -> MissingSplit:
    """Which missing sources are awaited, and which were published and are gone.

    Where files of a block are gone, its missing sources stay quarantined, for the gates to see. Payers remove past
    months: a block none of whose files are there any more then keeps what is published.
    """
    split = MissingSplit([])
    blocks: dict[str | None, list[Outcome]] = {}
    for outcome in outcomes:
        blocks.setdefault(outcome.source.payer, []).append(outcome)
    for block, found in blocks.items():
        missing = [each for each in found if each.missing and each.source.contents is None]
        if block is None or not missing:
            split.outcomes.extend(found)
            continue
        there = {each.source.name for each in found if each.usable}
        published = {each.source.name for each in before.outcomes({block}) if each.usable}
        if published <= there:
            split.awaited[block] = missing
            split.outcomes.extend(each for each in found if each not in missing)
        elif is_past and len(missing) == len(found):
            split.removed.add(block)
            LOG.info(
                "%s: the payer removed the files of %s; its published figures stay", month_name(before.month), block
            )
        else:
            split.outcomes.extend(found)
    return split


def awaited_payers(
    awaited: Mapping[str, Sequence[Outcome]], layout: Layout, month: date, today: date
) -> list[AwaitedPayer]:
    """The awaited payers, each with the first day on which it was asked for and not there."""
    known = read_manifest(layout).get("awaited", {}).get(month_name(month), {})
    return [
        AwaitedPayer(
            payer,
            date.fromisoformat(known[payer]["since"]) if payer in known else today,
            "; ".join(f"{each.source.name}: {each.reason}" for each in missing),
        )
        for payer, missing in sorted(awaited.items())
    ]


def stale_payers(
    outcomes: Iterable[Outcome], layout: Layout, month: date, today: date, settings: Nightly
) -> list[StalePayer]:
    """Payers whose newest last_updated_on is older than the setting, on the month's last day or today."""
    newest: dict[str, date] = {}
    for outcome in outcomes:
        if outcome.source.payer is None or not outcome.usable:
            continue
        for stated in stated_dates(outcome):
            day = date_of(stated)
            if day is not None:
                newest[outcome.source.payer] = max(day, newest.get(outcome.source.payer, day))
    if settings.stale_after_days is None:
        return []
    oldest = min(today, last_day(month)) - timedelta(days=settings.stale_after_days)
    known = read_manifest(layout).get("stale", {}).get(month_name(month), {})
    return [StalePayer(payer, day, payer not in known) for payer, day in sorted(newest.items()) if day < oldest]


def as_quarantined(awaited: Sequence[AwaitedPayer], sources: Mapping[str, Sequence[Outcome]]) -> list[Outcome]:
    """The missing sources of payers, as quarantined ones that say since when they are awaited."""
    since = {each.payer: each.since for each in awaited}
    return [
        replace(outcome, reason=f"not there since {since[payer]}: {outcome.reason}")
        for payer, missing in sources.items()
        for outcome in missing
    ]


def log_payers(name: str, awaited: Sequence[AwaitedPayer], stale: Sequence[StalePayer], *, late: bool) -> None:
    """Log who is awaited and who is stale in the month of that name; as errors where the expected day is past."""
    level = logging.ERROR if late else logging.WARNING
    for each in awaited:
        line = ("%s: %s is not published, awaited since %s: %s", name, each.payer, each.since, each.reason)
        named: dict[str, Any] = {"payer": each.payer, "since": str(each.since), "late": late, "reason": each.reason}
        log_event(LOG, "payer_awaited", *line, level=level, **named)
    for old in stale:
        ended = ("%s: %s is stale: its newest last_updated_on is %s", name, old.payer, old.last_updated_on)
        named = {"payer": old.payer, "last_updated_on": str(old.last_updated_on)}
        log_event(LOG, "payer_stale", *ended, level=logging.WARNING, **named)


def note_payers(
    layout: Layout,
    month: date,
    awaited: Sequence[AwaitedPayer],
    stale: Sequence[StalePayer],
    others: Collection[str],
) -> None:
    """Put who is awaited and who is stale into the manifest where that changed.

    Args: others: blocks that were not read; what the manifest says of them stays.
    """
    name = month_name(month)
    now: dict[str, dict[str, Any]] = {
        "awaited": {each.payer: {"since": each.since.isoformat(), "reason": each.reason} for each in awaited},
        "stale": {each.payer: each.last_updated_on.isoformat() for each in stale},
    }
    manifest = read_manifest(layout)
    for key, found in now.items():
        known = manifest.get(key, {}).get(name, {})
        now[key] = {payer: each for payer, each in known.items() if payer in others} | found
    if any(manifest.get(key, {}).get(name, {}) != found for key, found in now.items()):
        change_manifest(layout, lambda changed: _put(changed, name, now))


def _put(manifest: dict[str, Any], name: str, now: Mapping[str, Mapping[str, Any]]) -> None:
    for key, found in now.items():
        months = manifest.setdefault(key, {})
        months.pop(name, None)
        if found:
            months[name] = found

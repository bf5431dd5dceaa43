"""A month of every configured payer: list files, read what changed, apply gates, publish; every night, or for the past.

Free of Prefect: the command line calls this as it is, ``flows.month``, ``nightly`` and ``backfill`` as flows.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.download.sources import Source
from flows.extract.outcome import Outcome
from flows.extract.undated_sources import mark_undated, undated_blocks
from flows.operations.metrics import metrics_written
from flows.operations.run_records import RecordedRun
from flows.orchestration.dask_cluster import build_elsewhere, read_elsewhere
from flows.orchestration.month_report import BackfillReport, MonthReport, NightReport, failed_month
from flows.orchestration.run import (
    UNREACHABLE,
    RunRequest,
    build_and_publish,
    commit_published,
    count_outcomes,
    extract_all,
    load_references,
    locked_month,
    require_usable,
)
from flows.orchestration.steps import Steps, build_pages, list_files
from flows.publish.awaited import (
    NOT_PUBLISHED,
    as_quarantined,
    awaited_payers,
    log_payers,
    missing_outcomes,
    note_payers,
    split_missing,
    stale_payers,
)
from flows.publish.delta import require_deltalake
from flows.publish.manifest import previous_entry
from flows.publish.publish import PublicationConflictError, prepare_output
from flows.publish.published_month import Baseline, PublishedMonth
from flows.publish.retention import remove_all_abandoned
from flows.settings.config import load_config
from flows.settings.values import Config, Gates, PayerSource
from flows.storage.code_versions import digest_of
from flows.storage.layout import Layout, month_name, this_month, today
from transforms.errors import NothingUsableError, TicRatesError, UsageError

if TYPE_CHECKING:
    from flows.tables.month_inputs import MonthInputs

LOG = logging.getLogger(__name__)
ATTEMPTS = 3  # at a month that other machines publish meanwhile


def load_settings(path: Path | str, *, gates: bool, delta: bool = False) -> Config:
    """The configuration on this machine, without its gates where they are not wanted.

    Args: delta: keep Delta tables, also where the configuration does not say so.

    Raises:
        UsageError: the configuration is invalid, or asks for Delta tables without the extra.
    """
    config = load_config(Path(path))
    config = replace(config, delta=config.delta or delta)
    if config.delta:
        require_deltalake()
    return config if gates else replace(config, gates=Gates(None, None, None, None, withhold_vanished=False))


def run_month(
    config: Config,
    month: date,
    *,
    payers: Sequence[str] = (),
    force: bool = False,
    steps: Steps | None = None,
    pages: bool = True,
    expected: bool = True,
) -> MonthReport:
    """Bring one month up to date: only files that changed are read, only payers that changed are built.

    Args:
        payers: names in the configuration; the others stay as the month's last publication has them, but for those
            that share a payer or a file with these: they are read too.
        force: read and build everything anew.
        pages: build the report after publishing.
        expected: a payer that is not there after the configured day is a failure.

    Raises:
        UsageError: a payer that the configuration doesn't name, reference data that can't be read.
        NothingUsableError: every source was quarantined, or none is there by the configured day; the last good tables
            stand.
    """
    started = time.perf_counter()
    steps = steps or Steps(read_elsewhere(config.cluster), build_elsewhere(config.cluster))
    chosen = _chosen(config, payers)
    layout = Layout.at(config.output)
    request = RunRequest(
        (),
        month,
        config.codes,
        config.output,
        config.nppes,
        config.workers,
        config.engine,
        config.fetching,
        force,
    )
    layout.prepare()
    observed = metrics_written(config.metrics_file, layout, config.timezone, config.nightly, config.path)
    with observed, RecordedRun(layout, month) as recorded:
        with locked_month(layout, month):
            recorded.start()
            remove_all_abandoned(layout)
            report = _publish_or_repeat(config, chosen, request, layout, steps, expected=expected)
        if config.delta:
            repeat = f"`tic-rates nightly --config {config.path} --month {month_name(month)} --delta`"
            report.delta = commit_published(layout, steps, repeat)
        if pages and report.status == "published":
            steps.call(build_pages, layout)
        report.seconds = time.perf_counter() - started
        recorded.finish(report.as_json())
    return report


def run_backfill(
    config: Config,
    first: date,
    last: date,
    update: Callable[[date], MonthReport],
    *,
    newest_first: bool = False,
    steps: Steps | None = None,
    pages: bool = True,
) -> BackfillReport:
    """What ``update`` made of every month from ``first`` to ``last``; one that fails doesn't stop the others.

    The report is built once, after all of them.

    Raises:
        UsageError: the last month is before the first, or no month can be done with this configuration.
    """
    report = BackfillReport([])
    for month in months_to_do(first, last, newest_first=newest_first):
        try:
            report.months.append(update(month))
        except UsageError:
            raise
        except TicRatesError as error:
            LOG.error("%s failed: %s", month_name(month), error)
            report.months.append(failed_month(month, error))
    if pages and any(month.status == "published" for month in report.months):
        (steps or Steps()).call(build_pages, Layout.at(config.output))
    return report


def run_night(
    config: Config, update: Callable[[date, bool], MonthReport], *, steps: Steps | None = None, pages: bool = True
) -> NightReport:
    """What ``update`` made of this month and the configured number of months before it, the oldest first.

    Args:
        update: is also told whether payers are expected by the configured day; of earlier months, they were.
    """
    last = this_month(config.timezone)
    number = last.year * 12 + last.month - 1 - config.nightly.months_back
    first = date(number // 12, number % 12 + 1, 1)
    done = run_backfill(config, first, last, lambda month: update(month, month == last), steps=steps, pages=pages)
    return NightReport(done.months)


def months_to_do(first: date, last: date, *, newest_first: bool = False) -> list[date]:
    """First days of the months of a backfill, in the order in which they are done.

    Raises:
        UsageError: the last month is before the first.
    """
    if last < first:
        raise UsageError(f"the backfill ends in {month_name(last)}, before it begins in {month_name(first)}")
    numbers = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    months = [date(number // 12, number % 12 + 1, 1) for number in numbers]
    return months[::-1] if newest_first else months


def check_payers(config: Config, names: Sequence[str]) -> None:
    """Raise UsageError for a payer that the configuration doesn't name."""
    _chosen(config, names)


def _chosen(config: Config, names: Sequence[str]) -> tuple[PayerSource, ...]:
    by_name = {payer.name: payer for payer in config.payers}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise UsageError(f"{config.path} has no payer {unknown[0]!r}; it has {', '.join(sorted(by_name))}")
    return tuple(by_name[name] for name in names) or config.payers


def _publish_or_repeat(
    config: Config,
    chosen: Sequence[PayerSource],
    request: RunRequest,
    layout: Layout,
    steps: Steps,
    *,
    expected: bool,
) -> MonthReport:
    """Once; again when another machine published the month meanwhile, which costs little: what was read is kept."""
    for _ in range(ATTEMPTS):
        prepare_output(layout)
        try:
            before = PublishedMonth.of(layout, request.month)
            read = _read_blocks(config, chosen, request, before, steps)
            report = _report_of(config, read, request, layout, expected=expected)
            _bring_up_to_date(config, read, report, request, before, steps, expected=expected)
            _note(config, read, report, layout)
            return report
        except PublicationConflictError as error:
            LOG.warning("%s; starting again from there", error)
            again = error
    raise again


def _report_of(config: Config, read: "_Read", request: RunRequest, layout: Layout, *, expected: bool) -> MonthReport:
    """A report that says what was read, who is awaited and who is stale."""
    month, day = request.month, today(config.timezone)
    report = count_outcomes(request, read.outcomes)
    report.sources = Counter("unchanged" if outcome.unchanged else outcome.status for outcome in read.outcomes)
    report.sources[NOT_PUBLISHED] = sum(map(len, read.awaited.values()))
    report.sources += Counter()  # without zeros
    report.undated = sorted(read.undated.items())
    report.awaited = awaited_payers(read.awaited, layout, month, day)
    report.late = expected and bool(read.awaited) and config.nightly.is_late(month, day)
    report.stale = stale_payers(read.outcomes, layout, month, day, config.nightly)
    return report


def _bring_up_to_date(
    config: Config,
    read: "_Read",
    report: MonthReport,
    request: RunRequest,
    before: PublishedMonth,
    steps: Steps,
    *,
    expected: bool,
) -> None:
    """Publish what was read, unless nothing changed or no payer's files are there; ``report`` gets its figures."""
    from flows.tables.coverage_editions import find_new_changes
    from flows.tables.edition_downloads import fetch_editions
    from flows.tables.month_inputs import MonthInputs

    month, layout = request.month, before.layout
    if month == this_month(config.timezone):  # also where no payer's files are there yet: exports are replaced weekly
        report.references_failed = fetch_editions(config.reference, layout, config.codes, config.fetching)
    baseline = Baseline(before, frozenset(read.blocks), frozenset(payer.name for payer in config.payers))
    everything = [*read.outcomes, *baseline.outcomes]
    if not any(outcome.usable and not outcome.is_index for outcome in everything):
        if not everything and not read.awaited:
            raise NothingUsableError(
                f"no source for {month_name(month)}: check the patterns and templates in {config.path}"
            )
        refused = any(outcome.status == "quarantined" for outcome in everything)
        if not refused and not report.late and (read.awaited or not expected):
            report.status = NOT_PUBLISHED
            return
        missing = as_quarantined(report.awaited, read.awaited)
        report.quarantined += [(outcome.source.name, str(outcome.reason)) for outcome in missing]
        _note(config, read, report, layout)
        require_usable([*everything, *missing], layout, report)
    references = replace(load_references(request, layout), report_unchanged=True)
    inputs, earlier = MonthInputs(references, read.outcomes, layout), previous_entry(layout, month)
    identity = _identity(inputs, baseline, config.gates, earlier[1])
    report.sources.update("unchanged" if outcome.usable else outcome.status for outcome in baseline.outcomes)
    entry = before.entry
    if not request.force and entry.get("inputs") == identity and not entry["unresolved_locations"]:
        LOG.info("%s: nothing changed", month_name(month))
        report.status = "unchanged"
    else:
        noted = {"inputs": identity, "undated": read.undated}
        since = entry.get("published_at")
        published = (entry or earlier[1]).get("coverage")
        entry = build_and_publish(inputs, report, steps, baseline, config.gates, earlier, noted=noted, since=since)
        if published is not None:  # else no edition is newer than another publication
            report.coverage_changes = find_new_changes(references.coverage, published, request.codes)
    report.tables, report.rows_eligible = entry["rows"], entry["rows_eligible"]
    report.withheld = _withheld(entry, read.blocks)


def _note(config: Config, read: "_Read", report: MonthReport, layout: Layout) -> None:
    """Log who is awaited and stale, and put it into the manifest."""
    log_payers(month_name(report.month), report.awaited, report.stale, late=report.late)
    others = {payer.name for payer in config.payers} - read.blocks
    note_payers(layout, report.month, report.awaited, report.stale, others)


@dataclass
class _Read:
    """What was read: outcomes of ``blocks`` of the configuration.

    undated: blocks without a file of the month, and why. awaited: sources that are not there, by block.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    blocks: set[str] = field(default_factory=set)
    undated: dict[str, str] = field(default_factory=dict)
    awaited: dict[str, list[Outcome]] = field(default_factory=dict)


def _withheld(entry: Mapping[str, Any], blocks: set[str]) -> list[tuple[str, str]]:
    """The month's payers that are withheld, and why, but for those of other blocks."""
    groups = {payer: set(each.get("groups", ())) for payer, each in entry["payers"].items()}
    return [
        (payer, reason)
        for payer, reason in sorted(entry["withheld"].items())
        if not groups.get(payer) or not groups[payer].isdisjoint(blocks)
    ]


def _read_blocks(
    config: Config, chosen: Sequence[PayerSource], request: RunRequest, before: PublishedMonth, steps: Steps
) -> _Read:
    """The files of the chosen blocks, and of those that can't be published without them."""
    by_name = {payer.name: payer for payer in config.payers}
    is_past = request.month < this_month(config.timezone)
    read = _Read()
    new = {payer.name for payer in chosen}
    while new:
        found = _read_payers([by_name[name] for name in sorted(new)], request, before.layout, steps, is_past=is_past)
        read.outcomes = _distinct_outcomes([*read.outcomes, *found])
        read.blocks |= new
        new = by_name.keys() - read.blocks
        new = new and before.blocks_beside(read.outcomes, read.blocks, by_name.keys())
    read.undated = undated_blocks(read.outcomes, request.month)
    for block, reason in read.undated.items():
        LOG.warning("%s: %s", block, reason)
    split = split_missing(read.outcomes, before, is_past=is_past)
    read.outcomes, read.awaited = split.outcomes, split.awaited
    # what was published of them while their files were of the month stays
    readable = split.removed | {outcome.source.payer for outcome in before.outcomes(read.undated) if outcome.usable}
    read.outcomes = [outcome for outcome in read.outcomes if outcome.source.payer not in readable]
    read.blocks = {block for block in read.blocks if block not in readable}
    return read


def _distinct_outcomes(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """One outcome of each source, of the first block by name of those that name it."""
    kept: dict[str, Outcome] = {}
    for outcome in outcomes:
        known = kept.setdefault(outcome.source.identity, outcome)
        if known is not outcome and (outcome.source.payer or "") < (known.source.payer or ""):
            kept[outcome.source.identity] = outcome
    return list(kept.values())


def _read_payers(
    payers: Sequence[PayerSource], request: RunRequest, layout: Layout, steps: Steps, *, is_past: bool
) -> list[Outcome]:
    """Outcomes of every file of these payers; a table of contents that can't be read is one, too.

    A file that several blocks name is the first one's by name, whatever their order.
    """
    listings = steps.call(list_files, payers, request.month, layout, request.reading)
    outcomes: list[Outcome] = []
    sources: dict[str, Source] = {}
    by_name = {payer.name: payer for payer in payers}
    for listing in listings:
        LOG.info("%s: %d files, %d left out", listing.payer, len(listing.sources), listing.left_out)
        outcomes += [Outcome(source, "quarantined", reason=reason) for source, reason in listing.failed]
        outcomes += [Outcome(source, "quarantined", reason=UNREACHABLE) for source in listing.refused]
        missing = missing_outcomes(listing, by_name[listing.payer], request.month, is_past=is_past)
        outcomes += missing
        for source in listing.sources if listing.missing or not missing else ():
            sources.setdefault(source.identity, source)
    read = extract_all(replace(request, sources=tuple(sources.values())), layout, steps)
    if is_past:
        in_month = {each.identity for listing in listings for each in listing.sources if each not in listing.undated}
        undated = [source for identity, source in sources.items() if identity not in in_month]
        read = mark_undated(read, frozenset(undated), request.month)
    return _distinct_outcomes([*outcomes, *read])


def _identity(inputs: "MonthInputs", baseline: Baseline, gates: Gates, earlier: Mapping[str, Any]) -> str:
    """The same when neither the month's tables nor what the gates compare them with has changed.

    Args: earlier: the manifest's entry of the last month published before this one.
    """
    builds = {payer: baseline.published.payers[payer]["build"] for payer in baseline.unread}
    compared = {
        payer: [entry.get(name) for name in ("rows", "rows_eligible", "medians_usd", "groups", "reporting_entities")]
        for payer, entry in earlier.get("payers", {}).items()
    }
    return digest_of(inputs.key(baseline.outcomes, builds), asdict(gates), sorted(compared.items()))

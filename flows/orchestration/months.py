"""A month of every configured payer: list files, read what changed, apply gates, publish; every night, or for the past.

Free of Prefect: the command line calls this as it is, ``flows.month``, ``nightly`` and ``backfill`` as flows.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from flows.download.sources import Source
from flows.extract.outcome import Outcome
from flows.extract.undated_sources import mark_undated, undated_blocks
from flows.operations.metrics import metrics_written
from flows.orchestration.month_report import BackfillReport, MonthReport, NightReport, failed_month
from flows.orchestration.run import (
    UNREACHABLE,
    RunRequest,
    build_and_publish,
    count_outcomes,
    extract_all,
    load_references,
    require_usable,
    work_on_month,
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
from flows.settings.config import load_config
from flows.settings.values import Config, Gates, PayerSource
from flows.storage.code_versions import digest_of
from flows.storage.layout import Layout, month_name, this_month, today
from flows.tables.coverage_editions import find_new_changes
from flows.tables.edition_downloads import fetch_editions
from flows.tables.month_inputs import MonthInputs
from transforms.errors import NothingUsableError, TicRatesError, UsageError

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
    steps = steps or Steps(config.cluster)
    chosen = _chosen(config, payers)
    layout, places = Layout.at(config.output), (config.output, config.nppes)
    request = RunRequest((), month, config.codes, *places, config.workers, config.engine, config.fetching, force)
    layout.prepare()
    repeat = f"`tic-rates nightly --config {config.path} --month {month_name(month)} --delta`" if config.delta else None

    def publish() -> MonthReport:
        return _publish_or_repeat(config, chosen, request, layout, steps, expected=expected)

    with metrics_written(config.metrics_file, layout, config):
        return work_on_month(layout, month, steps, publish, pages=pages, delta=repeat)


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
    config: Config, update: Callable[..., MonthReport], *, steps: Steps | None = None, pages: bool = True
) -> NightReport:
    """What ``update`` made of this month and the configured number of months before it, the oldest first.

    Args:
        update: gets the month, and as ``expected`` whether its payers are, by the configured day; of earlier months,
            they were.
    """
    last = this_month(config.timezone)
    number = last.year * 12 + last.month - 1 - config.nightly.months_back
    first = date(number // 12, number % 12 + 1, 1)

    def update_one(month: date) -> MonthReport:
        return update(month, expected=month == last)

    return NightReport(run_backfill(config, first, last, update_one, steps=steps, pages=pages).months)


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
    config: Config, chosen: Sequence[PayerSource], request: RunRequest, layout: Layout, steps: Steps, *, expected: bool
) -> MonthReport:
    """Once; again when another machine published the month meanwhile, which costs little: what was read is kept."""
    for _ in range(ATTEMPTS):
        prepare_output(layout)
        try:
            attempt = _Attempt(config, request, steps, PublishedMonth.of(layout, request.month))
            attempt.read(chosen)
            attempt.publish(expected=expected)
            attempt.note_payers()
            return attempt.report
        except PublicationConflictError as error:
            LOG.warning("%s; starting again from there", error)
            again = error
    raise again


@dataclass
class _Attempt:
    """One attempt to bring a month up to date.

    before: what is published of it. outcomes: what was read of ``blocks`` of the configuration. awaited: sources that
    are not there, by block.
    """

    config: Config
    request: RunRequest
    steps: Steps
    before: PublishedMonth
    outcomes: list[Outcome] = field(default_factory=list)
    blocks: set[str] = field(default_factory=set)
    awaited: dict[str, list[Outcome]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.layout, self.month = self.before.layout, self.request.month
        self.is_past = self.month < this_month(self.config.timezone)
        self.report = MonthReport(self.month, "published")

    def read(self, chosen: Sequence[PayerSource]) -> None:
        """The files of the chosen blocks, and of those that can't be published without them."""
        by_name = {payer.name: payer for payer in self.config.payers}
        new = {payer.name for payer in chosen}
        while new:
            found = self._read_payers([by_name[name] for name in sorted(new)])
            self.outcomes = _distinct_outcomes([*self.outcomes, *found])
            self.blocks |= new
            new = by_name.keys() - self.blocks
            new = new and self.before.blocks_beside(self.outcomes, self.blocks, by_name.keys())
        undated = undated_blocks(self.outcomes, self.month)
        for block, reason in undated.items():
            LOG.warning("%s: %s", block, reason)
        split = split_missing(self.outcomes, self.before, is_past=self.is_past)
        self.outcomes, self.awaited = split.outcomes, split.awaited
        # what was published of them while their files were of the month stays
        readable = split.removed | {outcome.source.payer for outcome in self.before.outcomes(undated) if outcome.usable}
        self.outcomes = [outcome for outcome in self.outcomes if outcome.source.payer not in readable]
        self.blocks = {block for block in self.blocks if block not in readable}
        self._start_report(undated)

    def _read_payers(self, payers: Sequence[PayerSource]) -> list[Outcome]:
        """Outcomes of every file of these payers; a table of contents that can't be read is one, too.

        A file that several blocks name is the first one's by name, whatever their order.
        """
        listings = self.steps.call(list_files, payers, self.month, self.layout, self.request.reading)
        outcomes: list[Outcome] = []
        sources: dict[str, Source] = {}
        by_name = {payer.name: payer for payer in payers}
        for listing in listings:
            LOG.info("%s: %d files, %d left out", listing.payer, len(listing.sources), listing.left_out)
            outcomes += [Outcome(source, "quarantined", reason=reason) for source, reason in listing.failed]
            outcomes += [Outcome(source, "quarantined", reason=UNREACHABLE) for source in listing.refused]
            missing = missing_outcomes(listing, by_name[listing.payer], self.month, is_past=self.is_past)
            outcomes += missing
            for source in listing.sources if listing.missing or not missing else ():
                sources.setdefault(source.identity, source)
        read = extract_all(replace(self.request, sources=tuple(sources.values())), self.layout, self.steps)
        if self.is_past:
            dated = {each.identity for listing in listings for each in listing.sources if each not in listing.undated}
            undated = frozenset(source for identity, source in sources.items() if identity not in dated)
            read = mark_undated(read, undated, self.month)
        return _distinct_outcomes([*outcomes, *read])

    def _start_report(self, undated: dict[str, str]) -> None:
        """Put into the report what was read, and who is awaited and stale."""
        month, day = self.month, today(self.config.timezone)
        self.report = report = count_outcomes(self.request, self.outcomes)
        report.sources = Counter("unchanged" if outcome.unchanged else outcome.status for outcome in self.outcomes)
        report.sources[NOT_PUBLISHED] = sum(map(len, self.awaited.values()))
        report.sources += Counter()  # without zeros
        report.undated = sorted(undated.items())
        report.awaited = awaited_payers(self.awaited, self.layout, month, day)
        report.stale = stale_payers(self.outcomes, self.layout, month, day, self.config.nightly)

    def publish(self, *, expected: bool) -> None:
        """Publish what was read, unless nothing changed or no payer's files are there; the report gets its figures."""
        config, month, layout, report = self.config, self.month, self.layout, self.report
        report.late = expected and bool(self.awaited) and config.nightly.is_late(month, today(config.timezone))
        if month == this_month(config.timezone):  # also where no payer's files are there yet: exports change weekly
            report.references_failed = fetch_editions(config.reference, layout, config.codes, config.fetching)
        baseline = Baseline(self.before, frozenset(self.blocks), frozenset(payer.name for payer in config.payers))
        everything = [*self.outcomes, *baseline.outcomes]
        if not any(outcome.usable and not outcome.is_index for outcome in everything):
            if not everything and not self.awaited:
                what = f"no source for {month_name(month)}"
                raise NothingUsableError(f"{what}: check the patterns and templates in {config.path}")
            refused = any(outcome.status == "quarantined" for outcome in everything)
            if not refused and not report.late and (self.awaited or not expected):
                report.status = NOT_PUBLISHED
                return
            missing = as_quarantined(report.awaited, self.awaited)
            report.quarantined += [(outcome.source.name, str(outcome.reason)) for outcome in missing]
            self.note_payers()
            require_usable([*everything, *missing], layout, report)
        references = replace(load_references(self.request, layout), report_unchanged=True)
        inputs, earlier = MonthInputs(references, self.outcomes, layout), previous_entry(layout, month)
        identity = _identity(inputs, baseline, config.gates, earlier[1])
        report.sources.update("unchanged" if outcome.usable else outcome.status for outcome in baseline.outcomes)
        entry = self.before.entry
        if not self.request.force and entry.get("inputs") == identity and not entry["unresolved_locations"]:
            LOG.info("%s: nothing changed", month_name(month))
            report.status = "unchanged"
        else:
            noted, since = {"inputs": identity, "undated": dict(report.undated)}, entry.get("published_at")
            published = (entry or earlier[1]).get("coverage")
            entry = build_and_publish(
                inputs, report, self.steps, baseline, config.gates, earlier, noted=noted, since=since
            )
            if published is not None:  # else no edition is newer than another publication
                report.coverage_changes = find_new_changes(references.coverage, published, self.request.codes)
        report.tables, report.rows_eligible = entry["rows"], entry["rows_eligible"]
        report.withheld = _withheld(entry, self.blocks)

    def note_payers(self) -> None:
        """Log who is awaited and stale, and put it into the manifest."""
        report = self.report
        log_payers(month_name(self.month), report.awaited, report.stale, late=report.late)
        others = {payer.name for payer in self.config.payers} - self.blocks
        note_payers(self.layout, self.month, report.awaited, report.stale, others)


def _withheld(entry: Mapping[str, Any], blocks: set[str]) -> list[tuple[str, str]]:
    """The month's payers that are withheld, and why, but for those of other blocks."""
    groups = {payer: set(each.get("groups", ())) for payer, each in entry["payers"].items()}
    return [
        (payer, reason)
        for payer, reason in sorted(entry["withheld"].items())
        if not groups.get(payer) or not groups[payer].isdisjoint(blocks)
    ]


def _distinct_outcomes(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """One outcome of each source, of the first block by name of those that name it."""
    kept: dict[str, Outcome] = {}
    for outcome in outcomes:
        known = kept.setdefault(outcome.source.identity, outcome)
        if known is not outcome and (outcome.source.payer or "") < (known.source.payer or ""):
            kept[outcome.source.identity] = outcome
    return list(kept.values())


def _identity(inputs: MonthInputs, baseline: Baseline, gates: Gates, earlier: Mapping[str, Any]) -> str:
    """The same when neither the month's tables nor what the gates compare them with has changed.

    Args: earlier: the manifest's entry of the last month published before this one.
    """
    builds = {payer: baseline.published.payers[payer]["build"] for payer in baseline.unread}
    compared = {
        payer: [entry.get(name) for name in ("rows", "rows_eligible", "medians_usd", "groups", "reporting_entities")]
        for payer, entry in earlier.get("payers", {}).items()
    }
    return digest_of(inputs.key(baseline.outcomes, builds), asdict(gates), sorted(compared.items()))

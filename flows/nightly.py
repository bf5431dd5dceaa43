"""A month of every configured payer: list its files, read what changed, judge, publish; every night, or for the past.

Free of Prefect: the command line calls this as it is, ``flows.deployments`` as flows.
"""

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.cluster import elsewhere
from flows.config import Config, PayerSource
from flows.contents import Reach, list_payer
from flows.extracts import READER_VERSION, Outcome, UnresolvedReferences
from flows.judging import Judge
from flows.layout import Layout, month_name
from flows.mirror import renew_folder
from flows.month_state import load_state, save_state, state_path
from flows.object_store import is_object_url
from flows.publish import PublishedMeanwhileError, begin, published, published_before
from flows.run import (
    UNREACHABLE,
    RunRequest,
    RunResult,
    Steps,
    build_and_publish,
    count_outcomes,
    extract_all,
    load_references,
    only_one,
    renew_report,
    require_usable,
    sweep_all,
)
from flows.sources import Source
from schemas.codes import BUILD_VERSION, METHODOLOGY
from transforms.errors import BadFileError, NothingUsableError, TicRatesError, UsageError

if TYPE_CHECKING:  # imported where a reference is cited: what did not change shall not wait for it
    from flows.remote import RemoteReferences

LOG = logging.getLogger(__name__)
LISTINGS_AT_ONCE = 4
BEGINNINGS = 3  # of a month that other machines publish meanwhile


@dataclass
class MonthReport:
    """What one month came to. ``status``: published, unchanged (nothing to do), or failed (``reason`` says why)."""

    month: date
    status: str
    sources: Counter[str] = field(default_factory=Counter)
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    withheld: list[tuple[str, str]] = field(default_factory=list)  # payer, the gate's reason
    references: UnresolvedReferences = field(default_factory=UnresolvedReferences)
    rows: int = 0
    rows_eligible: int = 0
    reason: str | None = None
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 all well, 3 some sources quarantined, payers withheld or references given up, 4 nothing usable."""
        if self.status == "failed":
            return NothingUsableError.exit_code
        return BadFileError.exit_code if self.quarantined or self.withheld or self.references.given_up else 0

    def as_json(self) -> dict[str, Any]:
        """The machine-readable account."""
        return {
            "month": month_name(self.month),
            "status": self.status,
            "sources": dict(self.sources),
            "quarantined": [{"source": name, "reason": reason} for name, reason in self.quarantined],
            "withheld": [{"payer": payer, "reason": reason} for payer, reason in self.withheld],
            "references": self.references.as_json(),
            "rows": self.rows,
            "rows_eligible": self.rows_eligible,
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
        }


@dataclass
class BackfillReport:
    """What each month came to, in the order asked for."""

    months: list[MonthReport]

    @property
    def exit_code(self) -> int:
        """The gravest: 4 when every month failed, 3 when anything was left out anywhere."""
        codes = [month.exit_code for month in self.months]
        if codes and all(code == NothingUsableError.exit_code for code in codes):
            return NothingUsableError.exit_code
        return BadFileError.exit_code if any(codes) else 0

    def as_json(self) -> dict[str, Any]:
        """The machine-readable account."""
        return {"months": [month.as_json() for month in self.months], "exit_code": self.exit_code}


def run_month(
    config: Config,
    month: date,
    *,
    payers: Sequence[str] = (),
    force: bool = False,
    steps: Steps | None = None,
    pages: bool = True,
) -> MonthReport:
    """Bring one month up to date: only files that changed are read, only payers that changed are built.

    Args:
        payers: names in the configuration; the others' files stay as the month's last publication read them.
        force: read and build everything anew.
        pages: build the report after publishing.

    Raises:
        UsageError: a payer that the configuration doesn't name, reference data that can't be read.
        NothingUsableError: every source was quarantined; the last good tables stand.
    """
    started = time.perf_counter()
    steps = steps or Steps(elsewhere=elsewhere(config.cluster))
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
        config.limits,
        force,
    )
    layout.prepare()
    with only_one(layout, month):
        sweep_all(layout)
        report = _until_published(config, chosen, request, layout, steps)
    if pages and report.status == "published":
        steps.step("report", lambda: renew_report(layout))
    report.seconds = time.perf_counter() - started
    return report


def run_backfill(
    config: Config,
    first: date,
    last: date,
    *,
    payers: Sequence[str] = (),
    force: bool = False,
    newest_first: bool = False,
    steps: Steps | None = None,
    pages: bool = True,
) -> BackfillReport:
    """``run_month`` for every month from ``first`` to ``last``; one that fails doesn't stop the others.

    The report is built once, after all of them.

    Raises:
        UsageError: months in the wrong order, or what ``run_month`` refuses for all of them.
    """
    if last < first:
        raise UsageError(f"the backfill ends in {month_name(last)}, before it begins in {month_name(first)}")
    _chosen(config, payers)
    months = list(months_between(first, last))
    if newest_first:
        months.reverse()

    def one(month: date) -> MonthReport:
        try:
            return run_month(config, month, payers=payers, force=force, steps=steps, pages=False)
        except TicRatesError as error:
            LOG.error("%s failed: %s", month_name(month), error)
            return MonthReport(month, "failed", reason=str(error))

    report = BackfillReport([one(month) for month in months])
    if pages and any(month.status == "published" for month in report.months):
        (steps or Steps()).step("report", lambda: renew_report(Layout.at(config.output)))
    return report


def months_between(first: date, last: date) -> Iterable[date]:
    """First days of months, both ends included."""
    for number in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        yield date(number // 12, number % 12 + 1, 1)


def _chosen(config: Config, names: Sequence[str]) -> tuple[PayerSource, ...]:
    by_name = {payer.name: payer for payer in config.payers}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise UsageError(f"{config.path} has no payer {unknown[0]!r}; it has {', '.join(sorted(by_name))}")
    return tuple(by_name[name] for name in names) or config.payers


def _until_published(
    config: Config, chosen: Sequence[PayerSource], request: RunRequest, layout: Layout, steps: Steps
) -> MonthReport:
    """Once; again when another machine published the month meanwhile, which costs little: what was read is kept."""
    for _ in range(BEGINNINGS):
        begin(layout)
        try:
            return _bring_up_to_date(config, chosen, request, layout, steps)
        except PublishedMeanwhileError as error:
            LOG.warning("%s; beginning again from there", error)
            again = error
    raise again


def _bring_up_to_date(
    config: Config, chosen: Sequence[PayerSource], request: RunRequest, layout: Layout, steps: Steps
) -> MonthReport:
    month = request.month
    outcomes = _read_payers(chosen, request, layout, steps)
    names = {payer.name for payer in chosen}
    state = load_state(layout, month, request.codes, request.engine)
    everything = [*outcomes, *(outcome for name, kept in state.items() if name not in names for outcome in kept)]
    if not everything:
        raise NothingUsableError(
            f"no source for {month_name(month)}: check the patterns and templates in {config.path}"
        )
    remote, fetched = _fetch_references(everything, request, layout)
    identity = _identity(config, everything, layout, fetched)
    before = published(layout, month)
    result = count_outcomes(request, everything)
    result.statuses = Counter("unchanged" if outcome.unchanged else outcome.status for outcome in everything)
    if not request.force and before.get("inputs") == identity and not before["unresolved_locations"]:
        LOG.info("%s: nothing changed", month_name(month))
        return _report("unchanged", result, before)
    require_usable(everything, layout, result)
    judge = Judge(config.gates, everything, month, before, published_before(layout, month), state)
    references = replace(load_references(request, layout), tell_unchanged=True, remote=remote)

    def save() -> Path:
        save_state(layout, month, everything, names - judge.refused_groups)
        return state_path(layout, month)

    since = before.get("published_at")
    entry = build_and_publish(references, everything, layout, result, steps.step, judge, identity, save, since)
    return _report("published", result, entry)


def _report(status: str, result: RunResult, entry: dict[str, Any]) -> MonthReport:
    return MonthReport(
        result.month,
        status,
        result.statuses,
        result.quarantined,
        sorted(entry["withheld"].items()),
        result.references,
        entry["rows"].get("rates", 0),
        entry["rows_eligible"],
    )


def _read_payers(chosen: Sequence[PayerSource], request: RunRequest, layout: Layout, steps: Steps) -> list[Outcome]:
    """Outcomes of every file of these payers; a table of contents that can't be read is one, too."""
    reach = Reach(request.fetching, None if request.force else layout, request.limits, request.engine)
    with ThreadPoolExecutor(LISTINGS_AT_ONCE) as threads:
        listings = list(threads.map(lambda payer: list_payer(payer, request.month, reach), chosen))
    outcomes: list[Outcome] = []
    sources: dict[Source, Source] = {}
    for listing in listings:
        LOG.info("%s: %d files, %d left out", listing.payer, len(listing.sources), listing.left_out)
        outcomes += [Outcome(source, "quarantined", reason=reason) for source, reason in listing.failed]
        outcomes += [Outcome(source, "quarantined", reason=UNREACHABLE) for source in listing.refused]
        for source in listing.sources:
            sources.setdefault(source, source)
    return outcomes + extract_all(replace(request, sources=tuple(sources)), layout, steps)


def _fetch_references(
    outcomes: Sequence[Outcome], request: RunRequest, layout: Layout
) -> tuple["RemoteReferences | None", list[str]]:
    """The remote provider references that the files cite, and which content they have now."""
    if not any(outcome.account.cites_remotely for outcome in outcomes):
        return None, []
    from flows.month import remote_contents
    from flows.remote import RemoteReferences

    remote = RemoteReferences(layout, request.fetching, force=request.force)
    return remote, remote_contents(outcomes, layout, remote)


def _identity(config: Config, outcomes: Sequence[Outcome], layout: Layout, fetched: Sequence[str]) -> str:
    """The same when nothing that the month's tables depend on has changed."""
    renew_folder(layout, layout.reference)
    references = sorted(layout.reference.glob("*"))
    stored = None
    if is_object_url(config.nppes):
        from flows.object_sources import find_object

        stored = find_object(str(config.nppes))[1]
    elif config.nppes is not None:
        references.append(Path(config.nppes))
    stated = [
        version("tic-rates"),
        METHODOLOGY,
        READER_VERSION,
        BUILD_VERSION,
        sorted(config.codes),
        [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in references if path.is_file()],
        sorted(((o.source.name, o.source.payer, o.source_id, o.usable) for o in outcomes), key=str),
        asdict(config.gates),
        fetched,
        *([] if stored is None else [(stored.key, stored.size, stored.etag)]),
    ]
    return hashlib.sha256(json.dumps(stated, default=str).encode()).hexdigest()[:40]

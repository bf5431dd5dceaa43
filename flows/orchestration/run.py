"""The main job: sources in, published month out. Files run in parallel; a bad one never stops the others."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flows.download.sources import Source, distinct_names
from flows.extract.index_listing import MAX_LEVELS
from flows.extract.outcome import Outcome
from flows.extract.payer_listing import sources_of
from flows.extract.readers import READER_VERSION
from flows.extract.workers import extract_many
from flows.operations.run_records import recorded_run
from flows.orchestration.month_report import MonthReport
from flows.orchestration.steps import Publication, Steps, build_pages, normalise, summarise
from flows.publish.delta import DeltaCommitError, DeltaCommits, commit_months, require_deltalake
from flows.publish.gates import Earlier
from flows.publish.manifest import now
from flows.publish.publish import change_manifest, prepare_output
from flows.publish.published_month import Baseline
from flows.publish.retention import output_in_use, remove_all_abandoned, remove_unused_builds
from flows.settings.addresses import Location, is_object_url
from flows.settings.values import Engine, Fetching, Gates, ReadSettings
from flows.storage.atomic_files import unfinished_folder
from flows.storage.code_versions import digest_of
from flows.storage.layout import Layout, month_name
from flows.storage.locks import locked
from flows.storage.log_lines import log_event, logged_stage
from flows.storage.object_sync import refresh_folder
from flows.storage.resource_errors import explain_resource_errors, raise_if_exhausted
from flows.tables.coverage_editions import find_editions
from flows.tables.fee_schedules import load_localities, load_medicare
from flows.tables.month_inputs import MonthInputs, MonthRequest
from flows.tables.nppes_lookup import check_lookup, nppes_lookup, stored_nppes
from flows.tables.utilization_lookup import find_utilization
from schemas.codes import METHODOLOGY
from transforms.contents.listing import Choice
from transforms.errors import BadFileError, NothingUsableError

LOG = logging.getLogger(__name__)
UNREACHABLE = "listed in an index, but neither http(s) nor a file beside it; give the file itself"

MOST_LOGGED = 50


@dataclass(frozen=True)
class RunRequest:
    """One run, as asked for. ``nppes``: a path or URL as given by the user, or None."""

    sources: tuple[Source, ...]
    month: date
    codes: tuple[str, ...]
    output: Location
    nppes: Location | None = None
    workers: int = 0  # 0: as many as there are cores
    engine: Engine | None = None  # None: the scanning reader where it can be had
    fetching: Fetching = field(default_factory=Fetching)
    force: bool = False  # read and build anew what stands in the cache
    report: bool = True  # build the report's pages after publishing
    delta: bool = False  # commit `summaries` and `providers` to Delta tables, too
    choice: Choice = field(default_factory=Choice)  # of the files that indexes list
    utilization: Path | None = None  # a folder of built years; None: those that `reference utilization` built
    coverage: Path | None = None  # a folder of editions; None: those that `reference coverage` and `ncci` built

    @property
    def reading(self) -> ReadSettings:
        """How its sources are read."""
        return ReadSettings(frozenset(self.codes), self.engine, self.fetching, self.workers, self.force)


def run(request: RunRequest, steps: Steps | None = None) -> MonthReport:
    """Extract every source, build the month, publish it.

    Raises:
        NothingUsableError: every source was quarantined; the last good tables stand.
    """

    steps = steps or Steps()
    layout = Layout.at(request.output)
    if request.delta:
        require_deltalake()
    prepare_output(layout)

    def publish() -> MonthReport:
        month = load_references(request, layout)
        outcomes = extract_all(request, layout, steps)
        report = count_outcomes(request, outcomes)
        require_usable(outcomes, layout, report)
        build_and_publish(MonthInputs(month, outcomes, layout), report, steps)
        return report

    repeat = "the same `tic-rates run`" if request.delta else None
    return work_on_month(layout, request.month, steps, publish, pages=request.report, delta=repeat)


def work_on_month(
    layout: Layout, month: date, steps: Steps, publish: Callable[[], MonthReport], *, pages: bool, delta: str | None
) -> MonthReport:
    """What ``publish`` made of a month, on which one run works at a time; a second one waits until it has published.

    The run is recorded. A commit to the Delta tables that fails leaves the published tables, and is logged.

    Args:
        pages: build the report after publishing.
        delta: the command that repeats the commit to the Delta tables; None: there is none.
    """

    def log_waiting() -> None:
        LOG.warning("another run of %s is at work; waiting for it", month_name(month))

    started, doing = time.perf_counter(), f"working on {month_name(month)}"
    with recorded_run(layout, month) as recorded:
        with (
            explain_resource_errors(doing, layout.root),
            locked(layout.month_lock(month), log_waiting),
            output_in_use(layout),
        ):
            recorded.start()
            remove_all_abandoned(layout)
            report = publish()
        if delta is not None:
            try:
                report.delta = steps.call(commit_months, layout)
            except DeltaCommitError as error:
                reason = f"{error}; the published tables are complete, and {delta} repeats the commit"
                LOG.error("%s", reason)
                report.delta = DeltaCommits(failed=reason)
        if pages and report.status == "published":
            steps.call(build_pages, layout)
        report.seconds = time.perf_counter() - started
        recorded.finish(report.as_json())
    return report


def load_references(request: RunRequest, layout: Layout) -> MonthRequest:
    """The reference data, before any source is read: hours of reading must not end at a wrong ``--nppes``.

    Raises:
        UsageError: reference data that can't be read.
    """

    refresh_folder(layout, layout.reference, *([] if request.nppes is None else [layout.nppes]))
    return MonthRequest(
        request.month,
        request.codes,
        load_medicare(layout.reference),
        load_localities(layout.zip_localities),
        _find_nppes(request, layout),
        find_utilization(request.utilization or layout.utilization, request.month),
        request.force,
        request.fetching,
        coverage=find_editions(request.coverage or layout.coverage, request.month),
    )


def extract_all(request: RunRequest, layout: Layout, steps: Steps) -> list[Outcome]:
    """Every source, and every file that an index among them lists, told apart by content."""

    settings = request.reading
    extract = partial(extract_many, layout=layout, settings=settings, spread=steps.spread, elsewhere=steps.elsewhere)
    seen = {source.identity: source for source in request.sources}
    outcomes: list[Outcome] = []
    waiting = list(request.sources)
    for level in range(1, MAX_LEVELS + 1):
        with logged_stage(LOG, "extract") if waiting else nullcontext():
            found = extract(waiting) if waiting else []
        waiting = []
        for outcome in found:
            if not (outcome.is_index or (outcome.is_page and level == 1)):
                outcomes.append(outcome)
                continue
            read, listed = _list_files(outcome, request, layout)
            outcomes += read
            waiting += {each.identity: each for each in listed if each.identity not in seen}.values()
            for each in listed:
                if (each.payer or "") <= (seen.setdefault(each.identity, each).payer or ""):
                    seen[each.identity] = each
    outcomes += [
        Outcome(source, "quarantined", reason=f"listed by {MAX_LEVELS} indexes in a row") for source in waiting
    ]
    # of several blocks that name a file or list it, the first by name has it, whatever the order
    payers = {identity: source.payer for identity, source in seen.items()}
    return [_of_block(outcome, payers.get(outcome.source.identity, outcome.source.payer)) for outcome in outcomes]


def _of_block(outcome: Outcome, payer: str | None) -> Outcome:
    """The outcome of the source as that block's, with the digest of what its indexes say of it."""
    facts = outcome.source.facts
    facts_id = None if facts is None else digest_of(facts)
    return replace(outcome, source=replace(outcome.source, payer=payer), facts_id=facts_id)


def _list_files(index: Outcome, request: RunRequest, layout: Layout) -> tuple[list[Outcome], tuple[Source, ...]]:
    """The outcomes of an index and of what it lists in vain, and the files that are to be read."""

    try:
        listed = sources_of(index.source, layout, request.reading, request.choice)
    except BadFileError as error:  # what the first reading passed over, or what a server gave the second time
        raise_if_exhausted(error, f"reading {index.source.name}", layout.cache)
        return [replace(index, status="quarantined", reason=str(error), extract=None)], ()
    failed = [*listed.failed, *((source, UNREACHABLE) for source in listed.refused)]
    outcomes = [Outcome(source, "quarantined", reason=reason) for source, reason in failed]
    if listed.left_out:
        LOG.info("%s: %d files, %d left out", index.source.name, len(listed.sources), listed.left_out)
    return [replace(index, status="no_match", reason=None) if index.is_page else index, *outcomes], listed.sources


def count_outcomes(request: RunRequest, outcomes: Sequence[Outcome]) -> MonthReport:
    """A report that has counts by status, and what was quarantined why."""
    result = MonthReport(request.month, "published", output=request.output)
    for outcome in outcomes:
        result.sources[outcome.status] += 1
        result.bytes_json += outcome.account.bytes_json
        if outcome.status == "quarantined" and outcome.reason is not None:
            result.quarantined.append((outcome.source.name, outcome.reason))
    for name, reason in result.quarantined[:MOST_LOGGED]:
        line = ("quarantined %s: %s", name, reason)
        log_event(LOG, "file_quarantined", *line, level=logging.ERROR, source=name, reason=reason)
    if len(result.quarantined) > MOST_LOGGED:
        LOG.error("quarantined %d more; all are in quality/files", len(result.quarantined) - MOST_LOGGED)
    return result


def require_usable(outcomes: Sequence[Outcome], layout: Layout, result: MonthReport) -> None:
    """Nothing usable: the last good tables stay, the manifest says what failed."""
    if any(outcome.usable and not outcome.is_index for outcome in outcomes):
        return
    quarantined = [{"source": name, "reason": reason} for name, reason in result.quarantined]
    failure = {month_name(result.month): {"failed_at": now(), "quarantined": quarantined}}
    change_manifest(layout, lambda manifest: manifest["failures"].update(failure))
    undated = ((o.source.name, o.reason) for o in outcomes if o.status == "undated")
    refused = [*result.quarantined, *undated]
    reasons = "".join(f"\n  {name}: {reason}" for name, reason in refused[:MOST_LOGGED])
    more = len(refused) - MOST_LOGGED
    rest = f"\n  and {more} more" if more > 0 else ""
    raise NothingUsableError(f"none of {len(outcomes)} source(s) could be used{reasons}{rest}", result.as_json())


def build_and_publish(
    inputs: MonthInputs,
    report: MonthReport,
    steps: Steps,
    baseline: Baseline | None = None,
    gates: Gates | None = None,
    earlier: Earlier = ("", MappingProxyType({})),
    *,
    noted: Mapping[str, Any] = MappingProxyType({}),
    since: str | None = "",
) -> dict[str, Any]:
    """The manifest's entry of the month, whose tables are built and published; ``report`` gets its figures.

    Args:
        baseline, gates, earlier: as in ``summarise``.
        noted: what the manifest's entry says besides.
        since: as in ``Publication``.

    Raises:
        PublicationConflictError: it was published once more since.
    """
    month, layout = inputs.request, inputs.layout
    with unfinished_folder(layout.staging) as folder:
        builds = steps.call(normalise, inputs, steps.build_elsewhere)
        tables = steps.call(summarise, inputs, builds, folder, baseline, gates, earlier)
        entry = _manifest_entry(inputs, report, baseline) | tables | dict(noted)
        with steps.published(Publication(layout, month.month, folder, entry, since)):
            remove_unused_builds(layout)
    report.tables, report.rows_eligible = entry["rows"], entry["rows_eligible"]
    report.references, report.with_nppes = inputs.unresolved_references, month.nppes is not None
    return entry


def _find_nppes(request: RunRequest, layout: Layout) -> Path | None:
    """The lookup to join with: the one given (built if need be), or the one that `reference nppes` built here."""

    if is_object_url(request.nppes):
        return stored_nppes(str(request.nppes), layout)
    if request.nppes is not None:
        place = layout.cache / "nppes"
        with explain_resource_errors(f"building the provider lookup from {request.nppes}", place):
            return nppes_lookup(Path(request.nppes), place)
    built = layout.nppes
    if built.exists():
        check_lookup(built)
        LOG.info("NPPES lookup: %s", built)
        return built
    LOG.warning("no NPPES reference: no state rows, tier `all` only, three rules not applied; give --nppes")
    return None


def _manifest_entry(inputs: MonthInputs, report: MonthReport, baseline: Baseline | None) -> dict[str, Any]:
    """What the manifest says of the month's files."""
    outcomes, shown = inputs.outcomes, distinct_names(outcome.source for outcome in inputs.outcomes)
    unread = () if baseline is None else baseline.outcomes
    quarantined = [*report.quarantined, *((o.source.name, o.reason) for o in unread if o.status == "quarantined")]
    return {
        "codes": list(inputs.request.codes),
        "methodology": METHODOLOGY,
        "software": version("tic-rates"),
        "reader": READER_VERSION,
        "published_at": now(),
        "sources": dict(report.sources),
        "files": [
            {
                "source": o.source.name,
                "shown": shown[o.source],
                "source_id": o.source_id,
                "status": o.status,
                "block": o.source.payer,
                "facts_id": o.facts_id,
            }
            for o in outcomes
        ]
        + ([] if baseline is None else baseline.files),
        "quarantined": [{"source": name, "reason": reason} for name, reason in quarantined],
    }

"""Gates before publishing: a payer whose month looks wrong is withheld, and its last good rows stay."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flows.extract.outcome import Outcome
from flows.publish.published_month import Baseline
from flows.settings.values import Gates
from flows.storage.layout import month_name
from flows.storage.log_lines import log_event
from flows.tables.month_tables import MonthBuilder
from flows.tables.payer_builds import PayerFigures
from transforms.errors import NothingUsableError

LOG = logging.getLogger(__name__)
Earlier = tuple[str, Mapping[str, Any]]  # name and manifest entry of the month published before


def apply_gates(builder: MonthBuilder, gates: Gates, baseline: Baseline, earlier: Earlier) -> None:
    """Withhold what fails a gate. Its last good rows stay, and so do those of blocks that this run did not read.

    Raises:
        NothingUsableError: nothing is left to publish.
    """
    name = month_name(baseline.published.month)
    for failing in (_fail_files, _fail_figures, _fail_vanished):
        for payer, reason in list(failing(builder, gates, baseline, earlier)):
            line = ("%s %s is withheld: %s", name, payer, reason)
            log_event(LOG, "payer_withheld", *line, level=logging.ERROR, payer=payer, reason=reason)
            builder.withhold(payer, reason)
    unread = [payer for payer in baseline.unread if payer not in {*builder.builds, *builder.withheld}]
    withheld_before = baseline.published.entry.get("withheld", {})
    builder.withheld |= {payer: withheld_before[payer] for payer in unread if payer in withheld_before}
    builder.restore([*builder.withheld, *unread])
    if not builder.builds:
        raise NothingUsableError(f"every payer of {name} is withheld; the last good tables stay")


def _fail_files(
    builder: MonthBuilder, gates: Gates, baseline: Baseline, _earlier: Earlier
) -> Iterator[tuple[str, str]]:
    """Payers of blocks too few of whose files were read, and why."""
    blocks = {payer: baseline.blocks(payer) for payer in baseline.published.payers}
    for payer, names in builder.groups.items():
        blocks[payer] = blocks.get(payer, set()) | names
    reasons = {
        block: check_files(gates, [outcome for outcome in builder.outcomes if outcome.source.payer == block])
        for block in sorted(baseline.read)
    }
    for block, reason in reasons.items():
        if reason is not None:
            yield from ((payer, f"{block}: {reason}") for payer in sorted(blocks) if block in blocks[payer])


def _fail_figures(builder: MonthBuilder, gates: Gates, _: Baseline, earlier: Earlier) -> Iterator[tuple[str, str]]:
    month, entry = earlier
    for payer, build in builder.builds.items():
        reason = check_figures(gates, build.figures, entry.get("payers", {}).get(payer), month)
        if reason is not None:
            yield payer, reason


def _fail_vanished(
    builder: MonthBuilder, gates: Gates, baseline: Baseline, earlier: Earlier
) -> Iterator[tuple[str, str]]:
    """Payers of blocks that were read which were published before, in this month or the one before it."""
    if not gates.withhold_vanished:
        return
    readable = {outcome.source.payer for outcome in builder.outcomes if outcome.usable}
    last, before = baseline.published.payers, earlier[1].get("payers", {})
    for payer in sorted({*last, *before} - {*builder.builds, *builder.withheld}):
        entry = last.get(payer) or before[payer]
        blocks = _blocks_behind(entry, builder, baseline) & (baseline.read if payer in last else readable)
        if blocks and not builder.moved_to_other_payers(payer, entry.get("reporting_entities", ())):
            where = f"the last publication of {month_name(baseline.published.month)}" if payer in last else earlier[0]
            yield payer, f"no rows where {where} has {entry['rows']:,} (gate withhold_vanished is true)"


def _blocks_behind(entry: Mapping[str, Any], builder: MonthBuilder, baseline: Baseline) -> set[str | None]:
    """The blocks behind a published payer; where a run of other sources published it, those that name its files."""
    if entry.get("groups"):
        return set(entry["groups"])
    contents = set(entry.get("source_ids", ()))
    files = baseline.published.entry.get("files", ())
    names = {file["source"] for file in files if file["source_id"] in contents}
    return {outcome.source.payer for outcome in builder.outcomes if outcome.source.name in names}


def check_files(gates: Gates, outcomes: Sequence[Outcome]) -> str | None:
    """Why too few of one configured payer's files were read, or None.

    Tables of contents and files of another month don't count, but a table of contents that can't be read counts as
    one file.
    """
    files = [outcome for outcome in outcomes if not outcome.is_index and outcome.status != "undated"]
    if gates.min_files_read is None or not files:
        return None
    read = sum(outcome.usable for outcome in files)
    if read >= gates.min_files_read * len(files):
        return None
    return f"{read} of {len(files)} sources were read (gate min_files_read is {gates.min_files_read:g})"


def check_figures(gates: Gates, figures: PayerFigures, before: Mapping[str, Any] | None, month: str) -> str | None:
    """Why one payer's figures are not to be published, or None.

    Args:
        before: the payer's entry in the manifest of the last month published before; None for a new payer.
        month: that month's name.
    """
    before, wrong = before or {}, []
    least, share = gates.min_nppes_share, figures.nppes_share
    if least is not None and share is not None and share < least:
        wrong.append(f"NPPES knows {share:.1%} of its NPIs (gate min_nppes_share is {least:g})")
    most, rows, now = gates.max_rows_change, before.get("rows_eligible", 0), figures.rows_eligible
    if most is not None and rows and abs(now - rows) > most * rows:
        wrong.append(f"{now:,} eligible rows where {month} has {rows:,} (gate max_rows_change is {most:g})")
    most = gates.max_median_change
    for code, then in sorted(before.get("medians_usd", {}).items()) if most is not None else ():
        median = figures.medians_usd.get(code)
        if median is None or abs(median - then) > most * then:
            found = "missing" if median is None else f"{median:.2f} dollars"
            change = f"the median of {code} is {found} where {month} has {then:.2f}"
            wrong.append(f"{change} (gate max_median_change is {most:g})")
    return "; ".join(wrong) or None

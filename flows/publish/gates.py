"""Gates before publishing: a payer whose month looks wrong keeps its last good one, and the reason is said."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flows.extract.outcome import Outcome
from flows.settings.config import Gates
from flows.tables.payer_builds import PayerFigures


def judge_files(gates: Gates, outcomes: Sequence[Outcome]) -> str | None:
    """Why too few of one configured payer's files were read, or None.

    Tables of contents and files of another month don't count, but a table that can't be read stands for the files that
    it lists.
    """
    files = [outcome for outcome in outcomes if not outcome.is_table_of_contents and outcome.status != "undated"]
    if gates.min_files_read is None or not files:
        return None
    read = sum(outcome.usable for outcome in files)
    if read >= gates.min_files_read * len(files):
        return None
    return f"{read} of {len(files)} sources were read (gate min_files_read is {gates.min_files_read:g})"


def judge_figures(gates: Gates, figures: PayerFigures, before: Mapping[str, Any] | None, month: str) -> str | None:
    """Why one payer's figures are not to be published, or None.

    Args:
        before: the payer's entry in the manifest of the last month published before; None for a new payer.
        month: that month's name.
    """
    reasons = [
        *_judge_nppes(gates.min_nppes_share, figures),
        *_judge_rows(gates.max_rows_change, figures, before or {}, month),
        *_judge_medians(gates.max_median_change, figures, before or {}, month),
    ]
    return "; ".join(reasons) or None


def _judge_nppes(least: float | None, figures: PayerFigures) -> Iterable[str]:
    share = figures.nppes_share
    if least is not None and share is not None and share < least:
        yield f"NPPES knows {share:.1%} of its NPIs (gate min_nppes_share is {least:g})"


def _judge_rows(most: float | None, figures: PayerFigures, before: Mapping[str, Any], month: str) -> Iterable[str]:
    then, now = before.get("rows_eligible", 0), figures.rows_eligible
    if most is not None and then and abs(now - then) > most * then:
        yield f"{now:,} eligible rows where {month} has {then:,} (gate max_rows_change is {most:g})"


def _judge_medians(most: float | None, figures: PayerFigures, before: Mapping[str, Any], month: str) -> Iterable[str]:
    if most is None:
        return
    for code, then in sorted(before.get("medians_usd", {}).items()):
        now = figures.medians_usd.get(code)
        if now is None or abs(now - then) > most * then:
            found = "missing" if now is None else f"{now:.2f} dollars"
            yield f"the median of {code} is {found} where {month} has {then:.2f} (gate max_median_change is {most:g})"

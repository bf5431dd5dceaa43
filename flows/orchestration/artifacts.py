"""The artifacts in the page of a flow run: its progress, the national table, what was not published, the report."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any, cast
from uuid import UUID

import polars as pl
from prefect.artifacts import (
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.events import emit_event

from flows.operations.events import PREFECT_PREFIX, Event, next_step
from flows.orchestration.month_report import MonthReport
from flows.orchestration.task_steps import OnProgress
from flows.settings.addresses import Location
from flows.settings.values import Config
from flows.storage.layout import Layout, month_name

MOST_EXPLAINED = 20
MOST_SHOWN = 200  # rows in a page
_IN_MANIFEST = "see manifest.json"
_DOLLARS = ("p25_usd", "p50_usd", "p75_usd")
_NATIONAL = "US dollars per service; n: providers (* small sample), or Medicare's localities; taxonomy tier {tier}."
# By a key of ``MonthReport.left_out``: the artifact, the heading of its names, and where those that it lacks are
_TABLES = {
    "quarantined": ("quarantine", "source", "see quality/files"),
    "withheld": ("withheld", "payer", _IN_MANIFEST),
    "awaited": ("awaited", "payer", _IN_MANIFEST),
    "late": ("awaited", "payer", _IN_MANIFEST),
    "stale": ("stale", "payer", _IN_MANIFEST),
    "delta": ("delta", "tables", _IN_MANIFEST),
    "changed": ("coverage", "document", "see `tic-rates reference coverage --changes`"),
}


@contextmanager
def progress(name: str) -> Iterator[OnProgress]:
    """A bar in the run's page, moved on after each batch of files."""
    what = f"files of {name}"
    artifact = cast("UUID", create_progress_artifact(progress=0.0, key=f"progress-{name}", description=what))
    shown = -1

    def show(done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // max(total, 1)
        if percent != shown:
            shown = percent
            description = f"{what}: {done:,} of {total:,}"
            update_progress_artifact(artifact_id=artifact, progress=float(percent), description=description)

    yield show


def show_month(config: Config, report: MonthReport) -> None:
    """Create the artifacts of a month: the national table, what was left out, who is awaited or stale, the report."""
    name = month_name(report.month)
    rows, tier = national_table(config.output, report.month)
    if rows:
        create_table_artifact(rows, key=f"national-{name}", description=_NATIONAL.format(tier=tier))
    for what, (key, column, others) in _TABLES.items():
        if left_out := report.left_out.get(what):
            reasons = "".join(f"\n- {each}: {why}" for each, why in left_out[:MOST_EXPLAINED])  # a table cuts them off
            step = next_step(what, name, config.path)
            description = f"{len(left_out):,} {what} in {name}. Next: {step}.\n{reasons}"
            table = left_out_table(column, left_out, others)
            create_table_artifact(table, key=f"{key}-{name}", description=description)
    layout = Layout.at(config.output)
    index = layout.root / "report" / "index.html"
    if index.exists():
        where = "in object storage" if layout.store else "on the worker's machine"
        link = layout.name_of(index) if layout.store else index.resolve().as_uri()
        create_link_artifact(link, link_text=f"the report, {where}", key="report")


def national_table(output: Location, month: date) -> tuple[list[dict[str, Any]], str]:
    """The month's national figures by code and payer, each provider once, and their tier; no rows if not published."""
    path = Layout.at(output).month("summaries", month) / "summaries.parquet"
    if not path.exists():
        return [], ""
    national = pl.read_parquet(path).filter(
        (pl.col("geography") == "US") & pl.col("weighting").is_in(["npi", "locality"])
    )
    tier = "balanced" if "balanced" in national["taxonomy_tier"] else "all"  # without NPPES, all is the only tier
    shown = national.filter((pl.col("taxonomy_tier") == tier) | (pl.col("payer_kind") == "benchmark"))
    return [_national_row(row) for row in shown.sort("billing_code", "billing_class", "payer").to_dicts()], tier


def _national_row(row: dict[str, Any]) -> dict[str, Any]:
    counted = row["n_rates"] if row["n_npi"] is None else row["n_npi"]
    named = {"code": row["billing_code"], "class": row["billing_class"], "payer": row["payer"]}
    dollars = {name.removesuffix("_usd"): row[name] and f"{row[name]:,.2f}" for name in _DOLLARS}
    return named | dollars | {"n": f"{counted:,}{'*' if row['low_sample'] else ''}"}


def left_out_table(column: str, left_out: Sequence[tuple[str, str]], all_of_them: str) -> list[dict[str, str]]:
    """What was left out and why, of which a page shows so many; ``all_of_them``: where the others are."""
    rows = [{column: name, "reason": reason} for name, reason in left_out[:MOST_SHOWN]]
    more = len(left_out) - MOST_SHOWN
    return [*rows, {column: f"{more:,} more", "reason": all_of_them}] if more > 0 else rows


def send_to_prefect(events: Sequence[Event], flow_run: UUID) -> None:
    """Put the events of a flow run into Prefect's feed, where automations can react to them."""
    for event in events:
        emit_event(
            event=f"{PREFECT_PREFIX}{event.status}",
            resource={"prefect.resource.id": f"tic-rates.month.{event.month}", "prefect.resource.name": event.month},
            related=[{"prefect.resource.id": f"prefect.flow-run.{flow_run}", "prefect.resource.role": "flow-run"}],
            payload=event.as_json(),
        )

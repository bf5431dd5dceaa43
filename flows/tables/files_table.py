"""The table of sources, ``schemas.FILES``: what a run read, its rows counted, beside what earlier runs published."""

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl

from flows.download.sources import Source, distinct_names
from flows.extract.outcome import Outcome
from flows.storage.redaction import redact_text
from schemas.published import FILES
from transforms.read.clean import date_of

UNREADABLE = ("quarantined", "undated")  # the statuses of sources whose content is in no table


def describe_files(
    month: date,
    outcomes: Sequence[Outcome],
    payers: Mapping[str | None, str],
    blocks: Mapping[str | None, Sequence[str]],
) -> pl.DataFrame:
    """``schemas.FILES``: one row per source of the run; rows and twins are not counted yet."""
    names = distinct_names(outcome.source for outcome in outcomes)
    described = [
        {"month": month} | _describe_file(outcome, names[outcome.source], payers, blocks) for outcome in outcomes
    ]
    return pl.DataFrame(described, schema=FILES.polars)


def count_files(files: pl.DataFrame, counts: pl.DataFrame) -> pl.DataFrame:
    """``schemas.FILES`` with the rows of each content, and which names have the same."""
    is_eligible = pl.col("reason").is_null()
    rows = counts.group_by("source_id").agg(
        pl.col("rows").sum(), rows_eligible=pl.col("rows").filter(is_eligible).sum()
    )
    first = pl.col("source").first().over("source_id")
    is_twin = pl.col("source_id").is_not_null() & (pl.col("source") != first)
    return (
        files.drop("rows", "rows_eligible")
        .join(rows, on="source_id", how="left")
        .with_columns(pl.col("rows", "rows_eligible").fill_null(0))
        .sort(FILES.grain)
        .with_columns(twin_of=pl.when(is_twin).then(first))
        .lazy()
        .pipe(FILES.conform)
        .collect()
    )


def _describe_file(
    outcome: Outcome, name: str, payers: Mapping[str | None, str], blocks: Mapping[str | None, Sequence[str]]
) -> dict[str, object]:
    account = outcome.account
    header = account.documents[0].header if account.documents else {}
    facts = outcome.source.facts
    block = next(iter(blocks.get(outcome.source_id, ())), None)
    entity = (header.get("reporting_entity_name") or block) if account.documents else None
    return {
        "source_id": outcome.source_id,
        "source": name,
        "status": outcome.status,
        "reason": outcome.reason,
        "bytes": outcome.bytes,
        "bytes_json": account.bytes_json if outcome.usable else None,
        "sha256": outcome.source_id,
        "etag": outcome.etag,
        "version": header.get("version"),
        "shape": account.shape if account.documents else None,
        "reporting_entity_name": entity,
        "payer": payers.get(entity) if account.items_matched else None,
        "last_updated_on": date_of(header.get("last_updated_on")),
        "description": redact_text(facts.description) if facts and facts.description else None,
        "index": Source(outcome.source.contents).name if outcome.source.contents else None,
        "plans": facts.plans.count if facts else None,
        "plan_market_types": facts.plans.market_types.first if facts else (),
        "plan_id_types": facts.plans.id_types.first if facts else (),
        "networks": facts.networks.first if facts else (),
        "items_seen": account.items_seen,
        "items_matched": account.items_matched,
        "prices": account.prices,
        "rows": 0,
        "rows_eligible": 0,
        "twin_of": None,
        "quirks": account.quirks,
        "seconds": round(outcome.seconds, 3),
    }


def merge_files(
    now: pl.DataFrame, before: pl.DataFrame, unread: set[str], behind: Mapping[str, str | None]
) -> pl.DataFrame:
    """``schemas.FILES``: one row for each source, and for every content behind published rows.

    A source that was read again and whose rows are withheld is described by its published content, with the status of
    now. Where rows come from both contents, the earlier one is a source by itself: NAME@SHA256.

    Args:
        now: the sources of this run.
        before: those of the last publication.
        unread: sources that this run did not read.
        behind: contents behind restored rows, and why these rows stay.
    """
    today = {row["source"]: row for row in now.iter_rows(named=True)}
    rows: dict[str, dict[str, object]] = dict(today)
    for row in before.iter_rows(named=True):
        name, content = row["source"], row["source_id"]
        if name not in unread and content not in behind:
            continue
        status = row["status"] if row["status"] in UNREADABLE else "unchanged"
        earlier_row = row | {"status": status, "reason": row["reason"] or behind.get(content)}
        if name not in today:
            rows[name] = earlier_row
        elif content in behind and today[name]["source_id"] != content:
            rows |= _both(today[name], earlier_row | {"reason": behind[content]})
    return pl.DataFrame(list(rows.values()), schema=FILES.polars)


def _both(now: Mapping[str, object], earlier_row: dict[str, object]) -> dict[str, dict[str, object]]:
    """A source's content as this run read it, and as it is published."""
    name = str(now["source"])
    if now["rows"]:
        label = f"{name}@{str(earlier_row['source_id'])[:12]}"
        return {label: earlier_row | {"source": label}}
    status = now["status"] if now["status"] in UNREADABLE else earlier_row["status"]
    return {name: earlier_row | {"status": status, "reason": now["reason"] or earlier_row["reason"]}}

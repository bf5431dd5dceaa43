"""What each configured payer's files came to when a month was last published: for runs that read some payers only."""

import json
from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path

from flows.extracts import Engine, Outcome, stored_outcome
from flows.layout import Layout, month_name, write_atomically
from flows.sources import Source, names_apart


def load_state(layout: Layout, month: date, codes: Sequence[str], engine: Engine | None) -> dict[str, list[Outcome]]:
    """Outcomes by the configuration's payer names, from their extracts; without those whose extract is gone."""
    try:
        stated = json.loads(state_path(layout, month).read_bytes())
    except OSError:
        return {}
    found: dict[str, list[Outcome]] = {}
    for name, entries in stated.items():
        outcomes = (_outcome(entry, name, layout, frozenset(codes), engine) for entry in entries)
        found[name] = [outcome for outcome in outcomes if outcome is not None]
    return found


def save_state(layout: Layout, month: date, outcomes: Sequence[Outcome], names: Collection[str]) -> None:
    """Remember these payers' outcomes; the others' stay as they are. Addresses are kept without signatures."""
    path = state_path(layout, month)
    stated = json.loads(path.read_bytes()) if path.exists() else {}
    shown = names_apart(outcome.source for outcome in outcomes)
    stated |= {
        name: [_entry(outcome, shown[outcome.source]) for outcome in outcomes if outcome.source.payer == name]
        for name in names
    }
    write_atomically(path, json.dumps(stated, sort_keys=True).encode())


def state_path(layout: Layout, month: date) -> Path:
    """Where a month's outcomes are kept."""
    return layout.months / f"{month_name(month)}.json"


def _entry(outcome: Outcome, name: str) -> dict[str, object]:
    return {
        "source": name,
        "source_id": outcome.source_id,
        "status": outcome.status,
        "reason": outcome.reason,
        "bytes": outcome.bytes,
    }


def _outcome(
    entry: dict[str, object], payer: str, layout: Layout, wanted: frozenset[str], engine: Engine | None
) -> Outcome | None:
    source = Source(str(entry["source"]), payer)
    source_id = entry["source_id"]
    if entry["status"] == "quarantined":
        return Outcome(source, "quarantined", str(entry["reason"]), str(source_id) if source_id else None)
    return stored_outcome(source, str(source_id), int(str(entry["bytes"])), wanted, layout, engine)

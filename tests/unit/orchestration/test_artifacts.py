"""The page of an orchestrated run: the published national figures, what is missing, and the command to run next."""

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import polars as pl
import pytest

from flows.orchestration import artifacts
from flows.orchestration.artifacts import MOST_SHOWN, left_out_table, national_table, show_month
from flows.orchestration.month_report import MonthReport
from flows.publish.awaited import AwaitedPayer, StalePayer
from flows.publish.delta import DeltaCommits
from flows.settings.values import Config
from flows.storage.layout import Layout

MONTH = date(2026, 6, 1)


@pytest.mark.slow
def test_the_national_table_is_the_published_one(demo_output: Path) -> None:
    rows, tier = national_table(demo_output, MONTH)
    assert tier == "balanced"
    summaries = pl.read_parquet(Layout(demo_output).month("summaries", MONTH) / "summaries.parquet")
    (row,) = summaries.filter(
        (pl.col("payer") == "Aetna")
        & (pl.col("billing_code") == "97028")
        & (pl.col("billing_class") == "professional")
        & (pl.col("geography") == "US")
        & (pl.col("weighting") == "npi")
        & (pl.col("taxonomy_tier") == "balanced")
    ).iter_rows(named=True)
    figures = {name: f"{row[f'{name}_usd']:.2f}" for name in ("p25", "p50", "p75")}
    named = {"code": "97028", "class": "professional", "payer": "Aetna"}
    assert named | figures | {"n": str(row["n_npi"])} in rows
    assert sum(each["payer"] == "Medicare" for each in rows) == 2


def test_a_month_that_is_not_published_has_no_table(tmp_path: Path) -> None:
    assert national_table(tmp_path, MONTH) == ([], "")


def test_what_is_missing_comes_with_its_reason_and_the_next_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown: dict[str, Any] = {}
    monkeypatch.setattr(
        artifacts, "create_table_artifact", lambda table, key, description: shown.update({key: (table, description)})
    )
    config = cast("Config", SimpleNamespace(output=tmp_path, path="/etc/t.toml"))
    show_month(config, MonthReport(MONTH, "unchanged"))
    assert shown == {}
    show_month(config, MonthReport(MONTH, "published", quarantined=[("a.json", "cut")], withheld=[("Cigna", "few")]))
    rows, text = shown["quarantine-2026-06"]
    assert rows == [{"source": "a.json", "reason": "cut"}]
    assert "`tic-rates nightly --config /etc/t.toml --month 2026-06`" in text
    awaited, stale = AwaitedPayer("Aetna", MONTH, "404"), StalePayer("Cigna", date(2025, 1, 1))
    show_month(config, MonthReport(MONTH, "not_published", awaited=[awaited], stale=[stale]))
    assert shown["awaited-2026-06"][0] == [{"payer": "Aetna", "reason": "since 2026-06-01: 404"}]
    assert shown["stale-2026-06"][0] == [{"payer": "Cigna", "reason": "last updated on 2025-01-01"}]
    show_month(config, MonthReport(MONTH, "published", delta=DeltaCommits(failed="disk full; `tic-rates nightly`")))
    rows, text = shown["delta-2026-06"]
    assert rows == [{"tables": "delta", "reason": "disk full; `tic-rates nightly`"}]
    assert "repeats the commit" in text
    rows, text = shown["withheld-2026-06"]
    assert rows == [{"payer": "Cigna", "reason": "few"}]
    assert "`tic-rates nightly --config /etc/t.toml --month 2026-06 --no-gates`" in text


def test_a_page_shows_so_many_rows_and_counts_the_rest() -> None:
    rows = left_out_table("source", [(f"{number}.json", "cut") for number in range(5_000)], "see elsewhere")
    assert sum(row["reason"] == "cut" for row in rows) == MOST_SHOWN
    assert rows[-1] == {"source": f"{5_000 - MOST_SHOWN:,} more", "reason": "see elsewhere"}


def test_the_rest_of_the_changed_rules_is_where_the_row_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown: dict[str, Any] = {}
    monkeypatch.setattr(
        artifacts, "create_table_artifact", lambda table, key, description: shown.update({key: (table, description)})
    )
    change = {"kind": "article", "document_id": "A1", "authority": "X", "geographies": ["AK"], "edition": MONTH}
    change |= {"billing_codes": ["97026"], "changes": ["text"]}
    many = MonthReport(MONTH, "published", coverage_changes=[change] * (MOST_SHOWN + 1))
    show_month(cast("Config", SimpleNamespace(output=tmp_path, path="t.toml")), many)
    rows, text = shown["coverage-2026-06"]
    assert rows[-1] == {"document": "1 more", "reason": "see `tic-rates reference coverage --changes`"}
    assert rows[0]["reason"] == "2026-06-01, 97026: text"
    assert "`tic-rates reference coverage --changes` lists all" in text

"""The page of an orchestrated run: the published national figures, what is missing, and the command to run next."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from flows.orchestration.run_page import MOST_SHOWN, national_markdown, quarantine_markdown
from flows.storage.layout import Layout

MONTH = date(2025, 6, 1)


@pytest.mark.slow
def test_the_national_table_is_the_published_one(demo_output: Path) -> None:
    page = national_markdown(demo_output, MONTH)
    assert page is not None
    summaries = pl.read_parquet(Layout(demo_output).month("summaries", MONTH) / "summaries.parquet")
    (row,) = summaries.filter(
        (pl.col("payer") == "Aetna")
        & (pl.col("billing_code") == "97028")
        & (pl.col("billing_class") == "professional")
        & (pl.col("geography") == "US")
        & (pl.col("weighting") == "npi")
        & (pl.col("taxonomy_tier") == "balanced")
    ).iter_rows(named=True)
    figures = " | ".join(f"{row[name]:.2f}" for name in ("p25_usd", "p50_usd", "p75_usd"))
    assert f"| 2025-06 | 97028 | professional | Aetna | {figures} | {row['n_npi']} |" in page.splitlines()
    assert page.count("| Medicare |") == 2


def test_a_month_that_is_not_published_has_no_table(tmp_path: Path) -> None:
    assert national_markdown(tmp_path, MONTH) is None


def test_where_nothing_is_missing_nothing_is_said() -> None:
    assert quarantine_markdown(MONTH, [], [], "tic-rates.toml") is None


def test_what_is_missing_comes_with_its_reason_and_the_next_command() -> None:
    page = quarantine_markdown(MONTH, [("a|b.json", "cut\nshort")], [("Cigna", "half the rows")], "/etc/t.toml")
    assert page is not None
    assert "| a\\|b.json | cut short |" in page
    assert "`tic-rates backfill --config /etc/t.toml --from 2025-06 --to 2025-06`" in page
    assert "| Cigna | half the rows |" in page
    assert "`tic-rates nightly --config /etc/t.toml --month 2025-06 --no-gates`" in page


def test_a_page_stays_a_page() -> None:
    page = quarantine_markdown(MONTH, [(f"{number}.json", "cut") for number in range(5_000)], [], "t.toml")
    assert page is not None
    assert page.count("| cut |") == MOST_SHOWN
    assert f"{5_000 - MOST_SHOWN:,} more." in page

"""The methodology page's section on evidence says what the tables say, and nothing of it without utilization."""

import csv
import json
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from flows.report.report import build_report
from flows.report.report_evidence import FROM_WIDEST, list_tiers
from flows.storage.layout import Layout
from schemas.codes import TAXONOMY_TIERS
from schemas.published import SUMMARIES
from tests.report_market import published_example, summary, write_output
from transforms.benchmark.payers import payer_slug
from transforms.report.figures import to_cents


@pytest.fixture(scope="module")
def demo_page(demo_output: Path) -> str:
    build_report(Layout(demo_output))
    return (demo_output / "report" / "methodology.html").read_text(encoding="utf-8")


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))


def test_the_tiers_of_a_code_are_those_of_summaries_and_how_far_from_all(demo_page: str, demo_output: Path) -> None:
    (month,) = (demo_output / "summaries").iterdir()
    summaries = pl.read_parquet(month / "summaries.parquet", hive_partitioning=False)
    national = summaries.filter(payer="All commercial", geography="US", billing_class="professional")
    published = {
        (row["billing_code"], row["taxonomy_tier"], row["weighting"]): row for row in national.iter_rows(named=True)
    }
    rows = rows_of(demo_output / "report" / "tiers.csv")
    assert [(row["billing_code"], row["taxonomy_tier"], row["weighting"]) for row in rows] == [
        (code, tier, weighting)
        for code in ("97026", "97028")
        for tier, weighting in (*((tier, "npi") for tier in FROM_WIDEST), ("billed", "services"))
    ]
    for row in rows:
        cell = published[row["billing_code"], row["taxonomy_tier"], row["weighting"]]
        assert Decimal(row["p50_usd"]) == to_cents(cell["p50_usd"]) and row["n_npi"] == str(cell["n_npi"])
        of_all = to_cents(published[row["billing_code"], "all", "npi"]["p50_usd"])
        if row["taxonomy_tier"] != "all":
            assert Decimal(row["against_all_usd"]) == Decimal(row["p50_usd"]) - of_all
        anchor = f"US-{row['taxonomy_tier']}{'-services' if row['weighting'] == 'services' else ''}"
        how = f'<a href="{row["billing_code"]}/derivations/{payer_slug("All commercial")}.html#{anchor}">'
        figures = (row["n_npi"], row["p25_usd"], row["p50_usd"], row["p75_usd"])
        assert "".join(f"<td>{how}{figure}</a></td>" for figure in figures) in demo_page


def test_the_shares_of_evidence_are_those_of_the_providers(demo_page: str, demo_output: Path) -> None:
    (month,) = (demo_output / "providers").iterdir()
    providers = pl.read_parquet(month / "providers.parquet", hive_partitioning=False)
    counted = providers.filter(pl.col("exclusion").is_null(), billing_class="professional")
    for row in rows_of(demo_output / "report" / "evidence.csv"):
        of_code = counted.filter(billing_code=row["billing_code"])
        evidence = None if row["evidence"] == "absent" else row["evidence"]
        found = of_code.filter(pl.col("evidence").eq_missing(evidence))["npi"].n_unique()
        assert int(row["providers"]) == found > 20
        assert float(row["percent"]) == pytest.approx(100 * found / of_code["npi"].n_unique(), abs=0.05)
        assert f"{row['providers']} ({row['percent']}%)" in demo_page
    entry = json.loads((demo_output / "manifest.json").read_bytes())["months"]["2026-06"]["utilization"]
    assert f"Medicare's claims of {entry['year']} say who bills it" in demo_page
    assert "fewer than 11 patients" in demo_page and "organisations are absent from it" in demo_page


def test_without_utilization_the_page_says_how_it_is_loaded(tmp_path: Path) -> None:
    build_report(Layout(write_output(tmp_path, published_example())))
    page = (tmp_path / "report" / "methodology.html").read_text(encoding="utf-8")
    assert "tic-rates reference utilization FILE" in page and "by-tier" not in page
    assert not (tmp_path / "report" / "tiers.csv").exists()


def test_providers_of_an_earlier_version_have_no_shares(tmp_path: Path) -> None:
    output = write_output(tmp_path, published_example(), utilization={"year": 2023, "codes": ["97026"], "npis": 5})
    (path,) = output.glob("providers/*/providers.parquet")
    pl.read_parquet(path, hive_partitioning=False).drop("evidence", "services").write_parquet(path)
    build_report(Layout(output))
    page = (output / "report" / "methodology.html").read_text(encoding="utf-8")
    assert "Medicare's claims of 2023" in page and "billed Medicare for it" not in page


def test_a_code_without_tier_all_is_compared_with_nothing() -> None:
    assert set(FROM_WIDEST) == set(TAXONOMY_TIERS)
    rows = [
        summary("All commercial", "US", (7.0, 6.0, 7.0, 8.0), taxonomy_tier=tier, billing_code=code)
        for code, tier in (("97026", "billed"), ("97028", "all"), ("97028", "billed"))
    ]
    summaries = pl.DataFrame(rows, schema=SUMMARIES.polars, orient="row")
    found = [(row.billing_code, row.against_all_usd) for row in list_tiers(summaries, "professional")]
    assert found == [("97026", None), ("97028", None), ("97028", Decimal("0.00"))]

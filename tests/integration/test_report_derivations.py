"""The pages of the report that say how figures come about: their counts and the percentile worked out."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flows.report.report_derivations import MOST_ROWS, count_rates
from tests.html_tables import page_at

BUCA = ("Aetna", "Blue Cross Blue Shield", "Cigna", "UnitedHealth Group")
MONTH = "period=2026-06"
PROFESSIONAL = ("professional", "both")
COUNT = r"\d+(?:,\d{3})*"
CLASSES = (*PROFESSIONAL, "institutional")


@pytest.fixture(scope="module")
def demo_report(demo_output: Path) -> Path:
    return demo_output / "report"


def number(text: str) -> int:
    return int(text.rstrip("*").replace(",", ""))


def rates_of(output: Path) -> pl.DataFrame:
    columns = ["payer", "billing_code", "billing_class", "state", "exclusion"]
    return pl.concat([pl.read_parquet(path, columns=columns) for path in (output / "rates" / MONTH).rglob("*.parquet")])


def payers_of(name: str, rows: pl.DataFrame) -> pl.DataFrame:
    if name == "All commercial":
        return rows
    return rows.filter(pl.col("payer").is_in(BUCA) if name == "BUCA" else pl.col("payer") == name)


@pytest.mark.parametrize("code", ["97026", "97028"])
@pytest.mark.parametrize("geography", ["US", "AK", "CA", "PR"])
def test_counts_are_those_of_the_published_rows(
    demo_output: Path, demo_report: Path, code: str, geography: str
) -> None:
    rows = rates_of(demo_output).filter(
        (pl.col("billing_code") == code)
        & (pl.col("billing_class").is_in(PROFESSIONAL) | ~pl.col("billing_class").is_in(CLASSES)).fill_null(value=True)
    )
    page = page_at(demo_report / code / "derivations" / f"{geography}.html")
    steps = page.tables["derivation"]
    assert steps
    for step in steps:
        own = payers_of(step["Payer"], rows)
        own = own if geography == "US" else own.filter(pl.col("state") == geography)
        eligible = own.filter(pl.col("exclusion").is_null()).height
        assert number(step["Rows read"]) == own.height
        assert number(step["Excluded"]) == own.height - eligible
        assert number(step["Eligible"]) == eligible
        rules = dict(own.drop_nulls("exclusion").group_by("exclusion").len().iter_rows())
        stated = re.search(rf"{re.escape(step['Payer'])}: ((?:[a-z_]+ {COUNT}(?:, )?)+)", page.text)
        found = re.findall(rf"([a-z_]+) ({COUNT})", stated.group(1)) if stated else []
        assert {name: number(count) for name, count in found} == rules


def test_each_median_leads_to_its_row(demo_report: Path) -> None:
    for path in (demo_report / "97026").glob("*.html"):
        if len(path.stem) == 2:
            linked = [each["href"] for each in page_at(path).attributes("a") if "derivations/" in each["href"]]
            anchors = [href.partition("#")[2] for href in linked if "#" in href]
            written = (path.parent / "derivations" / path.name).read_text()
            assert anchors or "No figures here" in path.read_text()
            assert all(f'id="{anchor}"' in written for anchor in anchors)


def test_the_cell_worked_out_is_the_published_one(demo_output: Path, demo_report: Path) -> None:
    summaries = pl.read_parquet(demo_output / "summaries" / MONTH / "summaries.parquet")
    seen = 0
    for path in sorted((demo_report / "97028" / "derivations").glob("*.html")):
        text = page_at(path).text
        found = re.search(
            r"One cell worked out\s*(.+?) has (\d+) observations\. In order, US dollars: ([\d., ]+)\. A", text
        )
        if found is None:
            continue
        rates = [float(each) for each in found.group(3).split(", ")]
        percentiles = np.percentile(rates, [10, 25, 50, 75, 90])
        rows = summaries.filter(
            billing_code="97028", geography=path.stem, payer=found.group(1), weighting="npi", n_npi=int(found.group(2))
        ).select("p10_usd", "p25_usd", "p50_usd", "p75_usd", "p90_usd")
        assert any(np.allclose(percentiles, row, atol=1e-3) for row in rows.iter_rows()), path.stem
        seen += 1
    assert seen > 10


def test_no_rate_rows_are_counted_where_there_are_none(tmp_path: Path) -> None:
    assert count_rates(tmp_path).is_empty()
    assert MOST_ROWS >= 100, "a page's table has 100 rows, and each leads to its derivation"

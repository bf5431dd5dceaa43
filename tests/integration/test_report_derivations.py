"""The report's derivations: each figure leads to a row of counts, which are those of the published tables."""

import re
from collections.abc import Iterator
from functools import cache
from html import unescape
from pathlib import Path
from random import Random

import numpy as np
import polars as pl
import pytest

from flows.report.report_counts import count_members, count_rates
from schemas.published import PROVIDERS
from tests.html_tables import page_at
from transforms.benchmark.payers import payer_slug
from transforms.explain.cells import CellKey, observe
from transforms.report.figures import anchor_of, to_cents

BUCA = ("Aetna", "Blue Cross Blue Shield", "Cigna", "UnitedHealth Group")
MONTH = "period=2026-06"
PROFESSIONAL = ("professional", "both")
CLASSES = (*PROFESSIONAL, "institutional")
CODES = ("97026", "97028")
LINKED = "figures|networks|tiers|others|heat|positions"  # tables of figures of `summaries` and `network_summaries`
AMOUNT = r"\d[\d,]*\.\d\d"


@pytest.fixture(scope="module")
def demo_report(demo_output: Path) -> Path:
    return demo_output / "report"


@pytest.fixture(scope="module")
def summaries(demo_output: Path) -> pl.DataFrame:
    return pl.read_parquet(demo_output / "summaries" / MONTH / "summaries.parquet")


@pytest.fixture(scope="module")
def rates(demo_output: Path) -> pl.DataFrame:
    columns = ["payer", "billing_code", "billing_class", "state", "exclusion", "network_names"]
    paths = (demo_output / "rates" / MONTH).rglob("*.parquet")
    return pl.concat([pl.read_parquet(path, columns=columns) for path in paths])


def number(text: str) -> int:
    return int(text.rstrip("*").replace(",", ""))


@cache
def steps_of(path: Path) -> dict[str, dict[str, str]]:
    """The rows of a derivation page by their anchors."""
    found = {}
    for name, rows in page_at(path).tables.items():
        if name.startswith("derivation "):
            billing_class = "professional" if name == "derivation localities" else name.split()[1]
            for row in ({key.replace("\xad", ""): text for key, text in each.items()} for each in rows):
                place, tier, weighting = row["Place"].split()[0], row.get("Tier", "all"), row.get("Weighting", "npi")
                found[anchor_of(place, billing_class, tier, weighting)] = row
        elif name == "by-network":
            found |= {f"network-{n}": row for n, row in enumerate(rows)}
    return found


@cache
def anchors_of(path: Path) -> set[str]:
    return {attributes["id"] for _, attributes in page_at(path).elements if "id" in attributes}


def page_of(report: Path, code: str, payer: str) -> Path:
    return report / code / "derivations" / f"{payer_slug(payer)}.html"


def rows_behind(rates: pl.DataFrame, code: str, billing_class: str, payer: str, geography: str) -> pl.DataFrame:
    classes = PROFESSIONAL if billing_class == "professional" else (billing_class,)
    stated = pl.col("billing_class")
    rows = rates.filter(
        pl.col("billing_code") == code, (stated.is_in(classes) | ~stated.is_in(CLASSES)).fill_null(value=True)
    )
    if payer != "All commercial":
        rows = rows.filter(pl.col("payer").is_in(BUCA) if payer == "BUCA" else pl.col("payer") == payer)
    return rows if geography == "US" else rows.filter(pl.col("state") == geography)


@pytest.mark.parametrize("code", CODES)
def test_every_row_of_summaries_has_a_row_with_its_counts(
    code: str, demo_report: Path, summaries: pl.DataFrame, rates: pl.DataFrame
) -> None:
    for (payer,), own in summaries.filter(billing_code=code).partition_by("payer", as_dict=True).items():
        steps = steps_of(page_of(demo_report, code, str(payer)))
        assert len(steps) - sum(anchor.startswith("network-") for anchor in steps) == own.height
        for row in own.iter_rows(named=True):
            view = [row[name] for name in ("geography", "billing_class", "taxonomy_tier", "weighting")]
            step = steps[anchor_of(*view)]
            assert step["P50"] == f"{to_cents(row['p50_usd']):,}"
            if payer == "Medicare":
                assert number(step["Localities"]) == row["n_rates"]
                continue
            assert number(step["Rate rows"]) == row["n_rates"]
            assert step["Providers"] == f"{row['n_npi']:,}{'*' if row['low_sample'] else ''}"
            assert number(step["Contract holders"]) == row["n_tin"]
            if row["geography"] in ("US", "AK", "CA", "PR"):
                behind = rows_behind(rates, code, row["billing_class"], str(payer), row["geography"])
                eligible = behind.filter(pl.col("exclusion").is_null()).height
                counts = [number(step[name]) for name in ("Rows read", "Excluded", "Eligible")]
                assert counts == [behind.height, behind.height - eligible, eligible]


@pytest.mark.parametrize("payer", ["Aetna", "BUCA", "All commercial", "Prairie Lantern Health Cooperative"])
def test_rows_excluded_are_counted_by_rule(demo_report: Path, rates: pl.DataFrame, payer: str) -> None:
    for row in page_at(page_of(demo_report, "97026", payer)).tables["excluded"]:
        place, billing_class = row.pop("Place"), row.pop("Class")
        behind = rows_behind(rates, "97026", billing_class, payer, place).drop_nulls("exclusion")
        counted = dict(behind.group_by("exclusion").len().iter_rows())
        assert {rule: number(text) for rule, text in row.items() if text != "0"} == counted


def test_representative_rates_outliers_and_observations_are_those_of_the_providers(
    demo_output: Path, demo_report: Path, summaries: pl.DataFrame
) -> None:
    providers = pl.concat([pl.read_parquet(path) for path in (demo_output / "providers" / MONTH).glob("*.parquet")])
    commercial = summaries.filter(pl.col("payer_kind") != "benchmark")
    grain = ("billing_code", "billing_class", "payer", "geography", "taxonomy_tier", "weighting")
    for row in Random(5).sample(commercial.select(grain).rows(), 80):
        key = CellKey(*row)
        members = providers.filter(key.members)
        step = steps_of(page_of(demo_report, key.billing_code, key.payer))[
            anchor_of(key.geography, key.billing_class, key.taxonomy_tier, key.weighting)
        ]
        counts = [number(step[name]) for name in ("Representative rates", "Outliers", "Observations")]
        outliers = members.filter(exclusion="outlier")
        assert counts == [members.height, outliers.height, observe(key, members).height], key.text


def figure_cells(path: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Of each row of a table of figures: the table, and the text and address of each cell with a figure."""
    text = path.read_text(encoding="utf-8")
    for kind, table in re.findall(rf'<table class="({LINKED})".*?<tbody>(.*?)</tbody>', text, re.DOTALL):
        for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL):
            cells = re.findall(r"<td(?: class=\"[\w ]*\")?>(.*?)</td>", row, re.DOTALL)
            found = []
            for cell in cells:
                link = re.search(r'<a href="([^"]*)"', cell)
                shown = unescape(re.sub("<[^>]*>", "", cell)).strip()
                if re.match(r"\d", shown):
                    found.append((shown, link.group(1) if link else ""))
            yield kind, found


@pytest.mark.slow
def test_every_figure_leads_to_its_derivation(demo_report: Path) -> None:
    seen: dict[str, int] = {}
    for path in sorted(demo_report.rglob("*.html")):
        for kind, found in figure_cells(path):
            # of a practice's position, own rate, rank and Medicare's amount are not of the market
            cells = [cell for cell in found if cell[1]] if kind == "positions" else found
            assert len(cells) == 3 or kind != "positions"
            steps = []
            for shown, href in cells:
                assert "derivations/" in href, f"{path}: {kind}: {shown} leads to no derivation"
                page, _, anchor = href.partition("#")
                steps.append(steps_of((path.parent / page).resolve())[anchor])
                assert anchor in anchors_of((path.parent / page).resolve())
            for step, (shown, _) in zip(steps, cells, strict=True):
                if kind == "heat":
                    small = "*" if step.get("Providers", "").endswith("*") else ""
                    assert shown == step["P50"] + small
                elif kind == "tiers":
                    assert shown == f"{step['P50']} {step['Providers']}"
            if kind in ("figures", "networks", "others"):
                assert len({href for _, href in cells}) == 1
                texts = [shown for shown, _ in cells]
                assert texts[2] == steps[0]["P50"]
                assert steps[0].get("Providers", texts[5]) == texts[5]
            elif kind == "positions":
                assert cells[1][0] == steps[1]["P50"]
            seen[kind] = seen.get(kind, 0) + len(cells)
    assert set(seen) == set(LINKED.split("|"))
    assert sum(seen.values()) > 20_000


def test_networks_count_the_rows_that_name_them(demo_report: Path, rates: pl.DataFrame) -> None:
    steps = page_at(page_of(demo_report, "97026", "Cigna")).tables["by-network"]
    assert steps
    for step in steps:
        behind = rows_behind(rates, "97026", "professional", "Cigna", "US")
        own = behind.filter(pl.col("network_names").list.contains(step["Network"]))
        eligible = own.filter(pl.col("exclusion").is_null()).height
        assert (number(step["Rows read"]), number(step["Eligible"])) == (own.height, eligible)


def test_a_small_cell_is_worked_out(demo_report: Path, summaries: pl.DataFrame) -> None:
    seen = 0
    for payer in summaries.filter(payer_kind="payer")["payer"].unique():
        path = page_of(demo_report, "97028", payer)
        found = re.search(r"has (\d+) observations\. In order, US dollars: ([\d., ]+)\. A", page_at(path).text)
        assert found is not None
        rates_usd = [float(each) for each in found.group(2).split(", ")]
        assert len(rates_usd) == int(found.group(1)) <= 15
        step = steps_of(path)[re.findall(r'<p><a href="#([\w-]+)">', path.read_text(encoding="utf-8"))[0]]
        assert number(step["Observations"]) == len(rates_usd)
        worked = page_at(path).tables["worked"]
        percentiles = np.percentile(rates_usd, [10, 25, 50, 75, 90])
        assert np.allclose([float(row["Percentile's value"]) for row in worked], percentiles, atol=1e-3)
        assert to_cents(float(worked[2]["Percentile's value"])) == pytest.approx(to_cents(float(step["P50"])))
        seen += 1
    assert seen > 4


def test_a_month_without_rates_or_providers_has_no_counts(tmp_path: Path) -> None:
    assert count_rates(tmp_path, with_networks=True).is_empty()
    assert count_members(tmp_path / "providers.parquet").is_empty()


def test_members_of_an_earlier_version_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "providers.parquet"
    later = {"evidence", "services", "locality", "medicare_usd", "zip5"}
    row = dict.fromkeys(PROVIDERS.names) | {"payer": "Aetna", "billing_code": "97026", "npi": 1, "exclusion": "outlier"}
    frame = pl.DataFrame([row, row | {"npi": 2, "exclusion": None}], schema=PROVIDERS.polars)
    frame.drop(later & set(PROVIDERS.names)).write_parquet(path)
    counted = count_members(path)
    assert counted.select("rows", "outliers", "evidence", "services").rows() == [(2, 1, None, None)]

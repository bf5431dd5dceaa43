"""The report from published tables: every number is read back out of the pages, hostile names stay text."""

import csv
import io
import json
import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from html import unescape
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import flows.report.report
from flows.report.report import build_report
from flows.report.report_method import MOST_FILES, MOST_NAMES
from flows.report.report_pages import MOST_OTHERS
from flows.storage.layout import Layout
from schemas.codes import GEOGRAPHIES
from schemas.geographies import IN_ORDER
from schemas.published import FILES, UNMAPPED
from tests.command_line import call
from tests.conftest import DEMO_MONTH
from tests.html_tables import page_at, read_page
from tests.report_market import HOSTILE, MONTH, file_row, large_market, published_example, summary, write_output
from transforms.benchmark.payers import payer_slug
from transforms.errors import UsageError
from transforms.report.figures import show_name

COLUMNS = {"Mean": "mean_usd", "P25": "p25_usd", "P50": "p50_usd", "P75": "p75_usd", "Dispersion": "iqr_usd"}
CODES = ("97026", "97028")
TIERS = ("billed", "balanced")


@pytest.fixture(scope="session")
def demo_report(demo_output: Path) -> Path:
    build_report(Layout(demo_output))
    return demo_output / "report"


@pytest.fixture(scope="session")
def demo_summaries(demo_output: Path) -> pl.DataFrame:
    return pl.read_parquet(Layout(demo_output).month("summaries", DEMO_MONTH) / "summaries.parquet")


def report_of(root: Path, rows: Sequence[dict[str, Any]], **entry: Any) -> Path:
    build_report(Layout(write_output(root, rows, **entry)))
    return root / "report"


def shown(value: float) -> str:
    return f"{Decimal(str(value)).quantize(Decimal('0.01'), ROUND_HALF_UP):,}"


def in_tier(rows: pl.DataFrame, tier: str) -> pl.DataFrame:
    same = (pl.col("billing_class") == "professional") & (pl.col("taxonomy_tier") == tier)
    return rows.filter((same & (pl.col("weighting") == "npi")) | (pl.col("payer_kind") == "benchmark"))


def tier_at(summaries: pl.DataFrame, code: str, geography: str) -> str:
    """Billed where the pooled row and at least half of the payers are no small samples in it, else balanced."""
    here = summaries.filter(billing_code=code, geography=geography).filter(pl.col("payer_kind") != "benchmark")
    billed, balanced = ({row["payer"]: row for row in in_tier(here, tier).iter_rows(named=True)} for tier in TIERS)
    payers = [payer for payer, row in balanced.items() if row["payer_kind"] == "payer"]
    firm = [payer for payer in payers if payer in billed and not billed[payer]["low_sample"]]
    pooled = billed.get("All commercial")
    return TIERS[0] if pooled and not pooled["low_sample"] and 2 * len(firm) >= len(payers) else TIERS[1]


def in_front(summaries: pl.DataFrame, code: str, geography: str) -> pl.DataFrame:
    """The rows of a place in the tier that heads its page."""
    rows = summaries.filter(billing_code=code, geography=geography)
    return in_tier(rows, tier_at(summaries, code, geography))


def nationally_in_front(summaries: pl.DataFrame, code: str) -> pl.DataFrame:
    """The rows of all places in the tier that heads the national page."""
    return in_tier(summaries.filter(billing_code=code), tier_at(summaries, code, "US"))


def check_row(row: dict[str, str], published: dict[str, Any]) -> None:
    for heading, column in COLUMNS.items():
        assert row[heading] == shown(published[column])
    benchmark = published["payer_kind"] == "benchmark"
    star = "*" if published["low_sample"] and not benchmark else ""
    assert row["Providers"] == ("" if benchmark else f"{published['n_npi']:,}{star}")
    share = published["pct_of_medicare"]
    tenth = "" if share is None else f"{Decimal(str(share)).quantize(Decimal('0.1'), ROUND_HALF_UP):,}"
    assert row["% of Medicare"] == tenth


@pytest.mark.parametrize("code", CODES)
def test_every_number_of_every_benchmark_table_is_the_published_one(
    code: str, demo_report: Path, demo_summaries: pl.DataFrame
) -> None:
    checked = 0
    for geography in ("US", *GEOGRAPHIES):
        published = {row["payer"]: row for row in in_front(demo_summaries, code, geography).iter_rows(named=True)}
        rows = page_at(demo_report / code / f"{geography}.html").tables.get("figures", [])
        assert {row["Payer"] for row in rows} == set(published)
        for row in rows:
            check_row(row, published[row["Payer"]])
            checked += 1
    assert checked >= in_tier(demo_summaries.filter(billing_code=code), "billed").height


def test_the_first_page_has_the_national_table_of_every_code(demo_report: Path, demo_summaries: pl.DataFrame) -> None:
    text = (demo_report / "index.html").read_text(encoding="utf-8")
    for code in CODES:
        section = text.split(f'<section aria-labelledby="code-{code}"')[1].split("</section>")[0]
        rows = read_page(section).tables["figures"]
        published = {row["payer"]: row for row in in_front(demo_summaries, code, "US").iter_rows(named=True)}
        assert {row["Payer"] for row in rows} == set(published)
        for row in rows:
            check_row(row, published[row["Payer"]])


def test_every_number_of_the_other_views_is_the_published_one(demo_report: Path, demo_summaries: pl.DataFrame) -> None:
    here = demo_summaries.filter((pl.col("billing_code") == "97026") & (pl.col("geography") == "TX"))
    keys = ("payer", "billing_class", "taxonomy_tier", "weighting")
    published = {tuple(row[key] for key in keys): row for row in here.iter_rows(named=True)}
    rows = page_at(demo_report / "97026" / "TX.html").tables["others"]
    assert len(rows) == min(here.height - in_front(demo_summaries, "97026", "TX").height, MOST_OTHERS) > 20
    for row in rows:
        own = published[row["Payer"], row["Class"], row["Tier"], row["Weighting"]]
        assert all(row[heading] == shown(own[column]) for heading, column in COLUMNS.items())
        assert row["Providers"] == f"{own['n_npi']:,}{'*' if own['low_sample'] else ''}"


def test_a_payer_page_has_its_figures_everywhere(demo_report: Path, demo_summaries: pl.DataFrame) -> None:
    for payer in ("Cigna", "Prairie Lantern Health Cooperative", "BUCA", "Medicare"):
        own = in_tier(demo_summaries.filter(billing_code="97028", payer=payer), "billed")  # large nationally
        assert not own.filter(geography="US")["low_sample"][0]
        published = {row["geography"]: row for row in own.iter_rows(named=True)}
        rows = page_at(demo_report / "97028" / "payers" / f"{payer_slug(payer)}.html").tables["figures"]
        assert [row["State"].split()[0] for row in rows] == [code for code in ("US", *IN_ORDER) if code in published]
        for row in rows:
            place = published[row["State"].split()[0]]
            check_row(row, place)
            mean, base = Decimal(shown(place["mean_usd"])), Decimal(shown(published["US"]["mean_usd"]))
            assert Decimal(row["% of national mean"]) == 100 * (mean / base).quantize(Decimal("0.01"), ROUND_HALF_UP)


def test_a_payer_that_names_networks_has_a_table_of_them(demo_report: Path, demo_output: Path) -> None:
    table = pl.read_parquet(Layout(demo_output).month("network_summaries", DEMO_MONTH) / "network_summaries.parquet")
    payers = {"Cigna", "Prairie Lantern Health Cooperative", "Blue Cross Blue Shield"}
    for payer in {*payers, "Aetna", "BUCA", "Medicare"}:
        own = in_tier(table.filter(payer=payer, billing_code="97026"), "billed")
        published = {row["network_name"]: row for row in own.filter(geography="US").iter_rows(named=True)}
        path = demo_report / "97026" / "payers" / payer_slug(payer)
        rows = page_at(path.with_suffix(".html")).tables.get("networks", [])
        assert {row["Network"] for row in rows} == set(published) and bool(rows) == (payer in payers)
        for row in rows:
            check_row(row, published[row["Network"]])
        if rows:
            assert len(csv_at(path.with_name(f"{path.name}-networks.csv"))) == own.height > len(rows)


def test_the_maps_data_is_the_published_one(demo_report: Path, demo_summaries: pl.DataFrame) -> None:
    figures = json.loads(page_at(demo_report / "97026" / "US.html").scripts["map-data"])
    own = nationally_in_front(demo_summaries, "97026")
    columns = ("p50_usd", "mean_usd", "p25_usd", "p75_usd", "iqr_usd")
    for row in own.filter(pl.col("geography") != "US").iter_rows(named=True):
        payer, place = figures["payers"].index(row["payer"]), figures["codes"].index(row["geography"])
        for measure, column in enumerate(columns):
            assert figures["layers"][payer][measure]["texts"].split("|")[place] == shown(row[column])
        assert figures["small"][payer][place] == str(int(row["low_sample"]))


def csv_at(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_csv_files_hold_the_published_rows_in_full(demo_report: Path, demo_summaries: pl.DataFrame) -> None:
    here = demo_summaries.filter((pl.col("billing_code") == "97026") & (pl.col("geography") == "AK"))
    front = {row["payer"]: row for row in in_front(demo_summaries, "97026", "AK").iter_rows(named=True)}
    rows = csv_at(demo_report / "97026" / "AK.csv")
    assert len(rows) == len(front)
    for row in rows:
        own = front[row["payer"]]
        assert row == {name: "" if value is None else str(value) for name, value in own.items()}
    others = csv_at(demo_report / "97026" / "AK-other-views.csv")
    assert len(rows) + len(others) == here.height
    everywhere = csv_at(demo_report / "97026" / "states.csv")
    assert len(everywhere) == nationally_in_front(demo_summaries, "97026").height


@pytest.mark.parametrize(
    ("page", "table", "file", "key"),
    [
        ("97026/US", "figures", "97026/US", "payer"),
        ("97026/AK", "figures", "97026/AK", "payer"),
        ("97028/TX", "others", "97028/TX-other-views", "payer"),
        ("97028/payers/cigna", "figures", "97028/payers/cigna", "geography"),
    ],
)
def test_a_csv_has_the_rows_of_its_table_in_their_order(
    demo_report: Path, page: str, table: str, file: str, key: str
) -> None:
    shown_rows = page_at(demo_report / f"{page}.html").tables[table]
    rows = csv_at(demo_report / f"{file}.csv")
    assert 5 < len(shown_rows) == (min(len(rows), MOST_OTHERS) if table == "others" else len(rows))
    for row, downloaded in zip(shown_rows, rows[: len(shown_rows)], strict=True):
        assert row.get("Payer", row.get("State", "")).startswith(downloaded[key])
        assert all(row[heading] == shown(float(downloaded[column])) for heading, column in COLUMNS.items())


@pytest.mark.parametrize("code", CODES)
def test_charts_and_sentences_say_the_published_figures(
    code: str, demo_report: Path, demo_summaries: pl.DataFrame
) -> None:
    columns = {"P10": "p10_usd", "P25": "p25_usd", "P50": "p50_usd", "P75": "p75_usd", "P90": "p90_usd"}
    columns["mean"] = "mean_usd"
    for geography in ("US", "AK", "CA", "PR", "WY"):
        text = (demo_report / code / f"{geography}.html").read_text(encoding="utf-8")
        own = in_tier(demo_summaries.filter(billing_code=code), tier_at(demo_summaries, code, geography))
        rows = {row["payer"]: row for row in own.filter(pl.col("geography") == geography).iter_rows(named=True)}
        titles = dict(re.findall(r'<g class="\w+"><title>(.+?): (P10 .+?)</title>', text))
        assert {unescape(payer) for payer in titles} == set(rows)
        for payer, said in titles.items():
            expected = [f"{name} {shown(rows[unescape(payer)][column])}" for name, column in columns.items()]
            assert said == ", ".join(expected)
        said_amounts = amounts_in(re.findall(r'<(?:li|span) data-kind=".*?</(?:li|span)>|<dd class=.*?</dd>', text))
        pooled = pl.col("payer") == "All commercial"  # by state, on the national page
        places = own.filter(pl.col("geography").is_in([geography, "US"]) | (pooled if geography == "US" else False))
        assert len(said_amounts) > 5
        assert said_amounts <= {shown(value) for column in (*COLUMNS.values(), "p50_usd") for value in places[column]}


def amounts_in(texts: Sequence[str]) -> set[str]:
    return set(re.findall(r"\$([\d,]+\.\d\d)", "".join(texts)))


def test_the_table_of_payers_by_state_has_the_published_medians(
    demo_report: Path, demo_summaries: pl.DataFrame
) -> None:
    own = nationally_in_front(demo_summaries, "97028")
    published = {(row["geography"], row["payer"]): row for row in own.iter_rows(named=True)}
    checked = set()
    for row in page_at(demo_report / "97028" / "payers-by-state.html").tables["heat"]:
        place = row.pop("State").split()[0]
        for payer, text in row.items():
            if text:
                cell = published[place, payer]
                small = cell["low_sample"] and cell["payer_kind"] != "benchmark"
                assert text == shown(cell["p50_usd"]) + ("*" if small else "")
                checked.add((place, payer))
    assert checked == set(published)


def test_the_medians_by_tier_are_the_published_ones(demo_report: Path, demo_summaries: pl.DataFrame) -> None:
    here = demo_summaries.filter(billing_code="97026", geography="TX", billing_class="professional")
    published = {
        (row["payer"], tier + (", by services" if row["weighting"] == "services" else "")): row
        for row in here.iter_rows(named=True)
        for tier in (row["taxonomy_tier"].capitalize(),)
        if row["weighting"] == "npi" or (row["weighting"], tier) == ("services", "Billed")
    }
    checked = set()
    for row in page_at(demo_report / "97026" / "TX.html").tables["tiers"]:
        payer = row.pop("Payer")
        for tier, text in row.items():
            if text:
                cell = published[payer, tier]
                assert text == f"{shown(cell['p50_usd'])} {cell['n_npi']:,}{'*' if cell['low_sample'] else ''}"
                checked.add((payer, tier))
    assert checked == {key for key in published if key[0] != "Medicare"}


def billed_market() -> list[dict[str, Any]]:
    """A month with utilization: `billed` is large in the nation, small in Alaska, absent in Alabama."""
    sizes = {
        ("US", "balanced"): 90,
        ("US", "billed"): 40,
        ("AK", "balanced"): 30,
        ("AK", "billed"): 4,
        ("AL", "balanced"): 30,
    }
    rows = [summary("Medicare", place) for place in ("US", "AK", "AL")]
    for (place, tier), n_npi in sizes.items():
        median = 9.0 if tier == "billed" else 7.0
        more = {"taxonomy_tier": tier, "n_npi": n_npi, "low_sample": n_npi < 11}
        for payer in ("Aetna", "Cigna", "All commercial"):
            rows.append(summary(payer, place, (median, median, median, median), **more))
    services = {"taxonomy_tier": "billed", "weighting": "services", "n_npi": 40}
    return [*rows, summary("Aetna", "US", (8.5, 8.5, 8.5, 8.5), **services)]


def test_with_utilization_billed_heads_the_pages_where_it_is_no_small_sample(tmp_path: Path) -> None:
    report = report_of(tmp_path, billed_market())
    pages = {place: page_at(report / "97026" / f"{place}.html") for place in ("US", "AK", "AL")}
    medians = {place: {row["Payer"]: row["P50"] for row in page.tables["figures"]} for place, page in pages.items()}
    assert {place: table["Aetna"] for place, table in medians.items()} == {"US": "9.00", "AK": "7.00", "AL": "7.00"}
    assert "billed tier (providers who billed Medicare for the code or a related one)" in pages["US"].text
    assert "A utilization file is loaded, and the tier is no small sample here (40 providers" in pages["US"].text
    assert "The billed tier is a small sample here (4 providers, 9 contract holders)." in pages["AK"].text
    assert "The billed tier has no provider here." in pages["AL"].text
    first = page_at(report / "index.html")
    assert {row["P50"] for row in first.tables["figures"] if row["Payer"] == "Aetna"} == {"9.00"}
    assert "and the tier is no small sample here" in first.text


def test_a_page_compares_one_tier_alone(tmp_path: Path) -> None:
    report = report_of(tmp_path, billed_market())
    alaska = page_at(report / "97026" / "AK.html")
    assert "It is equal to the national median of $7.00" in alaska.text
    payer = page_at(report / "97026" / "payers" / "aetna.html").tables["figures"]
    assert [(row["State"], row["P50"]) for row in payer] == [("US United States", "9.00"), ("AK Alaska", "9.00")]
    assert {row["taxonomy_tier"] for row in csv_at(report / "97026" / "AK.csv")} == {"balanced", "all"}  # all: Medicare


def test_billed_and_its_services_are_columns_beside_the_other_tiers(tmp_path: Path) -> None:
    tiers = page_at(report_of(tmp_path, billed_market()) / "97026" / "US.html").tables["tiers"]
    assert {"Payer": "Aetna", "Balanced": "7.00 90", "Billed": "9.00 40", "Billed, by services": "8.50 40"} in tiers


def test_without_utilization_the_pages_say_that_there_is_no_billed_tier(tmp_path: Path) -> None:
    report = report_of(tmp_path, published_example())
    for name in ("index", "97026/US", "97026/AK", "97026/payers/cigna"):
        assert "No utilization file is loaded, so there is no billed tier." in page_at(report / f"{name}.html").text


def test_the_pages_turn_in_the_order_of_their_codes(demo_report: Path) -> None:
    order, place = ["US"], demo_report / "97026" / "US.html"
    while following := [a["href"] for a in page_at(place).attributes("a") if a.get("rel") == "next"]:
        place = place.parent / following[0]
        order.append(place.stem)
    assert order[:5] == ["US", "AK", "AL", "AR", "AZ"]
    assert order == ["US", *IN_ORDER]
    assert len(set(order)) == 57
    assert "AK 1 / 50" in page_at(demo_report / "97026" / "AK.html").text
    assert "WY 50 / 50" in page_at(demo_report / "97026" / "WY.html").text
    assert "DC 1 / 6" in page_at(demo_report / "97026" / "DC.html").text


@pytest.mark.slow
def test_every_link_leads_to_a_file(demo_report: Path) -> None:
    for path in demo_report.rglob("*.html"):
        for attributes in page_at(path).attributes("a"):
            target, _, anchor = attributes["href"].partition("#")
            if target.startswith("https://"):  # documents of coverage rules are elsewhere
                continue
            page = path.parent / target if target else path
            assert page.exists(), f"{path}: {target}"
            assert not anchor or f'id="{anchor}"' in page.read_text(), f"{path}: {target}#{anchor}"


def test_the_methodology_page_counts_rows_down_to_what_counts(demo_report: Path, demo_output: Path) -> None:
    page = page_at(demo_report / "methodology.html")
    steps = page.tables["steps"]
    left = int(steps[0]["Rows remaining"].replace(",", ""))
    for step in steps[1:]:
        left -= int((step["Rows excluded"] or "0").replace(",", ""))
        assert int(step["Rows remaining"].replace(",", "")) == left
    entry = json.loads((demo_output / "manifest.json").read_bytes())["months"]["2026-06"]
    assert left == entry["rows_eligible"]
    assert f"{entry['rows']['rates']:,}" in page.text


def test_the_methodology_page_lists_the_files_as_the_quality_table_does(demo_report: Path, demo_output: Path) -> None:
    files = pl.read_parquet(Layout(demo_output).month("quality", DEMO_MONTH) / "files.parquet")
    listed = {row["File"]: row for row in page_at(demo_report / "methodology.html").tables["files"]}
    assert set(listed) == set(files["source"])
    for row in files.iter_rows(named=True):
        own = listed[row["source"]]
        counts = [row[name] for name in ("items_seen", "rows", "rows_eligible")]
        assert [own["Items"], own["Rows"], own["Eligible"]] == [f"{count:,}" for count in counts]


def test_the_methodology_page_has_every_table_to_download(demo_report: Path, demo_output: Path) -> None:
    entry = json.loads((demo_output / "manifest.json").read_bytes())["months"]["2026-06"]
    assert [row["month"] for row in csv_at(demo_report / "months.csv")] == ["2026-06"]
    payers = csv_at(demo_report / "payers.csv")
    assert [row["payer"] for row in payers] == sorted(entry["payers"])
    assert csv_at(demo_report / "refused.csv") == []
    steps = csv_at(demo_report / "rows-read-to-counted.csv")
    assert steps[-1]["rows_remaining"] == str(entry["rows_eligible"])


def test_the_methodology_page_names_what_the_month_was_joined_with(demo_report: Path, demo_output: Path) -> None:
    text = page_at(demo_report / "methodology.html").text
    assert "2026, conversion factor $33.4009" in text
    assert "722 NPIs; made from: npidata_pfile_" in text
    entry = json.loads((demo_output / "manifest.json").read_bytes())["months"]["2026-06"]
    published = entry["published_at"]
    assert f"{published[:10]} {published[11:16]} UTC" in text
    assert published[:19] not in text


def test_each_month_leads_to_its_tables(tmp_path: Path) -> None:
    report = report_of(tmp_path, [summary("Aetna", month=MONTH.replace(month=number)) for number in (4, 5, 6)])
    links = [a["href"] for a in page_at(report / "methodology.html").attributes("a")]
    for month in ("2025-04", "2025-05", "2025-06"):
        link = f"../summaries/period={month}/summaries.parquet"
        assert link in links
        assert pl.read_parquet(report / link).height == 1


def test_the_calculators_csv_is_what_the_command_answers(demo_report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = csv_at(demo_report / "medicare.csv")
    for code, state, units, year in (("97026", "AK", 1, 2025), ("97028", "CA", 3, 2024), ("97026", "NY", 7, 2020)):
        words = ("rvu", code, "--units", units, "--state", state, "--year", year, "--json")
        answer = call(capsys, *words).json_line
        own = [row for row in rows if (row["billing_code"], row["state"], row["year"]) == (code, state, str(year))]
        assert len(own) == len(answer["localities"])
        for row, place in zip(own, answer["localities"], strict=True):
            full, reduced = Decimal(row["amount_usd"]), Decimal(row["therapy_reduced_usd"])
            assert row["locality"] == place["locality"]["locality"]
            assert float(full) == place["amount_usd"]
            assert float(full * units) == place["units_usd"]
            assert float(reduced) == place["therapy_reduced_usd"]
            assert float(full + reduced * (units - 1)) == place["units_reduced_usd"]
            assert float(row["total_rvu"]) == pytest.approx(answer["total_rvu"])


def test_refused_files_and_withheld_payers_are_named_with_their_reasons(tmp_path: Path) -> None:
    quarantined = [{"source": "mrf/cut.json.gz", "reason": "truncated, fetch it again"}]
    report = report_of(tmp_path, published_example(), quarantined=quarantined, withheld={"Cigna": "half of its rows"})
    text = page_at(report / "methodology.html").text
    assert all(word in text for word in ("mrf/cut.json.gz", "truncated, fetch it again", "Cigna", "half of its rows"))
    assert [row["what"] for row in csv_at(report / "refused.csv")] == ["file", "payer"]


def test_shortened_lists_say_how_many_more_there_are_and_whole_ones_do_not(tmp_path: Path) -> None:
    for beyond in (0, 3):
        folder = tmp_path / str(beyond)
        dead = {f"https://example.com/{n:03}.json": "not found" for n in range(MOST_FILES + beyond)}
        write_output(folder, published_example(), unresolved_locations=dead)
        quality = folder / "quality" / f"period={MONTH:%Y-%m}"
        files = [file_row(source=f"mrf/{n:03}.json", source_id=str(n)) for n in range(MOST_FILES + beyond)]
        names = [(MONTH, "reporting_entity", f"Plan {n:02}", 1) for n in range(MOST_NAMES + beyond)]
        pl.DataFrame(files, schema=FILES.polars).write_parquet(quality / "files.parquet")
        pl.DataFrame(names, schema=UNMAPPED.polars, orient="row").write_parquet(quality / "unmapped.parquet")
        build_report(Layout(folder))
        text = page_at(folder / "report" / "methodology.html").text
        assert text.count("3 more are in the CSV") == (2 if beyond else 0)  # the names, the references
        assert text.count("; 3 more in the CSV") == (1 if beyond else 0)
        assert len([row for row in csv_at(folder / "report" / "refused.csv") if row["what"] != "file"]) == len(dead)


def test_every_page_says_what_was_withheld_or_refused(tmp_path: Path) -> None:
    report = report_of(
        tmp_path,
        published_example(),
        quarantined=[{"source": "mrf/cut.json.gz", "reason": "truncated"}],
        withheld={"Cigna": "half of its rows", "Zeta": "none left"},
        payers={"Cigna": {}},
    )
    for path in report.rglob("*.html"):
        text = page_at(path).text
        assert "withheld for Cigna; their last good figures are shown" in text, path
        assert "withheld for Zeta; no figures of theirs are shown" in text, path
        assert "1 file was quarantined and excluded" in text, path
    notes = {row["Payer"]: row["Note"] for row in page_at(report / "97026" / "US.html").tables["figures"]}
    assert notes["Cigna"] == "withheld: last good figures"
    assert notes["Aetna"] == ""


def test_the_published_example_yields_pages_that_say_so(tmp_path: Path) -> None:
    report = report_of(tmp_path, published_example())
    national, alaska = page_at(report / "97026" / "US.html"), page_at(report / "97026" / "AK.html")
    rows = {row["Payer"]: row for row in national.tables["figures"]}
    assert (rows["Blue Cross Blue Shield"]["Mean"], rows["BUCA"]["Mean"]) == ("12.48", "8.87")
    payers = ("Blue Cross Blue Shield", "UnitedHealth Group", "Aetna", "Cigna")
    assert [rows[payer]["Dispersion"] for payer in payers] == ["4.50", "5.50", "2.00", "1.00"]
    assert "Every payer's mean is above Medicare's mean of $6.98." in national.text
    rows = {row["Payer"]: row for row in alaska.tables["figures"]}
    blue, united = rows["Blue Cross Blue Shield"], rows["UnitedHealth Group"]
    assert (blue["P25"], blue["P75"], blue["Mean"], blue["Dispersion"]) == ("11.17", "23.67", "18.56", "12.50")
    assert {united[name] for name in ("Mean", "P25", "P50", "P75")} == {"16.00"}
    assert "UnitedHealth Group has a uniform rate: $16.00" in alaska.text
    assert "Aetna and Cigna have national figures but none in this table." in alaska.text


def test_a_place_without_rates_has_a_page_that_says_so(tmp_path: Path) -> None:
    page = page_at(report_of(tmp_path, published_example()) / "97026" / "WY.html")
    assert "No figures here this month." in page.text


def test_a_place_with_other_views_alone_says_so(tmp_path: Path) -> None:
    rows = [summary("Aetna"), summary("Aetna", "WY", taxonomy_tier="all")]
    text = page_at(report_of(tmp_path, rows) / "97026" / "WY.html").text
    assert "No figures here this month in this view; the other views below have some." in text
    assert "In Wyoming, no commercial payer has figures for CPT 97026." in text
    assert "eligible rate here" not in text


def test_a_place_without_rates_says_who_is_elsewhere(tmp_path: Path) -> None:
    page = page_at(report_of(tmp_path, published_example()) / "97026" / "WY.html")
    assert "In Wyoming, no commercial payer has figures for CPT 97026." in page.text


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    rows = [summary(name, place) for name in HOSTILE for place in ("US", "AK")]
    quarantined = [{"source": HOSTILE[0], "reason": HOSTILE[2]}]
    report = report_of(
        tmp_path, rows, quarantined=quarantined, unresolved_locations=dict([HOSTILE[:2]]), withheld=dict([HOSTILE[2:4]])
    )
    for path in report.rglob("*.html"):
        page = page_at(path)
        assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)
        assert not list(page.attributes("img"))
        assert set(page.scripts) <= {"", "map-data", "map-data-97026", "rvu-data"}
        assert not set("\u202e\u2066\u200f") & set(path.read_text(encoding="utf-8")), path
    shown_names = [row["Payer"] for row in page_at(report / "97026" / "AK.html").tables["figures"]]
    assert sorted(shown_names) == sorted(map(show_name, HOSTILE))
    names = [row["payer"] for row in csv.DictReader(io.StringIO((report / "97026" / "AK.csv").read_text("utf-8")))]
    assert not [name for name in names if name.startswith(("=", "+", "-", "@"))]
    assert "'=HYPERLINK(1)" in names


def test_no_published_month_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = call(capsys, "report", "--output", tmp_path, "--json")
    assert ended.code == 2
    assert "no month is published" in ended.json_line["error"]
    assert not (tmp_path / "report").exists()


def test_without_states_the_pages_are_national_and_say_why(tmp_path: Path) -> None:
    rows = [summary("Aetna", taxonomy_tier="all"), summary("Medicare"), summary("Medicare", "AK")]
    report = report_of(tmp_path, rows, nppes=None)
    assert not (report / "97026" / "AK.html").exists()
    assert all("without an NPPES reference" in page_at(path).text for path in report.rglob("*.html"))
    assert [row["Payer"] for row in page_at(report / "97026" / "US.html").tables["figures"]] == ["Aetna", "Medicare"]


def test_several_months_have_a_trend(tmp_path: Path) -> None:
    report = report_of(tmp_path, large_market(["Aetna"], months=3))
    page = page_at(report / "97028" / "AK.html")
    row = next(row for row in page.tables["trend"] if row["Payer"] == "Aetna")
    months = next(row for row in page.tables["months"] if row["Payer"] == "Aetna")
    frames = [pl.read_parquet(path) for path in sorted((tmp_path / "summaries").rglob("*.parquet"))]
    own = in_tier(pl.concat(frames), "balanced").filter(
        (pl.col("payer") == "Aetna") & (pl.col("geography") == "AK") & (pl.col("billing_code") == "97028")
    )
    expected = [shown(value) for value in own.sort("month")["p50_usd"]]
    assert [months[month] for month in ("2025-04", "2025-05", "2025-06")] == expected
    assert (row["2025-05"], row["2025-06"]) == tuple(expected[1:])
    assert Decimal(row["Change from prior month"]) == Decimal(expected[2]) - Decimal(expected[1])
    assert (report / "97028" / "AK-trend.csv").exists()


def test_a_payer_that_is_new_this_month_has_a_gap_before(tmp_path: Path) -> None:
    earlier = [summary("Aetna", month=MONTH.replace(month=5))]
    report = report_of(tmp_path, [*earlier, summary("Aetna"), summary("Cigna")])
    rows = {row["Payer"]: row for row in page_at(report / "97026" / "US.html").tables["trend"]}
    assert (rows["Cigna"]["2025-05"], rows["Cigna"]["2025-06"]) == ("", "7.00")
    assert (rows["Cigna"]["Change from prior month"], rows["Aetna"]["Change from prior month"]) == ("", "0.00")


def test_a_report_that_fails_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = report_of(tmp_path, published_example())
    before = {path: path.read_bytes() for path in report.rglob("*.html")}

    def fail(*_: object) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr(flows.report.report, "methodology_files", fail)
    with pytest.raises(RuntimeError):
        build_report(Layout(tmp_path))
    assert {path: path.read_bytes() for path in report.rglob("*.html")} == before
    assert not list(tmp_path.glob(".tmp-*"))


def test_the_same_tables_give_the_same_report(tmp_path: Path) -> None:
    def files(report: Path) -> dict[str, bytes]:
        return {str(path.relative_to(report)): path.read_bytes() for path in report.rglob("*") if path.is_file()}

    first = files(report_of(tmp_path, published_example()))
    assert files(report_of(tmp_path, published_example())) == first


def test_what_can_not_be_written_is_wrong_usage(tmp_path: Path) -> None:
    write_output(tmp_path, published_example())
    (tmp_path / ".staging").write_text("in the way")
    with pytest.raises(UsageError, match="can't write"):
        build_report(Layout(tmp_path))


def test_the_command_says_what_it_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_output(tmp_path, published_example())
    ended = call(capsys, "report", "--output", tmp_path, "--json")
    assert ended.code == 0
    line = ended.json_line
    assert Path(line["report"]).is_file()
    assert (line["month"], line["codes"], line["with_states"]) == ("2025-06", ["97026"], True)
    assert call(capsys, "report", "--output", tmp_path).out.startswith("report")


def test_no_page_asks_for_anything_and_state_pages_are_small(demo_report: Path) -> None:
    for path in demo_report.rglob("*.html"):
        text = re.sub('<a href="https://[^"]*"', "", path.read_text(encoding="utf-8"))
        assert "default-src 'none'" in unescape(text)
        assert "http://" not in text
        assert "https://" not in text
        assert path.stat().st_size < 300_000

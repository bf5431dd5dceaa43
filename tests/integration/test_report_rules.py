"""Coverage rules in the report: what each page says of its place, what changed, and what it does not show."""

import csv
import io
import shutil
from pathlib import Path

import pytest

from flows.report.report import build_report
from flows.storage.layout import Layout
from schemas.codes import BUCA, GEOGRAPHIES
from tests.coverage_files import AMA, ARTICLES, LCDS, MUE_ROWS, NCDS, POLICIES, POLICY_HEADER, PTP_ROWS, ncd
from tests.html_tables import page_at, read_page
from tests.report_market import HOSTILE, large_market, summary, twelve_payers, write_output
from tests.report_rules import EARLIER, LATER, large_editions, load_rules, publish_editions, publish_rules

PAYERS = (*BUCA, "Medicare")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two editions: a diagnosis more, an article less, another stance, two edits more, another unit limit."""
    output = tmp_path_factory.mktemp("market")
    codes = ("97026", "97028")
    rows = [summary(payer, place, billing_code=code) for payer in PAYERS for place in ("US", "AK") for code in codes]
    write_output(output, rows)
    load_rules(output / "made", EARLIER)
    later = ARTICLES | {
        "article": ARTICLES["article"][:3],
        "article_x_icd10_covered": [*ARTICLES["article_x_icd10_covered"], ("52369", "17", "M54.59", "2025", "1", AMA)],
    }
    load_rules(
        output / "made",
        LATER,
        {"ncd": NCDS, "current_lcd": LCDS, "current_article": later},
        [*(line.replace("not_covered", "restricted") for line in POLICIES), "UnitedHealthcare,97026,NY,,Lamps,,"],
        [
            *PTP_ROWS,
            ("97026", "97035", "", "20250401", "*", "0", "Misuse"),
            ("97150", "97026", "", "20250401", "*", "1", ""),
        ],
        [("97026", "3", *MUE_ROWS[0][2:])],
    )
    publish_rules(output, output / "made" / "editions")
    shutil.rmtree(output / "made")  # the report is made of published tables alone
    build_report(Layout(output))
    return output / "report"


def rules_at(path: Path) -> str:
    """The section's text, in one line."""
    text = path.read_text(encoding="utf-8").split('aria-labelledby="rules"')[1].split("</section>")[0]
    return " ".join(read_page(f"<p {text}").text.split())


def test_the_national_page_has_every_document_by_authority_and_state(market: Path) -> None:
    text = rules_at(market / "97026" / "US.html")
    assert "1 NCD, 1 LCD, 1 article, 1 unit limit and 2 payer policies concern CPT 97026." in text
    assert "NCD 270.6, version 1Infrared Therapy DevicesCMS: all statessince 2006-10-24Not covered, for what" in text
    assert "LCD L33631, version 40Outpatient therapyLantern MAC: AK, MPsince 2024-04-01Articles (1): A52369" in text
    for place in ("Harbor MAC, Inc.: NY", "Lantern MAC: AK, MP"):
        assert f"Article A52369, version 17Infrared & heat: détails{place}since 2025-01-01" in text
    assert "Covering diagnoses (3): M54.50, M54.51 and M54.59. Diagnoses that are not covering (1): E11.42" in text
    addresses = [each["href"] for each in page_at(market / "97026" / "US.html").attributes("a")]
    assert "https://www.cms.gov/medicare-coverage-database/view/article.aspx?articleid=52369&ver=17" in addresses


def test_the_first_page_says_how_many_rules_there_are_and_what_changed(market: Path) -> None:
    page = page_at(market / "index.html")
    assert "With the latest editions, 3 of them changed and the edits with 2 codes changed." in page.text
    assert "97026/US.html#rules" in [each["href"] for each in page.attributes("a")]


def test_a_states_page_has_the_documents_of_its_contractor_and_the_national_ones_alone(market: Path) -> None:
    alaska, new_york, texas = (rules_at(market / "97026" / f"{place}.html") for place in ("AK", "NY", "TX"))
    assert all("NCD 270.6" in text and "At most 3 units a day" in text and "Aetna" in text for text in (alaska, texas))
    assert ("Lantern MAC: AK" in alaska, "Harbor MAC" in alaska, "L33631" in alaska) == (True, False, True)
    assert ("Lantern MAC" in new_york, "Harbor MAC, Inc.: NY" in new_york) == (False, True)
    assert not any(name in texas for name in ("Lantern MAC", "Harbor MAC", "UnitedHealthcare", "A52369"))
    assert "UnitedHealthcare: NY" in new_york
    assert "Cigna: AK" in rules_at(market / "97028" / "AK.html")
    assert "Cigna" not in rules_at(market / "97028" / "TX.html")


def test_a_page_says_what_the_latest_edition_changed(market: Path) -> None:
    alaska = rules_at(market / "97026" / "AK.html")
    assert "With the latest editions, 3 of them changed and the edits with 2 codes changed." in alaska
    assert "Latest edition, 2025-06-15: covering diagnoses added (1): M54.59" in alaska
    assert "Latest edition, 2025-06-15: unit limit changed from 1 to 3" in alaska
    assert "Latest edition, 2025-06-15: stance changed from not covered to restricted" in alaska
    assert "none since 2025-06-01" in alaska
    assert "With the latest edition: new: 97035 and 97150" in alaska
    other = rules_at(market / "97028" / "AK.html")
    assert "Article A52372, version 3 (Lantern MAC, AK): withdrawn, 2025-06-15" in other
    assert "Editions: 2025-06-15, the latest of 2: NCD, LCD, article, PTP edit, unit limit and payer policy." in alaska


def test_bundling_partners_are_codes_with_dates_and_modifier_indicator(market: Path) -> None:
    text = rules_at(market / "97026" / "TX.html")
    assert (
        "1 code, not paid beside 97026 (modifier indicator 0: no modifier allows both) since 2025-04-01: 97035" in text
    )
    assert (
        "1 code, not paid beside 97026 (modifier indicator 1: a modifier can allow both) since 2020-01-01: 97028"
        in text
    )
    reverse = "1 code, 97026 is not paid beside them (modifier indicator 1: a modifier can allow both)"
    assert f"{reverse} since 2025-04-01: 97150" in text
    assert "0001A" not in text  # deleted in 2023


def test_a_sentence_that_a_document_contradicts_is_not_shown(market: Path) -> None:
    text = page_at(market / "97026" / "TX.html").text
    assert "one unit a session" not in text
    assert "Status R in the fee schedule" not in text
    assert "not covered for peripheral sensory neuropathy" in text
    assert "2 entries are left out here, because a rule in force above says otherwise." in text
    assert "reviewed 2026-11-21" in text and "Documentation checklist" in text


def test_a_payers_page_has_its_policies_under_any_of_its_names(market: Path) -> None:
    text = rules_at(market / "97026" / "payers" / "unitedhealth-group.html")
    assert "Coverage policies" in text and "LampsNYno dates statedstates no stancenone since 2025-06-15" in text
    assert "Infrared therapyall statessince 2025-03-01Covered with restrictions" in rules_at(
        market / "97026" / "payers" / "aetna.html"
    )
    assert 'aria-labelledby="rules"' not in (market / "97026" / "payers" / "medicare.html").read_text(encoding="utf-8")


def test_the_csv_has_every_rule_of_the_code(market: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((market / "97026" / "rules.csv").read_text(encoding="utf-8"))))
    assert {row["kind"] for row in rows} == {"ncd", "lcd", "article", "ncci_ptp", "mue", "payer_policy"}
    assert {row["billing_code"] for row in rows} == {"97026"}
    assert [row["changes"] for row in rows if row["kind"] == "mue"] == ["unit_limit: 1 -> 3"]
    for page in ("US", "AK"):
        links = [each["href"] for each in page_at(market / "97026" / f"{page}.html").attributes("a")]
        assert "rules.csv" in links and "../../coverage/period=2025-06/coverage.parquet" in links


def test_no_description_of_a_code_is_in_any_file(market: Path) -> None:
    files = [path for path in market.rglob("*") if path.is_file()]
    assert len(files) > 100
    assert [path for path in files if AMA in path.read_text(encoding="utf-8")] == []


def test_the_methodology_page_names_the_editions(market: Path) -> None:
    text = " ".join(page_at(market / "methodology.html").text.split())
    assert "Coverage rulesarticle 2025-06-01 (a file); article 2025-06-15 (a file); lcd 2025-06-01" in text


def test_without_coverage_a_page_says_which_command_loads_it(tmp_path: Path) -> None:
    build_report(Layout(write_output(tmp_path, [summary("Aetna", place) for place in ("US", "AK")])))
    text = rules_at(tmp_path / "report" / "97026" / "AK.html")
    assert "No coverage rules are published for 2025-06. tic-rates reference coverage FILE... loads" in text
    assert "tic-rates reference ncci FILE..." in text
    assert not (tmp_path / "report" / "97026" / "rules.csv").exists()


def test_markup_of_documents_and_policies_stays_text(tmp_path: Path) -> None:
    write_output(tmp_path, [summary("Aetna", place) for place in ("US", "AK")])
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(POLICY_HEADER.split(","))
    for name in HOSTILE:
        writer.writerow(
            [name, "97026", "AK", "", f"</td></table>{name}", 'https://example.org/"><script>a</script>', ""]
        )
    title = "&lt;img src=x onerror=alert(1)&gt; <b>RULE</b>"
    tables = {"ncd": NCDS | {"ncd_trkg": [ncd("306", "1", "3", "270.6", title, "2006-10-24")]}}
    load_rules(tmp_path / "made", EARLIER, tables, text.getvalue().splitlines())
    publish_rules(tmp_path, tmp_path / "made" / "editions")
    build_report(Layout(tmp_path))
    for path in (tmp_path / "report").rglob("*.html"):
        page = page_at(path)
        assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)
        assert not [tag for tag, _ in page.elements if tag in ("img", "b")]
        assert set(page.scripts) <= {"", "map-data", "map-data-97026", "rvu-data"}
        for link in page.attributes("a"):
            assert ":" not in link["href"] or link["href"].startswith("https://"), link
    assert "<img src=x onerror=alert(1)> <b>RULE</b>" in page_at(tmp_path / "report" / "97026" / "US.html").text


@pytest.mark.slow
def test_pages_stay_small_with_ten_editions_thousands_of_partners_and_hundreds_of_diagnoses(tmp_path: Path) -> None:
    write_output(tmp_path, large_market(twelve_payers(), months=1))
    publish_editions(tmp_path, large_editions(10))
    told = build_report(Layout(tmp_path))
    assert told["largest_page_bytes"] < 300_000
    assert told["codes"] == ["97026", "97028"]
    text = rules_at(tmp_path / "report" / "97026" / "US.html")
    assert "96 LCDs, 96 articles and 2,240 payer policies concern CPT 97026." in text
    assert "NCCI bundles it with 3,450 other codes" in text
    assert "more are in the CSV" in text
    assert len(list((tmp_path / "report" / "97026").glob("[A-Z][A-Z].html"))) == len(GEOGRAPHIES) + 1

"""The report in a real browser, from disk: nothing asked for, nothing complained of, and everything works."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.report.report import build_report
from flows.storage.layout import Layout
from schemas.geographies import IN_ORDER
from tests.browser import Browser, needs_chromium, open_browser
from tests.coverage_files import MUE_ROWS, POLICIES, PTP_ROWS
from tests.effort import usually
from tests.html_tables import read_page
from tests.report_market import HOSTILE, published_example, summary, write_output
from tests.report_rules import EARLIER, LATER, load_rules, publish_rules
from transforms.cms.medicare import MedicareReference, price_service

pytestmark = [needs_chromium, pytest.mark.slow]
AXE = os.environ.get("TIC_RATES_AXE", "")  # axe.min.js of npm's axe-core
YEARS = MedicareReference.packaged().years[-usually(1, 99) :]
DARK = [{"name": "prefers-color-scheme", "value": "dark"}]
ROWS = "Array.from(document.querySelectorAll('#rvu-rows tr'), r => Array.from(r.cells, c => c.textContent))"
TILES = (
    "Array.from(document.querySelectorAll('.tiles a'), a => [a.dataset.code, a.querySelector('.figure').textContent])"
)
PAGES = (
    *("index", "calculator", "methodology", "97026/US", "97026/AK"),
    *("97026/payers/cigna", "97026/payers-by-state", "97026/derivations/cigna", "97026/derivations/medicare"),
)
CLIPPED = (  # tables of figures wider than the box that scrolls them, by caption
    "Array.from(document.querySelectorAll('.scroll')).filter(box => box.querySelector('.figures, .networks'))"
    ".filter(box => box.scrollWidth > box.clientWidth).map(box => box.ariaLabel)"
)
SCROLLED_RULES = (  # tables of coverage rules wider than their box
    "Array.from(document.querySelectorAll('.scroll')).filter(box => box.querySelector('.rules'))"
    ".filter(box => box.scrollWidth > box.clientWidth)"
)
TILES_WHOLE = "Array.from(document.querySelectorAll('.tiles a'), a => [a.className, a.textContent])"


def kinds_of_pages(report: Path) -> list[Path]:
    """A page of each kind, a practice's among them."""
    found = [*(report / f"{name}.html" for name in PAGES), *report.glob("practices/*/*.html")]
    assert len(found) > len(PAGES)
    return found


@pytest.fixture(scope="module")
def report(demo_output: Path) -> Path:
    build_report(Layout(demo_output))
    return demo_output / "report"


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pages with coverage rules: the national one, a state's, a payer's."""
    output = write_output(tmp_path_factory.mktemp("ruled"), published_example())
    load_rules(output / "made", EARLIER)
    title = "Unbroken" * 30
    policies = [*POLICIES, f"Aetna,97026,AK,,{title},https://example.org/{title},covered", f"{title},97026,AK,,x,,"]
    load_rules(output / "made", LATER, policies=policies, edits=PTP_ROWS[1:], limits=[("97026", "3", *MUE_ROWS[0][2:])])
    publish_rules(output, output / "made" / "editions")
    build_report(Layout(output))
    return [output / "report" / "97026" / name for name in ("US.html", "AK.html", "payers/aetna.html")]


@pytest.fixture(scope="module")
def running() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def browser(running: Browser) -> Iterator[Browser]:
    """The one browser; after each test, nothing but files was asked for and nothing complained."""
    running.complaints.clear()
    running.requests.clear()
    yield running
    assert running.complaints == []
    assert all(request.startswith("file://") and request.endswith(".html") for request in running.requests)


def test_every_page_opens_without_a_complaint_or_a_request_but_its_own(browser: Browser, report: Path) -> None:
    everything = sorted(report.rglob("*.html"))
    pages = everything[:: usually(8, 1)]
    for page in pages:
        browser.open(page.as_uri())
    assert browser.requests == [page.as_uri() for page in pages]
    assert len(everything) > 120


@pytest.fixture
def resized(browser: Browser) -> Iterator[Callable[[int], None]]:
    """Sets the width of the window; after the test it has its own again."""
    yield browser.resize
    browser.send("Emulation.clearDeviceMetricsOverride")


@pytest.mark.parametrize("width", [360, 820, 1400])
def test_no_page_is_wider_than_its_window(
    browser: Browser, report: Path, ruled: list[Path], width: int, resized: Callable[[int], None]
) -> None:
    resized(width)
    for page in (*kinds_of_pages(report), *ruled):
        browser.open(page.as_uri())
        assert browser.run("document.documentElement.scrollWidth") <= width, page
        assert browser.run(f"{SCROLLED_RULES}.length") == 0, page


@pytest.mark.parametrize("width", [360, 390, 820, 1024, 1200, 1280, 1400, 1920])
def test_a_benchmark_table_is_whole_at_every_width(
    browser: Browser, report: Path, width: int, resized: Callable[[int], None]
) -> None:
    resized(width)
    for name in ("index", "97026/US", "97026/CA", "97028/AK", "97026/payers/cigna"):
        browser.open((report / f"{name}.html").as_uri())
        assert browser.run(CLIPPED) == [], name


def test_table_and_chart_are_side_by_side_where_the_screen_is_wide(
    browser: Browser, report: Path, resized: Callable[[int], None]
) -> None:
    tops = (
        "Array.from(document.querySelector('.beside').children, part => Math.round(part.getBoundingClientRect().top))"
    )
    for width, columns in ((390, 2), (1280, 1)):
        resized(width)
        for name in ("index", "97026/CA"):
            browser.open((report / f"{name}.html").as_uri())
            assert len(set(browser.run(tops))) == columns, (width, name)


def test_the_first_page_has_a_map_of_each_code_that_shows_what_is_chosen(browser: Browser, report: Path) -> None:
    browser.open((report / "index.html").as_uri())
    figures = "Array.from(document.querySelectorAll('.tiles a'), a => a.querySelector('.figure').textContent)"
    before = browser.run(figures)
    browser.choose("#map-measure-97028", 1)
    after = browser.run(figures)
    assert len(before) == 2 * len(IN_ORDER) and all(before)
    assert before[: len(IN_ORDER)] == after[: len(IN_ORDER)]
    assert before[len(IN_ORDER) :] != after[len(IN_ORDER) :]


def test_arrow_keys_turn_the_pages(browser: Browser, report: Path) -> None:
    browser.open((report / "97026" / "AK.html").as_uri())
    for key, expected in (("ArrowRight", "AL"), ("ArrowLeft", "AK"), ("ArrowLeft", "US")):
        browser.press(key)
        browser.wait_for_load()
        assert browser.run("location.pathname").endswith(f"/97026/{expected}.html")


def test_arrow_keys_in_a_control_stay_there(browser: Browser, report: Path) -> None:
    browser.open((report / "97026" / "AK.html").as_uri())
    browser.run("document.querySelector('#rvu-units').focus()")
    browser.press("ArrowRight")
    assert browser.run("location.pathname").endswith("/97026/AK.html")


def test_the_picker_goes_to_the_state(browser: Browser, report: Path) -> None:
    browser.open((report / "97026" / "AK.html").as_uri())
    browser.choose("#go", "TX.html")
    browser.wait_for_load()
    assert browser.run("location.pathname").endswith("/97026/TX.html")


def test_arrow_keys_in_the_picker_only_pick_until_the_button_goes(browser: Browser, report: Path) -> None:
    browser.open((report / "97026" / "AK.html").as_uri())
    browser.run("document.querySelector('#go').focus()")
    browser.press("ArrowDown")
    browser.choose("#go", "AL.html")
    assert browser.run("location.pathname").endswith("/97026/AK.html")
    browser.run("document.querySelector('#go').closest('.go').querySelector('button').click()")
    browser.wait_for_load()
    assert browser.run("location.pathname").endswith("/97026/AL.html")


def test_focus_goes_through_the_page_in_its_order(browser: Browser, report: Path) -> None:
    browser.open((report / "97026" / "AK.html").as_uri())
    places = browser.run(
        "Array.from(document.querySelectorAll('a[href], button, select, input, summary, [tabindex]'))"
        ".filter(e => e.tabIndex >= 0).map(e => [e.tabIndex, e.className])"
    )
    assert {place for place, _ in places} == {0}  # the document's own order
    assert places[0][1] == "skip"
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "skip"


def test_the_map_shows_the_payer_and_measure_chosen(browser: Browser, report: Path) -> None:
    page = report / "97028" / "US.html"
    figures = json.loads(read_page(page.read_text(encoding="utf-8")).scripts["map-data"])
    browser.open(page.as_uri())
    for payer in range(len(figures["payers"])):
        for measure in range(len(figures["measures"])):
            browser.choose("#map-payer", payer)
            browser.choose("#map-measure", measure)
            texts = figures["layers"][payer][measure]["texts"].split("|")
            small = figures["small"][payer]
            expected = [
                [code, texts[at] + ("*" if small[at] == "1" else "")] for at, code in enumerate(figures["codes"])
            ]
            assert browser.run(TILES) == expected
    assert figures["codes"] == list(IN_ORDER)
    assert browser.run("document.querySelector('.tiles a[data-code=AK] .unseen').textContent").startswith(" Alaska")


def test_the_map_before_its_script_is_the_map_after(browser: Browser, report: Path) -> None:
    page = report / "97026" / "AK.html"
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(page.as_uri())
    before = browser.run(TILES_WHOLE)
    browser.send("Emulation.setScriptExecutionDisabled", value=False)
    browser.open(page.as_uri())
    assert browser.run(TILES_WHOLE) == before
    assert len(before) == len(IN_ORDER)


@pytest.mark.parametrize("year", YEARS)
def test_the_calculator_says_what_the_command_says(browser: Browser, report: Path, year: int) -> None:
    reference = MedicareReference.packaged()
    browser.open((report / "calculator.html").as_uri())
    browser.choose("#rvu-year", year)
    for place, state in enumerate(sorted({locality.state for locality in reference.localities(year)})):
        units = 1 + place % 7
        browser.choose("#rvu-state", state)
        browser.choose("#rvu-units", units)
        for code in ("97026", "97028"):
            browser.choose("#rvu-code", code)
            price = price_service(reference, code, units, state, year)
            expected = [
                [
                    f"{state} {one.locality.locality} {one.locality.locality_name}",
                    *map(str, (one.amount_usd, one.units_usd, one.therapy_reduced_usd, one.units_reduced_usd)),
                ]
                for one in price.localities
            ]
            assert browser.run(ROWS) == expected
            said = browser.run("document.querySelector('#rvu-said').textContent")
            assert f"= {price.values.total_rvu} RVUs; conversion factor ${price.conversion_factor};" in said


def test_the_calculator_narrows_to_a_locality_and_refuses_no_units(browser: Browser, report: Path) -> None:
    browser.open((report / "97026" / "CA.html").as_uri())
    everywhere = browser.run(ROWS)
    browser.choose("#rvu-locality", "05")
    assert len(everywhere) > len(browser.run(ROWS)) > 0
    for wrong in ("0", "", "1.5", "1000001", "-1"):
        browser.choose("#rvu-units", wrong)
        assert browser.run(ROWS) == []
        assert browser.run("document.querySelector('#rvu-units').getAttribute('aria-invalid')") == "true"


def test_hostile_names_run_nothing(browser: Browser, tmp_path: Path) -> None:
    rows = [summary(name, place) for name in HOSTILE for place in ("US", "AK")]
    build_report(Layout(write_output(tmp_path, rows)))
    folder = tmp_path / "report"
    own = [folder / "97026" / "US.html", *(folder / "97026" / "payers").glob("*.html"), *folder.glob("*.html")]
    browser.send("Emulation.setDeviceMetricsOverride", width=360, height=800, deviceScaleFactor=1, mobile=False)
    for page in sorted(own):
        browser.open(page.as_uri())
        assert browser.run("document.documentElement.scrollWidth") <= 360, page
        assert browser.run("document.querySelectorAll('img, body script:not([id])').length") == 1
    browser.open((tmp_path / "report" / "97026" / "AK.html").as_uri())
    for payer in range(len(HOSTILE)):
        browser.choose("#map-payer", payer)
    assert browser.run("document.querySelectorAll('img').length") == 0
    browser.send("Emulation.clearDeviceMetricsOverride")


def test_print_opens_the_sources_and_leaves_controls_and_other_views_out(browser: Browser, report: Path) -> None:
    browser.open((report / "97026" / "AK.html").as_uri())
    browser.send("Emulation.setEmulatedMedia", media="print")
    assert browser.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.run("getComputedStyle(document.querySelector('table.others').closest('section')).display") == "none"
    sources = "document.querySelector('section[aria-labelledby=coding] details ul')"
    assert browser.run(f"{sources}.getBoundingClientRect().height") > 50
    paper = browser.run("getComputedStyle(document.documentElement).getPropertyValue('--s0')")
    browser.send("Emulation.setEmulatedMedia", media="print", features=DARK)
    assert browser.run("getComputedStyle(document.documentElement).getPropertyValue('--s0')") == paper
    browser.send("Emulation.setEmulatedMedia", media="", features=[])


@pytest.mark.skipif(not AXE, reason="TIC_RATES_AXE names no axe.min.js (npm: axe-core)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, report: Path, ruled: list[Path], scheme: str) -> None:
    browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    for page in (*kinds_of_pages(report), *ruled):
        browser.open(page.as_uri())
        browser.run(Path(AXE).read_text(encoding="utf-8") + "; null")
        found = json.loads(browser.run("axe.run().then(found => JSON.stringify(found.violations))"))
        serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
        assert serious == [], page

"""Screenshots of the demo's report for README.md, by headless Chromium."""

import base64
import subprocess
import tempfile
from pathlib import Path

from tests.browser import Browser, open_browser
from tests.docs.generate import PROGRAM
from tests.shared_files import REPOSITORY

IMAGES = REPOSITORY / "docs" / "images"
WIDTH = 1366
PICTURES = {  # file: page of the report, first and last heading shown
    "report-page.png": ("97028/CA.html", None, "Ranges"),
    "national-table.png": ("97028/US.html", "Benchmarks", "Benchmarks"),
}


def take_pictures() -> None:
    """Run the demo in a temporary folder and write ``PICTURES``."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        subprocess.run([PROGRAM, "demo", "--output", folder], check=True, stdout=subprocess.DEVNULL)
        for name, (page, first, last) in PICTURES.items():
            browser.open((Path(folder) / "report" / page).as_uri())
            (IMAGES / name).write_bytes(_photograph(browser, first, last))


def _photograph(browser: Browser, first: str | None, last: str) -> bytes:
    """PNG of the page from the panel under one heading (none: the top) to the end of the panel under another."""
    browser.resize(WIDTH)
    top = 0.0 if first is None else _panel(browser, first)["top"]
    bottom = _panel(browser, last)["bottom"]
    clip = {"x": 0, "y": top, "width": WIDTH, "height": bottom - top + 8, "scale": 0.7}
    answer = browser.send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
    return base64.b64decode(answer["data"])


def _panel(browser: Browser, heading: str) -> dict[str, float]:
    """Where the section with a heading lies in the page."""
    found: dict[str, float] = browser.run(
        f"(() => {{ const h = [...document.querySelectorAll('h2')].find(h => h.textContent.trim() === '{heading}');"
        "const box = h.closest('section').getBoundingClientRect();"
        "return {top: box.top + scrollY, bottom: box.bottom + scrollY}; })()"
    )
    return found

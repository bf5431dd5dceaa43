"""Editions of coverage rules fetched from addresses: only when one of a group changed, and whole."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.settings.values import EditionAddresses, Fetching
from flows.storage.layout import Layout
from flows.tables.coverage_editions import find_editions
from flows.tables.edition_downloads import fetch_editions
from tests.coverage_files import ARTICLES, CODES, LCDS, PTP_ROWS, ptp_text, write_export
from tests.http_server import Server, serve

FILES = ("current_lcd.zip", "current_article.zip", "2026q4-ccipra-v323r0-f1.txt")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout.at(tmp_path / "output", "")
    found.prepare()
    return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    exports = [write_export(tmp_path / name, own) for name, own in zip(FILES, (LCDS, ARTICLES), strict=False)]
    pages = {f"/{path.name}": path.read_bytes() for path in exports} | {f"/{FILES[2]}": ptp_text()}
    with serve(pages) as started:
        yield started


def fetch(server: Server, layout: Layout, codes: tuple[str, ...] = CODES) -> list[tuple[str, str]]:
    lcd, article, edits = (f"{server.url}/{name}" for name in FILES)
    return fetch_editions(EditionAddresses((lcd, article), (edits,)), layout, codes, Fetching(attempts=1))


def loaded(layout: Layout) -> list[str]:
    return [f"{each.kind} {each.date}: {', '.join(each.made_from)}" for each in find_editions(layout.coverage)]


def test_editions_are_loaded_once_and_again_when_a_file_of_the_group_changed(server: Server, layout: Layout) -> None:
    assert fetch(server, layout) == []
    assert loaded(layout) == [
        "article 2026-09-28: current_article.zip",
        "lcd 2026-09-28: current_lcd.zip",
        "ncci_ptp 2026-10-01: 2026q4-ccipra-v323r0-f1.txt",
    ]
    written = {each.path: each.path.stat().st_mtime_ns for each in find_editions(layout.coverage)}
    server.forget()
    assert fetch(server, layout) == []
    assert not any(server.body_bytes.values())
    assert {path: path.stat().st_mtime_ns for path in written} == written
    server.change(f"/{FILES[2]}", body=ptp_text(PTP_ROWS[:1]))
    assert fetch(server, layout) == []
    changed = {path.parent.name for path in written if path.stat().st_mtime_ns != written[path]}
    assert changed == {"ncci_ptp"}
    assert find_editions(layout.coverage)[2].read().rows.height == 2


def test_a_server_without_validators_costs_a_download_and_no_edition(server: Server, layout: Layout) -> None:
    for name in FILES:
        server.change(f"/{name}", etag=None, last_modified=None)
    fetch(server, layout)
    written = {each.path: each.path.stat().st_mtime_ns for each in find_editions(layout.coverage)}
    assert fetch(server, layout) == []
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_other_codes_load_the_same_files_again(server: Server, layout: Layout) -> None:
    fetch(server, layout, CODES[:1])
    fetch(server, layout)
    assert {each.codes for each in find_editions(layout.coverage)} == {CODES}


def test_a_group_that_fails_leaves_the_loaded_editions_and_the_other_group(server: Server, layout: Layout) -> None:
    server.change(f"/{FILES[1]}", body=b"<html>not there</html>")
    ((names, reason),) = fetch(server, layout)
    assert FILES[0] in names and FILES[1] in names
    assert "no column headed 'PAYER'" in reason
    assert [each.kind for each in find_editions(layout.coverage)] == ["ncci_ptp"]


def test_an_address_without_a_file_name_is_fetched(tmp_path: Path, layout: Layout) -> None:
    export = write_export(tmp_path / FILES[1], ARTICLES).read_bytes()
    with serve({"/": export}) as server:
        assert fetch_editions(EditionAddresses((f"{server.url}/",)), layout, CODES, Fetching(attempts=1)) == []
    assert loaded(layout) == ["article 2026-09-28: download"]


def test_files_on_disk_are_loaded_when_they_changed(tmp_path: Path, layout: Layout) -> None:
    path = tmp_path / FILES[2]
    addresses = EditionAddresses(ncci=(str(path),))
    assert "can't be opened" in fetch_editions(addresses, layout, CODES, Fetching())[0][1]
    for rows, height in ((PTP_ROWS, 4), (PTP_ROWS, 4), (PTP_ROWS[:1], 2)):
        path.write_bytes(ptp_text(rows))
        assert fetch_editions(addresses, layout, CODES, Fetching()) == []
        assert find_editions(layout.coverage)[0].read().rows.height == height

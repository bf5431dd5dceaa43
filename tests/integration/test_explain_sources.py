"""`tic-rates explain` where sources and caches are elsewhere, have changed, or are gone."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.explain import show_bytes
from tests.command_line import call
from tests.containers import gzipped, zipped
from tests.documents import ANN, BOB, document, group, item, price, rate, reference
from tests.http_server import serve
from tests.json_text import json_bytes
from tests.nppes_files import npidata, record

Capture = pytest.CaptureFixture[str]
CELL = ("--code", "97026", "--payer", "Acme Health Plan")
CITING = item(rate(prices=[price(negotiated_rate=8.0)], provider_references=[7]))


def run(capsys: Capture, folder: Path, *sources: object, month: str = "2026-06", **cache: str) -> None:
    nppes = folder / "npidata.csv"
    nppes.write_bytes(npidata(*(record(npi, "CA", "225100000X") for npi in (ANN, BOB))))
    words = ("--month", month, "--nppes", nppes, "--output", folder / "output")
    assert call(capsys, "run", *sources, *words).code in (0, 3)


def explained(capsys: Capture, folder: Path, *words: object) -> dict[str, Any]:
    line: dict[str, Any] = call(capsys, "explain", *CELL, *words, "--output", folder / "output", "--json").json_line
    return line


def remote_document(url: str) -> bytes:
    return json_bytes(document(CITING, references=[{"provider_group_id": 7, "location": f"{url}/g.json"}]))


def groups(*npis: int) -> bytes:
    return json_bytes({"provider_groups": [group(*npis)]})


def test_a_remote_reference_has_the_sha256_of_what_was_published(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of what a later month's run found at the same address."""
    monkeypatch.setenv("TIC_RATES_HTTP_ALLOW_PRIVATE", "true")
    with serve({"/g.json": groups(ANN)}) as server:
        path = tmp_path / "rates.json"
        path.write_bytes(remote_document(server.url))
        run(capsys, tmp_path, path, month="2026-06")
        server.change("/g.json", body=groups(ANN, BOB))
        run(capsys, tmp_path, path, month="2026-07")
    for month, content in (("2026-06", groups(ANN)), ("2026-07", groups(ANN, BOB))):
        rows = explained(capsys, tmp_path, "--month", month)["rates"]
        places = [place for row in rows for place in row["statements"]]
        assert {place["location_sha256"] for place in places} == {hashlib.sha256(content).hexdigest()}
        assert {place["location"] for place in places} == {f"{server.url}/g.json"}
    words = (*CELL, "--month", "2026-06", "--output", tmp_path / "output")
    out = call(capsys, "explain", *words).out
    assert "(sha256" in out[out.index("Rate rows, eligible") :]


def test_extracts_in_an_object_store_are_fetched(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine-0"))
    monkeypatch.setenv("TIC_RATES_CACHE", f"file://{tmp_path}/store")
    monkeypatch.setenv("TIC_RATES_HTTP_ALLOW_PRIVATE", "true")
    with serve({"/g.json": groups(ANN)}) as server:
        path = tmp_path / "rates.json"
        path.write_bytes(remote_document(server.url))
        run(capsys, tmp_path, path)
    before = explained(capsys, tmp_path)
    shutil.rmtree(tmp_path / "machine-0")
    assert explained(capsys, tmp_path) == before
    (place,) = before["rates"][0]["statements"]
    assert place["location_sha256"] == hashlib.sha256(groups(ANN)).hexdigest()
    assert {file["offsets"] for file in before["files"]} == {"known"}


OTHER = item(rate(group(BOB), prices=[price(negotiated_rate=8.0)]))
PLAIN = json_bytes(document(OTHER, CITING, references=[reference(7, group(ANN))]))
MANY = zipped({"README.txt": b"Read me.", "a.json": json_bytes(document(item(rate(group(BOB))))), "b.json": PLAIN})


@pytest.mark.parametrize("published", [PLAIN, gzipped(PLAIN), MANY], ids=["plain", "gzip", "zip"])
def test_shown_bytes_are_those_of_item_price_and_reference(published: bytes, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "rates"
    path.write_bytes(published)
    run(capsys, tmp_path, path)
    (shown,) = explained(capsys, tmp_path, "--npi", ANN, "--show")["shown"][-1:]
    assert shown["item"].startswith('{"negotiation_arrangement"')
    assert '"negotiated_rate":8.0' in shown["price"].replace(" ", "")
    assert shown["reference"].startswith('{"provider_group_id"')
    assert str(ANN) in shown["group"]
    path.write_bytes(published + b"\n")
    (shown,) = explained(capsys, tmp_path, "--npi", ANN, "--show")["shown"][-1:]
    assert "its content has changed" in shown["not_shown"]
    path.unlink()
    (shown,) = explained(capsys, tmp_path, "--npi", ANN, "--show")["shown"][-1:]
    assert "not found from this folder" in shown["not_shown"]
    assert hashlib.sha256(published).hexdigest() in shown["not_shown"]
    assert "item" not in shown


def test_a_large_item_is_shown_in_part(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rates.json"
    prices = [price(negotiated_rate=8.0 + number / 1000) for number in range(2000)]
    path.write_bytes(json_bytes(document(item(rate(group(ANN), prices=prices)))))
    run(capsys, tmp_path, path)
    monkeypatch.setattr(show_bytes, "SEARCHED_BYTES", 20_000)
    for shown in explained(capsys, tmp_path, "--show")["shown"]:
        assert "... more than 18,800 bytes more" in shown["item"]
        assert shown["price"] == "not among the first bytes of the item"


def test_the_price_shown_is_the_rates_own(tmp_path: Path, capsys: Capture) -> None:
    """Two elements of an item have the same price for other providers, and one price twice with other modifiers."""
    twice = [price(negotiated_rate=8.0, billing_code_modifier=[modifier]) for modifier in ("GO", "GP")]
    path = tmp_path / "rates.json"
    data = json_bytes(document(item(rate(group(BOB), prices=twice), rate(group(ANN), prices=twice))))
    path.write_bytes(data)
    run(capsys, tmp_path, path)
    line = explained(capsys, tmp_path, "--npi", ANN, "--show")
    for row, shown in zip(line["rates"], line["shown"], strict=True):
        at = int(shown["price"].split()[2].replace(",", "")) + shown["item_offset"]
        assert data[at:].startswith(b'{"negotiated_type"')
        assert at > data.index(str(ANN).encode())
        assert f'"{row["modifiers"][0]}"'.encode() in data[at : data.index(b"}", at)]

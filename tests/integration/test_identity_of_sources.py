"""Addresses that differ in their query alone are as many files; nothing of the query is written anywhere."""

from pathlib import Path

import polars as pl
import pytest

from tests.command_line import Ended, call, files_with
from tests.documents import ANN, document, group, item, price, rate
from tests.http_server import Page, Server, serve
from tests.json_text import json_bytes

Capture = pytest.CaptureFixture[str]
PAYERS = {"a-c4n4ry": "Aetna Life Insurance Company", "b-c4n4ry": "Cigna Health and Life Insurance Company"}


def body(entity: str, usd: float = 20.0) -> bytes:
    return json_bytes(
        document(item(rate(group(ANN), prices=[price(negotiated_rate=usd)])), reporting_entity_name=entity)
    )


def pages() -> dict[str, Page | bytes]:
    """As a server without ETags has them: the same length, the same time."""
    longest = max(len(body(entity)) for entity in PAYERS.values())
    return {f"/rates?f={key}": Page(body(entity).ljust(longest), etag=None) for key, entity in PAYERS.items()}


def entities(output: Path, month: str = "2026-06") -> set[str]:
    found = pl.read_parquet(output / "rates" / f"*={month}" / "**" / "*.parquet", hive_partitioning=False)
    return set(found["reporting_entity_name"])


@pytest.mark.parametrize("workers", [1, 2])
def test_two_queries_are_two_sources(workers: int, tmp_path: Path, capsys: Capture) -> None:
    with serve(pages()) as server:
        urls = [f"{server.url}/rates?f={key}" for key in PAYERS]
        run = call(capsys, "run", *urls, "--output", tmp_path, "--month", "2026-06", "--workers", workers, "--json")
    assert run.json_line["sources"] == {"matched": 2}
    assert entities(tmp_path) == set(PAYERS.values())
    files = pl.read_parquet(tmp_path / "quality" / "*=2026-06" / "files.parquet", hive_partitioning=False)
    assert files["source"].n_unique() == 2
    assert files_with(tmp_path, "c4n4ry") == []


def test_a_months_file_is_not_answered_by_last_months(tmp_path: Path, capsys: Capture) -> None:
    with serve(pages()) as server:
        for month, (key, entity) in zip(("2026-05", "2026-06"), PAYERS.items(), strict=True):
            call(capsys, "run", f"{server.url}/rates?f={key}", "--output", tmp_path, "--month", month)
            assert entities(tmp_path, month) == {entity}


def nightly(capsys: Capture, place: Path, server: Server) -> Ended:
    config = place / "tic-rates.toml"
    urls = ", ".join(f'"{server.url}/rates?f={key}"' for key in PAYERS)
    config.write_text(f'output = "out"\nworkers = 1\n[[payer]]\nname = "All"\nfiles = [{urls}]\n')
    return call(capsys, "nightly", "--config", config, "--month", "2026-06", "--json")


def test_files_of_the_configuration_differ_by_their_query(tmp_path: Path, capsys: Capture) -> None:
    with serve(pages()) as server:
        assert nightly(capsys, tmp_path, server).json_line["sources"] == {"matched": 2}
        assert entities(tmp_path / "out") == set(PAYERS.values())
        assert nightly(capsys, tmp_path, server).json_line["status"] == "unchanged"
    assert files_with(tmp_path / "out", "c4n4ry") == []


def test_an_index_says_by_their_query_that_two_files_are_two(tmp_path: Path, capsys: Capture) -> None:
    with serve(pages()) as server:
        for path in server.pages:
            server.change(path, etag="auto")
        signed = [f"{server.url}/rates?f={key}&Expires={number}" for key in PAYERS for number in range(3)]
        listed = [{"location": each, "description": "rates"} for each in signed]
        for path in list(server.pages):
            for number in range(3):
                server.pages[f"{path}&Expires={number}"] = server.pages[path]
        server.pages["/index.json"] = Page(json_bytes({"in_network_files": listed}))
        run = call(
            capsys, "run", f"{server.url}/index.json", "--output", tmp_path, "--month", "2026-06", "--json"
        ).json_line
    assert run["sources"] == {"matched": 2, "no_match": 1}
    assert entities(tmp_path) == set(PAYERS.values())
    assert files_with(tmp_path, "c4n4ry") == []

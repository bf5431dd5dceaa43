"""Payers' own indexes, from `inspect` to published tables, against a real server with and without faults."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.command_line import call
from tests.containers import gzipped
from tests.documents import ANN, BOB, document, group, item, price, rate
from tests.http_server import Page, Server, now_and_then, serve
from tests.json_text import json_bytes

Capture = pytest.CaptureFixture[str]
MONTH = ("--month", "2026-11")
FILES = 12


def in_network(number: int) -> bytes:
    prices = [price(negotiated_rate=20 + number / 4)]
    rates = [rate(group(ANN, BOB, tin={"type": "ein", "value": f"{number + 1:09d}"}), prices=prices)]
    return gzipped(json_bytes(document(item(*rates), reporting_entity_name="Acme Health Plan")))


def plans(number: int) -> list[dict[str, str]]:
    """As many as the number says; the market type is wrong, the id type is right."""
    id_type = "EIN" if number % 2 else "HIOS"
    return [
        {"planId": str(n), "planIdType": id_type, "planMarketType": "group", "planName": "p"} for n in range(number)
    ]


def site() -> dict[str, Page | bytes]:
    """Twelve files: five by HealthSparq's index, four by a table of contents that it lists, three by blobs."""
    pages: dict[str, Page | bytes] = {f"/mrf/{n}_in-network.json.gz": in_network(n) for n in range(FILES)}
    entries: list[dict[str, Any]] = [
        {
            "fileSchema": "IN_NETWORK_RATES",
            "filePath": f"{n}_in-network.json.gz",
            "fileName": f"{n}_in-network.json.gz",
            "reportingPlans": plans(n),
        }
        for n in range(5)
    ]
    entries += [
        {"fileSchema": "ALLOWED_AMOUNTS", "filePath": "x.json.gz", "reportingPlans": []},
        {"fileSchema": "TABLE_OF_CONTENTS", "filePath": "toc/acme.json", "reportingPlans": []},
    ]
    listed = [{"location": f"../{n}_in-network.json.gz", "description": "PPO"} for n in range(4, 9)]
    blobs = [
        *({"name": f"{n}_in-network-rates.json.gz", "downloadUrl": f"/mrf/{n}_in-network.json.gz"} for n in (8, 9, 10)),
        {"name": "11_in-network-rates.json.gz", "downloadUrl": "../mrf/11_in-network.json.gz"},
        {"name": "notes.txt", "downloadUrl": "notes.txt"},
    ]
    return pages | {
        "/": b'<html><body><a href="mrf/latest_metadata.json">files</a> <a href="/blobs/">blobs</a></body></html>',
        "/mrf/latest_metadata.json": json_bytes({"files": entries}),
        "/mrf/toc/acme.json": json_bytes({"reporting_structure": [{"in_network_files": listed}]}),
        "/blobs/": json_bytes({"blobs": blobs}),
    }


def rates_of(output: Path) -> pl.DataFrame:
    folder = next(output.glob("rates/*=2026-11"))
    rows = pl.read_parquet(folder / "*" / "*.parquet", hive_partitioning=False)
    return rows.select("tin", "npi", "negotiated_rate").sort(pl.all())


def addresses(server: Server, numbers: Any) -> list[str]:
    return [f"{server.url}/mrf/{n}_in-network.json.gz" for n in numbers]


@pytest.mark.slow
@pytest.mark.parametrize("faulty", [False, True])
def test_a_run_on_a_page_publishes_what_its_files_alone_do(faulty: bool, tmp_path: Path, capsys: Capture) -> None:
    with serve(site()) as server:
        assert call(capsys, "run", *addresses(server, range(FILES)), "--output", tmp_path / "files", *MONTH).code == 0
        if faulty:
            server.fault = now_and_then(3, 0.2, lambda page: replace(page, etag='"again"'))
        ended = call(capsys, "run", server.url + "/", "--output", tmp_path / "page", *MONTH, "--json")
        assert ended.code == 0, ended.err
        assert ended.json_line["sources"] == {"matched": FILES, "no_match": 1}
        assert rates_of(tmp_path / "page").equals(rates_of(tmp_path / "files"))
        assert rates_of(tmp_path / "page").height == 2 * FILES
        assert not faulty or server.faults


def test_a_night_reads_indexes_once_and_as_the_block_chooses(tmp_path: Path, capsys: Capture) -> None:
    config = tmp_path / "tic-rates.toml"
    with serve(site()) as server:
        config.write_text(f"""\
output = "out"
[[payer]]
name = "Acme"
contents = ["{server.url}/mrf/latest_metadata.json"]
plan_id_types = ["ein"]
min_plans = 2
undated = "any"
""")
        night = ("nightly", "--config", config, *MONTH, "--json")
        assert call(capsys, *night).json_line["sources"] == {"matched": 1}
        server.forget()
        assert call(capsys, *night).json_line["status"] == "unchanged"
        assert not any(server.body_bytes.values())
        assert call(capsys, "run", f"{server.url}/mrf/latest_metadata.json", "--plan-id-type", "EIN", "--min-plans", 2,
                    "--output", tmp_path / "run", *MONTH).code == 0  # fmt: skip
    assert rates_of(tmp_path / "run").equals(rates_of(tmp_path / "out"))
    (files,) = (tmp_path / "out").glob("quality/*/files.parquet")
    (row,) = pl.read_parquet(files, hive_partitioning=False).iter_rows(named=True)
    stated = [row[name] for name in ("description", "plans", "plan_market_types", "plan_id_types", "networks")]
    assert stated == ["3_in-network.json.gz", 3, ["group"], ["EIN"], []]


def test_a_night_publishes_what_an_index_newly_says_of_the_same_files(tmp_path: Path, capsys: Capture) -> None:
    config = tmp_path / "tic-rates.toml"
    with serve(site()) as server:
        index = f"{server.url}/mrf/latest_metadata.json"
        config.write_text(f'output = "out"\n[[payer]]\nname = "Acme"\ncontents = ["{index}"]\nundated = "any"\n')
        night = ("nightly", "--config", config, *MONTH, "--json")
        statuses = [call(capsys, *night).json_line["status"] for _ in range(2)]
        names = [f"{n}_in-network.json.gz" for n in range(9)]
        files = [{"fileSchema": "IN_NETWORK_RATES", "filePath": name, "reportingPlans": plans(7)} for name in names]
        server.pages["/mrf/latest_metadata.json"] = Page(json_bytes({"files": files}))
        assert [*statuses, call(capsys, *night).json_line["status"]] == ["published", "unchanged", "published"]
    published = pl.read_parquet(tmp_path / "out" / "quality" / "*" / "files.parquet")
    assert published["plans"].to_list() == [7] * 9


def test_inspect_lists_what_an_index_holds_and_what_is_kept(capsys: Capture) -> None:
    with serve(site()) as server:
        index = f"{server.url}/mrf/latest_metadata.json"
        found = call(capsys, "inspect", index, "--json", "--min-plans", 2, "--exclude", "^.*/3_").json_line
        listed = found["index"]
        assert found["shape"] == "files"
        assert [(file["plans"], file["left_out_by"]) for file in listed["files"]] == [
            (0, "min_plans"), (1, "min_plans"), (2, None), (3, "exclude"), (4, None),
        ]  # fmt: skip
        assert (listed["kept"], listed["left_out"]) == (2, {"min_plans": 2, "exclude": 1})
        assert listed["skipped"] == {"ALLOWED_AMOUNTS": 1}
        assert [each["name"] for each in listed["indexes"]] == [f"{server.url}/mrf/toc/acme.json"]
        assert listed["plan_id_types"] == {"EIN": 2, "HIOS": 2}
        table = call(capsys, "inspect", index, "--plan-id-type", "hios").out
        assert [line.split()[0] for line in table.splitlines() if "_in-network" in line] == ["4", "2"]
        assert "2 of 5 files kept" in table and "not read ALLOWED_AMOUNTS: 1 files" in table
        page = call(capsys, "inspect", server.url + "/", "--json").json_line
        assert (page["shape"], len(page["index"]["indexes"])) == ("page", 2)
        blobs = call(capsys, "inspect", server.url + "/blobs/", "--json").out
        assert blobs.count("_in-network-rates.json.gz") == 4


def test_a_wrong_pattern_is_a_wrong_use(capsys: Capture) -> None:
    ended = call(capsys, "inspect", "x.json", "--include", "(")
    assert ended.code == 2

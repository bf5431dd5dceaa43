"""`tic-rates nightly` and `backfill`: only what changed is read and built; a bad night leaves good tables standing."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from tests.command_line import Ended, call, digests
from tests.documents import ANN, BOB, document, group, item, price, rate
from tests.json_text import json_bytes

Capture = pytest.CaptureFixture[str]
CONFIG = """\
output = "out"

[[payer]]
name = "Aetna"
files = ["mrf/{month}/aetna/*.json"]

[[payer]]
name = "Acme"
files = ["mrf/{month}/acme/*.json"]
"""


def write(folder: Path, month: str, payer: str, rate_usd: float, number: int = 1, **header: Any) -> Path:
    entity = {"aetna": "Aetna Life Insurance Company", "acme": "Acme Health Plan"}[payer]
    rates = rate(group(ANN, BOB), prices=[price(negotiated_rate=rate_usd)])
    path = folder / "mrf" / month / payer / f"{number}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json_bytes(document(item(rates), **({"reporting_entity_name": entity} | header))))
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A configuration of two payers, with files for May and June."""
    (tmp_path / "tic-rates.toml").write_text(CONFIG)
    for month in ("2026-05", "2026-06"):
        write(tmp_path, month, "aetna", 30.0)
        write(tmp_path, month, "aetna", 31.0, 2)
        write(tmp_path, month, "acme", 40.0)
    return tmp_path


def nightly(capsys: Capture, place: Path, *more: str, month: str = "2026-06") -> Ended:
    return call(capsys, "nightly", "--config", place / "tic-rates.toml", "--month", month, "--json", *more)


def backfill(capsys: Capture, place: Path, *more: str) -> Ended:
    span = ("--from", "2026-05", "--to", "2026-06")
    return call(capsys, "backfill", "--config", place / "tic-rates.toml", *span, "--json", *more)


def rates_of(place: Path, month: str = "2026-06") -> dict[str, list[float]]:
    rates = pl.read_parquet(place / "out" / "rates" / f"period={month}" / "*" / "*.parquet", hive_partitioning=False)
    grouped = rates.group_by("payer").agg(pl.col("negotiated_rate").unique().sort())
    return dict(sorted(grouped.iter_rows()))


def stamps(folder: Path, pattern: str) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob(pattern)}


def builds(place: Path) -> dict[str, int]:
    return stamps(place / "out" / ".cache" / "payers", "rates.parquet")


def test_the_first_night_reads_and_publishes_everything(place: Path, capsys: Capture) -> None:
    ended = nightly(capsys, place)
    assert ended.code == 0
    line = ended.json_line
    assert (line["month"], line["status"], line["sources"], line["rows"]) == ("2026-06", "published", {"matched": 3}, 6)
    assert rates_of(place) == {"Acme Health Plan": [40.0], "Aetna": [30.0, 31.0]}


def test_a_night_without_changes_touches_nothing(place: Path, capsys: Capture) -> None:
    nightly(capsys, place)
    before = stamps(place / "out", "*.parquet"), (place / "out" / "manifest.json").read_bytes()
    ended = nightly(capsys, place)
    assert (ended.code, ended.json_line["status"], ended.json_line["sources"]) == (0, "unchanged", {"unchanged": 3})
    assert (stamps(place / "out", "*.parquet"), (place / "out" / "manifest.json").read_bytes()) == before


def test_a_changed_file_is_read_alone_and_its_payer_built_alone(place: Path, capsys: Capture) -> None:
    nightly(capsys, place)
    extracts, built = set((place / "out" / ".cache" / "extracts").iterdir()), builds(place)
    write(place, "2026-06", "acme", 41.5)
    ended = nightly(capsys, place)
    assert (ended.json_line["status"], ended.json_line["sources"]) == ("published", {"unchanged": 2, "matched": 1})
    assert rates_of(place) == {"Acme Health Plan": [41.5], "Aetna": [30.0, 31.0]}
    assert len(set((place / "out" / ".cache" / "extracts").iterdir()) - extracts) == 1
    now = builds(place)
    assert len(now.keys() - built.keys()) == 1, "one payer was built"
    files = pl.read_parquet(place / "out" / "quality" / "period=2026-06" / "files.parquet")
    assert sorted(files["status"].to_list()) == ["matched", "unchanged", "unchanged"]
    assert files["rows"].sum() == 6


def test_tables_after_many_nights_are_those_of_one(place: Path, capsys: Capture, tmp_path: Path) -> None:
    write(place, "2026-06", "acme", 39.0)
    nightly(capsys, place)
    write(place, "2026-06", "acme", 40.0)
    nightly(capsys, place)
    by_nights = digests(place / "out")
    call(capsys, "run", place / "mrf" / "2026-06", "--month", "2026-06", "--output", tmp_path / "once")
    assert digests(tmp_path / "once") == by_nights


def test_force_reads_and_builds_anew(place: Path, capsys: Capture) -> None:
    nightly(capsys, place)
    before, tables = stamps(place / "out" / ".cache" / "extracts", "account.json"), digests(place / "out")
    ended = nightly(capsys, place, "--force")
    assert (ended.json_line["status"], ended.json_line["sources"]) == ("published", {"matched": 3})
    assert stamps(place / "out" / ".cache" / "extracts", "account.json") != before
    assert digests(place / "out") == tables


def test_one_payer_alone_leaves_the_others_as_they_are(place: Path, capsys: Capture) -> None:
    nightly(capsys, place)
    write(place, "2026-06", "acme", 41.0)
    write(place, "2026-06", "aetna", 29.0)
    ended = nightly(capsys, place, "--payer", "Acme")
    assert ended.json_line["status"] == "published"
    assert rates_of(place) == {"Acme Health Plan": [41.0], "Aetna": [30.0, 31.0]}


def test_an_unknown_payer_is_wrong_usage_and_those_known_are_named(place: Path, capsys: Capture) -> None:
    ended = nightly(capsys, place, "--payer", "Acmee")
    assert ended.code == 2
    assert "no payer 'Acmee'; it has Acme, Aetna" in ended.json_line["error"]


def test_a_payer_whose_files_can_not_be_read_keeps_its_last_good_month(place: Path, capsys: Capture) -> None:
    nightly(capsys, place)
    (place / "mrf" / "2026-06" / "aetna" / "1.json").write_bytes(b"<html>expired</html>")
    ended = nightly(capsys, place)
    assert (ended.code, ended.json_line["status"]) == (3, "published")
    (withheld,) = ended.json_line["withheld"]
    assert withheld == {"payer": "Aetna", "reason": "Aetna: 1 of 2 sources were read (gate min_files_read is 0.9)"}
    assert rates_of(place) == {"Acme Health Plan": [40.0], "Aetna": [30.0, 31.0]}
    again = nightly(capsys, place)
    assert (again.code, again.json_line["status"], len(again.json_line["withheld"])) == (3, "unchanged", 1)


def test_every_file_behind_a_published_rate_is_listed_though_it_can_not_be_read_any_more(
    place: Path, capsys: Capture
) -> None:
    nightly(capsys, place)
    for path in (place / "mrf" / "2026-06" / "aetna").iterdir():
        path.write_bytes(b"")
    assert nightly(capsys, place).code == 3
    assert nightly(capsys, place, "--payer", "Acme").code == 0, "Aetna stays as it was last published"
    rates = pl.read_parquet(place / "out" / "rates" / "period=2026-06" / "*" / "*.parquet", hive_partitioning=False)
    files = pl.read_parquet(place / "out" / "quality" / "period=2026-06" / "files.parquet")
    assert set(rates["source_ids"].explode()) <= set(files["source_id"])
    assert files["rows"].sum() == rates.height


def test_a_median_far_from_last_month_is_withheld_until_the_gates_are_lifted(place: Path, capsys: Capture) -> None:
    nightly(capsys, place, month="2026-05")
    write(place, "2026-06", "acme", 60.0)
    ended = nightly(capsys, place)
    assert ended.code == 3
    assert "the median of 97026 is 60.00 dollars where 2026-05 has 40.00" in ended.json_line["withheld"][0]["reason"]
    assert rates_of(place) == {"Aetna": [30.0, 31.0]}, "June never had good figures of Acme"
    lifted = nightly(capsys, place, "--no-gates")
    assert (lifted.code, rates_of(place)) == (0, {"Acme Health Plan": [60.0], "Aetna": [30.0, 31.0]})


def test_when_every_payer_is_withheld_the_last_good_month_stands(place: Path, capsys: Capture) -> None:
    nightly(capsys, place, month="2026-05")
    for payer in ("aetna", "acme"):
        write(place, "2026-06", payer, 60.0)
        write(place, "2026-06", payer, 60.0, 2)
    ended = nightly(capsys, place)
    assert (ended.code, (place / "out" / "summaries" / "period=2026-06").exists()) == (4, False)


def test_a_backfill_brings_every_month_up_to_date_and_repeats_safely(place: Path, capsys: Capture) -> None:
    ended = backfill(capsys, place)
    assert [(m["month"], m["status"]) for m in ended.json_line["months"]] == [
        ("2026-05", "published"),
        ("2026-06", "published"),
    ]
    before = digests(place / "out")
    again = backfill(capsys, place, "--newest-first")
    assert [(m["month"], m["status"]) for m in again.json_line["months"]] == [
        ("2026-06", "unchanged"),
        ("2026-05", "unchanged"),
    ]
    assert (again.code, digests(place / "out")) == (0, before)


def test_a_month_that_fails_does_not_stop_the_others(place: Path, capsys: Capture) -> None:
    for path in (place / "mrf" / "2026-05").rglob("*.json"):
        path.write_bytes(b"")
    ended = backfill(capsys, place)
    assert ended.code == 3
    assert [m["status"] for m in ended.json_line["months"]] == ["failed", "published"]
    assert "could be used" in ended.json_line["months"][0]["reason"]


def test_the_webhook_is_told_of_months_that_failed(
    place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, Mapping[str, str | None]]] = []

    def post(webhook: str, json: Mapping[str, str | None], timeout: float) -> httpx.Response:
        told.append((webhook, json))
        return httpx.Response(204, request=httpx.Request("POST", webhook))

    monkeypatch.setattr(httpx, "post", post)
    with (place / "tic-rates.toml").open("a") as config:
        config.write('\n[notify]\nwebhook = "https://hooks.example.com/secret"\n')
    for path in (place / "mrf" / "2026-05").rglob("*.json"):
        path.write_bytes(b"")
    backfill(capsys, place)
    assert nightly(capsys, place, month="2026-05").code == 4
    assert [(webhook, message["month"], message["status"]) for webhook, message in told] == [
        ("https://hooks.example.com/secret", "2026-05", "failed"),
        ("https://hooks.example.com/secret", "2026-06", "published"),
        ("https://hooks.example.com/secret", "2026-05", "failed"),
    ]


def test_a_backfill_of_one_payer_adds_it_to_what_stands(place: Path, capsys: Capture) -> None:
    backfill(capsys, place, "--payer", "Aetna")
    assert rates_of(place, "2026-05") == {"Aetna": [30.0, 31.0]}
    backfill(capsys, place, "--payer", "Acme")
    assert rates_of(place, "2026-05") == {"Acme Health Plan": [40.0], "Aetna": [30.0, 31.0]}


def test_months_in_the_wrong_order_are_wrong_usage(place: Path, capsys: Capture) -> None:
    arguments = ("--config", place / "tic-rates.toml", "--from", "2026-06", "--to", "2026-05")
    assert call(capsys, "backfill", *arguments).code == 2


def test_a_name_in_the_configuration_fills_in_a_missing_header_name_only(place: Path, capsys: Capture) -> None:
    write(place, "2026-06", "acme", 42.0, 2, reporting_entity_name=None)
    nightly(capsys, place)
    assert rates_of(place) == {"Acme": [42.0], "Acme Health Plan": [40.0], "Aetna": [30.0, 31.0]}


def test_builds_that_no_month_stands_on_are_forgotten_after_a_day(place: Path, capsys: Capture) -> None:
    nightly(capsys, place)
    cache = place / "out" / ".cache" / "payers"
    old = cache / "0123"
    old.mkdir()
    os.utime(old, (0, 0))
    kept = {entry["build"] for entry in _manifest(place)["months"]["2026-06"]["payers"].values()}
    for path in cache.rglob("*"):
        os.utime(path, (0, 0))
    write(place, "2026-06", "acme", 40.5)
    nightly(capsys, place)
    left = {folder.name for folder in cache.iterdir()}
    assert "0123" not in left and len(left & kept) == 1, "Aetna's build is still in use, Acme's old one is not"


def _manifest(place: Path) -> dict[str, dict[str, dict[str, dict[str, dict[str, str]]]]]:
    manifest: dict[str, dict[str, dict[str, dict[str, dict[str, str]]]]] = json.loads(
        (place / "out" / "manifest.json").read_bytes()
    )
    return manifest

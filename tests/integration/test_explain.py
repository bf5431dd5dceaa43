"""`tic-rates explain` on the demo: a plain calculation gives its figures, and its offsets lead to the items."""

import gzip
import io
import json
import zipfile
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl
import pytest

from flows.explain.cell import Question
from flows.explain.explain import WrongFigureError, explain
from flows.storage.layout import Layout
from tests.command_line import call
from tests.plain_evidence import times

Capture = pytest.CaptureFixture[str]
SUMMARIES = "summaries/period=2026-06/summaries.parquet"


def cells_of(output: Path) -> pl.DataFrame:
    return pl.read_parquet(output / SUMMARIES)


def question(row: dict[str, Any]) -> Question:
    names = ("billing_class", "taxonomy_tier", "weighting")
    return Question(row["billing_code"], row["payer"], row["geography"], None, *(row[name] for name in names))


@cache
def documents(path: str) -> list[bytes]:
    """The JSON of a source, inflated by the standard library."""
    data = Path(path).read_bytes()
    if data.startswith(b"PK"):
        archive = zipfile.ZipFile(io.BytesIO(data))
        return [archive.read(name) for name in archive.namelist()]
    return [gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data]


@cache
def object_at(path: str, document: int, offset: int) -> dict[str, Any]:
    found: dict[str, Any] = json.JSONDecoder().raw_decode(documents(path)[document][offset:].decode("utf-8"))[0]
    return found


def plain_observations(rates: pl.DataFrame, members: pl.DataFrame, weighting: str) -> list[float]:
    """From the rate rows alone; who is an outlier, and services, from the members."""
    eligible: dict[tuple[Any, ...], list[tuple[str, float]]] = {}
    for row in rates.iter_rows(named=True):
        key = (row["payer"], row["tin"], row["npi"])
        eligible.setdefault(key, []).append((row["negotiated_type"], row["negotiated_rate"]))
    order = ("negotiated", "derived", "fee schedule")
    values: dict[tuple[Any, ...], list[float]] = {}
    often: dict[tuple[Any, ...], int] = {}
    for row in members.filter(pl.col("exclusion").is_null()).iter_rows(named=True):
        found = eligible[row["payer"], row["tin"], row["npi"]]
        best = min((kind for kind, _ in found), key=order.index)
        who = (row["payer"], row["tin"] if weighting == "tin" else row["npi"])
        values.setdefault(who, []).append(median({rate for kind, rate in found if kind == best}))
        often[who] = times(row["services"]) if weighting == "services" else 1
    return [value for who, found in values.items() for value in [median(found)] * often[who]]


def check_cell(output: Path, row: dict[str, Any]) -> None:
    explained = explain(Layout.at(output), question(row))
    if row["payer"] == "Medicare":
        amounts = [float(each["amount_usd"]) for each in explained.as_json()["localities"]]
        assert np.quantile(amounts, 0.5) == pytest.approx(row["p50_usd"])
        return
    rates = pl.concat(explained.rates())
    values = plain_observations(rates, explained.members, row["weighting"])
    for percentile in (10, 25, 50, 75, 90):
        assert np.quantile(values, percentile / 100) == pytest.approx(row[f"p{percentile}_usd"], rel=1e-12)
    assert np.mean(values) == pytest.approx(row["mean_usd"], rel=1e-12)
    sources = dict(explained.files.select("source_id", "source").iter_rows())
    for rate in rates.iter_rows(named=True):
        assert {each["source_id"] for each in rate["statements"]} == {*rate["source_ids"]}
        for each in rate["statements"]:
            path = sources[each["source_id"]]
            item = object_at(path, each["document"], each["item_offset"])
            assert str(item["billing_code"]).strip() == rate["billing_code"]
            assert item["negotiation_arrangement"] == rate["arrangement"]
            if each["reference_offset"] is None:
                assert str(rate["npi"]) in json.dumps(item)
            else:
                reference = object_at(path, each["document"], each["reference_offset"])
                assert "provider_group_id" in reference
                assert str(rate["npi"]) in json.dumps(reference) or each["location"]


def test_cells_of_the_demo_are_their_observations(demo_output: Path) -> None:
    for row in cells_of(demo_output).sample(10, seed=1).iter_rows(named=True):
        check_cell(demo_output, row)


@pytest.mark.slow
def test_more_cells_of_the_demo_are_their_observations(demo_output: Path) -> None:
    for row in cells_of(demo_output).sample(100, seed=2).iter_rows(named=True):
        check_cell(demo_output, row)


@pytest.mark.soak
def test_every_cell_of_the_demo_is_its_observations(demo_output: Path) -> None:
    for row in cells_of(demo_output).iter_rows(named=True):
        check_cell(demo_output, row)


def test_a_changed_figure_is_an_error_that_says_so(demo_output: Path, tmp_path: Path) -> None:
    import shutil

    output = tmp_path / "output"
    shutil.copytree(demo_output, output)
    cells = cells_of(output)
    row = cells.filter(pl.col("payer") == "Cigna").row(0, named=True)
    is_row = pl.all_horizontal(pl.col(name) == row[name] for name in ("geography", "payer", "weighting"))
    cells.with_columns(p50_usd=pl.when(is_row).then(pl.col("p50_usd") + 0.01).otherwise("p50_usd")).write_parquet(
        output / SUMMARIES
    )
    with pytest.raises(WrongFigureError, match="p50_usd is"):
        explain(Layout.at(output), question(row))


def test_the_command_shows_bytes_and_writes_one_line(demo_output: Path, capsys: Capture) -> None:
    words = ("--code", "97026", "--payer", "cigna", "--geography", "CA", "--output", demo_output, "--show", "--json")
    line = call(capsys, "explain", *words).json_line
    assert line["cell"]["payer"] == "Cigna"
    assert line["recomputed"] == "equal"
    assert line["observations"]
    assert all(rate["statements"] for rate in line["rates"])
    assert line["shown"][0]["item"].startswith("{")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--code", "11111", "--payer", "Cigna"), 2, "published: 97026, 97028"),
        (("--code", "97026", "--payer", "Cinga"), 2, "nearest: Cigna"),
        (("--code", "97026", "--payer", "Cigna", "--geography", "XX"), 2, "--geography 'XX'"),
        (("--code", "97026", "--payer", "Cigna", "--month", "2020-01"), 2, "published: 2026-06"),
        (("--code", "97026", "--payer", "Cigna", "--npi", "1234567890"), 2, "not an NPI"),
        (("--code", "97026", "--payer", "Cigna", "--npi", "1234567893"), 4, "is not in 97026"),
        (("--code", "97026", "--payer", "Cigna", "--weighting", "locality"), 4, "published there"),
    ],
)
def test_what_is_not_published_is_named(
    words: tuple[str, ...], code: int, text: str, demo_output: Path, capsys: Capture
) -> None:
    ended = call(capsys, "explain", *words, "--output", demo_output)
    assert ended.code == code
    assert text in ended.err

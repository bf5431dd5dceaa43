"""`tic-rates explain` on the demo: a plain calculation gives its figures, and its offsets lead to the items."""

import hashlib
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from flows.cli import options
from flows.explain.cell import PublishedCell, Question
from flows.explain.explain import Explanation, explain, explain_cell, explain_medicare
from flows.explain.opened_month import OpenedMonth, WrongFigureError, open_month
from flows.publish.retention import output_unused
from flows.storage.layout import Layout
from tests.command_line import call
from tests.conftest import DEMO_MONTH
from tests.plain_evidence import times
from tests.plain_rates import DOLLARS, PROFESSIONAL
from tests.plain_statements import PlainSources
from transforms.errors import UsageError

Capture = pytest.CaptureFixture[str]
SUMMARIES = "summaries/period=2026-06/summaries.parquet"
GROUP = ("payer", "billing_code", "billing_class", "tin", "npi")  # of which a representative rate is


class Behind(NamedTuple):
    """What rate rows say of one group."""

    usd: float
    rows: int
    source_ids: frozenset[str]


def cells_of(output: Path) -> pl.DataFrame:
    return pl.read_parquet(output / SUMMARIES)


def question(row: dict[str, Any]) -> Question:
    names = ("billing_class", "taxonomy_tier", "weighting")
    return Question(row["billing_code"], row["payer"], row["geography"], None, *(row[name] for name in names))


def group_of(rate: dict[str, Any]) -> tuple[Any, ...]:
    published = dict.fromkeys(PROFESSIONAL, "professional")
    return tuple(published.get(rate[name], rate[name]) if name == "billing_class" else rate[name] for name in GROUP)


def represent(rates: list[dict[str, Any]]) -> Behind:
    """By a plain calculation: the median of the distinct rates of the best negotiated_type."""
    best = min((rate["negotiated_type"] for rate in rates), key=DOLLARS.index)
    usd = median({rate["negotiated_rate"] for rate in rates if rate["negotiated_type"] == best})
    return Behind(usd, len(rates), frozenset().union(*(rate["source_ids"] for rate in rates)))


def behind(rates: list[dict[str, Any]]) -> dict[tuple[Any, ...], Behind]:
    groups = defaultdict(list)
    for rate in rates:
        groups[group_of(rate)].append(rate)
    return {group: represent(those) for group, those in groups.items()}


def assert_figures(explained: Explanation, rates: dict[tuple[Any, ...], Behind]) -> None:
    """From the rate rows alone; who is an outlier, and services, from the members."""
    row = explained.cell.row
    by_tin, often = row["weighting"] == "tin", {}
    values: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    members = explained.members.filter(pl.col("exclusion").is_null()).select(*GROUP, "services").rows()
    for payer, code, of_class, tin, npi, services in members:
        who = (payer, tin if by_tin else npi)
        values[who].append(rates[payer, code, of_class, tin, npi].usd)
        often[who] = times(services) if row["weighting"] == "services" else 1
    found = [value for who, those in values.items() for value in [median(those)] * often[who]]
    quantiles = np.quantile(found, (0, 0.1, 0.25, 0.5, 0.75, 0.9, 1))
    names = ("min_usd", "p10_usd", "p25_usd", "p50_usd", "p75_usd", "p90_usd", "max_usd")
    assert [row[name] for name in names] == pytest.approx(quantiles, rel=1e-12), row
    assert np.mean(found) == pytest.approx(row["mean_usd"], rel=1e-12)
    those = [rates[member[:5]] for member in members]
    assert row["n_rates"] == sum(each.rows for each in those)
    assert row["n_files"] == len(frozenset().union(*(each.source_ids for each in those)))
    assert row["n_npi"] == len({member[4] for member in members})
    assert row["n_tin"] == len({member[3] for member in members} - {None})


def assert_localities(explained: Explanation) -> None:
    amounts = [float(each["amount_usd"]) for each in explained.as_json()["localities"]]
    for percentile in (10, 25, 50, 75, 90):
        assert np.quantile(amounts, percentile / 100) == pytest.approx(explained.cell.row[f"p{percentile}_usd"])


def demo_sources(output: Path) -> PlainSources:
    contents = [path.read_bytes() for path in (output / "demo").rglob("*") if path.is_file()]
    by_sha256 = {hashlib.sha256(content).hexdigest(): content for content in contents}
    return PlainSources(by_sha256, by_sha256)


@cache
def opened(output: Path) -> OpenedMonth:
    return open_month(Layout.at(output), DEMO_MONTH)


def assert_cell(row: dict[str, Any], output: Path, sources: PlainSources) -> None:
    """A cell explained by itself."""
    explained = explain(Layout.at(output), question(row))
    if row["payer"] == "Medicare":
        return assert_localities(explained)
    rates = [rate for frame in explained.rates() for rate in frame.iter_rows(named=True)]
    for rate in rates:
        sources.assert_stated(rate)
    return assert_figures(explained, behind(rates))


def test_cells_of_the_demo_are_their_observations(demo_output: Path) -> None:
    sources = demo_sources(demo_output)
    for row in cells_of(demo_output).sample(10, seed=1).iter_rows(named=True):
        assert_cell(row, demo_output, sources)


def test_excluded_rows_of_the_demo_are_in_their_sources(demo_output: Path) -> None:
    sources = demo_sources(demo_output)
    rules = set()
    for code in ("97026", "97028"):
        explained = explain(Layout.at(demo_output), Question(code, "All commercial"))
        rows = [rate for frame in explained.excluded_rates() for rate in frame.iter_rows(named=True)]
        for rate in rows:
            sources.assert_stated(rate)
        assert len(rows) == sum(explained.excluded.values())
        rules |= {rate["exclusion"] for rate in rows}
    assert len(rules) > 8


@pytest.mark.slow
def test_every_cell_of_the_demo_is_its_observations(demo_output: Path) -> None:
    """The rows of the widest cells stand in their sources, and give the figures of every cell that they belong to."""
    sources = demo_sources(demo_output)
    rates: dict[tuple[Any, ...], Behind] = {}
    cells = cells_of(demo_output)
    widest = cells.filter(
        pl.all_horizontal(
            pl.col("payer") == "All commercial", pl.col("geography") == "US", pl.col("weighting") == "npi"
        ),
        pl.col("taxonomy_tier") == "all",
    )
    for row in widest.iter_rows(named=True):
        explained = explain_cell(opened(demo_output), PublishedCell.of(row))
        rows = [rate for frame in explained.rates() for rate in frame.iter_rows(named=True)]
        for rate in rows:
            sources.assert_stated(rate)
        rates |= behind(rows)
    for row in cells.iter_rows(named=True):
        cell = PublishedCell.of(row)
        if row["payer"] == "Medicare":
            assert_localities(explain_medicare(Layout.at(demo_output), cell))
        else:
            assert_figures(explain_cell(opened(demo_output), cell), rates)


@pytest.mark.slow
def test_more_cells_of_the_demo_explained_by_themselves(demo_output: Path) -> None:
    sources = demo_sources(demo_output)
    for row in cells_of(demo_output).sample(100, seed=2).iter_rows(named=True):
        assert_cell(row, demo_output, sources)


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


@pytest.mark.parametrize("as_json", [True, False])
def test_nothing_is_pruned_up_to_the_last_row_that_is_written(
    demo_output: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, as_json: bool
) -> None:
    """Rate rows are read while they are written."""

    def write(output: Callable[[], None]) -> None:
        with pytest.raises(UsageError, match="a run uses it now"), output_unused(Layout.at(demo_output)):
            pass
        output()

    monkeypatch.setattr(options, "write_output", write)
    words = ["--code", "97026", "--payer", "Cigna", "--geography", "CA", *(["--json"] if as_json else [])]
    assert call(capsys, "explain", *words, "--output", demo_output).code == 0
    with output_unused(Layout.at(demo_output)):
        pass


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

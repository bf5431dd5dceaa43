"""output/README.md: current, true of the files, and every example of it runs and says the same in each library."""

import re
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.cli.dictionary import describe_tables, main
from flows.download.open_source import expand
from flows.orchestration.run import RunRequest, run
from schemas.codes import (
    BUCA,
    COMPOSITE_ALL,
    DEFAULT_CODES,
    EXCLUSIONS,
    FILE_STATUSES,
    GEOGRAPHIES,
    PAYER_KINDS,
    TIERS,
    UNMAPPED_KINDS,
    WEIGHTINGS,
    Term,
)
from schemas.published import PROVIDERS, PUBLISHED, RATES, SUMMARIES
from schemas.table import Table

DICTIONARY = Path(__file__).resolve().parents[3] / "output" / "README.md"
MONTH = date(2026, 6, 1)
LIBRARIES = ("polars", "DuckDB", "pandas")
SUMMARIES_FILE = "summaries/period=2026-06/summaries.parquet"
PAYERS = {*BUCA, "Prairie Lantern Health Cooperative"}

Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def published(demo_output: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's files and NPPES again, with three bad files among them."""
    folder = tmp_path_factory.mktemp("published")
    whole = next((demo_output / "demo" / "mrf").glob("*.gz")).read_bytes()
    (folder / "truncated.json.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "page.json").write_text("<!DOCTYPE html><html><body>Access denied</body></html>")
    (folder / "empty.json").touch()
    nppes = next((demo_output / "demo" / "nppes").iterdir())
    sources = expand([str(demo_output / "demo" / "mrf"), str(folder)])
    output = folder / "output"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIC_RATES_CACHE", str(demo_output / ".cache"))
        utilization = demo_output / "demo" / "reference" / "utilization"
        result = run(RunRequest(sources, MONTH, DEFAULT_CODES, output, nppes, workers=1, utilization=utilization))
    assert result.exit_code == 3
    return output


def examples() -> dict[str, dict[str, str]]:
    """Question -> library -> code."""
    text = DICTIONARY.read_text(encoding="utf-8").split("\n## Examples\n")[1]
    sections = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    blocks = re.compile(r"\*\*(\w+)\*\*\n\n```\w+\n(.*?)```", re.DOTALL)
    return {section.splitlines()[0]: dict(blocks.findall(section)) for section in sections}


def in_python(code: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(compile(code, "output/README.md", "exec"), namespace)
    return namespace["answer"]


def in_duckdb(query: str) -> Rows:
    answer = duckdb.sql(query)
    assert answer is not None
    return answer.fetchall()


RUN: dict[str, Callable[[str], Rows]] = {
    "polars": lambda code: in_python(code).rows(),
    "DuckDB": in_duckdb,
    "pandas": lambda code: [tuple(row) for row in in_python(code).itertuples(index=False)],
}


def ask(question: str, library: str = "polars") -> Rows:
    return RUN[library](examples()[question][library])


def same(one: Rows, other: Rows) -> bool:
    """Equal in order; floats to their last bits, which interpolation may round differently."""
    approximate = [tuple(pytest.approx(value) if isinstance(value, float) else value for value in row) for row in other]
    return len(one) == len(other) and one == approximate


def test_the_committed_dictionary_is_current() -> None:
    assert DICTIONARY.read_text(encoding="utf-8") == describe_tables(), "run `make docs`"


def test_the_dictionary_is_written_where_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "README.md")]) == 0
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == describe_tables()
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("usage: python -m flows.cli.dictionary PATH")


def test_every_published_column_and_code_is_in_the_dictionary() -> None:
    text = describe_tables()
    assert "{{" not in text
    terms = [*PAYER_KINDS, *TIERS, *WEIGHTINGS, *FILE_STATUSES, *UNMAPPED_KINDS]
    for name in [*(column.name for table in PUBLISHED for column in table), *(term.name for term in terms)]:
        assert f"| `{name}` |" in text
    for rule in EXCLUSIONS:
        assert f"| `{rule.name}` | {rule.when} |" in text


def test_every_question_has_an_answer_in_each_library() -> None:
    asked = [tuple(blocks) for blocks in examples().values()]
    assert len(asked) >= 6
    assert set(asked) == {LIBRARIES, ("pyarrow",)}


@pytest.mark.slow
@pytest.mark.parametrize("question", [question for question, blocks in examples().items() if "pyarrow" not in blocks])
def test_an_example_says_the_same_in_each_library(
    question: str, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(published)
    answers = [ask(question, library) for library in LIBRARIES]
    assert answers[0]
    for answer in answers[1:]:
        assert same(answer, answers[0])


@pytest.mark.slow
def test_answers_of_the_examples_are_sensible(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(published)

    national = ask("What is the national median for 97026 by payer?")
    assert {payer for payer, *_ in national} == {*PAYERS, "BUCA", COMPOSITE_ALL}
    assert all(3 < p50_usd < 15 for _, p50_usd, *_ in national)

    california = ask("How do payers in one state compare with Medicare there?")
    assert {payer for payer, *_ in california} == PAYERS
    for _, p50_usd, medicare_usd, above_medicare_usd, percent in california:
        assert 6 < medicare_usd < 9
        assert above_medicare_usd == pytest.approx(p50_usd - medicare_usd)
        assert percent == pytest.approx(100 * p50_usd / medicare_usd)

    reconciled = ask("Do the counts of a file reconcile?")
    assert len(reconciled) == 9
    for _, rows, rows_eligible, rows_excluded, difference, rows_in_rates in reconciled:
        assert difference == 0
        assert rows == rows_in_rates == rows_eligible + rows_excluded > 0

    quarantined = {Path(source).name: reason for source, reason in ask("Which files were quarantined, and why?")}
    assert set(quarantined) == {"truncated.json.gz", "page.json", "empty.json"}
    assert "HTML" in quarantined["page.json"]
    assert "empty" in quarantined["empty.json"]

    refused = ask("Why do rates of each payer not count?")
    assert {payer for payer, *_ in refused} == PAYERS
    assert {exclusion for _, exclusion, _ in refused} == {rule.name for rule in EXCLUSIONS}

    computed = ask("Can I compute a percentile again?")
    assert {payer for payer, *_ in computed} == PAYERS
    assert all(p90_usd == pytest.approx(published_usd) for _, p90_usd, published_usd in computed)


@pytest.mark.slow
def test_bad_files_beside_it_change_nothing_in_the_demo(published: Path, demo_output: Path) -> None:
    assert (published / SUMMARIES_FILE).read_bytes() == (demo_output / SUMMARIES_FILE).read_bytes()


@pytest.mark.slow
def test_every_file_carries_the_descriptions_of_its_columns(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(published)
    assert in_python(examples()["What does a column mean?"]["pyarrow"]) == [
        (column.name, column.description) for column in SUMMARIES
    ]
    for table in PUBLISHED:
        for path in paths_of(table, published):
            found = pq.read_schema(path)
            assert found.metadata[b"description"].decode() == table.description
            assert found.equals(table.arrow(), check_metadata=False)
            assert [field.metadata.get(b"unit", b"").decode() for field in found] == [c.unit for c in table]


@pytest.mark.slow
@pytest.mark.parametrize("table", PUBLISHED, ids=lambda table: table.name)
def test_tables_are_sorted_as_the_dictionary_says_and_their_grain_is_unique(table: Table, published: Path) -> None:
    for path in paths_of(table, published):
        rows = pl.read_parquet(path, hive_partitioning=False)
        assert rows.equals(rows.sort(table.order))
        assert rows.height == rows.select(table.grain).n_unique()


@pytest.mark.slow
def test_published_values_are_those_of_the_code_lists(published: Path) -> None:
    def values(path: str, column: str) -> set[str]:
        return set(pl.read_parquet(published / path, hive_partitioning=False)[column])

    def names(terms: tuple[Term, ...]) -> set[str]:
        return {term.name for term in terms}

    quality = "quality/period=2026-06"
    assert values(SUMMARIES_FILE, "taxonomy_tier") == names(TIERS)
    assert values(SUMMARIES_FILE, "weighting") == names(WEIGHTINGS)
    assert values(SUMMARIES_FILE, "payer_kind") == names(PAYER_KINDS)
    assert values(SUMMARIES_FILE, "geography") <= {"US", *GEOGRAPHIES}
    assert values(f"{quality}/files.parquet", "status") == names(FILE_STATUSES) - {"unchanged"}
    assert values(f"{quality}/unmapped.parquet", "kind") == names(UNMAPPED_KINDS)


def in_frames(place: str) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(pa.Table.from_pandas(pd.read_parquet(place, dtype_backend="pyarrow"))))


def in_arrow(place: str) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(pq.read_table(place)))


def in_duckdb_frames(place: str, options: str = "") -> pl.DataFrame:
    found = duckdb.sql(f"FROM read_parquet('{place}/**/*.parquet'{options})")
    assert found is not None
    frame: pl.DataFrame = found.pl()
    return frame


SHORTEST_CALLS: dict[str, Callable[[str], pl.DataFrame]] = {
    "polars": pl.read_parquet,
    "polars with hive partitioning": partial(pl.read_parquet, hive_partitioning=True),
    "polars without": partial(pl.read_parquet, hive_partitioning=False),
    "pandas": in_frames,
    "pyarrow": in_arrow,
    "DuckDB": in_duckdb_frames,
    "DuckDB with hive partitioning": partial(in_duckdb_frames, options=", hive_partitioning = true"),
    "DuckDB without": partial(in_duckdb_frames, options=", hive_partitioning = false"),
}


@pytest.fixture(scope="module")
def two_months(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The month, and a copy of it as the month after, as far as folders and the column ``month`` tell."""
    place = tmp_path_factory.mktemp("months")
    for path in sorted(published.glob("*/period=2026-06/**/*.parquet")):
        for period, month in (("2026-06", date(2026, 6, 1)), ("2026-07", date(2026, 7, 1))):
            target = place / path.relative_to(published).as_posix().replace("2026-06", period)
            target.parent.mkdir(parents=True, exist_ok=True)
            pl.read_parquet(path).with_columns(month=pl.lit(month)).write_parquet(target)
    return place


@pytest.mark.slow
@pytest.mark.parametrize("table", [SUMMARIES, RATES, PROVIDERS], ids=lambda table: table.name)
@pytest.mark.parametrize("library", SHORTEST_CALLS)
def test_the_shortest_call_gives_every_column_as_declared(
    published: Path, two_months: Path, table: Table, library: str
) -> None:
    folder = table.path.partition("/")[0]
    for place, months in ((published, 1), (two_months, 2)):
        expected = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in paths_of(table, place)])
        found = SHORTEST_CALLS[library](str(place / folder))
        assert expected["month"].n_unique() == months
        assert set(found.columns) - set(table.names) <= {"period", "payer_slug"}
        assert found.select(table.names).sort(table.names).equals(expected.sort(table.names))
        assert found.select(table.names).schema == table.polars


def paths_of(table: Table, output: Path) -> list[Path]:
    """A table's files, sorted."""
    paths = sorted(output.glob(table.pattern))
    assert paths
    return paths

"""output/README.md: current, true of the files, and every example of it runs and says the same in each library."""

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from glob import glob
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
from flows.report.practice import compare_with_market
from flows.storage.layout import Layout
from flows.storage.parquet import write_table
from flows.tables.coverage_editions import build_coverage
from schemas.codes import (
    BUCA,
    COMPOSITE_ALL,
    DEFAULT_CODES,
    EVIDENCE,
    EXCLUSIONS,
    FILE_STATUSES,
    GEOGRAPHIES,
    PAYER_KINDS,
    PRACTICE_LEVELS,
    PRACTICE_STATUSES,
    TIERS,
    UNMAPPED_KINDS,
    WEIGHTINGS,
    Term,
)
from schemas.published import PUBLISHED, SUMMARIES
from schemas.table import Column, Table
from transforms.benchmark.practice import Practice

DICTIONARY = Path(__file__).resolve().parents[3] / "output" / "README.md"
MONTH = date(2026, 6, 1)
LIBRARIES = ("polars", "DuckDB", "pandas")
SUMMARIES_FILE = "summaries/period=2026-06/summaries.parquet"
PAYERS = {*BUCA, "Prairie Lantern Health Cooperative"}

Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def published(demo_output: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's files and NPPES again, with three bad files among them, a payer's policy, and a practice."""
    folder = tmp_path_factory.mktemp("published")
    whole = next((demo_output / "demo" / "mrf").glob("*.gz")).read_bytes()
    (folder / "truncated.json.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "page.json").write_text("<!DOCTYPE html><html><body>Access denied</body></html>")
    (folder / "empty.json").touch()
    nppes = next((demo_output / "demo" / "nppes").iterdir())
    sources = expand([str(demo_output / "demo" / "mrf"), str(folder)])
    output = folder / "output"
    layout = Layout(output)
    policies = folder / "policies_2026-06-01.csv"
    policies.write_text(
        "payer,billing_code,state,effective_date,title,url,stance\n"
        "Aetna,97026,AK,2025-03-01,An example,https://example.org/policy,restricted\n"
    )
    build_coverage([policies], layout.coverage, DEFAULT_CODES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIC_RATES_CACHE", str(demo_output / ".cache"))
        utilization = demo_output / "demo" / "reference" / "utilization"
        result = run(RunRequest(sources, MONTH, DEFAULT_CODES, output, nppes, workers=1, utilization=utilization))
    assert result.exit_code == 3
    providers = pl.read_parquet(layout.month("providers", MONTH) / "providers.parquet")
    compare_with_market(layout, Practice(tuple({*providers["npi"]}), ()))
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
    terms = [
        *(*PAYER_KINDS, *TIERS, *WEIGHTINGS, *EVIDENCE, *FILE_STATUSES, *UNMAPPED_KINDS),
        *(*PRACTICE_LEVELS, *PRACTICE_STATUSES),
    ]
    for name in [*(column.name for table in PUBLISHED for column in table), *(term.name for term in terms)]:
        assert f"| `{name}` |" in text
    for rule in EXCLUSIONS:
        assert f"| `{rule.name}` | {rule.meaning} |" in text


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
    assert values("providers/period=2026-06/providers.parquet", "evidence") == {*names(EVIDENCE), None}
    assert values(SUMMARIES_FILE, "payer_kind") == names(PAYER_KINDS)
    assert values(SUMMARIES_FILE, "geography") <= {"US", *GEOGRAPHIES}
    assert values(f"{quality}/files.parquet", "status") == names(FILE_STATUSES) - {"unchanged"}
    assert values(f"{quality}/unmapped.parquet", "kind") == names(UNMAPPED_KINDS)


# ---- One call opens a table -----------------------------------------------------------------------------------------

ROW = re.compile(r"^\| (polars|pandas|DuckDB|pyarrow|Spark) \| `(.+?)` \| `(.+?)` \|$", re.M)
CALLS: dict[str, tuple[str, str]] = {
    library: (alone, beside) for library, alone, beside in ROW.findall(DICTIONARY.read_text(encoding="utf-8"))
}
OPTIONS = {
    "polars": ["", ", hive_partitioning=True", ", hive_partitioning=False"],
    "pandas": ["", ', dtype_backend="pyarrow"', ', dtype_backend="pyarrow", partitioning=None'],
    "pyarrow": ["", ", partitioning=None"],
    "DuckDB": ["", ", hive_partitioning = true", ", hive_partitioning = false"],
}
VARIANTS = [(library, option) for library, options in OPTIONS.items() for option in options]


def shortest_call(library: str, table: Table, output: Path) -> str:
    """What the dictionary says, for this table and output."""
    folder, name = table.path.partition("/")[0], table.path.rpartition("/")[2]
    alone, beside = CALLS[library]
    if sum(each.path.startswith(f"{folder}/") for each in PUBLISHED) == 1:
        return alone.replace("output/summaries", f"{output}/{folder}")
    return beside.replace("output/quality/*/files.parquet", f"{output}/{folder}/*/{name}")


def opened(library: str, option: str, table: Table, output: Path) -> pl.DataFrame:
    """The table as a library opens it, with a further option of the call."""
    call = shortest_call(library, table, output)
    if library == "DuckDB":
        found = duckdb.sql(call if not option else f"{call.replace('FROM ', 'FROM read_parquet(')}{option})")
        assert found is not None
        return pl.DataFrame(found.pl())
    found = eval(f"{call[:-1]}{option})", {"pl": pl, "pd": pd, "pyarrow": pa, "glob": glob})
    if isinstance(found, pd.DataFrame):
        found = pa.Table.from_pandas(found)
    return found if isinstance(found, pl.DataFrame) else pl.DataFrame(pl.from_arrow(found))


def is_untyped(found: pl.DataFrame, column: Column) -> bool:
    """Whether a column came as Python objects, none of which is there to tell the type."""
    return found[column.name].dtype in (pl.Null, pl.List(pl.Null))


def check_opened(found: pl.DataFrame, table: Table, output: Path, months: int) -> None:
    """The rows, columns and types of the files, and besides at most the partition keys."""
    expected = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in paths_of(table, output)])
    assert expected["month"].n_unique() == months
    assert set(found.columns) - set(table.names) <= {"period", "payer_slug", "practice_slug"}
    assert found.select(table.names).schema == table.polars
    assert found.select(table.names).sort(table.names).equals(expected.sort(table.names))


@pytest.fixture(scope="module")
def two_months(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The month, and a copy of it as the month after, as far as folders and the column ``month`` tell."""
    place = tmp_path_factory.mktemp("months")
    for table in PUBLISHED:
        for path in paths_of(table, published):
            rows = pl.read_parquet(path, hive_partitioning=False)
            for period, month in (("2026-06", date(2026, 6, 1)), ("2026-07", date(2026, 7, 1))):
                target = place / path.relative_to(published).as_posix().replace("2026-06", period)
                write_table(target, table, [rows.with_columns(month=pl.lit(month))])
    return place


@pytest.mark.slow
@pytest.mark.parametrize("table", PUBLISHED, ids=lambda table: table.name)
@pytest.mark.parametrize(("library", "option"), VARIANTS, ids=map("{0[0]}{0[1]}".format, VARIANTS))
def test_the_shortest_call_gives_every_column_as_declared(
    published: Path, two_months: Path, table: Table, library: str, option: str
) -> None:
    for place, months in ((published, 1), (two_months, 2)):
        found = opened(library, option, table, place)
        if (library, option) == ("pandas", ""):
            strange = [column for column in table if found[column.name].dtype != column.polars]
            assert all(
                (column.nullable and column.dtype in ("int64", "int32")) or is_untyped(found, column)
                for column in strange
            )
            found = found.cast({column.name: column.polars for column in strange})
        check_opened(found, table, place, months)


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Spark session on this machine."""
    if shutil.which("java") is None:
        pytest.skip("no Java here")
    sql = pytest.importorskip("pyspark.sql", reason="no pyspark here; `make test-slow` installs it where there is Java")
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("spark")),
        "spark.sql.shuffle.partitions": "1",
    }
    session = sql.SparkSession.builder.master("local[1]").config(map=settings).getOrCreate()
    yield session
    session.stop()


@pytest.mark.slow
@pytest.mark.parametrize("table", PUBLISHED, ids=lambda table: table.name)
def test_the_shortest_call_in_spark_gives_every_column_as_declared(
    published: Path, two_months: Path, spark: Any, table: Table
) -> None:
    for place, months in ((published, 1), (two_months, 2)):
        whole = eval(shortest_call("Spark", table, place), {"spark": spark})
        check_opened(pl.DataFrame(pl.from_arrow(whole.toArrow())), table, place, months)
        if "/period=YYYY-MM/payer_slug=" in table.path or whole.columns[-1] == "period":
            last = whole.where("period = '2026-06'").toArrow()
            assert last.num_rows == whole.count() // months
        files = spark.read.parquet(*map(str, paths_of(table, place)))  # without folders there are no partitions
        assert not {"period", "payer_slug", "practice_slug"} & set(files.columns)
        check_opened(pl.DataFrame(pl.from_arrow(files.toArrow())), table, place, months)


def paths_of(table: Table, output: Path) -> list[Path]:
    """A table's files, sorted."""
    paths = sorted(output.glob(table.pattern))
    assert paths
    return paths

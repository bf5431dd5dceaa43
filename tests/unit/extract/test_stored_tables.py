"""An extract's tables as they are stored: rows of small sources in the account, others in files; both read as one."""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from flows.extract.stored_tables import (
    SMALL_BYTES,
    StoredRows,
    StoredTables,
    TableWriters,
    columns_version,
    count_values,
)
from flows.storage.cache_entries import write_cache_entry
from flows.storage.layout import Layout
from schemas.extracted import CITATIONS, EXTRACTED, REFERENCES
from transforms.errors import UsageError

MANY = SMALL_BYTES // 16


def citations(first: int, rows: int) -> pa.RecordBatch:
    made = {"document": [0] * rows, "rate_id": range(first, first + rows), "reference_key": [f"{first}"] * rows}
    return pa.RecordBatch.from_arrays(
        [pa.array(list(made[field.name]), field.type) for field in CITATIONS.arrow()], schema=CITATIONS.arrow()
    )


def write(folder: Path, *batches: pa.RecordBatch, columns: str | None = None) -> Path:
    """An extract with these rows of CITATIONS."""
    folder.mkdir()
    with TableWriters(folder) as writers:
        for batch in batches:
            writers.write(CITATIONS, batch)
    rows = writers.rows()
    write_cache_entry(folder, "account.json", StoredRows(rows=rows, columns=columns or columns_version()))
    return folder


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_small_source_is_one_file_and_a_large_one_has_a_file_for_each_table_with_rows(tmp_path: Path) -> None:
    assert files(write(tmp_path / "none")) == ["account.json"]
    assert files(write(tmp_path / "small", citations(0, 3))) == ["account.json"]
    assert files(write(tmp_path / "large", citations(0, MANY))) == ["account.json", "citations.parquet"]
    in_two = write(tmp_path / "batches", citations(0, 3), citations(3, 3))
    assert files(in_two) == ["account.json", "citations.parquet"]


def test_rows_of_all_sources_come_together_with_the_number_of_each(tmp_path: Path) -> None:
    folders = {
        2: write(tmp_path / "none"),
        3: write(tmp_path / "small", citations(5, 2)),
        5: write(tmp_path / "large", citations(0, 1), citations(1, MANY)),
        7: write(tmp_path / "another", citations(9, 1)),
    }
    stored = StoredTables(Layout(tmp_path / "out"), folders)
    found = stored.scan(CITATIONS).sort("source_no", "rate_id").collect()
    assert found.columns == [*CITATIONS.names, "source_no"]
    assert found["rate_id"].to_list() == [5, 6, *range(MANY + 1), 9]
    assert found["source_no"].to_list() == [3, 3, *[5] * (MANY + 1), 7]
    assert found["reference_key"].head(4).to_list() == ["5", "5", "0", "1"]
    assert stored.scan(REFERENCES).collect().equals(REFERENCES.empty().with_columns(source_no=pl.lit(0, pl.UInt32)))
    assert [path.relative_to(tmp_path).as_posix() for path in stored.files()][-1] == "large/citations.parquet"


def test_values_are_counted_before_any_is_read(tmp_path: Path) -> None:
    repeated = pa.Table.from_batches([citations(0, 1)]).take([0] * MANY).combine_chunks().to_batches()[0]
    folders = {1: write(tmp_path / "small", citations(5, 2)), 2: write(tmp_path / "large", repeated, repeated)}
    large = folders[2] / "citations.parquet"
    assert large.stat().st_size < 2 * MANY
    assert count_values(large) == 2 * MANY
    stored = {number: StoredTables(Layout(tmp_path / "out"), {number: folders[number]}) for number in folders}
    values = {number: sum(each.values()) for number, each in stored.items()}
    assert 2 <= values[1] < MANY
    assert values[2] == 2 * MANY
    lists = tmp_path / "groups.parquet"
    pl.DataFrame({"npi": [[1, 2, 3], [4]], "tin": ["a", "b"]}).write_parquet(lists)
    assert count_values(lists) == 4


def test_no_more_files_are_opened_than_the_caller_counts(tmp_path: Path) -> None:
    folders = {number: write(tmp_path / f"{number}", citations(0, MANY)) for number in range(3)}
    values = StoredTables(Layout(tmp_path / "out"), folders).values()
    assert [next(values), next(values)] == [0, MANY]
    (folders[2] / "citations.parquet").write_bytes(b"no Parquet")
    assert next(values) == MANY
    with pytest.raises(pa.ArrowInvalid):
        next(values)


def test_without_rows_a_table_has_all_its_columns(tmp_path: Path) -> None:
    stored = StoredTables(Layout(tmp_path / "out"), {0: write(tmp_path / "none")})
    for table in EXTRACTED:
        assert stored.scan(table).collect_schema() == table.polars | {"source_no": pl.UInt32()}


def test_rows_that_another_version_wrote_with_other_columns_are_not_read(tmp_path: Path) -> None:
    other = write(tmp_path / "other", citations(0, 1), columns="other")
    with pytest.raises(UsageError, match=r"other: a damaged extract; run again with --force"):
        StoredTables(Layout(tmp_path / "out"), {0: other})
    of_no_rows = write(tmp_path / "none", columns="other")
    assert StoredTables(Layout(tmp_path / "out"), {0: of_no_rows}).scan(CITATIONS).collect().is_empty()


def test_a_missing_table_names_its_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "large", citations(0, MANY))
    (folder / "citations.parquet").unlink()
    with pytest.raises(UsageError, match=r"citations\.parquet: missing from the cache"):
        StoredTables(Layout(tmp_path / "out"), {0: folder}).scan(CITATIONS)


def test_a_second_thread_writes_the_same_files(tmp_path: Path) -> None:
    batches = [citations(first * MANY, MANY) for first in range(3)]
    for folder, overlap in (("one", False), ("two", True)):
        (tmp_path / folder).mkdir()
        with TableWriters(tmp_path / folder, overlap=overlap) as writers:
            for batch in batches:
                writers.write(CITATIONS, batch)
                writers.write(REFERENCES, pa.RecordBatch.from_pylist([], REFERENCES.arrow()))
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two and len(one) == 2


def test_an_error_of_the_second_thread_is_raised(tmp_path: Path) -> None:
    wrong = pa.RecordBatch.from_arrays([pa.array(range(SMALL_BYTES))], names=["rate_id"])
    with pytest.raises(ValueError, match="schema"), TableWriters(tmp_path, overlap=True) as writers:
        writers.write(CITATIONS, wrong)
    with (
        pytest.raises(ValueError, match="schema") as raised,
        TableWriters(tmp_path, overlap=True) as writers,
    ):
        writers.write(CITATIONS, wrong)
        raise KeyError("of the body")
    assert isinstance(raised.value.__context__, KeyError)

"""The bytes that are free when files go."""

from collections import Counter
from pathlib import Path

from flows.operations.retained_files import Inode, freed_bytes, list_files, remove_entry
from flows.storage.layout import Layout


def test_a_file_with_two_names_frees_its_bytes_with_the_last_one(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for name in ("rates", "cache"):
        (tmp_path / name).mkdir()
    (tmp_path / "rates" / "rates.parquet").write_bytes(b"x" * 100)
    (tmp_path / "cache" / "rates.parquet").hardlink_to(tmp_path / "rates" / "rates.parquet")
    (tmp_path / "cache" / "counts.parquet").write_bytes(b"x" * 10)
    published, cached = (list_files(layout, tmp_path / name) for name in ("rates", "cache"))
    assert freed_bytes(published, Counter()) == 0
    names: Counter[Inode] = Counter()
    assert [freed_bytes(files, names) for files in (published, cached)] == [0, 110]


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert list_files(Layout(tmp_path), tmp_path / "none") == []


def test_an_entry_is_a_folder_or_a_file(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    (tmp_path / "extract").mkdir()
    for path in (tmp_path / "extract" / "account.json", tmp_path / "source.json"):
        path.write_bytes(b"{}")
    for path in (tmp_path / "extract", tmp_path / "source.json"):
        remove_entry(layout, path, list_files(layout, path))
    assert list(tmp_path.iterdir()) == []

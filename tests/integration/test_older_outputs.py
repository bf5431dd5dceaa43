"""Outputs of earlier versions: tables under ``month=`` and ``payer=`` are rewritten by the first command."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from flows.publish import older_outputs
from flows.storage.layout import Layout
from schemas.practices import PRACTICES
from schemas.published import PUBLISHED
from tests.command_line import execute


@pytest.fixture
def present(demo_output: Path) -> Path:
    """A published demo."""
    return demo_output


def older(present: Path, place: Path) -> Path:
    """The same output as an earlier version left it: other folders, no month but in ``summaries``, no practices."""
    shutil.copytree(present, place, ignore=shutil.ignore_patterns("practices"))
    for path in sorted(place.glob("*/period=*/**/*.parquet")):
        name = path.relative_to(place).as_posix().replace("period=", "month=").replace("payer_slug=", "payer=")
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        rows = pl.read_parquet(path, hive_partitioning=False)
        (rows if path.name == "summaries.parquet" else rows.drop("month")).write_parquet(place / name)
    for folder in place.glob("*/period=*"):
        shutil.rmtree(folder)
    return place


def tables(output: Path) -> dict[str, bytes]:
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for table in PUBLISHED
        for path in output.glob(table.pattern)
        if table is not PRACTICES
    }


@pytest.mark.slow
def test_the_first_command_rewrites_the_tables_of_an_earlier_version(present: Path, tmp_path: Path) -> None:
    output = older(present, tmp_path / "out")
    assert execute("report", "--output", output).code == 0
    assert tables(output) == tables(present)
    assert list(output.glob("*/month=*")) == []


def test_an_upgrade_that_was_killed_is_continued(
    present: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = older(present, tmp_path / "out")

    class Killed(BaseException):
        """The process ends here."""

    def killed(folder: Path) -> None:
        raise Killed(folder)

    monkeypatch.setattr(older_outputs, "remove_folder", killed)
    with pytest.raises(Killed):
        older_outputs.upgrade_output(Layout(output))
    monkeypatch.undo()
    older_outputs.upgrade_output(Layout(output))
    assert tables(output) == tables(present)

"""datapackage.json follows the published files, also where a publication is undone."""

import json
from pathlib import Path

from flows.publish.publish import publish_package
from flows.storage.layout import Layout


def test_a_package_names_no_file_that_was_taken_back(tmp_path: Path) -> None:
    layout, path = Layout(tmp_path), tmp_path / "summaries" / "period=2026-06" / "summaries.parquet"

    def described() -> list[str]:
        publish_package(layout)
        return [each["path"] for each in json.loads((tmp_path / "datapackage.json").read_bytes())["resources"]]

    path.parent.mkdir(parents=True)
    path.touch()
    assert described() == ["summaries/period=2026-06/summaries.parquet"]
    path.unlink()
    assert described() == []


def test_an_output_without_tables_has_no_package(tmp_path: Path) -> None:
    publish_package(Layout(tmp_path))
    assert list(tmp_path.iterdir()) == []

"""datapackage.json as a consumer reads it: with frictionless, beside the Parquet files that it names."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from frictionless import Package

from schemas.published import PUBLISHED

ARROW = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "number": pa.float64(),
    "date": pa.date32(),
    "array": pa.list_(pa.string()),
}


@pytest.fixture
def output(demo_output: Path) -> Path:
    """A published demo."""
    return demo_output


@pytest.fixture
def package(output: Path) -> dict[str, Any]:
    """What the output says of itself."""
    found: dict[str, Any] = json.loads((output / "datapackage.json").read_bytes())
    return found


def test_frictionless_accepts_the_package(output: Path, package: dict[str, Any]) -> None:
    read = Package.from_descriptor(package, basepath=str(output))
    assert sorted(read.resource_names) == sorted(table.name.lower().replace("_", "-") for table in PUBLISHED)
    assert [error.message for error in Package.metadata_validate(read.to_descriptor())] == []


def test_every_published_file_is_named_once_and_no_other(output: Path, package: dict[str, Any]) -> None:
    named = [
        path
        for each in package["resources"]
        for path in ([each["path"]] if isinstance(each["path"], str) else each["path"])
    ]
    assert sorted(named) == sorted(p.relative_to(output).as_posix() for p in output.glob("*/period=*/**/*.parquet"))


def test_fields_are_the_columns_of_the_files(output: Path, package: dict[str, Any]) -> None:
    for resource in package["resources"]:
        fields = resource["schema"]["fields"]
        for path in [resource["path"]] if isinstance(resource["path"], str) else resource["path"]:
            columns = pq.read_schema(output / path)
            assert [field["name"] for field in fields] == columns.names
            for field, column in zip(fields, columns, strict=True):
                assert field.get("constraints", {}).get("required", False) == (not column.nullable)
                assert (
                    pa.types.is_integer(column.type)
                    if field["type"] == "integer"
                    else column.type == ARROW[field["type"]]
                )

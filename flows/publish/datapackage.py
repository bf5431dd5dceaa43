"""``datapackage.json``: every published table and its files, as a Data Package (frictionless Table Schema)."""

import json
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from schemas.codes import METHODOLOGY
from schemas.published import PUBLISHED
from schemas.table import Column, Table

_TYPES = {
    "string": "string",
    "bool": "boolean",
    "int32": "integer",
    "int64": "integer",
    "float64": "number",
    "date": "date",
    "list[string]": "array",
    "list[int64]": "array",
}


def describe_package(paths: Iterable[str]) -> bytes:
    """The descriptor of an output that has these published files, by their paths under it.

    A table without a file is left out: a resource must have one.
    """
    names = sorted(paths)
    resources = [
        _resource(table, files)
        for table in PUBLISHED
        if (files := [name for name in names if fnmatchcase(name, table.pattern)])
    ]
    package = {
        "name": "tic-rates",
        "title": "Percentile benchmarks from Transparency-in-Coverage files",
        "profile": "data-package",
        "methodology": METHODOLOGY,
        "resources": resources,
    }
    return json.dumps(package, indent=1).encode() + b"\n"


def _resource(table: Table, files: list[str]) -> dict[str, Any]:
    keys = [column.name for column in table if column.name in table.grain]
    optional = {column.name for column in table if column.nullable or column.dtype.startswith("list")}
    key = {} if optional.intersection(keys) else {"primaryKey": keys}  # a primary key has no null
    return {
        "name": table.name.lower().replace("_", "-"),
        "description": table.description,
        "path": files[0] if len(files) == 1 else files,
        "format": "parquet",
        "mediatype": "application/vnd.apache.parquet",
        "schema": {"fields": [_field(column) for column in table], **key},
    }


def _field(column: Column) -> dict[str, Any]:
    unit = {"unit": column.unit} if column.unit else {}
    required = {} if column.nullable else {"constraints": {"required": True}}
    return {"name": column.name, "type": _TYPES[column.dtype], "description": column.description, **unit, **required}

"""A table declared once: its Arrow schema, polars dtypes, checks and documentation all follow from here."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import polars as pl
import pyarrow as pa

_ARROW: dict[str, pa.DataType] = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "date": pa.date32(),
    "list[string]": pa.list_(pa.string()),
    "list[int64]": pa.list_(pa.int64()),
}
# ``pyarrow.array`` would import pandas where it is installed, for a second
_POLARS = {name: pl.Series(values=pa.nulls(0, kind)).dtype for name, kind in _ARROW.items()}


class SchemaError(Exception):
    """A frame does not have the shape its table declares: a bug of ours, never of the input."""


@dataclass(frozen=True)
class Column:
    """One column: name, type (``string``, ``bool``, ``int32``, ``int64``, ``float64``, ``date``, ``list[...]``), ...

    A type with a question mark, such as ``date?``, allows null.
    """

    name: str
    type: str
    description: str
    unit: str = ""

    @property
    def dtype(self) -> str:
        """The type without question mark."""
        return self.type.removesuffix("?")

    @property
    def nullable(self) -> bool:
        """Whether a value can be null."""
        return self.type.endswith("?")

    @property
    def arrow(self) -> pa.Field:
        """The Arrow field, its description and unit in the field's metadata."""
        metadata = {"description": self.description} | ({"unit": self.unit} if self.unit else {})
        return pa.field(self.name, _ARROW[self.dtype], nullable=self.nullable, metadata=metadata)

    @property
    def polars(self) -> pl.DataType:
        """The polars dtype."""
        return _POLARS[self.dtype]


@dataclass(frozen=True)
class Table:
    """A named table: what it is, what one row is (its grain), and its columns in published order."""

    name: str
    description: str
    grain: tuple[str, ...]
    columns: tuple[Column, ...]
    path: str = ""
    sort: tuple[str, ...] = field(default=())

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    @property
    def names(self) -> list[str]:
        """Column names in published order."""
        return [column.name for column in self.columns]

    @property
    def order(self) -> list[str]:
        """The columns that rows are sorted by: the grain unless the table says otherwise."""
        return list(self.sort or self.grain)

    @property
    def polars(self) -> pl.Schema:
        """The polars schema in published order."""
        return pl.Schema({column.name: column.polars for column in self.columns})

    @property
    def pattern(self) -> str:
        """``path`` as a glob of its files under an output."""
        return self.path.replace("YYYY-MM", "????-??").replace("SLUG", "*")

    def arrow(self, **metadata: str) -> pa.Schema:
        """The Arrow schema with the table's description, and any further ``metadata``, in the schema metadata."""
        return _schema(self, tuple(metadata.items()))

    def conform(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Select and cast to the declared columns in order; a missing column is a ``SchemaError``."""
        missing = set(self.names) - set(rows.collect_schema().names())
        if missing:
            raise SchemaError(f"{self.name}: column {', '.join(sorted(missing))} is missing")
        return rows.select(pl.col(column.name).cast(column.polars) for column in self.columns)

    def complete(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of an earlier version with the present columns; what they lack is null, of a list no element."""
        filled = pl.concat([self.empty(), rows], how="diagonal")
        lists = [column.name for column in self if column.dtype.startswith("list")]
        return filled.with_columns(pl.col(name).fill_null([]) for name in lists).lazy().pipe(self.conform).collect()

    def empty(self) -> pl.DataFrame:
        """No rows, all columns."""
        return pl.DataFrame(schema=self.polars)


@cache
def _schema(table: Table, metadata: tuple[tuple[str, str], ...]) -> pa.Schema:
    described = {"table": table.name, "description": table.description, "grain": ", ".join(table.grain)}
    return pa.schema([column.arrow for column in table.columns], metadata=described | dict(metadata))


MONTH = Column("month", "date", "first day of the month")
USD = "US dollars per service"

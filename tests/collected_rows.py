"""What a reader collected, as plain rows."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from transforms.read.collect import Collected
from transforms.read.spool import Spool


def rows_of(batches: Iterable[pa.RecordBatch]) -> list[tuple[Any, ...]]:
    """Rows as Python values; lists are tuples."""
    return [
        tuple(tuple(value) if isinstance(value, list) else value for value in row.values())
        for batch in batches
        for row in batch.to_pylist()
    ]


def spool_rows(spool: Spool) -> list[tuple[Any, ...]]:
    """All rows of a spool."""
    return rows_of(spool.batches())


def keyed_rows(found: Collected, spool: Spool) -> list[tuple[Any, ...]]:
    """Rows of ``citations`` or ``references``, with the text of the key that their second column numbers."""
    return [(first, found.keys.text_of(number), *rest) for first, number, *rest in spool_rows(spool)]


def cited_texts(found: Collected) -> list[str]:
    """The cited keys as texts."""
    numbers = found.cited_keys().numbers.tolist()
    return [text for number in numbers if (text := found.keys.text_of(number)) is not None]

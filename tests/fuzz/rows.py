"""Rows of assembled documents: what the scanner collects of each against the plain reading's columns.

An element is one generated item or provider reference that went through the compiled kernel, and whose rows, or whose
having none, were compared. Those of which there are rows (wanted items, cited references) are counted as decoded.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from random import Random
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from tests.fuzz.assemble import Document
from tests.fuzz.plain_columns import PlainColumns, Row, identity
from tests.fuzz.plain_rows import respelled
from tests.fuzz.reading import CODES, collect, scan_of
from transforms.errors import BadFileError
from transforms.read import collect as spools
from transforms.read.collect import Collected
from transforms.scan.scan_kernel import columns, kernel
from transforms.scan.scan_kernel.library import function

GROUPS_BY_KEY = spools.REFERENCE_GROUPS.insert(1, pa.field("key", pa.int64()))


class Reading(NamedTuple):
    """How the scanner reads a document: for which processors, cut where, with what behind each block."""

    level: str
    edges: tuple[int, ...]
    poison: int


class Verdict(NamedTuple):
    """What a document was like; ``explained``: values that are only spelled otherwise."""

    elements: int
    decoded: int
    rows: int
    explained: int
    difference: str


def compared(document: Document, how: Reading) -> Verdict:
    """The rows that the scanner collects of a document against the plain reading's."""
    data, starts = document.joined()
    plain = PlainColumns(data, CODES, starts)
    elements = sum(len(section.elements) for section in document.sections)
    decoded = len(plain.items) + len(plain.references)
    rows = sum(map(len, (plain.prices, plain.citations, plain.groups, plain.reference_groups)))
    try:
        with at_level(how.level):
            edges = tuple(edge for edge in how.edges if edge < len(data))  # one with fewer elements is shorter
            found, _ = collect(scan_of(data, edges, how.poison))
        difference, explained = compare_rows(found, plain)
        found.close()
    except BadFileError as error:
        difference, explained = f"refused: {error}", 0
    except Exception as error:  # noqa: BLE001 any other exception is a find
        difference, explained = f"{type(error).__name__}: {error}", 0
    return Verdict(elements, decoded, rows, explained, difference)


@contextmanager
def at_level(level: str) -> Iterator[None]:
    """The kernel's functions for one level of processors."""
    with ExitStack() as stack:
        for module in (kernel, columns):
            for name, known in vars(module).items():
                if hasattr(known, "argtypes"):
                    stack.enter_context(patch.object(module, name, function(name, len(known.argtypes), level)))
        yield


def choose_edges(random: Random, size: int) -> tuple[int, ...]:
    """Where the blocks of a long document end: few anywhere, at regular places, or many close to each other."""
    kind = random.randrange(4)
    if kind == 0:
        return ()
    if kind == 1:
        every = random.choice((997, 4_096, 10_007, 65_536))
        return tuple(range(every, size, every))[:200]
    if kind == 2:
        first = random.randrange(1, size)
        return tuple(range(first, min(size, first + random.choice((8, 16, 64)))))
    return tuple(sorted({random.randrange(1, size) for _ in range(random.choice((1, 2, 5, 20)))}))


# ---- columns -----------------------------------------------------------------------------------------------


def table_of(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_batches(batches, schema=schema)


def differing(name: str, table: pa.Table, rows: Sequence[Row]) -> tuple[str, int]:
    """In what a table is not these rows; and how many values are only spelled otherwise."""
    if len(table) != len(rows):
        return f"{name}: {len(table)} rows; plain {len(rows)}", 0
    explained = 0
    for field, found, values in zip(table.schema, table.columns, zip(*rows, strict=True), strict=bool(rows)):
        expected = pa.chunked_array([pa.array(values, field.type)])
        if found.equals(expected) and (field.type != pa.float64() or _signs(found) == _signs(expected)):
            continue
        for row, (one, other) in enumerate(zip(found.to_pylist(), expected.to_pylist(), strict=True)):
            if repr(one) == repr(other):
                continue
            if pa.types.is_floating(field.type) or _spelled(one) != _spelled(other):
                return f"{name}[{row}].{field.name}: {one!r}; plain {other!r}", 0
            explained += 1
    return "", explained


def _signs(column: pa.ChunkedArray) -> list[bool]:
    """Which numbers are below zero, or minus zero: that equals zero."""
    signs: list[bool] = np.signbit(column.fill_null(0.0).to_numpy()).tolist()
    return signs


def _spelled(value: Any) -> Any:
    return respelled(tuple(value) if isinstance(value, list) else value)


def compare_rows(found: Collected, plain: PlainColumns) -> tuple[str, int]:
    """In what the rows differ; and how many values are only spelled otherwise."""
    counts = (found.items_seen, found.items_matched, found.references_seen)
    expected = (plain.items_seen, len(plain.items), plain.references_seen)
    if counts != expected:
        return f"items, matches, references: {counts}; plain {expected}", 0
    citations = table_of(found.citations.batches(), spools.CITATIONS)
    references = table_of(found.cited_references(), spools.REFERENCES)
    groups = pa.Table.from_batches(found.cited_reference_groups(), GROUPS_BY_KEY).drop_columns(["key"])
    numbers = references.column("reference_no").to_numpy()
    owners = np.searchsorted(numbers, groups.column("reference_no").to_numpy())
    keys = [row[1] for row in chain(plain.citations, plain.references)]
    found_keys = [*_identities(found, citations), *_identities(found, references)]
    if found_keys != keys:
        pairs = zip(found_keys, keys, strict=False)
        return (
            f"keys: {len(found_keys)}; plain {len(keys)}; {next((pair for pair in pairs if pair[0] != pair[1]), '')}",
            0,
        )
    explained = 0
    for name, table, rows in (
        ("items", table_of(found.items.batches(), spools.ITEMS), plain.items),
        ("prices", table_of(found.prices.batches(), spools.PRICES), plain.prices),
        ("citations", citations.drop_columns(["key"]), [row[:1] for row in plain.citations]),
        ("groups", table_of(found.groups.batches(), spools.GROUPS), plain.groups),
        ("references", references.drop_columns(["reference_no", "key"]), [row[2:] for row in plain.references]),
        ("reference_groups", groups.set_column(0, "reference_no", pa.array(owners)), plain.reference_groups),
    ):
        difference, more = differing(name, table, rows)
        if difference:
            return difference, 0
        explained += more
    return "", explained


def _identities(found: Collected, table: pa.Table) -> list[object]:
    """The plain reading's ids of a table's keys."""
    numbers = table.column("key").to_numpy()
    known = {number: identity(found.keys.text_of(number)) for number in set(numbers.tolist())}
    return [known[number] for number in numbers.tolist()]

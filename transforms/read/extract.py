"""A source's bytes into its extract: rows for the extract tables, and an account of what was found.

Memory: the reader's limits, and batches of up to ``HELD_BYTES`` of each table on the way out.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import starmap
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.extracted import CITATIONS, INLINE_GROUPS, PRICES, REFERENCE_GROUPS, REFERENCES
from schemas.mrf import ROOT_SHAPES
from schemas.table import Table
from transforms.errors import BadFileError
from transforms.limits import Limits
from transforms.read import arrow_columns as arrow
from transforms.read.account import REMOTE_REFERENCES, DocumentAccount, SourceAccount
from transforms.read.clean import read_date
from transforms.read.collect import ITEMS, Collected
from transforms.read.containers import CountedStream, open_documents
from transforms.read.read_ijson import read_document
from transforms.read.spool import OpenTemporary, decoded

DATE_NOT_READ = "date not read"  # a quirk
HELD_BYTES = 1 << 20
FEW_PRICES = 1_000
_ENCODED_ITEMS = pa.schema(
    [
        (field.name, pa.dictionary(pa.int32(), field.type) if pa.types.is_string(field.type) else field.type)
        for field in ITEMS
    ]
)

ReadDocument = Callable[..., None]
Emit = Callable[[Table, pa.RecordBatch], None]
PricedItems = tuple[pa.RecordBatch, pa.Table, pa.Array]


def extract_source(
    raw: BinaryIO,
    wanted: frozenset[str],
    emit: Emit | None,
    open_temporary: OpenTemporary,
    *,
    reader: ReadDocument = read_document,
    skip: bool = True,
    limits: Limits | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> SourceAccount:
    """The account of one source, every document of it read; rows go to ``emit`` (if any) by the batch.

    Raises:
        BadFileError: the source can't be trusted; what was emitted must be discarded.
        FullReadingNeededError: read again with ``skip=False``.
    """
    accounts: list[DocumentAccount] = []
    set_aside: list[str] = []
    limits = limits or Limits()
    joined: dict[str, _JoinedBatches] = {}
    for number, document in enumerate(open_documents(raw, open_temporary, limits, set_aside.append)):
        collected = Collected(open_temporary, limits=limits)
        stream = _counted(document.stream, collected, on_progress)
        try:
            reader(stream, wanted, collected, skip=skip)
            collected.check_cited()
            priced = _priced(collected)
            account = describe(document.name, collected, stream.bytes, wanted, priced())
            if account.shape == "unknown":
                raise BadFileError(f"no TiC file: its root keys are {', '.join(account.root_keys[:8]) or 'none'}")
            if emit is not None:
                for table, batches in _tables(collected, document.first, priced()):
                    into = joined.setdefault(table.name, _JoinedBatches(table, emit))
                    for batch in batches:
                        into.add(number, batch)
        except BadFileError as error:
            raise (BadFileError(f"{document.name}: {error}") if document.name else error) from error
        finally:
            collected.close()
        accounts.append(account)
    for held in joined.values():
        held.flush()
    return SourceAccount(tuple(accounts), len(set_aside))


def _counted(stream: BinaryIO, collected: Collected, on_progress: Callable[[int, int], None] | None) -> CountedStream:
    """The stream, which reports progress: (bytes, matched items)."""
    if on_progress is None:
        return CountedStream(stream)
    return CountedStream(stream, on_read=lambda size: on_progress(size, collected.items_matched))


def shape_of(root_keys: Iterable[str]) -> str:
    """What a document is, by its root keys; ``unknown`` when none of them belongs to TiC."""
    keys = set(root_keys)
    return next((shape for key, shape in ROOT_SHAPES if key in keys), "unknown")


def describe(
    name: str, collected: Collected, bytes_json: int, wanted: frozenset[str], priced: Iterable[PricedItems]
) -> DocumentAccount:
    """The account of one document just read; of its dates that can't be read, the header's and the matched prices'."""
    items: Counter[str] = Counter()
    prices: Counter[str] = Counter()
    for batch in collected.items.encoded_batches():
        items.update(_counts(batch.column("billing_code")))
    dates_not_read = int(read_date(collected.header.get("last_updated_on"))[1])
    for batch, of_items, places in priced:
        prices.update(_counts(of_items.column("billing_code").take(places)))
        dates_not_read += pc.sum(decoded(batch.column("date_not_read"))).as_py()
    quirks = dict(collected.quirks) | ({DATE_NOT_READ: dates_not_read} if dates_not_read else {})
    return DocumentAccount(
        name=name,
        header=dict(collected.header),
        root_keys=tuple(collected.root_keys),
        shape=shape_of(collected.root_keys),
        flags=_flags(collected),
        quirks=quirks,
        items_seen=collected.items_seen,
        items_matched=collected.items_matched,
        codes={code: (items[code], prices[code]) for code in sorted(wanted)},
        provider_references=collected.references_seen,
        cited=len(collected.cited_keys()),
        bytes_json=bytes_json,
    )


def _counts(column: pa.Array) -> dict[str, int]:
    values, counts = column.value_counts().flatten()
    return dict(zip(decoded(values).to_pylist(), counts.to_pylist(), strict=True))


def _flags(collected: Collected) -> tuple[str, ...]:
    """How the document lays out its providers and keys."""
    keys = collected.root_keys
    sections = [key for key in keys if key.startswith(("in_network", "provider_ref", "provider_group"))]
    flags = []
    if len(sections) > 1:
        flags.append("references_last" if sections[0].startswith("in_network") else "references_first")
    if len(collected.groups):
        flags.append("inline_groups")
    if len(collected.citations):
        flags.append("cited_references")
    if any(map(_has_remote, collected.cited_references())):
        flags.append(REMOTE_REFERENCES)
    if keys and sections and "reporting_entity_name" in keys[keys.index(sections[0]) :]:
        flags.append("header_last")
    return tuple(flags)


def _has_remote(references: pa.RecordBatch) -> bool:
    empty = references.filter(arrow.flags(arrow.numpy_of(references.column("n_groups")) == 0))
    return bool(empty.column("location").null_count < empty.num_rows)


def _tables(
    collected: Collected, first: int, priced: Iterable[PricedItems]
) -> Iterator[tuple[Table, Iterable[pa.RecordBatch]]]:
    """The tables' rows without their document; ``first``: the byte of it where the reader began."""

    def keyed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.set_column(1, "key", collected.keys.texts_of(batch.column("key")))

    def placed(batches: Iterable[pa.RecordBatch], name: str) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            at = batch.schema.get_field_index(name)
            yield batch.set_column(at, name, arrow.numbers(arrow.numpy_of(batch.column(at)) + first))

    yield PRICES, placed(starmap(_price_rows, priced), "item_offset")
    yield CITATIONS, keyed(collected.citations.batches())
    yield INLINE_GROUPS, collected.groups.batches()
    yield REFERENCES, placed(keyed(collected.cited_references()), "reference_offset")
    yield REFERENCE_GROUPS, keyed(collected.cited_reference_groups())


class _JoinedBatches:
    """One table's batches before ``emit``; small ones of several documents are joined, for each is a row group."""

    def __init__(self, table: Table, emit: Emit) -> None:
        self._table = table
        self._schema = table.arrow()
        self._emit = emit
        self._held: list[pa.RecordBatch] = []
        self._bytes = 0

    def add(self, document: int, batch: pa.RecordBatch) -> None:
        """Rows of one document."""
        if not batch.num_rows:
            return
        numbers = arrow.numbers(np.full(batch.num_rows, document, np.int32))
        self._held.append(pa.RecordBatch.from_arrays([numbers, *batch.columns], schema=self._schema))
        self._bytes += batch.nbytes
        if self._bytes >= HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        """What is held."""
        for batch in pa.Table.from_batches(self._held, self._schema).combine_chunks().to_batches():
            self._emit(self._table, batch)
        self._held, self._bytes = [], 0


def _priced(collected: Collected) -> Callable[[], Iterable[PricedItems]]:
    """``priced_items``, to be called more than once: where the prices are few, they are gone through once."""
    if len(collected.prices) > FEW_PRICES or collected.prices.spilled or collected.items.spilled:
        return partial(priced_items, collected)
    held = [*priced_items(collected)]
    return lambda: held


def priced_items(collected: Collected) -> Iterator[PricedItems]:
    """Batches of prices as they are kept, some items, and row by row which of those has the price."""
    items = map(_encoded, collected.items.batches())
    held = pa.Table.from_batches([], _ENCODED_ITEMS)
    for prices in collected.prices.encoded_batches():  # in rate order, as the items are
        if not prices.num_rows:
            continue
        rates = arrow.numpy_of(prices.column("rate_id"))
        while not held.num_rows or held.column("rates_end")[-1].as_py() <= rates[-1]:
            held = pa.concat_tables([held, pa.Table.from_batches([next(items)])])
        held = held.combine_chunks()
        places = np.searchsorted(arrow.numpy_of(held.column("rates_end").chunk(0)), rates, side="right")
        yield prices, held, arrow.numbers(places)
        held = held.slice(int(places[-1]))


def _encoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch, its texts as numbers of a dictionary: many prices take them."""
    columns = [column.dictionary_encode() if pa.types.is_string(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=_ENCODED_ITEMS)


def _price_rows(prices: pa.RecordBatch, items: pa.Table, places: pa.Array) -> pa.RecordBatch:
    """Rows of PRICES without their document."""
    rate_id, *values, _ = map(decoded, prices.columns)
    of_items = [decoded(items.column(name).chunk(0).take(places)) for name in PRICES.names[2:6]]
    return pa.RecordBatch.from_arrays([rate_id, *of_items, *values], names=PRICES.names[1:])

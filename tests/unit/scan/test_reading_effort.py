"""What documents cost that say the same thing again and again, or very much of it: effort and memory."""

import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.collected_rows import cited_texts, spool_rows
from tests.documents import document, group, item, price, rate, reference
from tests.pipeline import open_temporary
from transforms.errors import BadFileError
from transforms.read import read_ijson
from transforms.read.collect import Collected
from transforms.read.extract import ReadDocument, extract_source
from transforms.read.guard import has_long_number
from transforms.read.spool import Spool
from transforms.read.walk import NPIS_PER_ROW
from transforms.scan import read_scan, reference_index, scan_cursor
from transforms.scan.byte_spool import ByteSpool

WANTED = frozenset({"97026"})
SCAN: ReadDocument = partial(read_scan.read_document, overlap=False)
READERS: dict[str, ReadDocument] = {"scan": SCAN, "ijson": read_ijson.read_document}
CITING = json.dumps([item(negotiated_rates=[rate(provider_references=[n]) for n in range(50)])])
REFERENCES = json.dumps([reference(1)])
MB = 1_000_000


def read(reader: ReadDocument, text: str) -> Collected:
    collected = Collected(open_temporary)
    reader(io.BytesIO(text.encode()), WANTED, collected)
    return collected


def peak_of(call: Callable[[], object]) -> int:
    """The most memory that a call held of Python's, in bytes."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def again(section: str, times: int) -> str:
    return ",".join([section] * times)


def test_of_sections_given_again_and_again_no_byte_is_kept_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = 0
    append = ByteSpool.append

    def counting(spool: ByteSpool, data: memoryview) -> None:
        nonlocal kept
        kept += len(data)
        append(spool, data)

    monkeypatch.setattr(ByteSpool, "append", counting)
    text = f'{{{again(f""""provider_references":{REFERENCES}""", 300)},"in_network":{CITING}}}'
    assert read(SCAN, text).references_seen == 1
    assert kept < 2 * len(text)


@pytest.mark.parametrize("engine", READERS)
def test_what_is_cited_is_gathered_once_for_all_sections(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = passes = 0
    key_table, iterate = reference_index.key_table, Spool.encoded_batches

    def counting_tables(*arguments: Any) -> Any:
        nonlocal tables
        tables += 1
        return key_table(*arguments)

    def counting_passes(spool: Spool) -> Iterator[pa.RecordBatch]:
        nonlocal passes
        passes += 1
        return iterate(spool)

    monkeypatch.setattr(read_scan, "key_table", counting_tables)
    monkeypatch.setattr(Spool, "encoded_batches", counting_passes)
    sections = again(f'"provider_references":{REFERENCES}', 300)
    collected = read(READERS[engine], f'{{"in_network":{CITING},{sections}}}')
    assert len(collected.cited_keys()) == 50 and len(collected.references) == 1
    assert tables <= 1 and passes == 1


@pytest.mark.parametrize("engine", READERS)
def test_what_a_replaced_in_network_cited_is_forgotten(engine: str) -> None:
    other = CITING.replace('"provider_references": [0]', '"provider_references": [77]')
    text = f'{{"provider_references":{REFERENCES},"in_network":{CITING},"in_network":{other}}}'
    assert {*cited_texts(read(READERS[engine], text))} == {"77", *map(str, range(1, 50))}


class ComparedKey(str):
    """Counts how often it is compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        ComparedKey.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_a_root_key_is_not_compared_with_all_before_it() -> None:
    collected = Collected(open_temporary)
    for number in range(5_000):
        collected.note_root_key(ComparedKey(f"key {number}"))
    assert ComparedKey.compared < 5_000
    assert len(collected.root_keys) == 1_000


def test_plain_values_of_the_root_start_no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_parser(*_arguments: object) -> object:
        raise AssertionError("a parser of its own for one value")

    monkeypatch.setattr(scan_cursor, "parse", no_parser)
    text = (
        r'{"version":2,"a":0,"reporting_\u0065ntity_name":"A\n\ud83d\ude00 \ud83d","c":true,"d":null,"in_network":[]}'
    )
    header = read(SCAN, text).header
    assert header == {
        "version": "2",
        "a": "0",
        "reporting_entity_name": "A\n\N{GRINNING FACE} \N{REPLACEMENT CHARACTER}",
    }


@pytest.mark.parametrize(
    "value", ["01", "1.5", "-0", "-7", "1E5", "1e999999999999999999999", "+1", "1_0", "٣", r'"\x"']
)
def test_a_value_of_the_root_is_what_a_parser_says(value: str) -> None:
    text = f'{{"version":{value},"in_network":[]}}'

    def header(reader: ReadDocument) -> dict[str, str] | None:
        try:
            return read(reader, text).header
        except BadFileError:
            return None

    assert header(SCAN) == header(read_ijson.read_document)


# ---- memory ------------------------------------------------------------------------------------------------------


def long_lists(count: int) -> Iterator[str]:
    """Prices with long lists of long codes, no two alike."""
    for number in range(count):
        yield json.dumps(price(service_code=[f"{number:05d}{n:03d}{'X' * 1_000}" for n in range(200)]))


@pytest.mark.parametrize(("engine", "most"), [("scan", 54), ("ijson", 18)])  # the scan's columns take 24, a spool 4
def test_rows_with_long_lists_go_to_disk_by_what_they_hold(engine: str, most: int) -> None:
    begins = '{"billing_code":"97026","negotiated_rates":[{"negotiated_prices":['
    items = ",".join(f"{begins}{text}]}}]}}" for text in long_lists(100))
    data = f'{{"reporting_entity_name":"A","in_network":[{items}]}}'.encode()
    assert len(data) > 20 * MB

    def extract() -> None:
        extract_source(io.BytesIO(data), WANTED, lambda *_: None, open_temporary, reader=READERS[engine])

    extract()  # imports its own
    assert peak_of(extract) < most * MB


@pytest.mark.parametrize(
    ("engine", "where", "each"),
    [
        ("scan", "inline", 100),
        ("scan", "in a reference before", 100),
        ("scan", "in a reference behind", 100),
        pytest.param("ijson", "inline", 40, marks=pytest.mark.slow),
    ],
)
def test_one_group_of_very_many_npis_takes_little_more_than_its_text(engine: str, where: str, each: int) -> None:
    npis = 600_000
    group = (
        f'{{"npi":[{",".join(str(1_000_000_000 + 7 * n) for n in range(npis))}],"tin":{{"type":"ein","value":"1"}}}}'
    )
    prices = '"negotiated_prices":[{"negotiated_rate":1}]'
    inline = f'"provider_groups":[{group}],' if where == "inline" else '"provider_references":[1],'
    items = f'"in_network":[{{"billing_code":"97026","negotiated_rates":[{{{inline}{prices}}}]}}]'
    references = f'"provider_references":[{{"provider_group_id":1,"provider_groups":[{group}]}}]'
    sections = {
        "inline": [items],
        "in a reference before": [references, items],
        "in a reference behind": [items, references],
    }
    data = f"{{{','.join(sections[where])}}}".encode()
    found: list[Collected] = []

    def reading() -> None:
        collected = Collected(open_temporary)
        READERS[engine](io.BytesIO(data), WANTED, collected)
        found.append(collected)

    peak = peak_of(reading)
    (collected,) = found
    rows = collected.groups if where == "inline" else collected.reference_groups
    assert [npi for row in spool_rows(rows) for npi in row[-1]] == [1_000_000_000 + 7 * n for n in range(npis)]
    collected.close()
    assert peak < each * npis


@pytest.mark.parametrize("blank", [False, True])
@pytest.mark.parametrize("count", [0, 1, NPIS_PER_ROW - 1, NPIS_PER_ROW, NPIS_PER_ROW + 1, 2 * NPIS_PER_ROW])
def test_a_long_group_is_rows_of_its_distinct_npis_in_order_a_blank_last(count: int, blank: bool) -> None:
    npis = [*range(count), *(["", None] if blank else []), *range(count - 1, -1, -1)]
    data = json.dumps(document(item(rate(group(*npis)))))
    expected = [*range(count), *([None] if blank or not count else [])]
    for reader in READERS.values():
        collected = read(reader, data)
        rows = [row[-1] for row in spool_rows(collected.groups)]
        assert [npi for row in rows for npi in row] == expected
        assert [len(row) for row in rows][:-1] == [NPIS_PER_ROW] * (len(rows) - 1)
        collected.close()


# ---- numbers -----------------------------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from((b"1", b"-2.5e7", b"12345678", b",", b" ", b'"1234567890123"', b"e")), max_size=30),
    st.integers(1, 20),
)
def test_a_long_number_is_found_wherever_it_begins(parts: list[bytes], digits: int) -> None:
    data = b"".join(parts)
    longest = run = 0
    inside = False
    for byte in data:
        inside ^= byte == ord('"')
        run = run + 1 if not inside and byte in b"0123456789+-.eE" else 0
        longest = max(longest, run)
    assert has_long_number(data, digits) == (longest > digits)

"""The fuzzing of rows: assembled documents are read as the plain reading reads them, and what differs is found."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz import assemble
from tests.fuzz.assemble import Assembler, Document, Section
from tests.fuzz.plain_columns import PlainColumns
from tests.fuzz.reading import CODES, collect, scan_of
from tests.fuzz.row_worker import RowFuzzer, with_fewest
from tests.fuzz.rows import Reading, at_level, compare_rows, compared
from transforms.scan.scan_kernel import columns, kernel
from transforms.scan.scan_kernel.library import levels

PRICE = b'{"negotiated_type":"derived","negotiated_rate":%b,"service_code":["11","22"],"expiration_date":"2026-01-31"}'
RATE = b'[{"provider_references":[7],"provider_groups":[{"npi":[3,2],"tin":{"value":"1"}}],"negotiated_prices":[%b]}]'
REFERENCE = b'{"provider_group_id":7.0,"provider_groups":[{"npi":[5]}]}'


def item(rate: bytes = b"30.1", code: bytes = b'"97026"') -> bytes:
    return b'{"billing_code":%b,"negotiated_rates":%b}' % (code, RATE % (PRICE % rate))


def document(*items: bytes) -> Document:
    sections = [Section("in_network", list(items)), Section("provider_references", [REFERENCE])]
    return Document([b'"version":"2"'], sections, b", ")


def difference_from(read: Document, expected: Document, **changed: Any) -> tuple[str, int]:
    """Between what is read of one document, and the plain columns of another, some of them changed."""
    found, _ = collect(scan_of(read.joined()[0], (), 0))
    data, starts = expected.joined()
    plain = PlainColumns(data, CODES, starts)
    for name, rows in changed.items():
        setattr(plain, name, rows(getattr(plain, name)))
    return compare_rows(found, plain)


def with_value(place: int, value: object) -> Any:
    return lambda rows: [(*rows[0][:place], value, *rows[0][place + 1 :]), *rows[1:]]


def test_assembled_documents_are_read_as_the_plain_reading_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "FEWEST", 50)
    monkeypatch.setattr(assemble, "MOST", 500)
    fuzzer = RowFuzzer(1)
    for _ in range(40):
        fuzzer.one()
    assert not fuzzer.counts["differences"]
    assert fuzzer.counts["elements"] > 5_000
    assert fuzzer.counts["rows"] > fuzzer.counts["decoded"] > 2_000
    assert fuzzer.counts["plain"]


def test_no_element_of_a_document_is_another_ones() -> None:
    assembler = Assembler(3)
    items = [element for _ in range(3) for element in assembler.document().sections[-1].elements]
    assert len(set(items)) > 0.95 * len(items)


def test_elements_stand_where_the_document_says() -> None:
    assembled = Assembler(2).document()
    data, starts = assembled.joined()
    assert json.loads(data)
    for key, elements in assembled.sections:
        for start, element in zip(starts[key], elements, strict=True):
            assert data[start : start + len(element)] == element


def test_equal_rows_show_no_difference() -> None:
    assert difference_from(document(item()), document(item())) == ("", 0)


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"prices": with_value(2, 30.100000000000005)}, "prices[0].negotiated_rate"),
        ({"prices": with_value(5, ("11",))}, "prices[0].service_codes"),
        ({"prices": with_value(7, None)}, "prices[0].expiration_date"),
        ({"prices": lambda rows: rows * 2}, "prices: 1 rows; plain 2"),
        ({"items": with_value(5, 7)}, "items[0].item_offset"),
        ({"citations": with_value(0, 1)}, "citations[0].rate_id"),
        ({"citations": with_value(1, (False, "8", 0))}, "keys: 2; plain 2"),
        ({"groups": with_value(5, [2])}, "groups[0].npis"),
        ({"references": with_value(5, 7)}, "references[0].reference_offset"),
        ({"reference_groups": with_value(0, 1)}, "reference_groups[0].reference_no"),
    ],
)
def test_a_value_read_otherwise_is_found(changed: dict[str, Any], shown: str) -> None:
    assert difference_from(document(item()), document(item()), **changed)[0].startswith(shown)


def test_minus_zero_where_zero_is_meant_is_found() -> None:
    zero = document(item(b"0"))
    assert difference_from(zero, zero, prices=with_value(2, -0.0))[0].startswith("prices[0].negotiated_rate")


def test_a_number_spelled_otherwise_where_text_belongs_is_explained() -> None:
    spelled = document(item().replace(b'"derived"', b"1E-3"), item().replace(b'"derived"', b"-0"))
    assert difference_from(spelled, spelled) == ("", 2)


def test_an_element_passed_over_is_found() -> None:
    both, one = document(item(), item()), document(item(), item(code=b'"99213"'))
    assert difference_from(one, both)[0].startswith("items, matches, references: (2, 1, 1); plain (2, 2, 1)")


def test_a_find_is_saved_with_few_elements() -> None:
    items = [item(b"%d" % number) for number in range(100)]
    least = with_fewest(document(*items), lambda less: b'_rate":77,' in less.joined()[0])
    assert [len(section.elements) for section in least.sections] == [1, 0]


@pytest.mark.parametrize("level", levels())
def test_each_level_of_processors_is_compared(level: str) -> None:
    with at_level(level):
        assert {each.__name__ for each in (kernel.next_event, columns.decode)} == {
            f"{level}_next_event",
            f"{level}_decode",
        }
    verdict = compared(document(item(), item()), Reading(level, (20, 300), 1))
    assert verdict == (3, 3, 7, 0, "")


@pytest.mark.slow  # a process of its own
def test_the_command_compares_as_many_as_are_asked_for(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "rows", "--items", "2000", "--seed", "1", "--workers", "1"]
    environment = os.environ | {"TIC_RATES_FUZZ": str(tmp_path)}
    root = Path(__file__).parents[3]
    subprocess.run(command, check=True, env=environment, cwd=root, capture_output=True, timeout=300)
    counts = json.loads((tmp_path / "statistics.json").read_text())["rows"]
    assert counts["elements"] >= 2_000
    assert not counts.get("differences")

"""Offsets of items and provider references: what is parsed from there is what the extract says of it."""

import re
from collections import Counter
from functools import partial
from typing import Any

import pytest
from hypothesis import given

from tests.containers import zipped
from tests.documents import ANN, BOB, group, item, rate
from tests.field_note_case import Case
from tests.field_notes import generated_documents
from tests.fuzz.limits import small_limits
from tests.json_text import Pairs, json_bytes
from tests.offsets import element_at
from tests.pipeline import CODES, Extracted, ReadDocument, extract_bytes
from tests.plain_extract import NOBODY, Header, rate_row
from tests.plain_json import as_id, as_objects, pick, plain_documents
from tests.shared_files import shared_bytes
from tests.unit.read.test_field_notes import GOOD
from tests.unit.read.test_generated import SOME
from transforms.read import read_ijson
from transforms.scan import read_scan

READERS: dict[str, ReadDocument] = {
    "ijson": read_ijson.read_document,
    "scan": read_scan.read_document,
    "scan, blocks of 97 bytes": partial(read_scan.read_document, block_bytes=97),
}
READER = pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
REFERENCE = {"provider_group_id": 7, "provider_groups": [group(ANN)]}
CITING = item(rate(provider_references=[7]), name='a brace { in a "string" \\')


def check_offsets(published: bytes, source: Extracted) -> None:
    """Each price is one of the item at its offset, and each reference the one at its own."""
    documents = plain_documents(published)
    prices = source.tables["PRICES"]
    stated = ("billing_code", "billing_code_type", "negotiated_rate", "expiration_date")
    for (number, offset), rows in prices.group_by("document", "item_offset"):
        found = element_at(documents[number], offset)
        plain = [
            rate_row(Header(), found, price, NOBODY)
            for rates in as_objects(found.get("negotiated_rates"))
            for price in as_objects(pick(rates, "negotiated_prices", "negotiated_price"))
        ]
        expected = Counter(tuple(getattr(row, name) for name in stated) for row in plain)
        assert Counter(rows.select(stated).iter_rows()) == expected
    for row in source.tables["REFERENCES"].iter_rows(named=True):
        reference = element_at(documents[row["document"]], row["reference_offset"])
        assert as_id(reference["provider_group_id"]) == as_id(row["reference_key"])
        assert len(as_objects(reference.get("provider_groups"))) <= row["n_groups"]


def offsets(source: Extracted) -> tuple[list[Any], list[Any]]:
    prices = source.tables["PRICES"].select("document", "rate_id", "item_offset")
    references = source.tables["REFERENCES"].select("document", "reference_key", "reference_offset")
    return sorted(prices.rows()), sorted(references.rows())


def check_readers(published: bytes, codes: frozenset[str] = CODES) -> Extracted:
    """Whatever reads it, and however it is cut, the offsets are the same; they are right."""
    expected = extract_bytes(published, codes=codes)
    check_offsets(published, expected)
    for name, reader in READERS.items():
        assert offsets(extract_bytes(published, reader, codes)) == offsets(expected), name
    return expected


@pytest.mark.parametrize("case", [case for case in GOOD if case.expect == "matched"], ids=lambda case: case.name)
def test_offsets_of_the_field_notes(case: Case) -> None:
    assert len(check_readers(case.published).tables["PRICES"])


@pytest.mark.slow
@SOME
@given(generated_documents())
def test_offsets_of_generated_documents(data: bytes) -> None:
    check_readers(data)


@pytest.mark.slow
@SOME
@given(generated_documents())
def test_offsets_of_elements_that_are_too_long_to_hold(data: bytes) -> None:
    with small_limits(small=True):
        check_readers(data)


ODD: dict[str, Any] = {
    "references first": {"provider_references": [REFERENCE], "in_network": [CITING, CITING]},
    "references last": {"in_network": [CITING, CITING], "provider_references": [None, REFERENCE]},
    "bare objects": {"in_network": CITING, "provider_references": REFERENCE},
    "sections that stand twice": Pairs(
        [
            ("in_network", [CITING]),
            ("in_network", [CITING, item(rate(group(BOB)))]),
            ("provider_references", [REFERENCE]),
            ("provider_references", [REFERENCE, REFERENCE]),
        ]
    ),
    "sections in turns, read in full": Pairs(
        [
            ("in_network", [CITING]),
            ("provider_references", [REFERENCE]),
            ("in_network", [item(rate(provider_references=[8]))]),
            ("provider_references", [REFERENCE, {**REFERENCE, "provider_group_id": 8}]),
        ]
    ),
    "a code that stands twice": {
        "in_network": [Pairs([("billing_code", "1"), *item(rate(group(ANN))).items(), ("billing_code", "97026")])]
    },
    "other things among the elements": {
        "in_network": [None, "{", [{}, CITING], {}, CITING, 7, CITING],
        "provider_references": ["{", REFERENCE, {}, [REFERENCE]],
    },
    "keys in any order, with spaces": {
        "in_network": [dict(reversed(CITING.items())), {"x": {"in_network": [CITING]}, **CITING}],
        "provider_references": [dict(reversed(REFERENCE.items()))],
    },
    "two bytes a letter": {"name": "Compañía {", "in_network": [CITING], "provider_references": [REFERENCE]},
}


@pytest.mark.parametrize("name", ODD)
def test_offsets_of_odd_documents(name: str) -> None:
    for small in (False, True):
        with small_limits(small=small):
            found = check_readers(json_bytes(ODD[name]))
            assert len(found.tables["PRICES"])


def test_a_byte_order_mark_is_counted_and_a_member_counts_its_own_bytes() -> None:
    plain = json_bytes(ODD["references first"])
    found = check_readers(zipped({"1.json": plain, "2.json": b"\xef\xbb\xbf" + plain}))
    first, second = (
        [
            row[1:]
            for row in found.tables["PRICES"].select("document", "rate_id", "item_offset").rows()
            if row[0] == number
        ]
        for number in (0, 1)
    )
    assert second == [(rate_id, offset + 3) for rate_id, offset in first]


@READER
def test_what_reads_again_in_full_finds_the_same_offsets(reader: ReadDocument) -> None:
    """A second in_network around the references makes both readers read again."""
    source = extract_bytes(json_bytes(ODD["sections in turns, read in full"]), reader)
    assert len(source.tables["PRICES"]) == 1


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_ijson_finds_offsets_whatever_it_reads_at_once(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [json_bytes(content) for content in ODD.values()]
    expected = [offsets(extract_bytes(data)) for data in documents]
    monkeypatch.setattr(read_ijson, "BUFFER_BYTES", size)
    assert [offsets(extract_bytes(data)) for data in documents] == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "carefirst/examplefile.json.gz",
        "evry/2023-11-07_Evry-Health_in-network-rates.json.gz",
        "evry/2025-06-23_Evry-Health_in-network-rates.json.gz",
        "molina/innetwork-S-QMXCT21544-1.json.gz",
    ],
)
def test_offsets_of_real_files(name: str) -> None:
    published = shared_bytes(f"real/{name}")
    (data,) = plain_documents(published)
    codes = sorted({code.decode() for code in re.findall(rb'"billing_code" *: *"([0-9A-Z]+)"', data)})
    found = check_readers(published, frozenset(codes[:: len(codes) // 20]))
    assert found.tables["PRICES"]["item_offset"].n_unique() > 5

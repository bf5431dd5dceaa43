"""White space by the megabyte, between any two tokens: it is no value, and costs hardly more than its bytes."""

import io
import json
import re
from functools import partial

import pytest

from tests.contents_readings import plainly, scanned
from tests.effort import lines_run
from tests.fuzz.reading import Reading
from tests.unit.contents.test_contents import table
from tests.unit.scan.test_read_scan import CODES, collect, reading
from transforms.contents.read_index import read_index
from transforms.limits import Limits
from transforms.read import read_ijson
from transforms.read.extract import ReadDocument
from transforms.scan import read_scan

TOKEN = re.compile(rb'"[^"]*"|[0-9.]+|[a-z]+|.')
MIB = 1 << 20
GROUP = {"npi": [1234567893, "1234567893"], "tin": {"type": "ein", "value": "12-3456789"}}
PRICE = {"negotiated_rate": 5.5, "negotiated_type": "negotiated", "service_code": ["11", "22"]}
RATES = [{"provider_references": [1, "2"], "provider_groups": [GROUP], "negotiated_prices": [PRICE, PRICE]}] * 2
PRICES = json.dumps(
    {
        "reporting_entity_name": "Acme",
        "version": 1,
        "x": [{}, [1], None],
        "provider_references": [{"provider_group_id": 1, "provider_groups": [GROUP]}, {"provider_group_id": "2"}],
        "in_network": [
            {"billing_code": "99213", "negotiated_rates": RATES},
            {"billing_code": "97026", "billing_code_type": "CPT", "negotiated_rates": RATES},
        ],
        "last_updated_on": "2026-06-01",
    },
    separators=(",", ":"),
).encode()
CONTENTS = json.dumps(
    table({"reporting_plans": [{"plan_name": "A"}], "in_network_files": [{"description": "b", "location": "c"}] * 2}),
    separators=(",", ":"),
).encode()
FEW_STEPS = MIB // 50  # a loop over bytes takes two for each; what is decoded is looked at by the 64 KiB
scan: ReadDocument = partial(read_scan.read_document, overlap=False)


def gaps(document: bytes) -> list[int]:
    """Every place between two tokens, before the first and behind the last."""
    return [0, *(token.end() for token in TOKEN.finditer(document))]


def padded(document: bytes, place: int, size: int) -> bytes:
    return document[:place] + (b" \n\r\t" * size)[:size] + document[place:]


def moved(read: Reading, place: int, size: int) -> Reading:
    """A reading of the document with so many bytes more at a place."""
    items, references = ([at + size if at >= place else at for at in offsets] for offsets in read.offsets)
    return read._replace(offsets=(items, references))


@pytest.mark.parametrize("place", gaps(PRICES)[::9])
def test_white_space_longer_than_any_string_says_nothing_between_tokens_of_prices(place: int) -> None:
    size = Limits().string_bytes + MIB
    assert reading(scan, padded(PRICES, place, size)) == moved(reading(scan, PRICES), place, size)


@pytest.mark.slow
def test_white_space_between_tokens_of_prices_is_read_alike_wherever_blocks_end() -> None:
    expected = reading(read_ijson.read_document, PRICES)
    for place in gaps(PRICES):
        for size, block_bytes in ((1, 1), (63, 64), (500, 100)):
            assert reading(scan, padded(PRICES, place, size), block_bytes=block_bytes) == moved(expected, place, size)


@pytest.mark.parametrize("place", gaps(CONTENTS)[::4])
def test_white_space_longer_than_any_string_says_nothing_between_tokens_of_contents(place: int) -> None:
    assert scanned(padded(CONTENTS, place, Limits().string_bytes + MIB)) == plainly(CONTENTS)


@pytest.mark.parametrize("place", gaps(PRICES)[::9])
def test_white_space_in_prices_costs_few_steps(place: int) -> None:
    long, short = (lines_run(partial(collect, scan, padded(PRICES, place, size), CODES)) for size in (MIB, 1))
    assert long - short < FEW_STEPS


@pytest.mark.parametrize("place", gaps(CONTENTS)[::4])
def test_white_space_in_contents_costs_few_steps(place: int) -> None:
    def effort(size: int) -> int:
        stream = io.BytesIO(padded(CONTENTS, place, size))
        return lines_run(lambda: list(read_index(stream, overlap=False)))

    assert effort(MIB) - effort(1) < FEW_STEPS

"""Columns that the kernel decodes into: numbers to the last bit, rooms that are too small, texts that are too many."""

import io
import json
import re
import time
import tracemalloc
from collections import Counter
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.collected_rows import spool_rows
from tests.documents import ANN, BOB, EVE, Record, document, group, item, price, rate, reference
from tests.fuzz.differential import compare
from tests.fuzz.reading import Read, collect, open_temporary, read_by_ijson, read_by_scan, scan_of
from tests.fuzz.seeds import field_note_seeds
from tests.generated_documents import generated_documents
from tests.json_text import json_bytes
from tests.unit.scan.test_read_scan import MANY
from tests.unit.scan.test_scan_kernel import FOLDER, enumerations
from transforms.errors import BadFileError
from transforms.limits import Limits
from transforms.read.collect import Collected
from transforms.read.reference_keys import MARKED_BELOW, MARKED_FROM, NO_KEY, CitedKeys, ReferenceKeys
from transforms.scan import filled_columns, read_scan, scan_columns
from transforms.scan.filled_columns import Filled
from transforms.scan.scan_kernel import columns as k

SMALL = {
    "item_room": 2,
    "price_room": 3,
    "citation_room": 3,
    "group_room": 2,
    "digit_room": 60,
    "npi_room": 4,
    "reference_room": 2,
    "text_room": k.RULES + 6,
    "byte_room": 4 * k.RULES + 60,
}


@pytest.fixture
def _small_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_columns, "_ROOMS", scan_columns._ROOMS | SMALL)
    monkeypatch.setattr(scan_columns, "KEPT_TEXTS", k.RULES + 1)


def scanned(data: bytes, *, overlap: bool = False) -> Read:
    return read_by_scan(data, (), int(overlap))


@pytest.mark.usefixtures("_small_rooms")
@MANY
@given(generated_documents(), st.booleans())
def test_what_does_not_fit_is_read_alike(data: bytes, overlap: bool) -> None:
    assert scanned(data, overlap=overlap).reading == read_by_ijson(data).reading


def stored(data: bytes, *, overlap: bool) -> list[bytes]:
    """The batches of all spools, as they are kept."""
    collected, _ = collect(scan_of(data, (), int(overlap)))
    spools = (collected.items, collected.prices, collected.citations, collected.groups, collected.references)
    batches = [batch for spool in (*spools, collected.reference_groups) for batch in spool.encoded_batches()]
    return [batch.serialize().to_pybytes() for batch in batches]


@pytest.mark.usefixtures("_small_rooms")
@MANY
@given(generated_documents())
def test_rows_that_another_thread_puts_away_are_kept_alike(data: bytes) -> None:
    with patch.object(filled_columns, "FEW_ROWS", 0):
        assert stored(data, overlap=True) == stored(data, overlap=False)


@pytest.mark.usefixtures("_small_rooms")
def test_field_notes_that_do_not_fit_are_read_alike() -> None:
    for data in field_note_seeds():
        assert compare(data, [(), (len(data) // 2,)], plain=False).difference is None, data


def rates_of(spellings: list[str]) -> list[object]:
    prices = ",".join(f'{{"negotiated_rate":{spelling}}}' for spelling in spellings).encode()
    wanted = b'{"billing_code":"97026","negotiated_rates":[{"negotiated_prices":[%b]}]}' % prices
    found = scanned(b'{"in_network":[%b]}' % wanted).collected
    assert found is not None
    return [row[2] for row in spool_rows(found.prices)]


def spelled(chance: Random) -> str:
    digits = str(chance.randrange(10 ** chance.randint(1, 20)))
    fraction = f".{chance.randrange(10 ** chance.randint(1, 20))}" if chance.random() < 0.7 else ""
    exponent = f"{chance.choice('eE')}{chance.choice(('', '+', '-'))}{chance.randrange(330)}"
    return chance.choice(("", "-")) + digits + fraction + (exponent if chance.random() < 0.2 else "")


def test_rates_are_those_of_python_to_the_last_bit() -> None:
    chance = Random(5)
    edges = ["-0", "0.1", "1e400", "123456789012345.7", "0.30000000000000004"]
    spellings = [spelled(chance) for _ in range(5_000)] + edges
    assert rates_of(spellings) == [float(spelling) + 0.0 for spelling in spellings]


def test_rates_that_are_text_are_those_of_python() -> None:
    texts = ["12.5", " 12.5 ", "-0", "+1", "007", "1.", ".5", "1e3", "$5", "", "12.5 "]
    expected = [12.5, 12.5, 0.0, 1.0, 7.0, 1.0, 0.5, 1000.0, None, None, 12.5]
    assert rates_of([*(f'"{text}"' for text in texts), "null", "true"]) == [*expected, None, None]


def groups_of(npis: list[Any]) -> list[object]:
    found = scanned(json_bytes(document(item(rate({**group(1), "npi": npis}))))).collected
    assert found is not None
    return [npi for row in spool_rows(found.groups) for npi in row[-1]]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 31, 32, 33, 34, 66, 1_000, 9_999, 10_000, 10_001, 25_000])
@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled", "saw", "few"])
def test_npis_of_a_group_are_distinct_and_sorted(count: int, order: str) -> None:
    npis = [1_000_000_000 + 7 * number for number in range(count)]
    match order:
        case "descending":
            npis.reverse()
        case "shuffled":
            Random(count).shuffle(npis)
        case "saw":
            npis = npis[::2] + npis[::-2]
        case "few":
            npis = [npis[number % 5 % count] for number in range(count)]
    assert groups_of(npis) == sorted(set(npis))


def test_odd_npis_are_cleaned_once_each() -> None:
    assert groups_of(["1234567893", 1234567893, "123456789x", "", None, -5, 7.0, 10**30]) == [
        *(-1, 5, 7, 123456789, 1234567893),
        None,
    ]


def test_texts_beyond_their_room_are_read_all_the_same() -> None:
    prices = [price(negotiated_type=f"type {number}", setting=f"{number}") for number in range(scan_columns.TEXTS)]
    rates = [rate(group(1), prices=prices[start : start + 50]) for start in range(0, len(prices), 50)]
    found = scanned(json_bytes(document(*map(item, rates)))).collected
    assert found is not None
    assert [row[1] for row in spool_rows(found.prices)] == [each["negotiated_type"] for each in prices]


def test_what_earlier_documents_said_changes_nothing() -> None:
    """Texts are cleaned once for all documents of a process; their quirks, limits and keys are each document's own."""

    def read(names: list[str], limits: Limits) -> Collected:
        prices = [price(expiration_date="soon", service_code=11, billing_class=" Both ")]
        rates = [rate(prices=prices, provider_references=names)]
        references = [reference(name, group(ANN)) for name in names]
        collected = Collected(open_temporary, limits=limits)
        data = json_bytes(document(item(*rates), references=references))
        read_scan.read_document(io.BytesIO(data), frozenset({"97026"}), collected)
        return collected

    first, second = read(["a", "b"], Limits()), read(["b", "a", "c"], Limits())
    assert first.quirks == second.quirks
    assert spool_rows(first.prices) == spool_rows(second.prices)
    assert [row[1] for row in spool_rows(first.references)] == [-2, -3]
    assert [second.keys.text_of(row[1]) for row in spool_rows(second.references)] == ["b", "a", "c"]
    with pytest.raises(BadFileError, match="value_chars"):
        read(["a"], Limits(value_chars=3))


@pytest.fixture
def _kernel_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **_named: object) -> None:
        raise AssertionError("the plain grammar was asked")

    monkeypatch.setattr("transforms.scan.scan_pieces.ElementRows.walk", refuse)


def _priced(**changes: Any) -> Record:
    """A price without a rate, and with these members."""
    members = price()
    del members["negotiated_rate"]
    return members | changes


HABITS: dict[str, Record] = {
    "rate as negotiated_price": item(rate(group(ANN), prices=[_priced(negotiated_price=7.5)])),
    "both, the rate counts": item(
        rate(prices=[_priced(negotiated_price=7, negotiated_rate=8), _priced(negotiated_rate=8, negotiated_price=7)])
    ),
    "a null and the other": item(
        rate(prices=[_priced(negotiated_rate=None, negotiated_price=7), _priced(negotiated_price=None)])
    ),
    "an unreadable rate counts": item(
        rate(prices=[_priced(negotiated_rate="x", negotiated_price=7), _priced(negotiated_price="x")])
    ),
    "NPI": item(rate({"NPI": [ANN, BOB]}, {"NPI": ANN}, {"NPI": None}, {"NPI": []}, {"NPI": [None, ""]})),
    "npi counts": item(
        rate({"NPI": [ANN, ""], "npi": [BOB]}, {"npi": [BOB], "NPI": [ANN, ""]}, {"NPI": [ANN], "npi": []})
    ),
    "a null npi and the other": item(rate({"npi": None, "NPI": [ANN]}, {"NPI": [ANN], "npi": None})),
    "prices as negotiated_price": item({"negotiated_price": [price()], "provider_groups": [group(ANN)]}),
    "prices under both keys": item(
        {"negotiated_price": [price()], "negotiated_prices": [price(negotiated_rate=8)]},
        {"negotiated_prices": [], "negotiated_price": [price()]},
        {"negotiated_price": [price()], "negotiated_prices": None},
        {"negotiated_prices": None, "negotiated_price": price()},
    ),
    "one rate": item(negotiated_rates=rate(group(ANN))),
    "one price": item(rate(group(ANN), prices=price())),
    "one group": item(rate(provider_groups=group(ANN))),
    "one NPI": item(rate(group(npi=ANN), group(npi=f"{BOB}"), group(npi=""), group(npi=0), group(npi="1234567893.0"))),
    "one reference": item(rate(provider_references=1), rate(provider_references="G"), rate(provider_references=None)),
    "nulls where objects belong": item(
        rate(group(ANN), None, prices=[None, price(), None]), None, rate(provider_groups=[None])
    ),
}


@pytest.mark.usefixtures("_kernel_alone")
@pytest.mark.parametrize("habit", HABITS)
def test_what_a_payer_does_in_every_element_is_decoded_by_the_kernel(habit: str) -> None:
    rates = HABITS[habit]["negotiated_rates"]
    lists = [each.get("provider_groups") for each in rates if isinstance(each, dict)]
    groups = [each for found in lists if isinstance(found, list) for each in found]
    references = [reference(number, *groups) for number in (1, "G", 2)]
    references.append({"provider_group_id": 1, "provider_groups": group(ANN)})
    cited = item(rate(provider_references=[1, "G", 2]))
    for sections in ({}, {"in_network": [cited, *[HABITS[habit]] * 20], "provider_references": references}):
        data = json_bytes(document(*[HABITS[habit]] * 20, cited, references=references) | sections)
        found, expected = scanned(data), read_by_ijson(data)
        assert found.reading == expected.reading
        assert found.collected is not None
        assert expected.collected is not None
        assert found.collected.quirks == expected.collected.quirks


def odd_among_others(section: str) -> bytes:
    """A document in which half of the elements of a section are odd."""
    chance = Random(11)
    items = [item(rate(group(ANN), provider_references=[n], prices=[price(negotiated_rate=n)])) for n in range(300)]
    references = [reference(number, group(BOB), group(ANN)) for number in range(300)]
    for each in chance.sample(items if section == "in_network" else references, 150):
        odd = each["negotiated_rates"][0] if section == "in_network" else each
        odd["provider_groups"] = [{"npi": ["x", [EVE]]}, *odd["provider_groups"]]
    return json_bytes(document(*items, references=references))


@pytest.mark.parametrize("section", ["in_network", "provider_references"])
def test_odd_elements_wait_for_the_rows_that_another_thread_puts_away(
    section: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Filled.put

    def put_late(filled: Filled, collected: Collected) -> Counter[str]:
        time.sleep(0.002)  # what does not wait for it comes first
        return put(filled, collected)

    monkeypatch.setattr(scan_columns, "_ROOMS", scan_columns._ROOMS | {"item_room": 7, "reference_room": 7})
    data = odd_among_others(section)
    expected = stored(data, overlap=False)
    monkeypatch.setattr(Filled, "put", put_late)
    assert stored(data, overlap=True) == expected


@pytest.mark.parametrize("section", ["in_network", "provider_references"])
@pytest.mark.parametrize("walked_bytes", [scan_columns.WALKED_BYTES, 0])
def test_odd_elements_among_others_stand_in_their_places(
    section: str, walked_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a few batches of the spools: one for each odd element would take longer than to read all by ijson."""
    monkeypatch.setattr(scan_columns, "WALKED_BYTES", walked_bytes)
    data = odd_among_others(section)
    found = scanned(data)
    assert found.reading == read_by_ijson(data).reading
    assert found.collected is not None
    spools = (found.collected.prices, found.collected.reference_groups)
    batches = sum(len([*spool.encoded_batches()]) for spool in spools)
    assert (batches < 10) == bool(walked_bytes)


@pytest.mark.usefixtures("_kernel_alone")
def test_a_group_of_a_million_npis_is_decoded_by_the_kernel() -> None:
    npis = ",".join(str(number) for number in range(2_000_000_000, 1_999_000_000, -1))
    reference = f'{{"provider_group_id":1,"provider_groups":[{{"npi":[{npis}]}}]}}'
    wanted = '{"billing_code":"97026","negotiated_rates":[{"provider_references":[1],"negotiated_prices":[{}]}]}'
    data = f'{{"provider_references":[{reference}],"in_network":[{wanted}]}}'.encode()
    collected = Collected(open_temporary)
    read_scan.read_document(io.BytesIO(data), frozenset({"97026"}), collected, overlap=False)
    assert len(collected.reference_groups) == 100
    assert sum(batch.column("npis").values.sum().as_py() for batch in collected.reference_groups.batches()) == sum(
        range(1_999_000_001, 2_000_000_001)
    )


# Prices known by their form, and elements decoded without a scan


def test_prices_that_differ_in_their_rate_alone_are_told_from_those_that_differ_elsewhere() -> None:
    chance = Random(7)
    prices = [
        price(negotiated_rate=chance.choice((1, 2.5, "3.25", -4, 1e300, None, "x")), setting=chance.choice("ab"))
        | chance.choice(({}, {"additional_information": '"}'}, {"negotiated_type": 'a","negotiated_rate":7,"b":"'}))
        for _ in range(500)
    ]
    for indent in (None, 1, 40):
        data = json.dumps(document(item(rate(group(1), prices=prices))), indent=indent).encode()
        assert scanned(data).reading == read_by_ijson(data).reading


@pytest.mark.parametrize(
    "other",
    [
        {"additional_rate": 5},
        {"additional_rate": "5"},
        {"negotiated_note": "", "additional_rate": 7, "billing_class": "professional"},
        {"note": {"negotiated_rate": 5}},
        {"note": [{"negotiated_rate": 5}]},
        {"note": '"negotiated_rate":5'},
        {"negotiated_rate ": 5},
    ],
)
@pytest.mark.parametrize("own", [{}, {"negotiated_rate": 20.5}])
def test_the_rate_of_another_key_is_never_taken_for_the_price(other: dict[str, object], own: dict[str, object]) -> None:
    """Keys of the same length, with the same letter in the same place, and rates within other values."""
    prices = [members for _ in range(3) for members in ({**other, **own}, {**own, **other}, {**other, **own, "x": 1})]
    data = json_bytes(document(item(rate(group(1), prices=prices))))
    assert scanned(data).reading == read_by_ijson(data).reading


@pytest.mark.parametrize("wanted_share", [0.0, 0.3, 0.6, 1.0])
def test_elements_are_read_alike_with_and_without_a_scan(wanted_share: float) -> None:
    chance = Random(3)
    items = [
        item(
            rate(group(number), prices=[price(setting=f"{number % 7}"), price(negotiated_rate=number)]),
            billing_code="97026" if chance.random() < wanted_share else "99213",
        )
        for number in range(400)
    ]
    items[150]["billing_code"] = ["97026"]
    data = json_bytes(document(*items))
    expected = read_by_ijson(data).reading
    for cuts in ((), (5_000,), tuple(range(3_000, len(data), 3_000)), tuple(range(40_000, len(data), 40_000))):
        assert read_by_scan(data, cuts, 0).reading == expected


# Keys of references


def test_keys_have_numbers_and_numbers_their_keys() -> None:
    keys = ReferenceKeys()
    texts = [None, "0", "7", "40.0000000001", "G-1", "9007199254740993", "9" * 18, "9" * 19, "-1", "", "٣", "07x"]
    numbers = [keys.number_of(text) for text in texts]
    assert len(set(numbers)) == len(texts)
    assert [keys.text_of(number) for number in numbers] == texts
    assert [keys.number_of(text) for text in texts] == numbers
    assert keys.known_number("unknown") is None


def test_cited_keys_are_a_set() -> None:
    keys = ReferenceKeys()
    numbers = np.array([keys.number_of(text) for text in ("7", None, "a", "7", "5")])
    cited = CitedKeys([numbers, numbers[:2]], keys)
    assert len(cited) == 3
    assert all(key in cited for key in ("5", "7", "a"))
    assert not any(key in cited for key in ("6", "b", None, 7))


def test_many_cited_keys_are_a_set_whatever_their_size() -> None:
    chance = np.random.default_rng(1)
    small = [chance.integers(0, below, MARKED_FROM) for below in (10, MARKED_BELOW, MARKED_BELOW + 1)]
    batches = [*small, small[0][:5], chance.integers(0, 1 << 59, MARKED_FROM), chance.integers(-9, 9, MARKED_FROM)]
    numbers = CitedKeys(batches, ReferenceKeys()).numbers.tolist()
    assert numbers == sorted(set(np.concatenate(batches).tolist()) - {NO_KEY})


@pytest.mark.parametrize("count", [10, 2 * MARKED_FROM])
def test_cited_keys_take_memory_as_they_are_many(count: int) -> None:
    numbers = np.arange(count)
    tracemalloc.start()
    CitedKeys([numbers], ReferenceKeys())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * count + 10_000


def test_the_struct_and_the_constants_are_those_of_the_header() -> None:
    header = re.sub(r"/\*.*?\*/", "", (FOLDER / "columns.h").read_text(), flags=re.DOTALL)
    for names in enumerations(header)[:3]:
        assert [getattr(k, name) for name in names] == list(range(len(names)))
    assert f"FORMS = {k.FORMS}, FORM_SIZE = {k.FORM_SIZE}" in header
    members = {}
    for body, name in re.findall(r"typedef struct \{([^}]*)\} (\w+);", header):
        lines = re.findall(r"\w+ ([^;]*);", body.replace("const ", ""))
        members[name] = [re.sub(r"[*\s]|\[.*\]", "", member) for line in lines for member in line.split(",")]
    assert members["columns"] == [field[0] for field in k.Columns._fields_]
    assert members["text"] == list(k.TEXT_FIELDS)

"""The fuzzing's corpus, read again under many block edges; and what the fuzzing calls a difference, and what not."""

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest

from tests.fuzz.cuts import choose_cuts
from tests.fuzz.differential import compare, is_sound
from tests.fuzz.explain import is_explained
from tests.fuzz.kernel_cuts import KernelCuts, Section, is_judged, sections_of
from tests.fuzz.limits import small_limits
from tests.fuzz.minimise import minimise
from tests.fuzz.mutate import Mutator, applied
from tests.fuzz.reading import Read, read_by_ijson, read_by_scan, without_bom
from tests.fuzz.seeds import CORPUS, field_note_seeds, generated_seed
from tests.fuzz.spans import parse
from transforms.read.reference_keys import Int64s, ReferenceKeys
from transforms.scan.reference_index import key_table
from transforms.scan.scan_kernel import kernel as k


def table_of(texts: list[str]) -> Int64s:
    keys = ReferenceKeys()
    return key_table(np.array([keys.number_of(text) for text in texts], np.int64), keys)


FILES = sorted(CORPUS.glob("*.json"))
EVERY_EDGE = 400  # of longer documents, some edges


@pytest.fixture(autouse=True)
def _deep_json() -> Iterator[None]:
    """``json.loads`` reads as deep as Python recurses."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(4_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize("small", [False, True], ids=["usual limits", "small limits"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_readers_agree_on_the_corpus(path: Path, small: bool) -> None:
    document = path.read_bytes()
    size = len(without_bom(document))
    every = size < EVERY_EDGE and not small
    edges = [(place,) for place in range(1, size)] if every else choose_cuts(Random(size), size, 20)
    with small_limits(small):
        assert compare(document, [(), *edges], plain=True, long=small).difference is None


def test_mutated_documents_are_read_alike() -> None:
    random = Random(1)
    texts = [parse(data) for data in [*field_note_seeds(), *(generated_seed(random) for _ in range(50))]]
    mutator = Mutator(random, lambda: random.choice(texts))
    sound = 0
    for _ in range(150):
        document = mutator.mutate(random.choice(texts))
        verdict = compare(document, choose_cuts(random, len(without_bom(document)), 4), plain=True)
        assert verdict.difference is None, document
        sound += verdict.sound
    assert 25 < sound < 145  # both kinds are tried


def scanned(document: bytes) -> Read:
    return read_by_scan(document, (), 0)


SKIPPED = b'{"in_network":[{"billing_code":"99213","x":%b},{"billing_code":"97026","negotiated_rates":[{}]}]}'
DECODED = b'{"in_network":[{"billing_code":"97026","x":%b}]}'


@pytest.mark.parametrize("damage", [b"[1,,2]", b"[{]}", b"[NaN]", rb'["\x41"]', b"[1 2]", b"[.5]x", b"[1]\x0b"])
def test_damage_in_what_is_skipped_is_explained(damage: bytes) -> None:
    document = SKIPPED % damage
    assert not is_sound(document)
    assert is_explained(document, scanned(document), long=False)


@pytest.mark.parametrize("damage", [b"[1,,2]", b"[NaN]", b"[1 2]"])
def test_damage_in_what_is_decoded_would_not_be_explained(damage: bytes) -> None:
    document = DECODED % damage
    as_if_taken = read_by_ijson(DECODED % b"[1]")
    assert scanned(document).reading is None
    assert not is_explained(document, as_if_taken, long=False)


def test_a_number_beyond_the_limits_is_explained_though_a_zero_in_its_place_would_be_cited() -> None:
    document = (
        b'{"provider_references":[{"provider_group_id":%b}],"in_network":[{"billing_code":"97026","negotiated_rates":'
        b'[{"provider_references":[0],"negotiated_prices":[{"negotiated_rate":1}]}]}]}' % (b"9" * 1_001)
    )
    verdict = compare(document, [()], plain=False)
    assert (verdict.difference, verdict.explained) == (None, 1)


def test_damage_in_an_item_whose_code_type_is_a_number_of_more_digits_than_python_reads_is_explained() -> None:
    document = b'{"in_network":[{"billing_code_type":%b"billing_code":"97026"}]}' % (b"9" * 4_301)
    verdict = compare(document, [(77,)], plain=False)
    assert (verdict.difference, verdict.explained) == (None, 1)


def test_a_row_lost_would_not_be_explained() -> None:
    document = SKIPPED % b"[1,,2]"
    less = read_by_ijson(b'{"in_network":[{"billing_code":"99213"},{"billing_code":"99213"}]}')
    assert not is_explained(document, less, long=False)


def test_a_find_is_minimised() -> None:
    document = field_note_seeds()[0]
    least = minimise(document, lambda data: b"97026" in data and data.count(b"{") > 1, 5)
    assert sorted(least) == sorted(b"97026{{")


def test_overlapping_edits_are_left_out() -> None:
    assert applied(b"abcdef", [(1, 3, b"X"), (2, 4, b"Y"), (6, 6, b"Z")]) == b"aXdefZ"


@pytest.mark.slow  # compiled anew: a cached copy would hold the kernels of the day it was compiled
def test_the_kernel_finds_the_same_cut_at_every_byte() -> None:
    cuts, scans = KernelCuts(), 0
    for path in FILES:
        document = without_bom(path.read_bytes())
        count, cut = cuts.check(document, 1, sound=is_sound(document))
        assert cut is None, path
        scans += count
    assert scans > 10_000


DOCUMENT = b'{"provider_references":[{"provider_group_id":7}],"in_network":[{"billing_code":"97026"}]}'


def test_sections_are_found_where_the_scanner_walks_them() -> None:
    places = [(DOCUMENT[section.first :][:5], section.kind) for section in sections_of(DOCUMENT)]
    assert places == [(b'{"pro', k.REFERENCES_INDEXED), (b'{"bil', k.ITEMS)]


@pytest.mark.parametrize(
    ("element", "judged"),
    [(b'{"billing_code":"97026","billing_code_type":"RC"}', True), (b'{"billing_code":"97026"}', False)],
)
def test_a_wanted_item_passed_over_under_some_cuts_is_a_find(element: bytes, judged: bool) -> None:
    assert is_judged(element, Section(0, k.ITEMS, False, table_of([])), 0) is judged


@pytest.mark.parametrize(("key", "judged"), [("7", False), ("8", True)])
def test_a_cited_reference_passed_over_under_some_cuts_is_a_find(key: str, judged: bool) -> None:
    section = Section(0, k.REFERENCES_FILTERED, False, table_of([key]))
    assert is_judged(b'{"provider_group_id":7.0}', section, 0) is judged


def test_an_id_that_only_python_can_compare_counts_only_where_one_is_cited() -> None:
    element = '{"provider_group_id":"ñ"}'.encode()
    for key, judged in (("7", True), ("ñ", False)):
        assert is_judged(element, Section(0, k.REFERENCES_FILTERED, False, table_of([key])), 0) is judged

"""The fast reading of tables of contents says what the plain one says, wherever blocks end."""

import io
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contents_readings import plainly, scanned
from tests.effort import usually
from tests.generated_contents import broken_contents, generated_contents
from tests.unit.contents.test_contents import SHAPES, table
from transforms.contents import contents, scan_contents
from transforms.contents.contents import ContentsDate, Found, ListedFiles, StructureEnd
from transforms.contents.listing import FoundFile, Listing
from transforms.contents.names import MAX_NAMES, Names
from transforms.errors import BadFileError
from transforms.limits import Limits

MANY = settings(
    max_examples=usually(60, 20_000),
    deadline=None,
    derandomize=not usually(0, 1),
    database=None,
    suppress_health_check=list(HealthCheck),
)
BLOCKS = st.sampled_from((1, 2, 3, 7, 64, 65, 100, 300, 1_000, 1 << 20))


@MANY
@given(generated_contents(), BLOCKS, st.booleans())
def test_both_readings_of_a_generated_table_are_the_same(data: bytes, block_bytes: int, strict: bool) -> None:
    assert scanned(data, block_bytes, strict=strict) == plainly(data, strict=strict)


@MANY
@given(broken_contents(), BLOCKS)
def test_both_readings_refuse_the_same_tables(data: bytes, block_bytes: int) -> None:
    plain, fast = plainly(data), scanned(data, block_bytes)
    assert isinstance(fast, str) == isinstance(plain, str), (plain, fast)
    if not isinstance(plain, str):
        assert fast == plain


def files(first: int, count: int, **more: str) -> list[dict[str, str]]:
    return [{"location": f"https://mrf.example.com/{n % 7}.json?sig={n}"} | more for n in range(first, first + count)]


def test_a_structure_larger_than_any_block_is_entered() -> None:
    plans = [{"plan_name": f"plan {n}", "plan_id": "1"} for n in range(300)]
    structure = {"reporting_plans": plans, "x": [[{"y": files(0, 3)}]], "in_network_files": files(0, 200)}
    data = json.dumps(table(structure, structure)).encode()
    for block_bytes in (64, 500, 4_000):
        assert scanned(data, block_bytes) == plainly(data)
        assert scanned(data, block_bytes, overlap=True) == plainly(data)


def test_names_are_bounded_and_a_cut_is_told() -> None:
    plans = [{"plan_name": f"plan {n:06}"} for n in range(5_000, 0, -1)]
    data = json.dumps(table({"reporting_plans": plans, "in_network_files": files(0, 1)})).encode()
    end = StructureEnd(5_000, Names(tuple(f"plan {n:06}" for n in range(1, MAX_NAMES + 1)), cut=True))
    for said in (plainly(data), scanned(data), scanned(data, 1_000)):
        assert said[-1] == end


def listing_of(everything: Iterable[Found]) -> list[FoundFile]:
    """What a listing says of each file; the numbers of structures are its own affair."""
    listing = Listing()
    for found in everything:
        if isinstance(found, StructureEnd):
            listing.end_structure(found)
        elif not isinstance(found, ContentsDate):
            listing.mention(found, lambda location: (location.partition("?")[0], location), "index.json")
    listing.settle()
    return [replace(file, structure=0) for file in listing.files.values()]


def test_lists_that_structures_repeat_count_as_if_each_were_read() -> None:
    lists = [files(0, 5), files(3, 3, description="rates"), [*files(7, 2), *files(0, 2)], [], files(0, 5)[::-1]]
    order = [0, 1, 0, 0, 2, 1, 1, 2, 2, 0, 3, 3, 3, 4, 4, 4, 1, 1, 0] * 2
    for last in (9, 15, 20, 30, 37):
        structures = [
            {"in_network_files": lists[each], "reporting_plans": [{"plan_name": f"{n}"}]}
            for n, each in enumerate(order[: last + 1])
        ]
        data = json.dumps(table(*structures)).encode()
        given = list(scan_contents.read_contents(io.BytesIO(data), io.BytesIO, overlap=False, block_bytes=2_000))
        assert listing_of(given) == listing_of(contents.read_contents(io.BytesIO(data), io.BytesIO))
    kept = [found for found in given if isinstance(found, ListedFiles) and found.kept]
    assert len(kept) > 5 >= len(set(map(id, kept))), "otherwise this shows nothing"


@pytest.mark.parametrize("block_bytes", [1, 50, 1 << 20])
@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_reads_the_same(shape: str, block_bytes: int) -> None:
    data = json.dumps(SHAPES[shape]).encode()
    assert scanned(data, block_bytes) == plainly(data)


@pytest.mark.parametrize("read", [contents.read_contents, scan_contents.read_contents])
@pytest.mark.parametrize("place", ['{"x":%b,"in_network_files":[]}', '{"in_network_files":[{"location":"a","x":%b}]}'])
@pytest.mark.parametrize("filler", ["", " " * 100_000])
def test_a_string_is_as_long_as_the_limit_and_no_longer(read: Any, place: str, filler: str) -> None:
    limits = Limits(string_bytes=1 << 20)

    def found(length: int) -> object:
        document = filler.encode() + place.encode() % b'"%b"' % (b"x" * length)
        return list(read(io.BytesIO(document), io.BytesIO, limits=limits))

    assert found(limits.string_bytes)
    with pytest.raises(BadFileError, match=r"limit string_bytes is 1,048,576; to change it, set \[limits\] string_by"):
        found(limits.string_bytes + 1)

"""The streaming reading of tables of contents returns what the plain one does, wherever blocks end."""

import io
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contents_readings import plainly, scanned
from tests.effort import usually
from tests.generated_contents import broken_contents, generated_contents
from tests.unit.contents.test_contents import SHAPES, table
from transforms.contents import complete_children, read_index
from transforms.contents.index_values import Plans, StructureEnd
from transforms.contents.names import MAX_NAMES, Names
from transforms.errors import BadFileError
from transforms.limits import Limits
from transforms.scan.blocks import Blocks

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
    plain, streamed = plainly(data, strict=strict), scanned(data, block_bytes, strict=strict)
    assert streamed == plain or (isinstance(streamed, str) and isinstance(plain, str))


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
    names = Names(tuple(f"plan {n:06}" for n in range(1, MAX_NAMES + 1)), cut=True)
    end = StructureEnd(Plans(5_000, names))
    for said in (scanned(data), scanned(data, 1_000)):
        assert said[-1] == end


@pytest.mark.parametrize("block_bytes", [1, 50, 1 << 20])
@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_reads_the_same(shape: str, block_bytes: int) -> None:
    data = json.dumps(SHAPES[shape]).encode()
    assert scanned(data, block_bytes) == plainly(data)


@pytest.mark.parametrize("shape", SHAPES)
def test_without_the_kernel_each_shape_reads_the_same(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_index, "finder", lambda: complete_children.find_plainly)
    data = json.dumps(SHAPES[shape]).encode()
    for block_bytes in (1, 50, 1 << 20):
        assert scanned(data, block_bytes) == plainly(data)


@MANY
@given(generated_contents(), st.sampled_from((1, 2, 500)))
def test_children_are_found_alike_with_and_without_the_kernel(data: bytes, deepest: int) -> None:
    start = re.search(rb"[\[{]|$", data).end()  # type: ignore[union-attr]
    for end in range(start, len(data), 7):
        block = Blocks(io.BytesIO(data[:end]), 1 << 16).next(memoryview(b""))
        expected = complete_children.find_plainly(block, start, deepest)
        assert complete_children.finder()(block, start, deepest) == expected


@pytest.mark.parametrize("place", ['{"x":%b,"in_network_files":[]}', '{"in_network_files":[{"location":"a","x":%b}]}'])
@pytest.mark.parametrize("filler", ["", " " * 100_000])
def test_a_string_is_as_long_as_the_limit_and_no_longer(place: str, filler: str) -> None:
    limits = Limits(string_bytes=1 << 20)

    def found(length: int) -> object:
        document = filler.encode() + place.encode() % b'"%b"' % (b"x" * length)
        return list(read_index.read_index(io.BytesIO(document), limits=limits))

    assert found(limits.string_bytes)
    with pytest.raises(BadFileError, match=r"limit string_bytes is 1,048,576; to change it, set \[limits\] string_by"):
        found(limits.string_bytes + 1)


@pytest.mark.parametrize(
    ("plan", "whole"),
    [
        (b'{"plan_sponsor_name": "\xff", "plan_name": "one"}', False),
        (b'{"\xff": 1, "plan_name": "one"}', False),
        (b'{"plan_sponsor_name": "a\\q"}', False),
        (b'{"x": 01}', False),
        (b'{"plan_sponsor_name": "\xc3\xa9 \\u0026 \\u00e9 \\ud83d", "plan_name": "one"}', True),
        (b'{"x": {"in_network_files": [{"location": "https://a.example.com/in a plan.json"}]}}', True),
        (b'{"plan_name": 1}', True),
        (b'{"plan_name": "", "planName": "own"}', True),
        (b"null", True),
    ],
)
def test_members_that_are_not_read_are_well_formed_too(plan: bytes, whole: bool) -> None:
    structure = b'{"reporting_plans": [%b], "in_network_files": [{"location": "https://a.example.com/%d.json"}]}'
    data = b'{"reporting_structure": [%b]}' % b", ".join(structure % (plan, number) for number in range(40))
    entries = data.replace(b"reporting_structure", b"files").replace(b"reporting_plans", b"reportingPlans")
    for text in (data, entries, entries.replace(b"in_network_files", b"x")):
        plain, streamed = plainly(text), scanned(text, 500)
        assert isinstance(streamed, str) == isinstance(plain, str) == (not whole)
        assert not whole or streamed == plain

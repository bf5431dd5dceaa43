"""The fast reading of tables of contents says what the plain one says, wherever blocks end."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contents_readings import plainly, scanned
from tests.effort import usually
from tests.generated_contents import broken_contents, generated_contents
from tests.unit.test_contents import SHAPES

MANY = settings(
    max_examples=usually(150, 20_000),
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


@pytest.mark.parametrize("block_bytes", [1, 50, 1 << 20])
@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_reads_the_same(shape: str, block_bytes: int) -> None:
    data = json.dumps(SHAPES[shape]).encode()
    assert scanned(data, block_bytes) == plainly(data)

"""What yajl forgives and we must not: a token after the root that the end of the file cuts off."""

import pytest

from tests.containers import gzipped
from tests.documents import document
from tests.json_text import json_bytes
from tests.pipeline import extract_bytes
from transforms.errors import BadFileError

GOOD = json_bytes(document())


@pytest.mark.parametrize("rest", [b'"', b' "}', b"tru", b"-", b"1", b'"\\', b'"\\u12', b"/", b"nul", b"\xef\xbb"])
def test_an_unfinished_token_after_the_root_is_refused(rest: bytes) -> None:
    for published in (GOOD + rest, gzipped(GOOD + rest), GOOD + b"\n" + rest):
        with pytest.raises(BadFileError):
            extract_bytes(published)


@pytest.mark.parametrize("rest", [b"", b"\n", b" \r\n\t"])
def test_white_space_after_the_root_is_nothing(rest: bytes) -> None:
    source = extract_bytes(GOOD + rest)
    assert source.account.items_matched == 1
    assert source.account.bytes_json == len(GOOD + rest)

"""What stands at an offset of a JSON document, by a plain parse from there."""

import json

from tests.plain_json import Json, plain_json

_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


def element_at(data: bytes, offset: int) -> dict[str, Json]:
    """The object whose brace stands there."""
    assert data[offset : offset + 1] == b"{"
    _, size = _DECODER.raw_decode(data[offset:].decode("latin-1"))  # a character is a byte; JSON's own are ASCII
    element = plain_json(data[offset : offset + size])
    assert isinstance(element, dict)
    return element

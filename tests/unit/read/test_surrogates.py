"""Lone surrogates become U+FFFD and nothing else changes, wherever the blocks are cut."""

import io
import json
import re
from random import Random

import pytest

from tests.pipeline import extract_bytes
from transforms.read.surrogates import MendedStream, mend

LONE = re.compile("[\ud800-\udfff]")
STRINGS = (
    r"\ud83d",
    r"\ude00",
    r"\ud83d\ude00",
    r"\ude00\ud83d",
    r"\ud83d\ud83d\ude00",
    r"\ud83d\\ude00",
    r"\\ud83d",
    r"\\\ud83d",
    r"\\\\ud83d\ude00",
    r"\uD83D\uDE00 and \uDBFF",
    r"\ud83dx\ude00",
    r"\u0041\ud83d\u0042",
    r"\"\ud83d\"",
    "plain \u00e9 \U0001f600",
    r"\ud83d\n\ude00",
    r"\ud800\udbff\udc00\udfff",
    "\\\\" * 40 + r"\ud83d",
    "\\\\" * 200 + r"\ud83d\ude00" * 30 + r"\ud83d",
)


def plain(document: bytes) -> object:
    """Python's own decoding, every half without its other half replaced."""
    decoded: str = json.loads(document)
    return LONE.sub("\ufffd", decoded)


class Cut(io.RawIOBase):
    """Gives these pieces, one at a time, however much is asked for."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def read(self, size: int = -1) -> bytes:
        return self._pieces.pop(0) if self._pieces and size else b""


def read_all(pieces: list[bytes]) -> bytes:
    stream = MendedStream(Cut([piece for piece in pieces if piece]))  # type: ignore[arg-type]
    read = []
    while piece := stream.read(64):
        read.append(piece)
    return b"".join(read)


@pytest.mark.parametrize("text", STRINGS)
def test_every_cut_of_a_string_gives_what_python_decodes(text: str) -> None:
    document = f'"{text}"'.encode()
    assert json.loads(mend(document)) == plain(document)
    for at in range(len(document) + 1):
        mended = read_all([document[:at], document[at:]])
        assert json.loads(mended) == plain(document)
        assert len(mended) == len(document)
    assert json.loads(read_all([bytes([byte]) for byte in document])) == plain(document)


@pytest.mark.parametrize("seed", range(60))
def test_random_escapes_in_random_blocks(seed: int) -> None:
    chance = Random(seed)
    parts = (r"\ud83d", r"\ude00", r"\\", r"\"", "u", "d83d", r"\u0041", "x", r"\uDFFF", r"\n")
    document = ('"' + "".join(chance.choices(parts, k=120)) + '"').encode()
    pieces, rest = [], document
    while rest:
        size = chance.randint(1, 20)
        pieces.append(rest[:size])
        rest = rest[size:]
    assert json.loads(read_all(pieces)) == plain(document)


def test_a_file_with_lone_surrogates_is_read() -> None:
    document = rb'{"reporting_entity_name": "Acme \ud83d", "in_network": [], "x": "\ude00"}'
    (account,) = extract_bytes(document).account.documents
    assert account.header["reporting_entity_name"] == "Acme \ufffd"


@pytest.mark.parametrize("unit", ["\\\\", r"\u0041", r"\ud83d\ude00", r"\ud83d", r"\\ud83d"])
def test_a_long_run_of_escapes_takes_linear_time_and_no_memory(unit: str) -> None:
    document = ('"' + unit * 60_000 + 'x"').encode()
    pieces = [document[at : at + 4_096] for at in range(0, len(document), 4_096)]
    stream = MendedStream(Cut(pieces))  # type: ignore[arg-type]
    read = []
    while piece := stream.read(64):
        assert abs(len(piece) - 4_096) < 16 or not pieces
        read.append(piece)
    assert json.loads(b"".join(read)) == plain(document)

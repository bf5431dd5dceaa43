"""Columns cut by the kernel beside those that Arrow parses: the same texts, or the same refusal."""

import io
import re
from collections.abc import Iterator
from random import Random

import polars as pl
import pytest

from tests.shared_files import REPOSITORY
from transforms.cms import large_csv
from transforms.cms.large_csv import read_columns
from transforms.errors import UsageError
from transforms.scan.scan_kernel import csv_columns, library

NAMES = ("a", "b", "c", "d")
WANTED = ("d", "a", "b")
MARKS = ('"', '""', ",", '","', "\n", "\r\n", "\r", " ", "x", "é", "\0", "twelve bytes", "thirteen byte", "z" * 70)
PLAIN = ("", "a", "é", "thirteen byte", 'O"Neil', "a,b", "a\nb", "a\r\nb", "a\rb", '"', '""', "z" * 130, 'z"' * 40)


def texts(content: bytes, wanted: tuple[str, ...] = WANTED) -> list[tuple[str | None, ...]] | str:
    """The wanted columns, or what their refusal says; about where is for the reader of the message."""
    try:
        frames = list(read_columns(io.BytesIO(content), NAMES, wanted, "file"))
    except UsageError as error:
        return re.sub(r", some way.*|#\d+", "", str(error))
    return pl.concat(frames).rows() if frames else []


def parsed(content: bytes, wanted: tuple[str, ...] = WANTED) -> list[tuple[str | None, ...]] | str:
    """The same by Arrow alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "problem", lambda: "none is here")
        return texts(content, wanted)


@pytest.fixture(params=library.levels())
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(csv_columns, "cut_csv", library.function("cut_csv", 3, request.param))
    return str(request.param)


@pytest.fixture
def refuse_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(stream: io.BufferedReader, *_: object) -> Iterator[pl.DataFrame]:
        assert not stream.read(), "handed to Arrow"
        yield from ()

    monkeypatch.setattr(large_csv, "_parsed", nothing)


def quoted(text: str, chance: Random) -> str:
    """A field, in quotes where it needs them, and now and then where it does not."""
    needs = not {*text}.isdisjoint('",\r\n')
    return '"' + text.replace('"', '""') + '"' if needs or chance.random() < 0.5 else text


def plain_file(chance: Random, records: int, ends: tuple[str, ...] = ("\n",)) -> tuple[bytes, list[tuple[str, ...]]]:
    """A csv, and its records."""
    found = [tuple(chance.choice(PLAIN) for _ in NAMES) for _ in range(records)]
    lines = [",".join(quoted(text, chance) for text in record) + chance.choice(ends) for record in found]
    return "".join(lines).encode(), found


def of_wanted(records: list[tuple[str, ...]]) -> list[tuple[str | None, ...]]:
    return [tuple(record[NAMES.index(name)] or None for name in WANTED) for record in records]


@pytest.mark.usefixtures("refuse_arrow")
def test_plain_records_are_cut_wherever_a_block_ends(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content, records = plain_file(Random(1), 40, ("\n", "\r\n"))
    expected = of_wanted(records)
    for block in (*range(1000, 1130), 1 << 20):
        monkeypatch.setattr(large_csv, "CUT_BYTES", block)
        assert texts(content) == expected, (level, block)


@pytest.mark.usefixtures("refuse_arrow")
@pytest.mark.parametrize("name", ["VIEWS_BYTES", "LONG_BYTES"])
def test_frames_end_where_their_room_does(level: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_csv, name, 1000)
    content, records = plain_file(Random(7), 200)
    frames = list(read_columns(io.BytesIO(content), NAMES, WANTED, "file"))
    assert len(frames) > 5 and pl.concat(frames).rows() == of_wanted(records), level


@pytest.mark.usefixtures("refuse_arrow")
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r"])
def test_the_last_record_may_lack_its_line_end(level: str, end: str) -> None:
    assert texts(b'1,2,3,4\n"5",6,7,"8"' + end.encode()) == [("4", "1", "2"), ("8", "5", "6")], level


@pytest.mark.parametrize("wanted", [("a",), ("d",), ("b", "c"), ("a", "b", "c", "d")])
def test_any_columns_can_be_wanted(level: str, wanted: tuple[str, ...]) -> None:
    content, records = plain_file(Random(3), 40)
    expected = [tuple(record[NAMES.index(name)] or None for name in wanted) for record in records]
    assert texts(content, wanted) == parsed(content, wanted) == expected, level


@pytest.mark.parametrize(
    "odd",
    [
        b'a"b,2,3,4\n',
        b'"a"b,2,3,4\n',
        b' "a",2,3,4\n',
        b'"a" ,2,3,4\n',
        b"1,2,3\n",
        b"1,2,3,4,5\n",
        b"\n",
        b"\r\n",
        b"1,2,3,4\r5,6,7,8\n",
        b'"1,2,3,4\n',
        b"1\xff,2,3,4\n",
        b"1,2,3,4\n\n\n",
    ],
)
def test_a_record_that_is_not_plain_is_read_or_refused_as_arrow_does(level: str, odd: bytes) -> None:
    before, _ = plain_file(Random(5), 30)
    for content in (odd, before + odd, before + odd + before):
        assert texts(content) == parsed(content), (level, content)


def test_a_record_of_another_width_is_refused_by_its_place() -> None:
    before, _ = plain_file(Random(5), 30)
    with pytest.raises(UsageError, match="Expected 4 columns, got 2, some way after record 30; download it again"):
        list(read_columns(io.BytesIO(before + b"1,2\n" + before), NAMES, WANTED, "file"))


def test_any_marks_are_read_or_refused_as_arrow_does(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = Random(level)
    for number in range(600):
        head, _ = plain_file(chance, chance.randrange(4), ("\n", "\r\n"))
        marks = "".join(chance.choice(MARKS) for _ in range(chance.randrange(12)))
        tail, _ = plain_file(chance, chance.randrange(3))
        content = head + marks.encode() + tail
        expected = parsed(content)
        monkeypatch.setattr(large_csv, "CUT_BYTES", chance.choice((1 << 20, 700, 1500)))
        assert texts(content) == expected, (number, content)


def test_a_text_of_many_blocks_is_left_to_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    content, records = plain_file(Random(9), 20)
    long = ("x" * 5000, "2", "3", "4")
    monkeypatch.setattr(large_csv, "CUT_BYTES", 1000)
    found = texts(content + ",".join(long).encode() + b"\n" + content)
    assert found == [*of_wanted(records), *of_wanted([long]), *of_wanted(records)]


def test_the_fields_are_those_of_the_struct() -> None:
    source = (REPOSITORY / "transforms" / "scan" / "scan_kernel" / "csv_columns.c").read_text()
    body = re.search(r"typedef struct \{([^}]*)\} csv_columns;", re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL))
    assert body is not None
    assert re.findall(r"(\w+);", body[1]) == [field[0] for field in csv_columns.CsvColumns._fields_]
    for number, name in enumerate(("CSV_NEED_MORE", "CSV_FULL", "CSV_ODD")):
        assert getattr(csv_columns, name) == number
    assert "enum { CSV_NEED_MORE, CSV_FULL, CSV_ODD };" in source

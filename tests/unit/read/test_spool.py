"""The spool is a plain list, whatever is appended and cut back, in memory or on disk."""

import io
import subprocess
import sys
from contextlib import closing
from datetime import date
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from tests.collected_rows import rows_of, spool_rows
from tests.pipeline import open_temporary
from transforms.read import spool as spool_module
from transforms.read.arrow_columns import column_of
from transforms.read.spool import ROW_BYTES, Spool, batch_of

Rows = list[tuple[object, ...]]
SCHEMA = pa.schema([("number", pa.int64()), ("text", pa.string()), ("list", pa.list_(pa.int64()))])
TEXTS = pa.schema([("text", pa.string())])
NUMBERS = pa.schema([("number", pa.int64())])


def row_of(chance: Random, number: int) -> tuple[object, ...]:
    return number, chance.choice(("x", None, "")), chance.choice(((), (1, 2), (None,), None))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.string(), ("", None, "é", "x")),
        (pa.int64(), (None, 0, -(2**63), 2**63 - 1)),
        (pa.float64(), (1, None, 2.5)),
        (pa.bool_(), (True, False)),
        (pa.date32(), (date.min, None, date(2026, 6, 1))),
        (pa.list_(pa.string()), (None, (), ["a", None], ("b",))),
        (pa.list_(pa.int64()), ([1, None], None, ())),
    ],
)
def test_a_column_of_python_values_is_the_one_that_pyarrow_makes(kind: pa.DataType, values: tuple[Any, ...]) -> None:
    for part in (values, values[1:], ()):
        column = column_of(part, kind)
        column.validate(full=True)
        assert column.equals(pa.array(part, type=kind))


def encoded(rows: Rows) -> pa.RecordBatch:
    """With a dictionary of its own, as the kernel's rows have."""
    batch = batch_of(rows, SCHEMA)
    return batch.set_column(1, "text", batch.column("text").dictionary_encode())


def append_among(spool: Spool, plain: Rows, later: Rows, chance: Random) -> None:
    """A batch of rows, after single ones that stand among them; some of those are taken back."""
    ahead = 0
    for end in sorted(chance.randint(1, len(later)) for _ in range(chance.randint(1, 4))):
        plain.extend(later[ahead:end])
        spool.reserve(end)
        ahead, mark = end, len(plain)
        for _ in range(chance.randint(0, 3)):
            row = row_of(chance, -end)
            spool.append(row)
            plain.append(row)
        assert len(spool) == len(plain)
        if chance.random() < 0.3:
            spool.truncate(mark)
            del plain[mark:]
    spool.append_batch(encoded(later))
    plain.extend(later[ahead:])


@pytest.mark.parametrize("limit", [1, 2_000, 100_000])
@pytest.mark.parametrize("seed", range(15))
def test_appending_truncating_and_iterating_are_those_of_a_list(limit: int, seed: int) -> None:
    chance = Random(seed)
    spool, plain = Spool(open_temporary, SCHEMA, limit), Rows()
    for number in range(300):
        match chance.randrange(13):
            case 0:
                mark = chance.randint(0, len(plain))
                spool.truncate(mark)
                del plain[mark:]
            case 1:
                spool.truncate(len(plain))
            case 2:
                assert spool_rows(spool) == plain
            case 3 | 4:
                rows = [row_of(chance, number) for _ in range(chance.randint(1, 5))]
                spool.append_batch(chance.choice((encoded, lambda rows: batch_of(rows, SCHEMA)))(rows))
                plain.extend(rows)
            case 5:
                append_among(spool, plain, [row_of(chance, number) for _ in range(chance.randint(1, 9))], chance)
            case _:
                row = row_of(chance, number)
                spool.append(row, weight=chance.choice((1, 1, 5)))
                plain.append(row)
        assert len(spool) == len(plain)
    assert spool_rows(spool) == spool_rows(spool) == plain
    assert all(batch.schema == SCHEMA for batch in spool.batches())
    spool.close()


def test_an_iteration_can_stop_and_begin_again() -> None:
    spool = Spool(open_temporary, NUMBERS, limit=3)
    for number in range(10):
        spool.append((number,))
    first = spool.batches()
    earlier = rows_of([next(first)])
    assert [row for (row,) in spool_rows(spool)] == list(range(10))
    assert [row for (row,) in earlier + rows_of(first)] == list(range(10))
    spool.close()


def test_nothing_reaches_the_disk_below_the_limit() -> None:
    def no_file() -> object:
        raise AssertionError("a temporary file was opened")

    spool = Spool(no_file, NUMBERS, limit=100 * spool_module.ROW_BYTES)  # type: ignore[arg-type]
    for number in range(99):
        spool.append((number,))
    spool.truncate(0)
    for number in range(99):
        spool.append((number,))
    assert len(spool_rows(spool)) == 99


@pytest.mark.parametrize("weight", [1, 3, 10])
@pytest.mark.parametrize("seed", range(5))
def test_memory_stays_below_the_limit_whatever_is_cut_back(weight: int, seed: int) -> None:
    chance = Random(seed)
    limit = 30 * spool_module.ROW_BYTES
    with closing(Spool(open_temporary, NUMBERS, limit)) as spool:
        for _ in range(400):
            for _ in range(chance.randint(1, 4)):
                spool.append((1,), weight)
            spool.truncate(len(spool) - chance.randint(0, min(3, len(spool))))
            in_rows = len(spool._rows) * weight * spool_module.ROW_BYTES
            in_batches = sum(map(spool_module._size_of, spool._batches))
            assert in_rows <= limit and in_batches <= limit


class CountingFile(io.BytesIO):
    """Counts what is written to it and read from it."""

    moved = 0

    def write(self, data: Any) -> int:
        self.moved += len(data)
        return super().write(data)

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.moved += len(data)
        return data


@pytest.mark.parametrize("kept", [1, 40, 99, 100, 150, 199])
def test_rows_that_come_and_go_at_the_limit_are_not_moved_again_and_again(kept: int) -> None:
    file = CountingFile()
    spool = Spool(lambda: file, TEXTS, limit=100 * ROW_BYTES)
    row = ("x" * 2 * ROW_BYTES,)  # so that a hundred rows are more than the limit
    for _ in range(kept):
        spool.append(row)
    for _ in range(1_000):
        spool.append(row)
        spool.append(row)
        spool.truncate(kept)
    assert len(spool_rows(spool)) == kept
    assert file.moved < 1_000 * 2 * ROW_BYTES


def test_an_error_of_writing_is_raised_where_the_rows_are_read() -> None:
    class FullDisk(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError("no space left on device")

    with closing(Spool(FullDisk, NUMBERS, limit=1)) as spool:
        spool.append_batch(batch_of([(1,)], NUMBERS))
        with pytest.raises(OSError, match="no space left"):
            spool_rows(spool)


WRITING_WHEN_PYTHON_ENDS = """
import tempfile, threading, time
from transforms.read.collect import CITATIONS
from transforms.read.spool import Spool, batch_of

writing = threading.Event()

class Slow:
    def __init__(self):
        self.file = tempfile.TemporaryFile()
    def __getattr__(self, name):
        return getattr(self.file, name)
    def write(self, data):
        writing.set()
        threading.main_thread().join()
        return self.file.write(data)

class Last:
    def __del__(self, sleep=time.sleep):
        sleep(0.3)  # Python is ending, and lets other threads run

last = Last()
Spool(Slow, CITATIONS, limit=0).append_batch(batch_of([(1, 2)], CITATIONS))
writing.wait()
"""


def test_a_process_that_ends_while_rows_are_written_ends_well() -> None:
    command = [sys.executable, "-c", WRITING_WHEN_PYTHON_ENDS]
    ended = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, b"")

"""The spool is a plain list, whatever is appended and cut back, in memory or on disk."""

from contextlib import closing
from random import Random

import pytest

from tests.pipeline import open_temporary
from transforms.spool import Spool

Rows = list[tuple[object, ...]]


@pytest.mark.parametrize("limit", [1, 2, 7, 1_000])
@pytest.mark.parametrize("seed", range(15))
def test_appending_truncating_and_iterating_are_those_of_a_list(limit: int, seed: int) -> None:
    chance = Random(seed)
    spool, plain = Spool(open_temporary, limit), Rows()
    for number in range(300):
        match chance.randrange(12):
            case 0:
                mark = chance.randint(0, len(plain))
                spool.truncate(mark)
                del plain[mark:]
            case 1:
                spool.truncate(len(plain))
            case 2:
                assert list(spool) == plain
            case _:
                row = (number, chance.choice(("x", None, 1.5, (1, 2))))
                spool.append(row, weight=chance.choice((1, 1, 5)))
                plain.append(row)
        assert len(spool) == len(plain)
    assert list(spool) == list(spool) == plain
    spool.close()


def test_an_iteration_can_stop_and_begin_again() -> None:
    spool = Spool(open_temporary, limit=3)
    for number in range(10):
        spool.append((number,))
    first = iter(spool)
    assert [next(first) for _ in range(4)] == [(0,), (1,), (2,), (3,)]
    assert [row for (row,) in spool] == list(range(10))
    assert [row for (row,) in first] == list(range(4, 10))
    spool.close()


def test_nothing_reaches_the_disk_below_the_limit() -> None:
    def no_file() -> object:
        raise AssertionError("a temporary file was opened")

    spool = Spool(no_file, limit=100)  # type: ignore[arg-type]
    for number in range(99):
        spool.append((number,))
    spool.truncate(0)
    for number in range(99):
        spool.append((number,))
    assert len(list(spool)) == 99


class Load:
    """A row's content, counted while it is in memory."""

    in_memory = 0

    def __init__(self) -> None:
        Load.in_memory += 1

    def __del__(self) -> None:
        Load.in_memory -= 1

    def __reduce__(self) -> tuple[type["Load"], tuple[()]]:
        return Load, ()


@pytest.mark.parametrize("weight", [1, 3, 10])
@pytest.mark.parametrize("seed", range(5))
def test_memory_stays_below_the_limit_whatever_is_cut_back(weight: int, seed: int) -> None:
    chance = Random(seed)
    limit = 30
    Load.in_memory = 0
    heaviest = 0
    with closing(Spool(open_temporary, limit)) as spool:
        for _ in range(400):
            for _ in range(chance.randint(1, 4)):
                spool.append((Load(),), weight)
            spool.truncate(len(spool) - chance.randint(0, min(3, len(spool))))
            heaviest = max(heaviest, Load.in_memory * weight)
    assert heaviest <= limit

"""Batches offered in the shared cache: each is taken once, whoever reaches for it, and nothing of a round is left."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.cluster import Answer, Batch
from flows.layout import Layout
from flows.rounds import Round
from flows.workers import Reading
from tests.object_places import make_place


@pytest.fixture(params=["a folder", "a store"])
def layout(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """Where every machine sees it."""
    place = str(tmp_path) if request.param == "a folder" else make_place("folder", tmp_path, None, monkeypatch)
    layout = Layout.at(place)
    layout.prepare()
    return layout


def batch_of(number: int) -> Batch:
    """Told from others by its size."""
    return Batch((), (number,), "", "", Reading(frozenset({"97026"})))


def offer(layout: Layout, count: int) -> Round:
    offered = Round(layout, "round")
    offered.offer([batch_of(number) for number in range(count)])
    return offered


def test_batches_are_taken_in_order_and_what_came_of_them_is_seen(layout: Layout) -> None:
    offered = offer(layout, 3)
    assert (offered.taken(), offered.answered()) == (set(), set())
    assert offered.take("ann") == (0, batch_of(0))
    assert offered.take("bob") == (1, batch_of(1))
    offered.answer(1, Answer((), "there"))
    assert (offered.taken(), offered.answered()) == ({0, 1}, {1})
    assert offered.answer_to(1) == Answer((), "there")
    assert offered.taken_by("ann") == {0}
    assert offered.take("ann") == (2, batch_of(2))
    assert offered.take("bob") is None


def test_what_is_done_with_is_gone_and_not_taken_again(layout: Layout) -> None:
    offered = offer(layout, 2)
    for number in range(2):
        assert offered.take("ann") == (number, batch_of(number))
        offered.answer(number, Answer((), "there"))
        offered.done_with(number)
        offered.answer(number, Answer((), "late"))
    assert (offered.taken(), offered.answered()) == (set(), set())
    assert offered.take("bob") is None


def test_each_batch_is_taken_once_however_many_reach_for_it(layout: Layout) -> None:
    offered = offer(layout, 40)

    def take_all(who: str) -> list[int]:
        taken = []
        while got := offered.take(who):
            taken.append(got[0])
            offered.done_with(got[0])
        return taken

    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(take_all, map(str, range(8))))
    assert sorted(number for each in taken for number in each) == list(range(40))


def test_nothing_is_left_of_a_round_and_nobody_adds_to_it(layout: Layout) -> None:
    offered = offer(layout, 2)
    assert offered.take("ann") is not None
    offered.close()
    offered.answer(0, Answer((), "there"))
    assert offered.take("bob") is None
    assert (offered.taken(), offered.answered()) == (set(), set())
    stored = layout.stored(layout.batches)
    assert stored is None or list(stored[0].list(stored[1])) == []
    assert list(layout.batches.iterdir()) == []

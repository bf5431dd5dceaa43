"""A round in a work pool whose runs do as they are told: every batch comes to an end, whatever becomes of its run."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending, Running

from flows import work_pool
from flows.cluster import Answer, Batch, ClusterError, Lost
from flows.layout import Layout
from flows.rounds import Round
from flows.workers import Reading

Doing = Iterator[Any]  # of a run's states
Do = Callable[[Round, str], Doing]
ANSWER = Answer((), "there")


class PretendedPool:
    """Runs that go on by one step whenever their states are asked for."""

    def __init__(self, workers: int, *do: Do) -> None:
        """Args: do: what the first runs do, and what the last one and all others do."""
        self.number, self.do = workers, do
        self.submitted: list[str] = []
        self.cancelled: list[Any] = []
        self.running: dict[Any, Doing] = {}

    def prepare(self) -> None:
        """Nothing to do."""

    def workers(self) -> int:
        """Those that there are."""
        return self.number

    def submit(self, batches: str, number: int, layout: Layout) -> Any:
        """A run that does what it is told."""
        run = uuid.uuid4()
        self.submitted.append(f"{batches}-{number}")
        self.running[run] = self.do[min(number, len(self.do) - 1)](Round(layout, batches), str(run))
        return run

    def states(self, runs: Sequence[Any]) -> dict[Any, Any]:
        """The next state of each."""
        return {run: next(self.running[run]) for run in runs}

    def cancel(self, runs: Sequence[Any]) -> None:
        """Remembered."""
        self.cancelled += runs


def read_all(offered: Round, who: str) -> Doing:
    """One batch in each step."""
    while taken := offered.take(who):
        offered.answer(taken[0], ANSWER)
        yield Running()
    yield Completed()


def die_with(state: Any, *, takes: int = 1) -> Do:
    """Take so many batches, answer none, and end."""

    def die(offered: Round, who: str) -> Doing:
        for _ in range(takes):
            offered.take(who)
        yield Running()
        yield state

    return die


def wait_for_ever(_offered: Round, _who: str) -> Doing:
    """Never to begin."""
    while True:
        yield Pending()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is waited for."""
    monkeypatch.setattr(work_pool, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(work_pool, "ASK_SECONDS", 0.0)
    monkeypatch.setattr("flows.cluster.SEEN_SECONDS", 0.0)


def come_to(tmp_path: Path, pool: PretendedPool, batches: int) -> dict[int, Answer | Lost]:
    """What each batch came to, once each."""
    layout = Layout(tmp_path)
    layout.prepare()
    given = [Batch((), (number,), "", "", Reading(frozenset())) for number in range(batches)]
    found = list(work_pool.run_round(pool, layout, given))  # type: ignore[arg-type]
    assert len(found) == len(dict(found))
    assert list(layout.batches.iterdir()) == []
    return dict(found)


def test_each_worker_gets_one_run_which_reads_batch_after_batch(tmp_path: Path) -> None:
    pool = PretendedPool(2, read_all)
    assert come_to(tmp_path, pool, 9) == dict.fromkeys(range(9), ANSWER)
    assert len(pool.submitted) == 2
    assert set(pool.cancelled) <= set(pool.running)


def test_no_more_runs_are_started_than_there_are_batches(tmp_path: Path) -> None:
    pool = PretendedPool(5, read_all)
    assert come_to(tmp_path, pool, 2) == dict.fromkeys(range(2), ANSWER)
    assert len(pool.submitted) == 2


@pytest.mark.parametrize(
    ("state", "failed"), [(Crashed(message="gone"), False), (Failed(message="gone"), True), (Cancelled(), False)]
)
def test_a_run_that_ends_badly_loses_what_it_had_taken_and_another_reads_the_rest(
    state: Any, failed: bool, tmp_path: Path
) -> None:
    pool = PretendedPool(1, die_with(state, takes=2), read_all)
    found = come_to(tmp_path, pool, 5)
    lost = [found.pop(number) for number in (0, 1)]
    assert all(isinstance(each, Lost) and each.failed == failed and state.name in each.reason for each in lost)
    assert found == dict.fromkeys((2, 3, 4), ANSWER)


def test_a_run_that_somebody_deletes_loses_what_it_had_taken(tmp_path: Path) -> None:
    found = come_to(tmp_path, PretendedPool(1, die_with(None), read_all), 2)
    assert found == {0: Lost("Cancelled: somebody deleted the run"), 1: ANSWER}


def test_a_machine_where_runs_only_fail_does_not_stop_the_others(tmp_path: Path) -> None:
    def read_slowly(offered: Round, who: str) -> Doing:
        for _ in range(50):
            yield Running()
        yield from read_all(offered, who)

    pool = PretendedPool(2, read_slowly, die_with(Failed(message="no such module"), takes=0))
    assert come_to(tmp_path, pool, 4) == dict.fromkeys(range(4), ANSWER)
    assert work_pool.IN_VAIN < len(pool.submitted) < 12, "fifty without a bound"


def test_a_run_that_ends_well_without_an_answer_loses_its_batch(tmp_path: Path) -> None:
    found = come_to(tmp_path, PretendedPool(1, die_with(Completed()), read_all), 2)
    assert found == {0: Lost("its run ended without an answer"), 1: ANSWER}


def test_runs_that_die_before_they_take_anything_end_the_round(tmp_path: Path) -> None:
    pool = PretendedPool(1, die_with(Crashed(message="no such module"), takes=0))
    assert come_to(tmp_path, pool, 2) == dict.fromkeys(range(2), Lost("Crashed: no such module"))
    assert len(pool.submitted) == work_pool.IN_VAIN


def test_runs_that_see_nothing_say_that_the_cache_is_not_shared(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"the workers don't see what is offered in .*must lie on a file system"):
        come_to(tmp_path, PretendedPool(1, die_with(Completed(), takes=0)), 2)


def test_runs_that_never_begin_are_cancelled_and_end_the_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_pool, "PENDING_SECONDS", -60.0)
    pool = PretendedPool(1, wait_for_ever)
    found = come_to(tmp_path, pool, 1)
    assert found == {0: Lost("no run began within -1 minutes")}
    assert len(pool.cancelled) == len(pool.submitted) == work_pool.IN_VAIN


def test_a_worker_that_comes_later_gets_a_run_too(tmp_path: Path) -> None:
    pool = PretendedPool(1, read_all)

    def more() -> int:
        pool.number += 1
        return min(pool.number, 2)

    pool.workers = more  # type: ignore[method-assign]
    assert come_to(tmp_path, pool, 9) == dict.fromkeys(range(9), ANSWER)
    assert len(pool.submitted) == 2


def test_what_was_started_is_cancelled_when_the_run_is_stopped(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.prepare()
    pool = PretendedPool(2, read_all)
    answers = work_pool.run_round(pool, layout, [Batch((), (n,), "", "", Reading(frozenset())) for n in range(9)])  # type: ignore[arg-type]
    next(answers)
    answers.close()
    assert set(pool.cancelled) == set(pool.running)
    assert list(layout.batches.iterdir()) == []

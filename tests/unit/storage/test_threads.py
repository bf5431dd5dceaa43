"""Threads that do work: results in order, errors raised, and no wait after an exception."""

import ast
import signal
import threading
from threading import Event

import pytest

from flows.storage.threads import Threads, interruptible, map_in_threads, wait_for_result
from tests.command_line import PATIENCE_SECONDS
from tests.unit.test_layers import imported, modules, tree_of


class LeftError(BaseException):
    """Stands for a signal's exception."""


def test_results_are_in_the_order_of_the_items() -> None:
    last_done = Event()

    def answer(number: int) -> int:
        if number == 2:
            last_done.set()
        else:
            assert last_done.wait(PATIENCE_SECONDS)
        return number * number

    assert map_in_threads(range(3), answer, 3) == [0, 1, 4]
    assert map_in_threads([], answer, 3) == []


def test_one_at_once_runs_in_this_thread_so_that_a_signal_stops_it() -> None:
    assert map_in_threads(range(3), lambda _: threading.current_thread(), 1) == [threading.main_thread()] * 3


def test_at_most_the_given_number_run_at_once() -> None:
    names = map_in_threads(range(50), lambda _: threading.current_thread().name, 4)
    assert 1 <= len(set(names)) <= 4


def test_an_error_is_raised_and_tasks_that_have_not_started_are_cancelled() -> None:
    begun: list[int] = []
    over = Event()

    def work(number: int) -> None:
        begun.append(number)
        if number == 0:
            raise ValueError("the first")
        over.wait(PATIENCE_SECONDS)

    with pytest.raises(ValueError, match="the first"):
        map_in_threads(range(50), work, 2)
    over.set()
    assert len(begun) <= 4


def test_an_exception_leaves_the_block_without_waiting_for_threads() -> None:
    over, begun = Event(), Event()

    def never() -> None:
        begun.set()
        over.wait(PATIENCE_SECONDS)
        assert over.is_set(), "it was waited for"

    with pytest.raises(LeftError), Threads(1) as threads:
        running, waiting = threads.submit(never), threads.submit(never)
        assert begun.wait(PATIENCE_SECONDS)
        raise LeftError
    assert not running.done()
    assert waiting.cancelled()
    over.set()
    wait_for_result(running)


def test_a_signal_ends_the_wait_for_a_call_that_ignores_signals() -> None:
    over, begun = Event(), Event()

    def stop(_number: int, _frame: object) -> None:
        raise LeftError

    def never() -> None:
        begun.set()
        over.wait(PATIENCE_SECONDS)

    def send() -> None:
        assert begun.wait(PATIENCE_SECONDS)
        signal.raise_signal(signal.SIGUSR1)  # to the thread that sends it: the main thread's wait is not ended by it

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        threading.Thread(target=send, daemon=True).start()
        with pytest.raises(LeftError):
            interruptible(never)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not over.is_set()
    over.set()


def test_only_one_module_starts_threads_for_work() -> None:
    for path in modules("flows", "transforms"):
        if path.stem == "threads":
            continue
        names = {name for node in ast.walk(tree_of(path)) if isinstance(node, ast.alias) for name in [node.name]}
        assert "ThreadPoolExecutor" not in names, f"{path}: use flows.storage.threads"
        assert "concurrent.futures.thread" not in set(imported(tree_of(path)))

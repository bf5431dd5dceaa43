"""A second thread: its work in order, its errors handed on, its end awaited."""

import threading

import pytest

from transforms.scan.one_thread import OneThread


def test_work_is_done_in_order_in_one_thread_that_ends_with_close() -> None:
    begin = threading.Event()
    done: list[int] = []
    threads: set[threading.Thread] = set()

    def work(number: int) -> int:
        begin.wait()
        done.append(number)
        threads.add(threading.current_thread())
        return number * 2

    one = OneThread[int]("work")
    futures = [one.submit(work, number) for number in range(20)]
    begin.set()
    one.close()
    assert done == [*range(20)]
    assert [future.result() for future in futures] == [*range(0, 40, 2)]
    (thread,) = threads
    assert not thread.is_alive()


def test_an_error_is_raised_where_the_result_is_asked_for() -> None:
    one = OneThread[int]("work")
    wrong, right = one.submit(int, "x"), one.submit(int, "7")
    with pytest.raises(ValueError, match="x"):
        wrong.result()
    assert right.result() == 7
    one.close()


def test_without_work_there_is_no_thread() -> None:
    before = threading.active_count()
    one = OneThread[int]("work")
    assert threading.active_count() == before
    one.close()

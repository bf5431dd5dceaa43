"""Batches: few tasks for many files, big files alone, something for every worker; nothing lost, order kept."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.download.sources import Source
from flows.extract.workers import MOST_BYTES, MOST_FILES, batch_sources


@pytest.fixture(autouse=True)
def sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number in a name is the file's size."""
    monkeypatch.setattr(Source, "size", property(lambda source: int(Path(source.location).stem.split("-")[-1])))


def files(*sizes: int) -> list[Source]:
    return [Source(f"/mrf/{number}-{size}.json") for number, size in enumerate(sizes)]


def test_twenty_thousand_small_files_are_some_hundred_tasks() -> None:
    assert len(batch_sources(files(*[10_000] * 20_000), 2)) < 200
    assert len(batch_sources(files(*[0] * 20_000), 2)) < 200, "addresses, whose size nobody knows"
    assert len(batch_sources(files(*[10_000] * 20_000), 1)) == 100


def test_a_big_file_is_a_batch_of_its_own() -> None:
    found = batch_sources(files(9 * MOST_BYTES, 3 * MOST_BYTES, 10, 10, 10), 1)
    assert [len(batch) for batch in found] == [1, 1, 3]


def test_a_handful_of_files_is_shared_out() -> None:
    assert [len(batch) for batch in batch_sources(files(*[100] * 10), 2)] == [1] * 10


def test_batches_become_shorter_so_that_nobody_waits_long_for_the_last_one() -> None:
    lengths = [len(batch) for batch in batch_sources(files(*[100] * 160), 2)]
    assert lengths == sorted(lengths, reverse=True)
    assert (lengths[0], lengths[-16:]) == (10, [1] * 16)


def test_one_worker_needs_no_more_batches_than_the_limits_say() -> None:
    assert len(batch_sources(files(*[100] * 10), 1)) == 1


def test_no_files_are_no_batches() -> None:
    assert batch_sources([], 2) == []


@given(st.lists(st.integers(0, 3 * MOST_BYTES), max_size=500), st.integers(1, 64))
def test_every_file_is_in_one_batch_in_order_and_within_the_limits(given_sizes: list[int], workers: int) -> None:
    sources = files(*given_sizes)
    found = list(batch_sources(sources, workers))
    assert [source for batch in found for source in batch] == sources
    for batch in found:
        assert 1 <= len(batch) <= MOST_FILES
        assert len(batch) == 1 or sum(source.size for source in batch) <= MOST_BYTES

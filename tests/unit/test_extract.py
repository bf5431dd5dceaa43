"""Batches on their way to disk are bounded by what is in the rows, not by their number alone."""

from collections.abc import Iterator

from schemas.extracted import REMOTE_GROUPS
from transforms.extract import BATCH_WEIGHT, to_batches

NPIS = tuple(range(1_000_000_000, 1_000_010_000))


def test_few_rows_of_many_npis_are_several_batches_and_nothing_is_lost() -> None:
    def rows() -> Iterator[tuple[object, ...]]:
        for number in range(25):
            yield ("ein", f"{number:09d}", NPIS)

    batches = list(to_batches(REMOTE_GROUPS, rows()))
    assert sum(batch.num_rows for batch in batches) == 25
    assert max(batch.num_rows for batch in batches) * len(NPIS) <= 4 * BATCH_WEIGHT + len(NPIS)
    assert [tin for batch in batches for tin in batch["tin"].to_pylist()] == [f"{n:09d}" for n in range(25)]


def test_many_small_rows_are_cut_too_and_no_rows_are_no_batch() -> None:
    rows = [("ein", "1", (None,))] * (2 * BATCH_WEIGHT + 1)
    assert [batch.num_rows for batch in to_batches(REMOTE_GROUPS, rows)] == [BATCH_WEIGHT, BATCH_WEIGHT, 1]
    assert list(to_batches(REMOTE_GROUPS, [])) == []

"""Files in batches: an orchestrator's task costs 50 ms on both its sides, which a small file is not worth."""

from collections.abc import Iterable, Iterator, Sequence

from flows.sources import Source

MOST_FILES = 200
MOST_BYTES = 2_000_000_000  # a larger file is a task of its own
BATCHES_PER_WORKER = 8  # where there are few files: the last one to finish keeps the others waiting so long at most


def batch_sources(sources: Iterable[Source], workers: int) -> list[list[Source]]:
    """Consecutive sources, up to ``MOST_FILES`` and ``MOST_BYTES`` together; fewer, where workers would have none.

    A source whose size nobody knows (a URL) counts as a file without bytes.
    """
    sized = [(source, source.size) for source in sources]
    parts = 1 if workers == 1 else workers * BATCHES_PER_WORKER
    files = min(MOST_FILES, _share(len(sized), parts))
    size = min(MOST_BYTES, _share(sum(size for _, size in sized), parts))
    return list(_cut(sized, files, size))


def _share(total: int, parts: int) -> int:
    return max(1, -(-total // parts))


def _cut(sized: Sequence[tuple[Source, int]], files: int, most_bytes: int) -> Iterator[list[Source]]:
    batch: list[Source] = []
    held = 0
    for source, size in sized:
        if batch and (len(batch) == files or held + size > most_bytes):
            yield batch
            batch, held = [], 0
        batch.append(source)
        held += size
    if batch:
        yield batch

"""Files in batches: an orchestrator's task costs 50 ms on both its sides, which a small file is not worth."""

from collections.abc import Iterable, Iterator, Sequence

from flows.download.sources import Source

MOST_FILES = 200
MOST_BYTES = 2_000_000_000  # a larger file is a task of its own
PARTS = 8  # of the remaining work, per worker: later batches are shorter, so workers finish together


def batch_sources(sources: Iterable[Source], workers: int) -> list[list[Source]]:
    """Consecutive sources, up to ``MOST_FILES`` and ``MOST_BYTES`` together, and fewer towards the end.

    A source of unknown size (a URL) counts as a file without bytes.
    """
    sized = [(source, source.size) for source in sources]
    return list(_cut(sized, 1 if workers == 1 else workers * PARTS))


def _cut(sized: Sequence[tuple[Source, int]], parts: int) -> Iterator[list[Source]]:
    files_left, bytes_left = len(sized), sum(size for _, size in sized)
    most_files = most_bytes = held = 0
    batch: list[Source] = []
    for source, size in sized:
        if batch and (len(batch) == most_files or held + size > most_bytes):
            yield batch
            batch, held = [], 0
        if not batch:
            most_files = min(MOST_FILES, _share(files_left, parts))
            most_bytes = min(MOST_BYTES, _share(bytes_left, parts))
        batch.append(source)
        held += size
        files_left -= 1
        bytes_left -= size
    if batch:
        yield batch


def _share(total: int, parts: int) -> int:
    return max(1, -(-total // parts))

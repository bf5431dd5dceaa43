"""Files in batches: an orchestrator's task costs 50 ms on both its sides, which a small file is not worth."""

from collections.abc import Sequence
from math import ceil

from flows.download.sources import Source

MOST_FILES = 200
MOST_BYTES = 2_000_000_000  # a larger file is a task of its own
PARTS = 8  # of the remaining work, per worker: later batches are shorter, so workers finish together


def batch_sources(sources: Sequence[Source], workers: int) -> list[list[Source]]:
    """Consecutive sources, up to ``MOST_FILES`` and ``MOST_BYTES`` together, and fewer towards the end.

    A source of unknown size (a URL) counts as a file without bytes.
    """
    parts = 1 if workers == 1 else workers * PARTS
    sizes = [source.size for source in sources]
    bytes_left = sum(sizes)
    batches: list[list[Source]] = []
    start = 0
    while start < len(sources):
        most_files = min(MOST_FILES, ceil((len(sources) - start) / parts))
        most_bytes = min(MOST_BYTES, ceil(bytes_left / parts))
        end, batch_bytes = start + 1, sizes[start]
        while end < start + most_files and batch_bytes + sizes[end] <= most_bytes:
            batch_bytes += sizes[end]
            end += 1
        batches.append(list(sources[start:end]))
        start, bytes_left = end, bytes_left - batch_bytes
    return batches

"""Where blocks end: the choices under which one document is scanned."""

from random import Random

Cuts = tuple[int, ...]

EVERY = (63, 64, 65, 84, 100, 128, 200)
MOST_BLOCKS = 30
PER_DOCUMENT = 48
OFTEN = 0.3  # how often a document is also cut into many blocks: each costs as much as ten others


def choose_cuts(random: Random, size: int, count: int = PER_DOCUMENT) -> list[Cuts]:
    """One block, then mostly one edge anywhere; also a few, regular blocks, and a stretch of one-byte blocks."""
    chosen: list[Cuts] = [()]
    if size < 3:
        return chosen
    while len(chosen) < min(count, size):  # a short document has no more places to cut it
        edges = 1 if random.random() < 0.8 else random.randint(2, 3)
        chosen.append(tuple(sorted({random.randrange(1, size) for _ in range(edges)})))
    if random.random() < OFTEN:
        every = random.choice(EVERY)
        chosen[-1] = tuple(range(every, size, every)[:MOST_BLOCKS])
    if random.random() < OFTEN:
        first = random.randrange(1, size)
        chosen[-2] = tuple(range(first, min(size, first + random.choice((4, 8, 16)))))
    return chosen

"""Synthetic in-network files of any size, in the three shapes that the speed is promised for.

    python -m tests.bench.synthetic FOLDER [MEGABYTES]

Made-up values; keys, nesting and proportions as real payers' files have them, and as compressible: gzip at level 6
makes a tenth of them, of the real files at hand a tenth to a sixtieth. What is near by in a file repeats itself.
One item in five thousand has one of the two codes; the others have two thousand codes in turn.
"""

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

HEADER = (
    '"reporting_entity_name":"Synthetic Health Plan","reporting_entity_type":"health insurance issuer",'
    '"last_updated_on":"2026-06-01","version":"2.0.0"'
)
WANTED_EVERY = 5_000
DISTINCT_CODES = 2_000
NEIGHBOURS = 60  # providers that the references near by in a file share
REFERENCES_NEAR_BY = 20
SHAPES = ("references_first", "references_last", "tiny_items")


def references(random: Random, count: int, groups: int = 2, npis: int = 10) -> Iterator[str]:
    """Provider references 1 to ``count``; those that follow each other have many providers in common."""
    pool = [str(1_000_000_000 + random.randrange(900_000_000)) for _ in range(200_000)]
    tins = [f"{random.randrange(100):02d}-{random.randrange(10**7):07d}" for _ in range(len(pool) // NEIGHBOURS)]
    for number in range(1, count + 1):
        parts = []
        for _ in range(random.randint(1, 2 * groups - 1)):
            start = number // REFERENCES_NEAR_BY * NEIGHBOURS % (len(pool) - NEIGHBOURS)
            size = random.randint(1, 2 * npis - 1)
            first = start + random.randrange(NEIGHBOURS - size)
            members = ",".join(pool[first : first + size])
            tin = tins[start // NEIGHBOURS]
            parts.append(f'{{"npi":[{members}],"tin":{{"type":"ein","value":"{tin}"}}}}')
        yield f'{{"provider_group_id":{number},"provider_groups":[{",".join(parts)}]}}'


def price(random: Random) -> str:
    """One price."""
    places = random.choice(('"11"', '"11","22"', '"01","02","11","19","22","49","50","72"', '"21","22","23"'))
    modifier = random.choice(("", "", '"26"', '"TC"', '"GP"'))
    return (
        f'{{"negotiated_type":"{random.choice(("negotiated", "negotiated", "fee schedule"))}",'
        f'"negotiated_rate":{random.randrange(500, 90_000) / 100},"expiration_date":"9999-12-31",'
        f'"service_code":[{places}],"billing_class":"{random.choice(("professional", "institutional"))}",'
        f'"billing_code_modifier":[{modifier}]}}'
    )


def item(random: Random, number: int, rates: int, cited: int) -> str:
    """One in-network item whose rates cite references 1 to ``cited``."""
    code = random.choice(("97026", "97028")) if number % WANTED_EVERY == 7 else f"{10000 + number % DISTINCT_CODES:05d}"
    parts = []
    for _ in range(rates):
        cites = ",".join(str(random.randint(1, cited)) for _ in range(random.randint(1, 8)))
        prices = ",".join(price(random) for _ in range(random.randint(1, 2)))
        parts.append(f'{{"provider_references":[{cites}],"negotiated_prices":[{prices}]}}')
    return (
        f'{{"negotiation_arrangement":"ffs","name":"Procedure {number}","billing_code_type":"CPT",'
        f'"billing_code_type_version":"2026","billing_code":"{code}",'
        f'"description":"Synthetic procedure number {number}, with some words","negotiated_rates":[{",".join(parts)}]}}'
    )


def document(shape: str, megabytes: int, seed: int = 1) -> Iterator[str]:
    """A document of one shape in pieces, about so large."""
    random = Random(seed)
    size = megabytes * 1_000_000
    share = {"references_first": 0.6, "references_last": 0.3, "tiny_items": 0.02}[shape]
    count = max(int(size * share / 330), 1)
    rates = 1 if shape == "tiny_items" else 60
    referring = _joined(references(random, count))
    items = _joined(_items_up_to(random, size * (1 - share), rates, count))
    yield "{" + HEADER
    sections = [("provider_references", referring), ("in_network", items)]
    for name, elements in reversed(sections) if shape == "references_last" else sections:
        yield f',"{name}":['
        yield from elements
        yield "]"
    yield "}"


def _items_up_to(random: Random, size: float, rates: int, cited: int) -> Iterator[str]:
    number = 0
    while size > 0:
        text = item(random, number, rates, cited)
        size -= len(text)
        number += 1
        yield text


def _joined(elements: Iterator[str]) -> Iterator[str]:
    separator = ""
    for element in elements:
        yield separator + element
        separator = ","


def write(path: Path, shape: str, megabytes: int) -> None:
    """One gzip file."""
    with gzip.open(path, "wb", 6) as stream:
        pieces: list[str] = []
        for piece in document(shape, megabytes):
            pieces.append(piece)
            if len(pieces) == 1000:
                stream.write("".join(pieces).encode())
                pieces = []
        stream.write("".join(pieces).encode())


def main(folder: str, megabytes: str = "400") -> None:
    """Write the three shapes."""
    for shape in SHAPES:
        path = Path(folder) / f"{shape}_{megabytes}.json.gz"
        if not path.exists():
            write(path, shape, int(megabytes))


if __name__ == "__main__":
    main(*sys.argv[1:])

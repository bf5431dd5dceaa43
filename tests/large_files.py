"""Large in-network files written in seconds: one block of references and one of items, repeated."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from tests.documents import Record, group, item, npi_of, other_item, price, rate, reference
from tests.json_text import json_bytes

ENTITY = "Aetna Life Insurance Company"
CITED_REFERENCES = 50
RATES_PER_ITEM = 25
FILLER = "Application of a modality to one or more areas; " * 160


def _block(count: int, make: Callable[[int], Record]) -> bytes:
    return b",".join(json_bytes(make(number)) for number in range(count)) + b","


def _reference(number: int) -> Record:
    """Fifty NPIs under an id that some item cites, or none."""
    npis = [npi_of(100_000_000 + (number * 37 + place * 1_009) % 90_000_000) for place in range(50)]
    return reference(number, group(*npis, tin={"type": "ein", "value": f"{number % 99:09d}"}))


def _rates(number: int) -> list[Record]:
    chance = Random(number)
    return [
        rate(
            provider_references=[chance.randrange(CITED_REFERENCES)],
            prices=[price(negotiated_rate=round(chance.uniform(5, 40), 2))],
        )
        for _ in range(RATES_PER_ITEM)
    ]


def _item(number: int) -> Record:
    """One wanted item in ten."""
    make: Any = item if number % 10 == 0 else other_item
    made: Record = make(negotiated_rates=_rates(number), description=FILLER)
    return made


def in_network_chunks(reference_bytes: int, item_bytes: int, entity: str = ENTITY) -> Iterator[bytes]:
    """An in-network document, references first, of about this many bytes."""
    header = {"reporting_entity_name": entity, "version": "1.0.0", "last_updated_on": "2026-06-01"}
    yield json_bytes(header)[:-1] + b', "provider_references": ['
    yield from _repeated(_block(1_000, _reference), reference_bytes)
    yield json_bytes(_reference(0)) + b'], "in_network": ['
    yield from _repeated(_block(20, _item), item_bytes)
    yield json_bytes(_item(0)) + b"]}"


def _repeated(block: bytes, total: int) -> Iterator[bytes]:
    for _ in range(-(-total // len(block))):
        yield block


def write_gzip(path: Path, chunks: Iterator[bytes]) -> int:
    """Write the chunks as one gzip member; the bytes of JSON."""
    total = 0
    with path.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0) as packed:
        for chunk in chunks:
            total += len(chunk)
            packed.write(chunk)
    return total

"""Documents too large to keep, as streams: what the memory promises are about.

    python -m tests.bench.extremes CASE [SCALE]

reads one with the scanning reader in this process and prints seconds, rows and peak memory as JSON.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import BinaryIO, cast

from tests.peak_memory import peak_bytes
from transforms.read.collect import Collected
from transforms.scan.read_scan import read_document

WANTED = frozenset({"97026"})
PRICE = (
    '{"negotiated_type":"negotiated","negotiated_rate":31.5,"expiration_date":"9999-12-31","service_code":["11"],'
    '"billing_class":"professional","billing_code_modifier":["GP"]}'
)
GROUPS = ",".join(
    f'{{"npi":[{",".join(str(1_000_000_000 + 97 * (10 * group + n)) for n in range(10))}],'
    f'"tin":{{"type":"ein","value":"12-{group:07d}"}}}}'
    for group in range(10)
)


class PieceStream:
    """Pieces of text as a stream of bytes."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces = pieces
        self._left = b""
        self.bytes = 0

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes."""
        if not self._left:
            self._left = next(self._pieces, "").encode()
        data, self._left = self._left[:size], self._left[size:]
        self.bytes += len(data)
        return data


def rate(*cites: int) -> str:
    """A rate that cites references."""
    return f'{{"provider_references":{list(cites)},"negotiated_prices":[{PRICE}]}}'


def item(code: str, rates: str) -> str:
    """An item with its code first."""
    return f'{{"billing_code_type":"CPT","billing_code":"{code}","negotiated_rates":[{rates}]}}'


def references_first(scale: float, cited_share: float = 0.01) -> Iterator[str]:
    """At scale 1: 500,000 references, 5 million groups, 50 million NPIs, in front of in_network."""
    count = int(500_000 * scale)
    yield '{"provider_references":['
    for first in range(0, count, 1000):
        numbers = range(first, min(first + 1000, count))
        yield ("," if first else "") + ",".join(
            f'{{"provider_group_id":{number},"provider_groups":[{GROUPS}]}}' for number in numbers
        )
    step = int(1 / cited_share)
    yield '],"in_network":['
    begun, ended = item("97026", "|").split("|")
    yield begun
    for number in range(0, count, step):
        yield rate(number) if number == 0 else "," + rate(number)
    yield ended + "]}"


def all_cited(scale: float) -> Iterator[str]:
    """Likewise, every reference cited: the disk grows."""
    return references_first(scale, 1.0)


def one_item(scale: float) -> Iterator[str]:
    """At scale 1: one wanted item of 5 GB, its code first."""
    yield '{"in_network":[{"billing_code":"97026","billing_code_type":"CPT","negotiated_rates":['
    yield from _rates(5_000_000_000 * scale)
    yield "]}]}"


def code_last(scale: float) -> Iterator[str]:
    """At scale 1: one wanted item of 5 GB, its code last."""
    yield '{"in_network":[{"negotiated_rates":['
    yield from _rates(5_000_000_000 * scale)
    yield '],"billing_code":"97026","billing_code_type":"CPT"}]}'


def unwanted_code_last(scale: float) -> Iterator[str]:
    """Likewise an item that nobody wants."""
    yield '{"in_network":[{"negotiated_rates":['
    yield from _rates(5_000_000_000 * scale)
    yield '],"billing_code":"99213","billing_code_type":"CPT"}]}'


def long_file(scale: float) -> Iterator[str]:
    """At scale 1: 20 GB of unwanted items around a wanted one."""
    many = ",".join([item("99213", ",".join([rate(1, 2, 3)] * 40))] * 100)
    yield '{"in_network":['
    yield from repeat(many + ",", int(10_000_000_000 * scale / len(many)))
    yield item("97026", rate(1))
    yield from repeat("," + many, int(10_000_000_000 * scale / len(many)))
    yield '],"provider_references":[{"provider_group_id":1,"provider_groups":[' + GROUPS + "]}]}"


def _rates(size: float) -> Iterator[str]:
    many = ",".join([rate(1, 2, 3)] * 1000)
    yield many
    yield from repeat("," + many, int(size / len(many)))


CASES: dict[str, Callable[[float], Iterator[str]]] = {
    case.__name__: case for case in (references_first, all_cited, one_item, code_last, unwanted_code_last, long_file)
}


def main(case: str, scale: str = "0.1") -> None:
    """Read one case."""
    collected = Collected(lambda: cast("BinaryIO", tempfile.TemporaryFile()))  # noqa: SIM115 spools close it
    stream = PieceStream(CASES[case](float(scale)))
    started = time.perf_counter()
    read_document(cast("BinaryIO", stream), WANTED, collected)
    found = {
        "case": case,
        "gigabytes": round(stream.bytes / 1e9, 2),
        "seconds": round(time.perf_counter() - started, 1),
        "items": collected.items_seen,
        "prices": len(collected.prices),
        "references_seen": collected.references_seen,
        "references": len(collected.references),
        "groups": len(collected.reference_groups),
        "peak_mib": peak_bytes() // 2**20,
    }
    collected.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

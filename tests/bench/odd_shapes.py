"""What odd documents cost beside a plain one of the same size, in both readers: medians of interleaved repeats.

    python -m tests.bench.odd_shapes [MEGABYTES] [REPEATS]

Each shape is as large as the plain document, whose items are wanted one in ten; ratios hold within a run.
"""

import io
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from typing import BinaryIO, cast

from tests.bench.extremes import WANTED, item, rate
from transforms.read import read_ijson
from transforms.read.collect import Collected
from transforms.read.extract import ReadDocument
from transforms.scan import read_scan

READERS: dict[str, ReadDocument] = {"scan": read_scan.read_document, "ijson": read_ijson.read_document}
REFERENCE = '{"provider_group_id":1,"provider_groups":[{"npi":[1234567893],"tin":{"type":"ein","value":"12-3456789"}}]}'


def document(items: str, references: str = REFERENCE, before: str = "", more: str = "") -> str:
    """An in-network document."""
    return f'{before}{{"version":"1"{more},"provider_references":[{references}],"in_network":[{items}]}}'


def filled(size: int, piece: str, separator: str = ",") -> str:
    """So much of a piece again and again."""
    return separator.join([piece] * max(size // (len(piece) + len(separator)), 1))


def plain(size: int) -> str:
    """One wanted item in ten."""
    rates = ",".join([rate(1)] * 40)
    return document(filled(size, ",".join([item("99213", rates)] * 9 + [item("97026", rates)])))


def one_group(size: int) -> str:
    """One provider group: 11 bytes an NPI."""
    npis = ",".join(str(1_000_000_000 + 7 * number) for number in range(size // 11))
    return document(item("97026", rate(1)), REFERENCE.replace("1234567893", npis))


SHAPES: dict[str, Callable[[int], str]] = {
    "plain": plain,
    "white space before the root": lambda size: document(item("97026", rate(1)), before=" " * size),
    "white space within the root": lambda size: document(item("97026", rate(1)), more="," + "\n" * size + '"x":1'),
    "white space between items": lambda size: document(filled(size, item("97026", rate(1)), "," + " " * 10_000)),
    "white space in a wanted item": lambda size: document(item("97026", rate(1))[:-1] + " " * size + "}"),
    "one group": one_group,
    "root keys": lambda size: document("", more="," + ",".join(f'"{number:07}":1' for number in range(size // 12))),
    "references again and again": lambda size: document(
        item("97026", rate(1)), more="," + filled(size, f'"provider_references":[{REFERENCE}]')
    ),
}


def seconds(read: ReadDocument, data: bytes) -> float:
    """CPU seconds of one reading."""
    collected = Collected(lambda: cast("BinaryIO", tempfile.TemporaryFile()))  # noqa: SIM115 spools close it
    began = time.process_time()
    read(io.BytesIO(data), WANTED, collected)
    taken = time.process_time() - began
    collected.close()
    return taken


def main(megabytes: str = "20", repeats: str = "3") -> None:
    """Print one table."""
    size = int(float(megabytes) * 1_000_000)
    documents = {name: make(size).encode() for name, make in SHAPES.items()}
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(int(repeats)):
        for name, data in documents.items():
            for engine, read in READERS.items():
                found[name, engine].append(seconds(read, data))
    for name in SHAPES:
        for engine in READERS:
            taken, floor = (statistics.median(found[each, engine]) for each in (name, "plain"))
            print(f"{name:<30}{engine:<7}{len(documents[name]) / 1e6 / taken:>8.0f} MB/s {taken / floor:>6.2f} x plain")


if __name__ == "__main__":
    main(*sys.argv[1:])

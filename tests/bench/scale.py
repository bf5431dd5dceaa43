"""A month on paper: files, machines, hours, network, dollars. Writes the tables of docs/explanation/scale.md.

    python -m tests.bench.scale            print them
    python -m tests.bench.scale --write    put them into docs/explanation/scale.md

Deterministic: sizes are the quantiles of a distribution, not draws from it; the order of a listing is by a hash. Speeds
come from tests/bench/RESULTS.md, all else from the constants below, with its source in docs/explanation/scale.md.
"""

import argparse
import hashlib
import heapq
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, exp
from statistics import NormalDist

from flows.extract.workers import MOST_BYTES, MOST_FILES
from tests.shared_files import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "explanation" / "scale.md"
RESULTS = REPOSITORY / "tests" / "bench" / "RESULTS.md"
GB, TB = 1e9, 1e12

RATIO = 12.0  # JSON to gzip
SPREAD = 2.0  # of the logarithm of sizes: the largest hundredth of the files holds a third of the bytes
LARGEST_JSON = 1 * TB
CORES = 16  # of one machine
ON_DEMAND, SPOT = 0.68, 0.34  # US dollars an hour, such a machine
KEPT = 0.023  # US dollars for a GB and month in object storage
ELSEWHERE = 0.02  # US dollars for a GB between regions
CONNECTION = 50e6  # bytes a second over one connection to a payer's host
CONNECTIONS = 4  # to one host: `connections_per_host`
ASKING = 0.1  # seconds for one conditional request
CONTENTS = 10.5 * GB  # the largest table of contents seen, gzip
CONTENTS_SPEED = 230e6  # bytes of its JSON a second of CPU time: structures of 500 signed addresses, which repeat
TASK_SECONDS = 0.1  # of Dask, for one batch, before its first byte


@dataclass(frozen=True)
class Month:
    """One simulated month."""

    name: str
    files: int
    gzip: float  # bytes


MONTHS = (
    Month("one payer, few files", 7_000, 6.2 * TB),
    Month("one payer, half", 50_000, 44.5 * TB),
    Month("one payer, all", 100_000, 89 * TB),
)
MACHINES = (1, 4, 16, 64, 256)


@cache
def speeds() -> dict[str, float]:
    """Bytes of JSON per second of CPU time: the median over the shapes of RESULTS.md."""
    found: dict[str, list[float]] = {"extract": [], "ijson": []}
    megabytes = 0.0
    for row in RESULTS.read_text().splitlines():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if stated := re.match(r"shape, (\d+) MB of JSON", cells[0]):
            megabytes = float(stated[1])
        for name, what in (("extract", "tic-rates: extract, with sha256 and tables"), ("ijson", "ijson.items")):
            if len(cells) == 8 and cells[1] == what:
                found[name].append(megabytes * 1e6 / float(cells[5]))
    return {name: statistics.median(each) for name, each in found.items()}


@cache
def sizes(month: Month) -> tuple[float, ...]:
    """Bytes of JSON of every file, the largest first: quantiles of a lognormal, capped, in all as said."""
    normal = NormalDist()
    shape = [exp(SPREAD * normal.inv_cdf((number + 0.5) / month.files)) for number in range(month.files)][::-1]
    total, scale = month.gzip * RATIO, 1.0
    for _ in range(30):  # what the cap cuts off the others share
        scale *= total / sum(min(size * scale, LARGEST_JSON) for size in shape)
    return tuple(min(size * scale, LARGEST_JSON) for size in shape)


def hours(files: Sequence[float], cores: int) -> float:
    """Until the last core is done: each takes the next file when it has read one."""
    speed = speeds()["extract"]
    busy = [0.0] * cores
    for size in files:
        heapq.heapreplace(busy, busy[0] + size / speed)
    return max(busy) / 3600


def as_listed(files: Sequence[float]) -> list[float]:
    """In an order that has nothing to do with size."""
    order = sorted(range(len(files)), key=lambda number: hashlib.sha256(b"%d" % number).digest())
    return [files[number] for number in order]


def months_table() -> Iterator[str]:
    """What there is to read."""
    yield "| month | files | TB gzip | TB JSON | median, MB gzip | 99%, GB gzip | largest, GB gzip | in largest 1% |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for month in MONTHS:
        files = sizes(month)
        top = files[: month.files // 100]
        yield (
            f"| {month.name} | {month.files:,} | {month.gzip / TB:.1f} | {sum(files) / TB:,.0f} "
            f"| {files[month.files // 2] / RATIO / 1e6:,.0f} | {top[-1] / RATIO / GB:.1f} "
            f"| {files[0] / RATIO / GB:.0f} | {100 * sum(top) / sum(files):.0f}% |"
        )


def machines_table() -> Iterator[str]:
    """How long it takes to read, and what network that needs, were the files next door."""
    speed = speeds()["extract"]
    yield f"| month | machines of {CORES} cores | h | h, as listed | h, bytes alone | Gbit/s each | Gbit/s together |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for month in MONTHS[::2]:
        files = sizes(month)
        listed = as_listed(files)
        for machines in MACHINES:
            cores = machines * CORES
            took = hours(files, cores)
            each = 8 * month.gzip / machines / (3600 * took) / GB
            yield (
                f"| {month.name} | {machines} | {took:.2f} | {hours(listed, cores):.2f} "
                f"| {sum(files) / speed / cores / 3600:.2f} | {each:.2f} | {each * machines:.0f} |"
            )


def hosts_table() -> Iterator[str]:
    """How long one host takes to hand it over."""
    yield (
        "| month | "
        + " | ".join(f"{many} connections" for many in (CONNECTIONS, 16, 64))
        + " | machines kept busy | on demand |"
    )
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    machine = speeds()["extract"] * CORES / RATIO
    for month in MONTHS:
        took = [month.gzip / (many * CONNECTION) / 3600 for many in (CONNECTIONS, 16, 64)]
        busy = [many * CONNECTION / machine for many in (CONNECTIONS, 16, 64)]
        paid = ", ".join(f"${each * ceil(many) * ON_DEMAND:,.0f}" for each, many in zip(took, busy, strict=True))
        yield (
            f"| {month.name} | {took[0]:,.0f} h | {took[1]:,.0f} h | {took[2]:,.1f} h "
            f"| {', '.join(f'{many:.1f}' for many in busy)} | {paid} |"
        )


def bends_table() -> Iterator[str]:
    """What more machines do not make shorter."""
    speed = speeds()["extract"]
    largest = sizes(MONTHS[-1])[0]
    most = MONTHS[-1].files
    fetch = largest / RATIO / CONNECTION / 3600
    asked = MONTHS[-1].files * ASKING / CONNECTIONS / 60
    yield "| what | takes |"
    yield "| --- | ---: |"
    yield f"| the largest file ({largest / TB:.1f} TB of JSON) on its one core | {largest / speed / 3600:.2f} h |"
    yield f"| the same over one connection | {fetch:.2f} h |"
    reading = CONTENTS * RATIO / CONTENTS_SPEED / 60
    yield f"| the largest table of contents ({CONTENTS / GB:.1f} GB gzip), read | {reading:.0f} min |"
    yield f"| the same over one connection | {CONTENTS / CONNECTION / 60:.1f} min |"
    yield f"| asking one host whether {most:,} files changed, {CONNECTIONS} requests at a time | {asked:.0f} min |"
    batches = int(max(most / MOST_FILES, MONTHS[-1].gzip / MOST_BYTES))
    share = 100 * batches * TASK_SECONDS / (sum(sizes(MONTHS[-1])) / speed)
    yield f"| Dask: handing out {batches:,} batches at {TASK_SECONDS:g} s, of all cores' time | {share:.2f}% |"


def costs_table() -> Iterator[str]:
    """Dollars for a month."""
    yield "| month | core-hours | on demand | spot | parsing everything: core-hours | on demand | times the cost |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    found = speeds()
    for month in MONTHS:
        ours, parsed = (month.gzip * RATIO / found[name] / 3600 for name in ("extract", "ijson"))
        yield (
            f"| {month.name} | {ours:,.0f} | ${ours / CORES * ON_DEMAND:,.0f} | ${ours / CORES * SPOT:,.0f} "
            f"| {parsed:,.0f} | ${parsed / CORES * ON_DEMAND:,.0f} | {parsed / ours:.1f} |"
        )


def extras_table() -> Iterator[str]:
    """Dollars for what is best avoided."""
    yield "| month | read from another region | every file kept in object storage for a month |"
    yield "| --- | ---: | ---: |"
    for month in MONTHS:
        yield f"| {month.name} | ${month.gzip / GB * ELSEWHERE:,.0f} | ${month.gzip / GB * KEPT:,.0f} |"


def speeds_table() -> Iterator[str]:
    """What all else is computed from."""
    yield "| reader | MB of JSON per second of CPU time |"
    yield "| --- | ---: |"
    yield f"| tic-rates: inflating, scanning, sha256, tables | {speeds()['extract'] / 1e6:.0f} |"
    yield f"| `ijson.items`, which parses everything, inflating included | {speeds()['ijson'] / 1e6:.0f} |"


TABLES = {
    "speeds": speeds_table,
    "months": months_table,
    "machines": machines_table,
    "hosts": hosts_table,
    "bends": bends_table,
    "costs": costs_table,
    "extras": extras_table,
}


def filled(text: str) -> str:
    """The document with every table as it is now."""
    for name, table in TABLES.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        body = "\n".join(table())
        text, count = marked.subn(lambda found, body=body: f"{found[1]}{body}\n{found[2]}", text)  # type: ignore[misc]
        assert count == 1, f"{DOCUMENT} has {count} places for the table {name!r}"
    return text


def main(options: argparse.Namespace) -> None:
    """Print, or write."""
    if options.write:
        DOCUMENT.write_text(filled(DOCUMENT.read_text()))
        return
    for name, table in TABLES.items():
        sys.stdout.write(f"{name}\n\n" + "\n".join(table()) + "\n\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A simulated month; the tables of docs/explanation/scale.md.")
    parser.add_argument("--write", action="store_true", help="put them into docs/explanation/scale.md")
    main(parser.parse_args())

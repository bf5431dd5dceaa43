"""How fast one gzip stream is read, beside inflating it and beside `ijson.items`: medians of interleaved repeats.

    python -m tests.bench.reading [FOLDER] [MEGABYTES] [REPEATS]

Each measurement is a process of its own: wall time without start-up, CPU time, peak memory. Ratios hold within a run.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import BinaryIO, cast

import ijson
from isal import igzip

from flows.cli.app import LIBRARIES
from tests.bench.synthetic import DISTINCT_CODES, SHAPES, write
from tests.peak_memory import peak_bytes

CODES = frozenset({"97026", "97028"})
SHARES = ("0.05%", "3%", "30%", "100%")  # of the items that are wanted
BUFFER_BYTES = 4 << 20
SMALL = b'{"in_network":[{"billing_code":"97026","negotiated_rates":[{"negotiated_prices":[{"negotiated_rate":1}]}]}]}'
TOGETHER = ("inflate", "scan_in_one_thread")  # as `run` reads where every core has a file of its own
IJSON_EVERY = 3  # it takes thirty times as long
SEED = 2


def inflate(path: str) -> Callable[[], object]:
    """The floor: isal alone."""

    def measured() -> None:
        with igzip.open(path) as stream:  # type: ignore[no-untyped-call]
            while stream.read(BUFFER_BYTES):
                pass

    return measured


def codes_of(share: str) -> frozenset[str]:
    """The two codes, and so many more that such a share of the synthetic items is wanted."""
    count = round(float(share.rstrip("%")) / 100 * DISTINCT_CODES)
    return CODES | {f"{10_000 + number * DISTINCT_CODES // count}" for number in range(count)}


def scan(path: str, share: str = "") -> Callable[[], object]:
    """The reader alone: container, scan, decoding; no sha256, no tables. Imports its own, so that others don't pay."""
    from transforms.read import containers  # noqa: F401 containers brings pyarrow, which takes its time
    from transforms.scan import read_scan

    codes = codes_of(share) if share else CODES
    return lambda: _read_with(read_scan.read_document, path, codes)


def scan_in_one_thread(path: str, share: str = "") -> Callable[[], object]:
    """Likewise, inflating and scanning in turn."""
    from transforms.read import containers  # noqa: F401
    from transforms.scan import read_scan

    codes = codes_of(share) if share else CODES
    return lambda: _read_with(partial(read_scan.read_document, overlap=False), path, codes)


def _read_with(read: Callable[..., None], path: str, codes: frozenset[str]) -> None:
    from transforms.read.collect import Collected
    from transforms.read.containers import open_documents

    with Path(path).open("rb", buffering=0) as file:
        for document in open_documents(file, _open_temporary):
            collected = Collected(_open_temporary)
            read(document.stream, codes, collected)
            collected.close()


def _open_temporary() -> BinaryIO:
    return cast("BinaryIO", tempfile.TemporaryFile())


def extract(path: str, share: str = "") -> Callable[[], object]:
    """What `run` does with a file: sha256 and extract tables too."""
    from flows.download.sources import Source
    from flows.extract.extract_source import extract as extract_one
    from flows.settings.values import ReadSettings
    from flows.storage import parquet  # noqa: F401 tables bring it, which takes its time
    from flows.storage.layout import Layout

    layout = Layout(Path(tempfile.mkdtemp(dir=Path(path).parent)))
    layout.prepare()
    settings = ReadSettings(codes_of(share) if share else CODES)
    small = layout.root / "small.json"
    small.write_bytes(SMALL)
    extract_one(Source(str(small)), layout, settings)  # whatever is imported late
    return lambda: extract_one(Source(path), layout, settings)


def ijson_items(path: str) -> Callable[[], object]:
    """The loop that everybody writes."""

    def measured() -> None:
        with igzip.open(path) as stream:  # type: ignore[no-untyped-call]
            for _ in ijson.items(stream, "in_network.item", use_float=True):
                pass

    return measured


WAYS: dict[str, Callable[[str], Callable[[], object]]] = {
    **{way.__name__: way for way in (inflate, scan, scan_in_one_thread, extract, ijson_items)},
    **{
        f"{way.__name__}, {share} wanted": partial(way, share=share)
        for way in (scan, scan_in_one_thread, extract)
        for share in SHARES
    },
}

RUNS = [(way, 1) for way in WAYS] + [(way, 2) for way in TOGETHER]  # and of how many files at once


def measure_here(way: str, path: str) -> None:
    """In a child process: one measurement as a JSON line."""
    run = WAYS[way](path)
    began, cpu = time.perf_counter(), time.process_time()
    run()
    found = {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "mib": peak_bytes() / 2**20,
    }
    print(json.dumps(found))


def start(way: str, path: Path) -> "subprocess.Popen[str]":
    """A child that measures."""
    command = [sys.executable, "-m", "tests.bench.reading", "--measure", way, str(path)]
    environment = os.environ | LIBRARIES | {"PYTHONPATH": "."}  # as `tic-rates` runs
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def result(child: "subprocess.Popen[str]") -> dict[str, float]:
    """What it found."""
    out, _ = child.communicate()
    found: dict[str, float] = json.loads(out)
    return found


@dataclass(frozen=True)
class Figures:
    """One way of reading one file: medians of seconds, the largest peak."""

    seconds: float
    cpu: float
    mib: float


def compare(path: Path, repeats: int) -> dict[str, Figures]:
    """Every way of reading one file, and two at once, interleaved."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    result(start("scan", path))  # what is compiled once is no part of any
    order = Random(SEED)
    for repeat in range(repeats):
        # what a run leaves behind (busy cores, pages to give back) meets another one each time
        for way, files in order.sample(RUNS, len(RUNS)):
            if way != "ijson_items" or repeat % IJSON_EVERY == 0:
                at_once = [result(child) for child in [start(way, path) for _ in range(files)]]
                found[name_of(way, files)].append(max(at_once, key=lambda one: one["seconds"]))
    return {name_of(*run): figures_of(found[name_of(*run)]) for run in RUNS}


def name_of(way: str, files: int) -> str:
    """What is measured, in words."""
    return way if files == 1 else f"two files at once: {way}"


def figures_of(times: list[dict[str, float]]) -> Figures:
    """Of several measurements."""
    seconds, cpu = (statistics.median(one[name] for one in times) for name in ("seconds", "cpu"))
    return Figures(seconds, cpu, max(one["mib"] for one in times))


def file_of(place: Path, shape: str, megabytes: int) -> Path:
    """The synthetic file of a shape, written once."""
    path = place / f"{shape}_{megabytes}.json.gz"
    if not path.exists():
        write(path, shape, megabytes)
    return path


def main(folder: str = "", megabytes: str = "400", repeats: str = "5") -> None:
    """Print one table for the three shapes, and two files on two cores."""
    place = Path(folder or tempfile.mkdtemp())
    for shape in SHAPES:
        path = file_of(place, shape, int(megabytes))
        found = compare(path, int(repeats))
        floor = found["inflate"].seconds
        print(f"{shape}: {path.stat().st_size / 1e6:.0f} MB of gzip")
        for way, figures in found.items():
            seconds, ratio = figures.seconds, figures.seconds / floor
            print(f"  {way:<34}{seconds:>8.2f} s {ratio:>7.2f} x {figures.cpu:>7.2f} s CPU {figures.mib:>6.0f} MiB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure_here(*sys.argv[2:])
    else:
        main(*sys.argv[1:])

"""`make bench`: everything that speed and memory are promised for, measured in one run, as one table.

    python -m tests.bench [--megabytes N] [--repeats N] [--rows N] [--records N] [--services N]
                           [--output FILE]

Each measurement is a process of its own; the repeats of one shape are interleaved, so that a busy moment of the
machine meets all of them; ratios are of medians. Writes ``tests/bench/RESULTS.md`` and its picture, ``RESULTS.svg``.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from flows.extract.worker_processes import cores
from tests.bench import coverage, picture, reading, starts, summary, utilization
from tests.bench.synthetic import SHAPES

RESULTS = Path(__file__).with_name("RESULTS.md")
SIZES = ("megabytes", "repeats", "rows", "records", "services")
PEER = "cms-mrf-extractor"
PARALLEL = "rapidgzip"  # inflates one gzip stream on several cores
INFLATE_WITH_IT = """
import json, sys, time
from resource import RUSAGE_SELF, getrusage
import rapidgzip
started, used = time.perf_counter(), time.process_time()
with rapidgzip.open(sys.argv[1], parallelization=int(sys.argv[2])) as stream:
    while stream.read(4 << 20):
        pass
found = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - used}
print(json.dumps(found | {"mib": getrusage(RUSAGE_SELF).ru_maxrss / 1024}))
"""
MEASURE = """
import subprocess, sys, time
from resource import RUSAGE_CHILDREN, getrusage
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = getrusage(RUSAGE_CHILDREN)
print(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
PACKAGES = ("polars", "pyarrow", "isal", "ijson", "msgspec", "duckdb")
ENGINES = {
    "ours": "tic-rates",
    "duckdb_at_once": "the same steps as one SQL statement in DuckDB, in 8 GiB",
    "duckdb_in_stages": "the same in DuckDB, payer by payer, then each kind of cell by itself, in 8 GiB",
}
WORTH = (
    "Where inflating two gives less than two, the cores share what they compute with: reading on both gains less there."
)
WHAT = {
    "inflate": "isal inflating alone",
    "scan": "tic-rates: the reader",
    "scan_in_one_thread": "tic-rates: the reader, in one thread",
    "extract": "tic-rates: extract, with sha256 and tables",
    "ijson_items": "ijson.items",
}


def read_all(place: Path, megabytes: int, repeats: int, peers: Path | None) -> Iterator[str]:
    """The three shapes, each read every way; then two files on two cores."""
    yield f"| shape, {megabytes} MB of JSON | what | s | MB/s | s / inflating | CPU s | CPU / inflating | peak MiB |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    together = []
    for shape in SHAPES:
        path = reading.file_of(place, shape, megabytes)
        found = reading.compare(path, repeats)
        if peers is not None:
            for threads in sorted({1, cores()}):
                name = f"{PARALLEL} inflating alone, {threads} thread(s)"
                found[name] = inflate_in_parallel(path, peers, threads, repeats)
            found[PEER] = read_with_peer(path, peers / "mrf-extract")
        floor = found["inflate"]
        for way, figures in found.items():
            if way in WHAT or way.startswith((PEER, PARALLEL)) or way.endswith("wanted"):
                yield (
                    f"| {shape} | {named(way)} | {figures.seconds:.2f} | {megabytes / figures.seconds:,.0f} | "
                    f"{figures.seconds / floor.seconds:.2f} | {figures.cpu:.2f} | {figures.cpu / floor.cpu:.2f} | "
                    f"{figures.mib:,.0f} |"
                )
        gains = [2 * found[way].seconds / found[reading.name_of(way, 2)].seconds for way in reading.TOGETHER]
        overlapped = 2 * found["scan"].seconds / found[reading.name_of(reading.TOGETHER[1], 2)].seconds
        together.append(f"| {shape} | {gains[0]:.2f} | {gains[1]:.2f} | {overlapped:.2f} |")
    yield ""
    yield "| two files on two cores against | inflating one | reading one on one core | reading one on both cores |"
    yield "| --- | ---: | ---: | ---: |"
    yield from together
    yield ""
    yield WORTH


def named(way: str) -> str:
    """A way of reading, in words."""
    kind, _, share = way.partition(", ")
    return f"{WHAT.get(kind, kind)}{', ' if share else ''}{share}"


def read_with_peer(path: Path, program: Path) -> reading.Figures:
    """Another public extractor, once, as its users call it; start-up included."""
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        folder = Path(name)
        (folder / "in").mkdir()
        shutil.copy(path, folder / "in")
        command = [sys.executable, "-c", MEASURE, str(program), str(folder / "in"), "-o", str(folder / "out")]
        ended = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, cpu, kib = map(float, ended.stdout.split())
    return reading.Figures(seconds, cpu, kib / 1024)


def inflate_in_parallel(path: Path, peers: Path, threads: int, repeats: int) -> reading.Figures:
    """One stream inflated on so many cores."""
    command = [str(peers / "python"), "-c", INFLATE_WITH_IT, str(path), str(threads)]
    pipe = subprocess.PIPE
    times = [reading.result(subprocess.Popen(command, stdout=pipe, text=True)) for _ in range(repeats)]
    return reading.figures_of(times)


def install_peers(folder: Path) -> Path | None:
    """The peers' programs, in an environment of their own; None where they can't be had."""
    environment = folder / "peer"
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", PEER, PARALLEL]
    try:
        for command in ([sys.executable, "-m", "venv", str(environment)], pip):
            subprocess.run(command, check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        print(f"{PEER} and {PARALLEL} can't be installed: {error.stderr[-200:]!r}", file=sys.stderr)
        return None
    return environment / "bin"


def summarise(rows: int) -> Iterator[str]:
    """Rate rows to summaries beside the same steps in DuckDB."""
    found = summary.main(rows)
    yield f"| {rows:,} rate rows to summaries | s | peak MiB |"
    yield "| --- | ---: | ---: |"
    for engine, what in ENGINES.items():
        if "error" in found[engine]:
            error = found[engine]["error"]
            yield f"| {what} | {'gave up: out of memory' if 'Out of Memory' in error else error} | |"
        else:
            yield f"| {what} | {found[engine]['seconds']:.1f} | {found[engine]['rss_mib']:,.0f} |"
    yield ""
    if "largest_difference" in found:
        cells, apart = found["ours"]["cells"], found["largest_difference"]
        yield f"{cells:,} cells in both; largest relative difference of a figure {apart:.1e}."


def build_lookup(folder: Path, records: int) -> str:
    """The provider lookup from a synthetic download in the real layout."""
    from flows.tables.nppes_lookup import build_nppes
    from tests.nppes_files import many_records, npidata

    source = folder / "npidata_pfile_bench.csv"
    with source.open("wb") as file:
        file.write(npidata())
        file.writelines(record.encode() for record in many_records(records))
    before = time.process_time()
    found = build_nppes(source, folder / "nppes.parquet")
    cpu, megabytes = time.process_time() - before, found["bytes"] / 1e6
    return (
        f"NPPES: {records:,} records, {megabytes:,.0f} MB of csv, in {found['seconds']:.1f} s ({cpu:.1f} of CPU): "
        f"{megabytes / found['seconds']:,.0f} MB/s, {megabytes / cpu:,.0f} a second of CPU."
    )


def machine() -> str:
    """What it was measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.machine())
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, load {load:.1f} at the start; "
        f"Python {platform.python_version()}; {packages}"
    )


def main(options: argparse.Namespace) -> None:
    """Measure, print, write."""
    started = time.monotonic()
    sizes = " ".join(f"--{name} {getattr(options, name)}" for name in SIZES)
    command = f"python -m tests.bench {sizes}"
    lines = ["# What was measured", "", f"`{command}` on {datetime.now(UTC):%Y-%m-%d}: {machine()}.", ""]
    lines += [f"Reading synthetic gzip files: medians of {options.repeats} interleaved runs, start-up left out.", ""]
    lines += [options.note, ""] if options.note else []
    lines += ["![CPU time as a multiple of inflating](RESULTS.svg)", ""]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines += [*read_all(folder, options.megabytes, options.repeats, install_peers(folder)), ""]
        lines += [build_lookup(folder, options.records), ""]
    lines += [utilization.build_lookup(options.services), "", coverage.build_editions(), ""]
    for found in (starts.starts(options.repeats), starts.many_small_files(), starts.first_run()):
        lines += [*found, ""]
    lines += [*summarise(options.rows), "", f"Took {(time.monotonic() - started) / 60:.0f} minutes.", ""]
    text = "\n".join(lines)
    options.output.write_text(text)
    if options.output == RESULTS:
        picture.main()
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure reading, summaries and NPPES; write the table.")
    parser.add_argument("--megabytes", type=int, default=400, help="JSON in each file (default 400)")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved runs (default 5)")
    parser.add_argument("--rows", type=int, default=summary.ROWS, help="rate rows summarised (default 100 million)")
    parser.add_argument("--records", type=int, default=1_000_000, help="NPPES records (default 1 million)")
    parser.add_argument(
        "--services", type=int, default=utilization.ROWS, help="utilization rows (default 10 million, 3 GB)"
    )
    parser.add_argument("--note", default="", help="a sentence about the machine, such as what else it was doing")
    parser.add_argument("--output", type=Path, default=RESULTS)
    main(parser.parse_args())

"""One worker and two, on a real Dask cluster, nothing shared but the sources: seconds, MB/s, and the same tables.

    python -m tests.bench.machines [--files 40] [--megabytes 200] [--packed] [--payers 6] [--rows 5000000]
                                   [--repeats 1] [--kill]

The defaults are 40 files of 200 MB, and six payers of 5 million rows each. With ``--kill`` that takes about ten minutes
on two cores that nothing else uses, and 1.5 GB of disk.

``--payers``: files besides, each of one payer with so many rate rows. ``--packed``: so many megabytes of gzip in each
file, not of JSON. Each worker has one core. Runs with one worker and with two take turns, so that what else the machine
does meets both; the tables of every run are compared with those of a run without a cluster. ``--kill`` adds runs of two
workers one of which is killed (SIGKILL, with its children) while it reads, and while it builds. Beside each pair of
runs the same files are only inflated, by one process and by two, each on a core of its own: two cores of a shared
machine are rarely twice one, and no cluster can do better.
"""

import argparse
import gzip
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from tests.bench.hundred_gigabytes import write as write_members
from tests.bench.load import PAYERS, repeated_prices, write_lookup
from tests.bench.synthetic import SHAPES, write
from tests.command_line import digests
from tests.machines import HERE, Machines, dask_machines
from tests.shared_files import REPOSITORY

INFLATE = """
import os, sys
from isal import igzip
os.sched_setaffinity(0, {int(sys.argv[1])})
for path in sys.argv[2:]:
    with igzip.open(path) as stream:
        while stream.read(1 << 20):
            pass
"""
BUILT = re.compile(r"(\d+) payer\(s\) built elsewhere in ([\d.]+) s")
READ = re.compile(r"(\d+) file\(s\) read elsewhere in ([\d.]+) s: (\d+) MB/s")


def make_files(folder: Path, files: int, megabytes: int, *, packed: bool = False) -> Path:
    """So many files of three shapes, or of one that is long; they differ in the white space at their end, so in sha256.

    Args:
        packed: so many megabytes of gzip each; else of JSON.
    """
    market = folder / f"mrf-{files}-{megabytes}{'-packed' if packed else ''}"
    bases = [_packed_file(folder / "base", megabytes)] if packed else _shapes(folder / "base", megabytes)
    market.mkdir(exist_ok=True)
    for number in range(files):
        path = market / f"file-{number:03d}.json.gz"
        shutil.copy(bases[number % len(bases)], path)
        with path.open("ab") as file:
            file.write(gzip.compress(b"\n" * (number + 1)))
    return market


def make_market(folder: Path, demo_output: Path, files: int, megabytes: int) -> Path:
    """``make_files`` with the demo's files beside them."""
    market = make_files(folder, files, megabytes)
    for path in (demo_output / "demo" / "mrf").iterdir():
        (market / path.name).symlink_to(path)
    return market


def _shapes(folder: Path, megabytes: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = {shape: folder / f"{shape}_{megabytes}.json.gz" for shape in SHAPES}
    for shape, path in paths.items():
        if not path.exists():
            write(path, shape, megabytes)
    return list(paths.values())


def _packed_file(folder: Path, megabytes: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"packed_{megabytes}.json.gz"
    if not path.exists():
        gigabytes = 1.0
        for _ in range(2):  # the first one says how far it can be compressed
            write_members(path, gigabytes)
            gigabytes *= megabytes * 1e6 / path.stat().st_size
        write_members(path, gigabytes)
    return path


def run(market: Path, output: Path, *options: str, environment: dict[str, str] | None = None) -> tuple[float, str]:
    """Seconds of the whole command, and its stderr."""
    started = time.monotonic()
    return end(begin(market, output, *options, environment=environment), started)


def begin(
    market: Path, output: Path, *options: str, environment: dict[str, str] | None = None
) -> "subprocess.Popen[str]":
    """`tic-rates run` in a process and a working directory of its own; no other process sees its output."""
    output.parent.mkdir(parents=True, exist_ok=True)
    words = ["run", str(market), "--month", "2026-06", "--output", str(HERE / output.name), "--no-report", "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli.app", *words, *options],
        cwd=output.parent,
        env=(environment or dict(os.environ)) | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: "subprocess.Popen[str]", started: float) -> tuple[float, str]:
    """Wait for it."""
    _, stderr = process.communicate()
    if process.returncode:
        raise SystemExit(f"the run ended with {process.returncode}:\n{stderr[-3000:]}")
    return time.monotonic() - started, stderr


def run_on(
    machines: Machines, market: Path, output: Path, *options: str, kill_while: str | None = None
) -> tuple[float, float, float]:
    """Seconds of the whole command, of its reading, and of building the payers' tables.

    Args: kill_while: SIGKILL to the first worker while it writes ``extracts`` or ``payers``.
    """
    started = time.monotonic()
    process = begin(market, output, "--dask", machines.address, *options, environment=machines.environment)
    if kill_while is not None:
        while not machines.kill_while_writing(0, kill_while):
            assert process.poll() is None, "the run ended before there was a worker to kill"
            time.sleep(0.002)
    seconds, stderr = end(process, started)
    read, built = READ.search(stderr), BUILT.search(stderr)
    assert read and built, stderr
    assert (kill_while is not None) == ("lost the Dask worker" in stderr), stderr
    assert "come back through Dask" in stderr, stderr
    return seconds, float(read[2]), float(built[2])


def inflate(market: Path, processes: int) -> float:
    """Seconds in which so many processes inflate all files, dealt out among them."""
    files = sorted(str(path) for path in market.iterdir())
    cores = sorted(os.sched_getaffinity(0))
    started = time.monotonic()
    children = [
        subprocess.Popen([sys.executable, "-c", INFLATE, str(cores[number % len(cores)]), *files[number::processes]])
        for number in range(processes)
    ]
    for child in children:
        if child.wait():
            raise SystemExit("inflating failed")
    return time.monotonic() - started


def add_payers(market: Path, payers: int, rows: int) -> list[str]:
    """Files of one payer each, with so many rate rows; the options that name the lookup of their providers."""
    for number in range(payers):
        with gzip.open(market / f"payer-{number}.json.gz", "wt", compresslevel=1) as file:
            file.writelines(piece.replace(PAYERS[0], f"Plan {number}") for piece in repeated_prices(rows))
    write_lookup(market.parent / "nppes.parquet")
    return ["--nppes", str(market.parent / "nppes.parquet")]


def measure(
    folder: Path, market: Path, given: list[str], repeats: int, expected: dict[str, str], *, kill: bool
) -> Iterator[str]:
    """The rows of the table; exits where tables differ."""
    found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    cases: list[tuple[str, int, str | None]] = []
    cases += [(str(workers), workers, None) for workers in (1, 2)] * repeats
    cases += [(f"2, one killed ({what})", 2, what) for what in ("extracts", "payers") if kill]
    for number, (name, workers, dies) in enumerate(cases):
        output = folder / "out"
        shutil.rmtree(output, ignore_errors=True)
        if dies is None:
            bare = inflate(market, workers)
            found[f"{workers}, only inflating"].append((bare, bare, bare))
        with dask_machines(folder / f"machines-{number}", workers) as machines:
            found[name].append(run_on(machines, market, output, *given, kill_while=dies))
        if digests(output) != expected:
            raise SystemExit(f"{name} worker(s): the tables differ from those of a run without a cluster")
        print(f"  {name} worker(s): {found[name][-1]}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    medians = {
        name: tuple(statistics.median(each) for each in zip(*times, strict=True)) for name, times in found.items()
    }
    for name, (whole, reading, building) in sorted(medians.items()):
        alone = medians["1, only inflating" if "inflating" in name else "1"]
        parts = zip(alone, (whole, reading, building), strict=True)
        cells = (f"{seconds:.1f} | {once / seconds:.2f}" for once, seconds in parts)
        yield f"| {name} | {' | '.join(cells)} |"


def main(options: argparse.Namespace) -> None:
    """Print the table. The folder is removed at the end, unless it is given."""
    temporary = tempfile.TemporaryDirectory(prefix="tic-rates-machines-")
    with temporary if options.folder is None else nullcontext(options.folder) as name:
        compare(Path(name), options)


def compare(folder: Path, options: argparse.Namespace) -> None:
    """Print the table, of files in this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    market = make_files(folder, options.files, options.megabytes, packed=options.packed)
    size = sum(path.stat().st_size for path in market.iterdir()) / 1e6
    of = "gzip" if options.packed else "JSON"
    print(f"{options.files} files of {options.megabytes} MB of {of}, {size:,.0f} MB of gzip; {os.cpu_count()} cores,")
    print(f"load {os.getloadavg()[0]:.1f} at the start; medians of {options.repeats} interleaved run(s).\n")
    # As installed software runs: compiled files are kept, wherever this environment would have none written.
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    shutil.rmtree(folder / "plain", ignore_errors=True)
    given = add_payers(market, options.payers, options.rows)
    run(market, folder / "plain", *given)
    expected = digests(folder / "plain")
    print("| workers | whole run, s | times one worker | reading, s | times one | building, s | times one |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in measure(folder, market, given, options.repeats, expected, kill=options.kill):
        print(row, flush=True)
    print("\nThe tables of every run are those of a run without a cluster, byte for byte.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure reading on other machines.")
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--megabytes", type=int, default=200, help="of JSON in each file (default 200)")
    parser.add_argument("--packed", action="store_true", help="megabytes are of gzip")
    parser.add_argument("--payers", type=int, default=6)
    parser.add_argument("--rows", type=int, default=5_000_000, help="rate rows of each payer (default 5,000,000)")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--kill", action="store_true", help="and with a worker killed in the middle")
    parser.add_argument("--folder", type=Path, help="kept afterwards (default: a temporary one)")
    main(parser.parse_args())

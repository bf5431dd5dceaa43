"""One worker and two, on a real Dask cluster: seconds, MB/s, and the same tables.

    python -m tests.bench.machines [--files 40] [--megabytes 200] [--packed] [--repeats 3] [--kill]

``--packed``: so many megabytes of gzip in each file, not of JSON. Each worker has one core. Runs with one worker and
with two take turns, so that what else the machine does meets both; the tables of every run are compared with those of a
run without a cluster. ``--kill`` adds a run of two workers one of which is killed (SIGKILL, with its
children) when the first file has been read. Beside each pair of runs the same files are only inflated, by one process
and by two, each on a core of its own: two cores of a shared machine are rarely twice one, and no cluster can do better.
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
from pathlib import Path

from tests.bench.hundred_gigabytes import write as write_members
from tests.bench.synthetic import SHAPES, write
from tests.command_line import digests
from tests.machines import Machines, dask_machines
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
    process = begin(market, output, *options, environment=environment)
    started = time.monotonic()
    return end(process, started)


def begin(
    market: Path, output: Path, *options: str, environment: dict[str, str] | None = None
) -> "subprocess.Popen[str]":
    """`tic-rates run` in a process of its own."""
    words = ["run", str(market), "--month", "2026-06", "--output", str(output), "--no-report", "--json", *options]
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli.app", *words],
        cwd=REPOSITORY,
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


def run_on(machines: Machines, market: Path, output: Path, *, kill: bool = False) -> tuple[float, float]:
    """Seconds of the whole command, and of its reading."""
    started = time.monotonic()
    process = begin(market, output, "--dask", machines.address, environment=machines.environment)
    if kill:
        extracts = output / ".cache" / "extracts"
        while process.poll() is None and not (extracts.is_dir() and _finished(extracts)):
            time.sleep(0.05)
        machines.kill(0)
        machines.workers.pop(0)
    seconds, stderr = end(process, started)
    found = READ.search(stderr)
    assert found, stderr
    return seconds, float(found[2])


def _finished(extracts: Path) -> bool:
    return any(not path.name.startswith(".") for path in extracts.iterdir())


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


def measure(folder: Path, market: Path, repeats: int, expected: dict[str, str], *, kill: bool) -> Iterator[str]:
    """The rows of the table; exits where tables differ."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    cases = [(str(workers), workers, False) for workers in (1, 2)] * repeats
    for number, (name, workers, dies) in enumerate([*cases, *([("2, one killed", 2, True)] if kill else [])]):
        output = folder / "out"
        shutil.rmtree(output, ignore_errors=True)
        if not dies:
            bare = inflate(market, workers)
            found[f"{workers}, only inflating"].append((bare, bare))
        with dask_machines(folder / f"machines-{number}", workers) as machines:
            found[name].append(run_on(machines, market, output, kill=dies))
        if digests(output) != expected:
            raise SystemExit(f"{name} worker(s): the tables differ from those of a run without a cluster")
        print(f"  {name} worker(s): {found[name][-1]}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    medians = {
        name: tuple(statistics.median(each) for each in zip(*times, strict=True)) for name, times in found.items()
    }
    for name, (whole, reading) in sorted(medians.items()):
        alone = "1, only inflating" if "inflating" in name else "1"
        pairs = [one / two for (_, one), (_, two) in zip(found[alone], found[name], strict=False)]
        yield (
            f"| {name} | {whole:.1f} | {reading:.1f} | {medians[alone][1] / reading:.2f} | "
            f"{statistics.median(pairs):.2f} |"
        )


def main(options: argparse.Namespace) -> None:
    """Print the table."""
    folder = options.folder or Path(tempfile.mkdtemp(prefix="tic-rates-machines-"))
    market = make_files(folder, options.files, options.megabytes, packed=options.packed)
    size = sum(path.stat().st_size for path in market.iterdir()) / 1e6
    of = "gzip" if options.packed else "JSON"
    print(f"{options.files} files of {options.megabytes} MB of {of}, {size:,.0f} MB of gzip; {os.cpu_count()} cores,")
    print(f"load {os.getloadavg()[0]:.1f} at the start; medians of {options.repeats} interleaved run(s).\n")
    # As installed software runs: compiled files are kept, wherever this environment would have none written.
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    shutil.rmtree(folder / "plain", ignore_errors=True)
    run(market, folder / "plain")
    expected = digests(folder / "plain")
    print("| workers | s | s reading | x one worker | median of pairs |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for row in measure(folder, market, options.repeats, expected, kill=options.kill):
        print(row, flush=True)
    print("\nThe tables of every run are those of a run without a cluster, byte for byte.")
    if options.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure reading on other machines.")
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--megabytes", type=int, default=200, help="of JSON in each file (default 200)")
    parser.add_argument("--packed", action="store_true", help="megabytes are of gzip")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kill", action="store_true", help="and once with a worker killed in the middle")
    parser.add_argument("--folder", type=Path, help="kept afterwards (default: a temporary one)")
    main(parser.parse_args())

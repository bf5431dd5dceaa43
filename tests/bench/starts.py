"""What a start costs: each command on next to nothing, thousands of small files, the first run of the demo.

    python -m tests.bench.starts [REPEATS]

CPU seconds are user and system time of the command and all of its processes.
"""

import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import NamedTuple

from tests.documents import document, group, item, rate
from tests.json_text import json_bytes

SMALL_FILES = 2_000
MONTH = ("--month", "2026-06", "--no-report")
ANN = 1003000126


class Cost(NamedTuple):
    """Of one command."""

    seconds: float
    cpu: float


def command(words: Sequence[str], folder: Path) -> Cost:
    """What a command of tic-rates costs, in this folder."""
    program = Path(sys.executable).with_name("tic-rates")
    before, started = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([str(program), *words], check=True, capture_output=True, cwd=folder)
    seconds, after = time.perf_counter() - started, getrusage(RUSAGE_CHILDREN)
    return Cost(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def small_document(number: int) -> bytes:
    """One price of one provider, another in each."""
    rates = rate(group(ANN, tin={"type": "ein", "value": f"12-{number:07d}"}))
    return json_bytes(document(item(rates), reporting_entity_name=f"Plan {number % 7}"))


def starts(repeats: int) -> Iterator[str]:
    """Each command on next to nothing: medians."""
    yield "| start of a command | s | CPU s |"
    yield "| --- | ---: | ---: |"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "small.json").write_bytes(small_document(0))
        import_all = [sys.executable, "-c", "import polars, pyarrow.parquet"]
        commands = {
            "`--help`": ["--help"],
            "`inspect` of one small file": ["inspect", "small.json"],
            "`run` of one small file, without report": ["run", "small.json", *MONTH],
            "`run` of the same again": ["run", "small.json", *MONTH],
            "`rvu`": ["rvu", "97026", "--units", "1", "--state", "AK", "--year", "2025"],
        }
        found: dict[str, list[Cost]] = {what: [] for what in commands}
        imported: list[Cost] = []
        for _ in range(repeats):
            for left in ("output", ".cache"):
                subprocess.run(["rm", "-rf", str(folder / left)], check=True)
            for what, words in commands.items():
                found[what].append(command(words, folder))
            before, started = getrusage(RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(import_all, check=True)
            after = getrusage(RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            imported.append(Cost(time.perf_counter() - started, used))
    for what, costs in ({"Python importing polars and pyarrow, for comparison": imported} | found).items():
        seconds, cpu = (statistics.median(cost[part] for cost in costs) for part in (0, 1))
        yield f"| {what} | {seconds:.2f} | {cpu:.2f} |"


def many_small_files() -> Iterator[str]:
    """A run of thousands of small files, and the same documents in one zip."""
    yield f"| {SMALL_FILES:,} small files | s | CPU s | CPU ms a file |"
    yield "| --- | ---: | ---: | ---: |"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mrf").mkdir()
        with zipfile.ZipFile(folder / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(SMALL_FILES):
                (folder / "mrf" / f"{number}.json").write_bytes(small_document(number))
                archive.writestr(f"{number}.json", small_document(number))
        start = command(["run", "mrf/0.json", *MONTH, "--output", "one"], folder)
        for what, source in (("`run` of a folder", "mrf"), ("`run` of one zip", "all.zip")):
            cost = command(["run", source, *MONTH, "--output", f"of-{source}"], folder)
            each = 1000 * (cost.cpu - start.cpu) / SMALL_FILES
            yield f"| {what} | {cost.seconds:.1f} | {cost.cpu:.1f} | {each:.1f} |"


def first_run() -> Iterator[str]:
    """The demo, as `make run` starts it."""
    with tempfile.TemporaryDirectory() as name:
        cost = command(["demo", "--output", "output"], Path(name))
    yield f"The demo (`make run` after installing): {cost.seconds:.1f} s, {cost.cpu:.1f} s of CPU."


def main(repeats: str = "5") -> None:
    """Print all three."""
    for lines in (starts(int(repeats)), many_small_files(), first_run()):
        print("\n".join(lines), end="\n\n", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

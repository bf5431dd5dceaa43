"""`make load`: many files in one run, and one payer of many rate rows, in steps: are the lines straight?

    python -m tests.bench.load [PART ...] [--files N,N,N] [--rows N,N,N] [--place DIR] [--output FILE]

Parts: ``files`` (small in-network files in one run, then nights over them), ``repeated`` (one payer, fifty prices for
each provider), ``spread`` (one payer, ten prices for each provider), ``contents`` (tables of contents, every file
another one, and the same thousand files again and again). Every figure is of a command of its own, as a user runs it.
Writes ``tests/bench/LOAD.md``.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from schemas.reference import NPPES
from tests.bench.__main__ import machine

RESULTS = Path(__file__).with_name("LOAD.md")
MONTH = "2026-06"
REFERENCES = (100_000, 300_000, 1_000_000)
FILES = (2_000, 6_000, 20_000)
ROWS = (5_000_000, 15_000_000, 50_000_000)
PAYERS = ("Aetna Life Insurance Company", "Cigna Health and Life Insurance Company", *(f"Plan {n}" for n in range(8)))
STATES = "AK AL AZ CA CO FL GA IL MA MI MN NC NJ NY OH OR PA TX VA WA".split()
THERAPISTS = ["225100000X", "111N00000X", "207Q00000X"]
NPIS_PER_REFERENCE = 100
PRICES_PER_RATE = 25
FILES_PER_STRUCTURE = 50


@dataclass(frozen=True)
class Cost:
    """What one command took: wall-clock and CPU seconds of all its processes, the largest one's memory, its answer."""

    seconds: float
    cpu: float
    mib: float
    answer: dict[str, object]


def measure(*arguments: object) -> Cost:
    """`tic-rates` with these arguments, to its end."""
    command = [sys.executable, "-m", "flows.cli.app", *map(str, arguments), "--json"]
    started = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        out.seek(0)
        answer = json.loads(out.read() or b"{}")
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended by {process.returncode}: {answer.get('error')}")
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, answer)


def write_small_files(folder: Path, count: int) -> None:
    """Files of 2 kB, no two the same: ten payers, a cited reference, an inline group, an item that nobody wants."""
    folder.mkdir()
    for number in range(count):
        npis = ",".join(str(npi) for npi in _npis(np.arange(5) + number * 3))
        references = f'{{"provider_group_id":1,"provider_groups":[{{"npi":[{npis}],"tin":{_tin(number)}}}]}}'
        inline = f'{{"npi":[{npis[:10]}],"tin":{_tin(number // 7)}}}'
        rates = (
            f'{{"provider_references":[1],"negotiated_prices":[{_price(700 + number % 900, 0)},{_price(900, 1)}]}},'
            f'{{"provider_groups":[{inline}],"negotiated_prices":[{_price(800 + number % 500, 2)}]}}'
        )
        items = f"{_item('97026', rates)},{_item('99213', rates)}"
        text = (
            f'{{{_header(PAYERS[number % len(PAYERS)])},"provider_references":[{references}],"in_network":[{items}]}}'
        )
        (folder / f"{number:06}.json").write_text(text)


def repeated_prices(rows: int) -> Iterator[str]:
    """One payer's document: every provider has two codes at 25 prices each."""
    return _large(rows // (2 * PRICES_PER_RATE * NPIS_PER_REFERENCE), PRICES_PER_RATE)


def spread_prices(rows: int) -> Iterator[str]:
    """Likewise at five prices: five times as many providers, and observations."""
    return _large(rows // (2 * 5 * NPIS_PER_REFERENCE), 5)


def _large(references: int, prices: int) -> Iterator[str]:
    """References first, each cited by one rate of each code. An NPI recurs under other TINs beyond a million."""
    yield f'{{{_header(PAYERS[0])},"provider_references":['
    for number in range(references):
        npis = ",".join(map(str, _npis(np.arange(NPIS_PER_REFERENCE) + number * NPIS_PER_REFERENCE)))
        groups = f'[{{"npi":[{npis}],"tin":{_tin(number)}}}]'
        yield f'{"," if number else ""}{{"provider_group_id":{number},"provider_groups":{groups}}}'
    yield '],"in_network":['
    for code in ("97026", "97028"):
        begun, ended = _item(code, "|").split("|")
        yield "," + begun if code == "97028" else begun
        for number in range(references):
            stated = ",".join(_price(600 + (number * 7 + place * 31) % 900, place) for place in range(prices))
            comma = "," if number else ""
            yield f'{comma}{{"provider_references":[{number}],"negotiated_prices":[{stated}]}}'
        yield ended
    yield "]}"


def load_contents(place: Path, steps: Sequence[int]) -> Iterator[str]:
    """A night over a table of contents that lists so many files, one of them ours."""
    yield "| references to files | distinct | MB | s | CPU s | CPU s a million | peak MiB of a process |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    write_small_files(place / "listed", 1)
    path = place / "listed" / "index.json"
    config = place / "tic-rates.toml"
    payer = f'[[payer]]\nname = "All"\ncontents = ["{path}"]\ninclude = ["000000.json"]\n'
    config.write_text(f'output = "{place / "out"}"\n{payer}')
    for distinct in (None, 1_000):
        for count in steps:
            with path.open("w") as file:
                file.writelines(_contents(count, distinct or count))
            cost = measure("nightly", "--config", config, "--month", MONTH)
            megabytes = path.stat().st_size / 1e6
            yield (
                f"| {count:,} | {distinct or count:,} | {megabytes:,.0f} | {cost.seconds:.1f} | {cost.cpu:.1f} | "
                f"{cost.cpu * 1e6 / count:.2f} | {cost.mib:,.0f} |"
            )
            shutil.rmtree(place / "out")
    shutil.rmtree(place / "listed")


def _contents(count: int, distinct: int) -> Iterator[str]:
    """Structures of ten plans and fifty files each; a file of our own in front."""
    yield f'{{"reporting_entity_name":"{PAYERS[0]}","reporting_entity_type":"health insurance issuer",'
    ours = '{"description":"ours","location":"000000.json"}'
    yield f'"reporting_structure":[{{"reporting_plans":[],"in_network_files":[{ours}]}}'
    for first in range(0, count, FILES_PER_STRUCTURE):
        plans = ",".join(
            f'{{"plan_name":"PLAN {first + number}","plan_id_type":"EIN","plan_id":"{100_000_000 + first + number}",'
            '"plan_market_type":"group"}'
            for number in range(10)
        )
        files = ",".join(
            f'{{"description":"In-network file {number % distinct}","location":'
            f'"https://mrf.example.com/2026-06/{number % distinct:08}_in-network-rates.json.gz"}}'
            for number in range(first, min(count, first + FILES_PER_STRUCTURE))
        )
        yield f',{{"reporting_plans":[{plans}],"in_network_files":[{files}]}}'
    yield "]}"


def _npis(bodies: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> list[int]:
    """Valid NPIs, of a million."""
    first_nine = 100_000_000 + bodies.astype(np.int64) % 1_000_000
    total = np.full(len(bodies), 24, np.int64)  # of the prefix 80840
    for place in range(9):
        digit = first_nine // 10**place % 10
        doubled = digit * 2
        total += np.where(place % 2 == 0, doubled // 10 + doubled % 10, digit)
    npis: list[int] = (first_nine * 10 + -total % 10).tolist()
    return npis


def _tin(number: int) -> str:
    return f'{{"type":"ein","value":"{number // 10**7:02}-{number % 10**7:07}"}}'


def _price(cents: int, place: int) -> str:
    return (
        f'{{"negotiated_type":"negotiated","negotiated_rate":{cents / 100},"expiration_date":"20{30 + place}-12-31",'
        '"service_code":["11"],"billing_class":"professional","billing_code_modifier":["GP"]}'
    )


def _item(code: str, rates: str) -> str:
    return (
        f'{{"negotiation_arrangement":"ffs","billing_code_type":"CPT","billing_code":"{code}",'
        f'"negotiated_rates":[{rates}]}}'
    )


def _header(entity: str) -> str:
    return f'"reporting_entity_name":"{entity}","last_updated_on":"2026-06-01","version":"2.0.0"'


def write_lookup(path: Path) -> None:
    """A provider lookup of the million NPIs that the files name."""
    npi = pl.Series("npi", _npis(np.arange(1_000_000)), pl.Int64)
    place = pl.col("npi") % 997
    frame = pl.DataFrame({"npi": npi}).with_columns(
        entity_type=pl.lit(1, pl.Int32),
        state=(place % len(STATES)).replace_strict(dict(enumerate(STATES)), return_dtype=pl.String),
        country=pl.lit("US"),
        zip5=pl.lit("99501"),
        taxonomies=pl.concat_list((place % 3).replace_strict(dict(enumerate(THERAPISTS)), return_dtype=pl.String)),
        deactivated=pl.lit(value=False),
    )
    NPPES.conform(frame.lazy()).sort("npi").collect().write_parquet(path)


def load_files(place: Path, steps: Sequence[int]) -> Iterator[str]:
    """Small files: a first run, the same again, a night over files that the runs had read, and one over the same."""
    yield "| small files | command | s | CPU s | CPU ms a file | peak MiB of a process |"
    yield "| ---: | --- | ---: | ---: | ---: | ---: |"
    for count in steps:
        folder = place / "files"
        write_small_files(folder, count)
        config = place / "tic-rates.toml"
        config.write_text(f'output = "{place / "out"}"\n[[payer]]\nname = "All"\nfiles = ["{folder}"]\n')
        run = ("run", folder, "--month", MONTH, "--output", place / "out")
        nightly = ("nightly", "--config", config, "--month", MONTH)
        commands: list[tuple[str, tuple[object, ...]]] = [
            ("run", run),
            ("run again", run),
            ("nightly, all read before", nightly),
            ("nightly, nothing changed", nightly),
        ]
        for name, command in commands:
            cost = measure(*command)
            each = 1000 * cost.cpu / count
            yield f"| {count:,} | {name} | {cost.seconds:.1f} | {cost.cpu:.1f} | {each:.2f} | {cost.mib:,.0f} |"
        for used in (folder, place / "out"):
            shutil.rmtree(used)


def load_rows(place: Path, steps: Sequence[int], name: str, pieces: Callable[[int], Iterator[str]]) -> Iterator[str]:
    """One payer's file read, and its month built, with a provider lookup and the report."""
    yield f"| rate rows, {name} | s | CPU s | CPU s a million rows | peak MiB of a process | MB on disk |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: |"
    for rows in steps:
        path = place / "large.json"
        with path.open("w") as file:
            file.writelines(pieces(rows))
        output = place / "out"
        cost = measure("run", path, "--month", MONTH, "--output", output, "--nppes", place / "nppes.parquet")
        published = int(str(cost.answer["rows"]))
        disk = sum(file.stat().st_size for file in output.rglob("*") if file.is_file()) / 1e6
        each = cost.cpu * 1e6 / published
        yield f"| {published:,} | {cost.seconds:.1f} | {cost.cpu:.1f} | {each:.2f} | {cost.mib:,.0f} | {disk:,.0f} |"
        path.unlink()
        shutil.rmtree(output)


def main(options: argparse.Namespace) -> None:
    """Measure, print, write."""
    lines = ["# Load", "", f"`make load` on {datetime.now(UTC):%Y-%m-%d}: {machine()}.", ""]
    with tempfile.TemporaryDirectory(dir=options.place) as name:
        place = Path(name)
        write_lookup(place / "nppes.parquet")
        parts: dict[str, Callable[[], Iterator[str]]] = {
            "files": lambda: load_files(place, options.files),
            "contents": lambda: load_contents(place, options.references),
            "repeated": lambda: load_rows(place, options.rows, "50 prices for each provider", repeated_prices),
            "spread": lambda: load_rows(place, options.rows, "10 prices for each provider", spread_prices),
        }
        for part in options.parts or parts:
            for line in parts[part]():
                print(line, flush=True)
                lines.append(line)
            lines.append("")
    options.output.write_text("\n".join(lines))


def _steps(text: str) -> tuple[int, ...]:
    return tuple(int(step.replace("_", "")) for step in text.split(","))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure many files and many rows, in steps; write the table.")
    parser.add_argument("parts", nargs="*", metavar="PART", help="files, contents, repeated, spread (default: all)")
    parser.add_argument("--files", type=_steps, default=FILES, metavar="N,N", help="small files in a run")
    parser.add_argument("--references", type=_steps, default=REFERENCES, metavar="N,N", help="in a table of contents")
    parser.add_argument("--rows", type=_steps, default=ROWS, metavar="N,N", help="rate rows of one payer")
    parser.add_argument("--place", type=Path, metavar="DIR", help="where the files lie meanwhile: 20 GB at most")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FILE")
    main(parser.parse_args())

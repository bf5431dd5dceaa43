"""A file of 100 GB of JSON, made of repeated gzip members, read end to end: rows, time against inflating, memory.

python -m tests.bench.hundred_gigabytes [FOLDER] [GIGABYTES]
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from isal import igzip

from tests.bench.reading import result, start
from tests.bench.synthetic import HEADER, item, references

MEMBER_ITEMS = 6_000  # of 60 rates: 190 MB, of which one item in five thousand is wanted
CITED = 5_000
LEVEL = 2


def write(path: Path, gigabytes: float) -> dict[str, int]:
    """The file: header, so many copies of one member of items, provider references. What is to be found in it."""
    random = Random(1)
    items = [item(random, number, 60, CITED) for number in range(MEMBER_ITEMS)]
    member = ("," + ",".join(items)).encode()
    wanted = [json.loads(text) for text in items if '"billing_code":"9702' in text]
    copies = max(1, round(gigabytes * 1e9 / len(member)))
    packed = igzip.compress(member, LEVEL)
    with path.open("wb") as file:
        file.write(igzip.compress(f'{{{HEADER},"in_network":[{items[0]}'.encode(), LEVEL))
        for _ in range(copies):
            file.write(packed)
        tail = f'],"provider_references":[{",".join(references(random, CITED))}]}}'
        file.write(igzip.compress(tail.encode(), LEVEL))
    prices = sum(len(rate["negotiated_prices"]) for each in wanted for rate in each["negotiated_rates"])
    return {"items": 1 + copies * MEMBER_ITEMS, "items_matched": copies * len(wanted), "prices": copies * prices}


def main(folder: str = "", gigabytes: str = "100") -> None:
    """Write, inflate, inspect; print one JSON line."""
    with tempfile.TemporaryDirectory(dir=folder or None) as name:
        path = Path(name) / "large.json.gz"
        expected = write(path, float(gigabytes))
        inflating = result(start("inflate", path))
        reading = result(start("scan", path))
        began = time.perf_counter()
        command = [sys.executable, "-m", "flows.cli.app", "inspect", str(path), "--json"]
        inspected = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        found = {name: inspected[name] for name in expected if name != "prices"}
        found["prices"] = sum(code["prices"] for code in inspected["codes"].values())
        assert found == expected, (found, expected)
        print(
            json.dumps(
                {
                    "gigabytes": round(inspected["bytes_json"] / 1e9, 1),
                    "packed_gigabytes": round(inspected["bytes_read"] / 1e9, 2),
                    **expected,
                    "inflate_seconds": round(inflating["seconds"], 1),
                    "scan_seconds": round(reading["seconds"], 1),
                    "times_inflate": round(reading["seconds"] / inflating["seconds"], 2),
                    "inspect_seconds": round(time.perf_counter() - began, 1),
                    "peak_mib": round(reading["mib"]),
                }
            )
        )


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What all runs so far came to, by target, in one small file."""

import json
import os
import sys
from collections import Counter
from pathlib import Path

FOLDER = Path(os.environ.get("TIC_RATES_FUZZ", Path(__file__).resolve().parents[2] / ".fuzz"))
FILE = FOLDER / "statistics.json"
FINDS = FOLDER / "finds"
COUNTED = (
    "documents",
    "executions",
    "kernel",
    "elements",
    "decoded",
    "rows",
    "sound",
    "explained",
    "plain",
    "differences",
    "crashes",
    "hangs",
    "seconds",
)


def load() -> dict[str, Counter[str]]:
    """Counts by target; none at first."""
    if not FILE.exists():
        return {}
    return {target: Counter(counts) for target, counts in json.loads(FILE.read_text()).items()}


def add(target: str, counts: Counter[str]) -> Counter[str]:
    """Put the counts on top of the target's; its total."""
    total = load()
    total[target] = total.get(target, Counter()) + counts
    FOLDER.mkdir(exist_ok=True, parents=True)
    beside = FILE.with_suffix(".new")
    beside.write_text(json.dumps(total, indent=1, sort_keys=True) + "\n")
    beside.replace(FILE)
    return total[target]


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def in_words(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[name]:,.0f} {name}" for name in COUNTED if counts[name] or name == "differences")

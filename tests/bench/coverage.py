"""Coverage rules as large as CMS's: articles of 430,000 diagnoses (some 60 MB of zip), 4 files of 600,000 PTP edits.

    python -m tests.bench.coverage

Each building runs in a process of its own. Promised: under a minute and 500 MiB each.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.coverage_files import ARTICLES, CODES, LCDS, NCDS, Rows, ptp_text, write_export
from tests.peak_memory import peak_bytes

ARTICLE_COUNT = 2_400
DIAGNOSES = 430_000
EDITS = 600_000
FILES = 4
_WORDS = 6_000  # of an article


def articles(chance: random.Random) -> dict[str, Rows]:
    """The tables of an export of articles, of which 60 list the wanted codes."""
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(20_000)]
    ids = [str(50_000 + number) for number in range(ARTICLE_COUNT)]

    def text() -> str:
        return f"<p>{' '.join(chance.choices(words, k=_WORDS))}</p>"

    codes = [
        (each, "3", str(chance.randrange(10_000, 97_000)), "2026", "1", "-", "-") for each in ids for _ in range(25)
    ]
    wanted = [(each, "3", code, "2026", "1", "-", "-") for each in ids[:60] for code in CODES]
    return ARTICLES | {
        "article": [(each, "3", f"Article {each}", "A", "", "2025-01-01", "", text()) for each in ids],
        "article_x_hcpc_code": [*codes, *wanted],
        "article_x_hcpc_code_group": [(each, "3", "1", "<p>One group</p>") for each in ids],
        "article_x_icd10_covered": [
            (chance.choice(ids), "3", f"M{chance.randrange(100)}.{chance.randrange(1000)}", "2026", "1", "text " * 15)
            for _ in range(DIAGNOSES)
        ],
        "article_x_contractor": [(each, "3", "10", "12", "1") for each in ids],
        "article_related_documents": [(each, "3", "33631") for each in ids],
    }


def edits(chance: random.Random) -> Iterator[tuple[str, ...]]:
    """The rows of one file."""
    for number in range(EDITS):
        code = "97026" if number % 1_500 == 0 else str(chance.randrange(10_000, 97_000))
        yield (
            code,
            f"{10_000 + number % 90_000}",
            "",
            "20200101",
            "*",
            "1",
            "Misuse of Column Two code with Column One code",
        )


def main(kind: str, folder: Path) -> None:
    """Build the editions of one kind and print figures and this process's peak memory."""
    from flows.tables.coverage_editions import build_coverage, build_ncci

    build = build_ncci if kind == "ncci" else build_coverage
    found = build(sorted((folder / kind).iterdir()), folder / "built", CODES)
    print(json.dumps({"seconds": found["seconds"], "mib": peak_bytes() / 2**20, "cpu": time.process_time()}))


def build_editions() -> str:
    """A sentence on each of the two commands."""
    chance, lines = random.Random(1), []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        exports = {"current_article": articles(chance), "current_lcd": LCDS, "ncd": NCDS}
        for name, tables in exports.items():
            write_export(folder / "coverage" / f"{name}.zip", tables)
        (folder / "ncci").mkdir()
        for number in range(1, FILES + 1):
            (folder / "ncci" / f"ccipra-v323r0-f{number}.txt").write_bytes(ptp_text(list(edits(chance))))
        for kind in ("coverage", "ncci"):
            megabytes = sum(path.stat().st_size for path in (folder / kind).iterdir()) / 1e6
            command = [sys.executable, "-m", "tests.bench.coverage", kind, place]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            lines.append(
                f"reference {kind}: {megabytes:,.0f} MB in {found['seconds']:.1f} s ({found['cpu']:.1f} of CPU), "
                f"{found['mib']:,.0f} MiB at most."
            )
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:]:
        main(sys.argv[1], Path(sys.argv[2]))
    else:
        print(build_editions())

"""Coverage rules as large as CMS's: articles of 430,000 diagnoses (some 60 MB of zip), 4 files of 600,000 PTP edits,
as text and as workbooks, whose texts are shared, as Excel writes them, or inline, as other programs do.

    python -m tests.bench.coverage

Each building runs in a process of its own. Promised: under a minute and 500 MiB each; and the report of two codes, 56
geographies and ten editions under a minute, its pages under 300 KB.
"""

import csv
import io
import json
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from xml.sax.saxutils import escape

from tests.coverage_files import ARTICLES, CODES, LCDS, NCDS, PTP_HEADING, Rows, ptp_text, write_export
from tests.nppes_files import workbook
from tests.peak_memory import peak_bytes
from tests.shared_files import REPOSITORY

ARTICLE_COUNT = 2_400
DIAGNOSES = 430_000
EDITS = 600_000
FILES = 4
CODE_CHARS = 5
NCCI = ("ncci as text", "ncci as workbooks", "ncci as workbooks of inline texts")
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


def edits(chance: random.Random, count: int = EDITS) -> Iterator[tuple[str, ...]]:
    """The rows of one file."""
    for number in range(count):
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


def write_workbook(path: Path, heading: Rows, rows: Iterable[Sequence[str]], *, shared: bool) -> None:
    """A workbook, row by row; numbers are numbers where the texts are shared."""
    texts: dict[str, int] = {}

    def cell(place: str, text: str) -> str:
        if not shared:
            return f'<c r="{place}" t="inlineStr"><is><t>{escape(text)}</t></is></c>'
        if text.isdecimal() and len(text) != CODE_CHARS:
            return f'<c r="{place}" s="3"><v>{text}</v></c>'
        return f'<c r="{place}" s="3" t="s"><v>{texts.setdefault(text, len(texts))}</v></c>' if text else ""

    empty, sheet = zipfile.ZipFile(io.BytesIO(workbook("@"))), "xl/worksheets/sheet1.xml"
    before, _, after = empty.read(sheet).partition(b"@")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        with book.open(sheet, "w") as file:
            file.write(before)
            for number, row in enumerate(chain(heading, rows), 1):
                cells = "".join(cell(f"{column}{number}", text) for column, text in zip("ABCDEFG", row, strict=False))
                file.write(f'<row r="{number}">{cells}</row>'.encode())
            file.write(after)
        for name in empty.namelist():
            if name != sheet:
                part = empty.read(name)
                items = "".join(f"<si><t>{escape(text)}</t></si>" for text in texts).encode()
                book.writestr(name, part.replace(b"</sst>", items + b"</sst>"))


def main(kind: str, folder: Path) -> None:
    """Build the editions of one kind and print figures and this process's peak memory."""
    from flows.tables.coverage_editions import build_coverage, build_ncci

    build = build_coverage if kind == "coverage" else build_ncci
    found = build(sorted((folder / kind).iterdir()), folder / "built" / kind, CODES)
    print(json.dumps({"seconds": found["seconds"], "mib": peak_bytes() / 2**20, "cpu": time.process_time()}))


def build_editions() -> str:
    """A sentence on each of the commands."""
    chance, lines = random.Random(1), []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        exports = {"current_article": articles(chance), "current_lcd": LCDS, "ncd": NCDS}
        for name, tables in exports.items():
            write_export(folder / "coverage" / f"{name}.zip", tables)
        for kind in NCCI:
            write_edits(folder / kind, kind, chance)
        for kind in ("coverage", *NCCI):
            megabytes = sum(path.stat().st_size for path in (folder / kind).iterdir()) / 1e6
            found = measure(kind, folder)
            lines.append(
                f"reference {kind}: {megabytes:,.0f} MB in {found['seconds']:.1f} s ({found['cpu']:.1f} of CPU), "
                f"{found['mib']:,.0f} MiB at most."
            )
    return "\n".join(lines)


def time_report(folder: Path) -> str:
    """A sentence on the report of two codes, 56 geographies and ten editions, in this process."""
    from flows.report.report import build_report
    from flows.storage.layout import Layout
    from tests.report_market import large_market, twelve_payers, write_output
    from tests.report_rules import large_editions, publish_editions

    write_output(folder, large_market(twelve_payers(), months=1))
    publish_editions(folder, large_editions(10))
    found = build_report(Layout(folder))
    largest = found["largest_page_bytes"] / 1e3
    return f"report: {found['pages']} pages in {found['seconds']:.1f} s, the largest {largest:,.0f} KB."


def write_edits(folder: Path, kind: str, chance: random.Random, edits_each: int = EDITS) -> None:
    """The files of a quarter: ``kind`` is one of ``NCCI``."""
    folder.mkdir()
    heading = list(csv.reader(io.StringIO(PTP_HEADING, newline=""), delimiter="\t"))
    for number in range(1, FILES + 1):
        path, rows = folder / f"ccipra-v323r0-f{number}", edits(chance, edits_each)
        if kind == NCCI[0]:
            path.with_suffix(".txt").write_bytes(ptp_text(list(rows)))
        else:
            write_workbook(path.with_suffix(".xlsx"), heading, rows, shared=kind == NCCI[1])


def measure(kind: str, folder: Path) -> dict[str, float]:
    """Seconds, CPU seconds and peak MiB of building the editions of one kind in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.coverage", kind, str(folder)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY)
    found: dict[str, float] = json.loads(ended.stdout)
    return found


if __name__ == "__main__":
    if sys.argv[1:]:
        main(sys.argv[1], Path(sys.argv[2]))
    else:
        print(build_editions())
        with tempfile.TemporaryDirectory() as place:
            print(time_report(Path(place)))

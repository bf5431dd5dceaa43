"""Coverage-guided fuzzing by atheris (libFuzzer): one target a process, which ends at its first find.

``python -m tests.fuzz.cover TARGET FOLDER [libFuzzer's options]`` is that process; ``cover`` starts it, keeps its find
and starts it again. The compiled kernels are not instrumented: what guides is the Python around them.
"""

import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.statistics import FINDS, FOLDER, add, in_words, say

INSTRUMENTED = (
    "transforms.read.read_ijson",
    "transforms.read.walk",
    "transforms.read.clean",
    "transforms.read.collect",
    "transforms.read.spool",
    "transforms.read.surrogates",
    "transforms.read.containers",
    "transforms.read.reference_keys",
    "transforms.contents.complete_children",
    "transforms.contents.index_grammar",
    "transforms.contents.index_values",
    "transforms.contents.names",
    "transforms.contents.read_index",
    "transforms.cms.nppes",
    "transforms.cms.fee_schedule",
    "transforms.scan.reference_index",
    "transforms.scan.byte_spool",
    "transforms.scan.read_scan",
    "transforms.scan.scan_section",
    "transforms.scan.scan_pieces",
    "transforms.scan.scan_columns",
    "transforms.scan.scan_texts",
)
RUNS = re.compile(r"stat::number_of_executed_units:\s*([0-9]+)")
OPTIONS = ("-timeout=5", "-rss_limit_mb=4096", "-print_final_stats=1", "-max_len=16384", "-verbosity=0")


def cover(targets: list[str], seconds: float) -> Counter[str]:
    """Each target for its share of the time; what was counted."""
    from tests.fuzz.targets import SEEDS

    whole: Counter[str] = Counter()
    for target in targets:
        folder = FOLDER / f"corpus-{target}"
        folder.mkdir(parents=True, exist_ok=True)
        FINDS.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(SEEDS[target]()):
            (folder / f"seed-{number}").write_bytes(seed)
        whole += _cover_one(target, folder, seconds / len(targets))
    return whole


def _cover_one(target: str, folder: Path, seconds: float) -> Counter[str]:
    until = time.monotonic() + seconds
    counts: Counter[str] = Counter()
    while (left := int(until - time.monotonic())) > 0 and counts["differences"] < 20:
        began = time.monotonic()
        options = (*OPTIONS, f"-max_total_time={left}", f"-artifact_prefix={FINDS / target}-")
        ended = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.cover", target, str(folder), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        said = ended.stdout.decode("utf-8", "replace")
        new = Counter(executions=sum(map(int, RUNS.findall(said))))
        new["documents"] = new["executions"]
        new["seconds"] = round(time.monotonic() - began)
        if ended.returncode:
            new["differences"] = 1
            say(f"FOUND by {target} (exit code {ended.returncode}):\n{said[-2500:]}")
        counts += new
        add(f"coverage: {target}", new)
    say(f"{target}: {in_words(counts)}")
    return counts


def main() -> None:
    """The process that atheris takes over."""
    import atheris

    with atheris.instrument_imports(include=[*INSTRUMENTED, "flows.settings.config"]):
        from tests.fuzz.targets import TARGETS
    sys.setrecursionlimit(4_000)
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

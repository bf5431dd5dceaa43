"""``python -m tests.fuzz run|rows|cover|replay|minimise``: see tests/fuzz/README.md."""

import argparse
import os
import sys
from pathlib import Path
from random import Random

from tests.fuzz.cover import cover
from tests.fuzz.cuts import choose_cuts
from tests.fuzz.differential import compare
from tests.fuzz.limits import small_limits
from tests.fuzz.minimise import minimise
from tests.fuzz.reading import without_bom
from tests.fuzz.row_worker import work_rows
from tests.fuzz.runner import Job, run
from tests.fuzz.statistics import say
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import RECURSION, shows

FOR_EVER = 10**9
ROWS = Job("rows", "elements", work_rows)


def main() -> int:
    """0: nothing found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="differential fuzzing of the readers")
    running.add_argument("--seconds", type=float, default=float(os.environ.get("FUZZ_SECONDS", str(FOR_EVER))))
    rowing = commands.add_parser("rows", help="rows of assembled documents against the plain reading's")
    rowing.add_argument("--items", type=int, default=1_000_000, help="items and provider references to compare")
    for command in (running, rowing):
        command.add_argument("--workers", type=int, default=os.cpu_count() or 1)
        command.add_argument("--seed", type=int)
    covering = commands.add_parser("cover", help="coverage-guided fuzzing by atheris, a share of the time each")
    covering.add_argument("targets", nargs="*", help=f"all, or some of {', '.join(TARGETS)}")
    covering.add_argument("--seconds", type=float, default=float(os.environ.get("FUZZ_SECONDS", "900")))
    for name, about in (("replay", "compare these documents again"), ("minimise", "make a find small")):
        command = commands.add_parser(name, help=about)
        command.add_argument("files", type=Path, nargs="+")
    chosen = parser.parse_args()
    sys.setrecursionlimit(RECURSION)
    if chosen.command in ("run", "rows"):
        if chosen.command == "run":
            counts = run(chosen.seconds, chosen.workers, chosen.seed)
        else:
            counts = run(FOR_EVER, chosen.workers, chosen.seed, ROWS, chosen.items)
        return int(any(counts[name] for name in ("differences", "crashes", "hangs")))
    if chosen.command == "cover":
        return int(bool(cover(chosen.targets or list(TARGETS), chosen.seconds)["differences"]))
    act = replay if chosen.command == "replay" else minimise_file
    return int(sum(act(path) for path in chosen.files) > 0)


def replay(path: Path) -> bool:
    """Say what a document shows, under the limits as they are and the small ones; whether it shows anything."""
    document = path.read_bytes()
    size = len(without_bom(document))
    cuts = [(), *((place,) for place in range(1, size) if size < 20_000), *choose_cuts(Random(0), size, 200)]
    found = False
    for small in (False, True):
        with small_limits(small):
            verdict = compare(document, cuts, plain=True, long=small)
        say(
            f"{path.name}, {'small' if small else 'usual'} limits: {verdict.executions} executions, "
            f"{'sound' if verdict.sound else 'broken'}, {verdict.explained} explained, "
            f"{verdict.difference or 'no difference'}"
        )
        found |= verdict.difference is not None
    return found


def minimise_file(path: Path) -> bool:
    """Write the smallest document that shows the same beside it."""
    document = path.read_bytes()
    for small in (False, True):
        with small_limits(small):
            for kind in ("scan", "plain", "ijson", "error"):
                if shows(kind, [()], small)(document):
                    least = minimise(document, shows(kind, [()], small), 120)
                    path.with_suffix(".least.json").write_bytes(least)
                    say(f"{kind}: {least!r}")
                    return True
    return False


if __name__ == "__main__":
    sys.exit(main())

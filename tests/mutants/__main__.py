"""``python -m tests.mutants``: plants every fault, or a sample, and says which no test catches.

Exit 0: all are caught, or explained in SURVIVORS.toml, and every entry there still holds; else 1.
"""

import argparse
import sys
import time
from collections import Counter

from tests.mutants.plant import Mutant
from tests.mutants.runner import Trial, check_unmutated, mutants_of, sample, try_all, warm_up
from tests.mutants.survivors import as_entries, is_known, known_survivors, no_longer_there
from tests.mutants.targets import TARGETS

EVERY = 50


def main() -> int:
    """Try the faults that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", nargs="*", help="modules, by a part of their path")
    parser.add_argument("--sample", type=int, help="so many faults, chosen by --seed; else all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    targets = [t for t in TARGETS if not options.only or any(part in t.path for part in options.only)]
    mutants = mutants_of(targets)
    chosen = [mutant for found in mutants.values() for mutant in found]
    if options.sample:
        chosen = sample(chosen, options.sample, options.seed)
    known = {path: names for path, names in known_survivors().items() if path in mutants}
    warm_up()
    check_unmutated(target for target in targets if any(mutant.path == target.path for mutant in chosen))
    began = time.monotonic()
    trials = []
    for trial in try_all(chosen, options.jobs):
        trials.append(trial)
        _tell(trial, len(trials), len(chosen))
    survivors = [trial.mutant for trial in trials if trial.survived]
    new = [mutant for mutant in survivors if not is_known(mutant, known)]
    caught = [t.mutant for t in trials if not t.survived and is_known(t.mutant, known)]
    stale = [*no_longer_there(known, mutants), *(f"{mutant.path} {mutant.name}: caught" for mutant in caught)]
    _summarise(trials, new, stale, time.monotonic() - began)
    return 1 if new or stale else 0


def _tell(trial: Trial, number: int, total: int) -> None:
    if trial.survived:
        print(f"survives: {trial.mutant.path} {trial.mutant.name}", file=sys.stderr, flush=True)
    if number % EVERY == 0:
        print(f"{number} of {total}", file=sys.stderr, flush=True)


def _summarise(trials: list[Trial], new: list[Mutant], stale: list[str], seconds: float) -> None:
    of_module, survived = Counter(t.mutant.path for t in trials), Counter(t.mutant.path for t in trials if t.survived)
    for path, number in of_module.items():
        print(f"{path}: {number - survived[path]} of {number} faults caught")
    print(f"{len(trials)} faults in {seconds:.0f} s, {sum(survived.values())} survive, {len(new)} of them unexplained")
    if new:
        print(f"\nCatch these with a test, or explain them in tests/mutants/SURVIVORS.toml:{as_entries(new)}")
    for entry in stale:
        print(f"no survivor any more, take it out of SURVIVORS.toml: {entry}")


if __name__ == "__main__":
    sys.exit(main())

"""A fault tried in a child process: the module as mutated is imported there, and its tests run until one fails.

The parent imports what is slow and not mutated, and never computes with polars: a forked child lacks its threads.
"""

import importlib.util
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from tests.mutants.plant import Mutant, plant
from tests.mutants.targets import TARGETS, Target

ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
CPU_SECONDS = 90  # a fault that needs so much loops for ever
OPTIONS = (
    "-x",
    "-q",
    "--noconftest",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "--no-header",
    "--tb=no",
    "--assert=plain",
)
_PASSED, _NO_TESTS, _WRONG_USE = 0, 5, 4


@dataclass(frozen=True)
class Trial:
    """A fault, whether the tests passed all the same, and how long they took."""

    mutant: Mutant
    survived: bool
    seconds: float


def mutants_of(targets: Iterable[Target]) -> dict[str, list[Mutant]]:
    """Every fault by the module's path."""
    return {target.path: plant(target.path, Path(target.path).read_bytes()) for target in targets}


def sample(mutants: list[Mutant], number: int, seed: int) -> list[Mutant]:
    """So many of them, chosen by the seed, in their order."""
    chosen = set(random.Random(seed).sample(range(len(mutants)), min(number, len(mutants))))
    return [mutant for place, mutant in enumerate(mutants) if place in chosen]


def warm_up() -> None:
    """Import what every child needs and no fault is planted in; the plain reading of the market, once."""
    os.environ.update(ONE_THREAD)
    import hypothesis.strategies
    import ijson
    import numpy
    import polars
    import pyarrow
    import pytest

    from tests.market_files import plain_market

    assert hypothesis and ijson and numpy and polars and pyarrow and pytest
    for with_nppes in (True, False):
        plain_market(with_nppes)
    mutated = {target.module for target in TARGETS} & sys.modules.keys()
    assert not mutated, f"imported before a fault could be planted: {', '.join(sorted(mutated))}"


def check_unmutated(targets: Iterable[Target]) -> None:
    """The tests pass as things stand, or no fault could be told by them."""
    for target in targets:
        status = _wait(_fork(target, None))
        if status != _PASSED:
            raise SystemExit(
                f"the tests of {target.path} fail without any fault (exit {status}): {' '.join(target.tests)}"
            )


def try_all(mutants: Iterable[Mutant], jobs: int) -> Iterator[Trial]:
    """Every fault tried, ``jobs`` at a time, in the order in which they end."""
    targets = {target.path: target for target in TARGETS}
    running: dict[int, tuple[Mutant, float]] = {}
    for mutant in mutants:
        if len(running) >= jobs:
            yield _next(running)
        source = mutant.apply(Path(mutant.path).read_bytes())
        running[_fork(targets[mutant.path], source)] = (mutant, time.monotonic())
    while running:
        yield _next(running)


def _next(running: dict[int, tuple[Mutant, float]]) -> Trial:
    pid, status = os.wait()
    mutant, began = running.pop(pid)
    code = os.waitstatus_to_exitcode(status)
    if code in (_NO_TESTS, _WRONG_USE):
        raise SystemExit(f"{mutant.path}: pytest ran no test (exit {code})")
    return Trial(mutant, code == _PASSED, time.monotonic() - began)


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _fork(target: Target, source: bytes | None) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        code = _run_tests(target, source)
    except BaseException:  # noqa: BLE001 - whatever a fault leads to, the child ends here
        code = 1
    finally:
        os._exit(code)


def _run_tests(target: Target, source: bytes | None) -> int:
    import pytest

    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    signal.alarm(4 * CPU_SECONDS)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    if source is not None:
        sys.meta_path.insert(0, _Mutated(target, source))
    return int(pytest.main([*OPTIONS, *target.tests]))


class _Mutated(MetaPathFinder, Loader):
    """Finds the mutated module, and leaves the others to the usual finders."""

    def __init__(self, target: Target, source: bytes) -> None:
        self.target = target
        self.source = source

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name != self.target.module:
            return None
        return importlib.util.spec_from_loader(name, self, origin=self.target.path)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.source, self.target.path, "exec"), module.__dict__)

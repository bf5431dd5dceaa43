"""Which modules are mutated, and which tests are to catch it: the quickest first."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A module by its path in the repository, and test files or ids of tests in them."""

    path: str
    tests: tuple[str, ...]

    @property
    def module(self) -> str:
        """Its dotted name."""
        return self.path.removesuffix(".py").replace("/", ".")


_BENCHMARK = "tests/unit/test_benchmark.py"
_SUMMARIZE = "tests/unit/test_summarize.py"

TARGETS = (
    Target("transforms/clean.py", ("tests/unit/test_clean.py",)),
    Target("transforms/resolve.py", (_BENCHMARK,)),
    Target("transforms/payers.py", ("tests/unit/test_payers.py",)),
    Target("transforms/taxonomy.py", ("tests/unit/test_taxonomy.py",)),
    Target("transforms/exclude.py", ("tests/unit/test_exclude.py",)),
    Target("transforms/rates.py", (_BENCHMARK,)),
    Target("transforms/observe.py", (_BENCHMARK, _SUMMARIZE)),
    Target("transforms/distribution.py", (_BENCHMARK, _SUMMARIZE)),
    Target("transforms/summarize.py", (_BENCHMARK, _SUMMARIZE)),
    Target("transforms/medicare.py", ("tests/unit/test_medicare.py",)),
)

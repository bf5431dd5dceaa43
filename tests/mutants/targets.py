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


_BENCHMARK = "tests/unit/benchmark/test_benchmark.py"
_SUMMARIZE = "tests/unit/benchmark/test_summarize.py"

TARGETS = (
    Target("transforms/read/clean.py", ("tests/unit/read/test_clean.py",)),
    Target("transforms/benchmark/resolve.py", (_BENCHMARK,)),
    Target("transforms/benchmark/payers.py", ("tests/unit/benchmark/test_payers.py",)),
    Target("transforms/benchmark/taxonomy.py", ("tests/unit/benchmark/test_taxonomy.py",)),
    Target("transforms/benchmark/exclude.py", ("tests/unit/benchmark/test_exclude.py",)),
    Target("transforms/benchmark/rates.py", (_BENCHMARK,)),
    Target("transforms/benchmark/representative_rates.py", (_BENCHMARK, _SUMMARIZE)),
    Target("transforms/benchmark/evidence.py", ("tests/unit/benchmark/test_evidence.py",)),
    Target("transforms/benchmark/percentiles.py", (_BENCHMARK, _SUMMARIZE)),
    Target("transforms/benchmark/summarize.py", (_BENCHMARK, _SUMMARIZE)),
    Target("transforms/benchmark/networks.py", (_BENCHMARK,)),
    Target("transforms/cms/localities.py", ("tests/unit/cms/test_localities.py",)),
    Target("transforms/cms/medicare.py", ("tests/unit/cms/test_medicare.py",)),
)

"""The demo, run once for all tests that need published tables."""

from datetime import date
from pathlib import Path

import pytest

from flows.cli.demo import run_demo
from flows.orchestration.run import run

DEMO_MONTH = date(2025, 6, 1)


@pytest.fixture(scope="session")
def demo_output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of `tic-rates demo`: treat it as read-only."""
    output = tmp_path_factory.mktemp("demo") / "output"
    run_demo(output, DEMO_MONTH, run, quiet=True)
    return output

"""How properties are tried, and the demo, run once for all tests that need published tables.

A property that fails says so at once, with the example as it was met: Hypothesis may shrink one for five minutes, and
most examples here are made by a seeded generator, of which no smaller seed makes a smaller document. Where a smaller
example helps: ``pytest --hypothesis-profile=shrinking TEST``.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from flows.cli.demo import run_demo
from flows.orchestration.run import run
from flows.storage.layout import Layout

settings.register_profile("shrinking", settings())
settings.register_profile("prompt", phases=(Phase.explicit, Phase.reuse, Phase.generate))
settings.load_profile("prompt")

DEMO_MONTH = date(2026, 6, 1)


@pytest.fixture(scope="session")
def demo_output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of `tic-rates demo`: treat it as read-only."""
    output = tmp_path_factory.mktemp("demo") / "output"
    run_demo(Layout.at(output), DEMO_MONTH, run)
    return output


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the clock, in UTC."""

    def set_to(text: str) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> "Clock":
                assert tz is UTC
                return cls.fromisoformat(text).replace(tzinfo=UTC)

        monkeypatch.setattr("flows.storage.layout.datetime", Clock)

    return set_to

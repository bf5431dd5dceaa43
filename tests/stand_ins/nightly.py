"""In the place of ``flows.nightly``, for tests of what is around it: files beside the configuration say what happens.

``mrf/`` is what a month is made of; while ``hang`` is there the month does not end; ``fail`` holds an error's text.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from flows.run import RunRequest, Steps, run
from flows.sources import expand
from transforms.errors import NothingUsableError


@dataclass
class MonthReport:
    month: date
    status: str
    sources: Counter[str] = field(default_factory=Counter)
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    withheld: list[tuple[str, str]] = field(default_factory=list)
    rows: int = 0
    rows_eligible: int = 0
    reason: str | None = None
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        if self.status == "failed":
            return 4
        return 3 if self.quarantined or self.withheld else 0


@dataclass
class BackfillReport:
    months: list[MonthReport]

    @property
    def exit_code(self) -> int:
        return max((month.exit_code for month in self.months), default=0)


def run_month(
    config: Any, month: date, *, payers: tuple[str, ...] = (), force: bool = False, steps: Steps | None = None
) -> MonthReport:
    folder = Path(config.path).parent
    if (folder / "fail").exists():
        raise ValueError((folder / "fail").read_text())
    while (folder / "hang").exists():
        (folder / "hanging").touch()
        time.sleep(0.05)
    request = RunRequest(expand([str(folder / "mrf")]), month, ("97026", "97028"), config.output, workers=2)
    try:
        result = run(request, steps)
    except NothingUsableError as error:
        return MonthReport(month, "failed", reason=str(error))
    report = MonthReport(month, "published", result.statuses, result.quarantined, rows=result.rows["rates"])
    report.withheld = [("Cigna", "half the rows of last month")] if (folder / "withhold").exists() else []
    return report


def run_backfill(
    config: Any,
    first: date,
    last: date,
    *,
    payers: tuple[str, ...] = (),
    force: bool = False,
    newest_first: bool = False,
    steps: Steps | None = None,
) -> BackfillReport:
    months = [date(first.year, number, 1) for number in range(first.month, last.month + 1)]
    return BackfillReport([run_month(config, month, payers=payers, force=force, steps=steps) for month in months])

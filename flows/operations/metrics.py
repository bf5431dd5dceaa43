"""The state of an output as a text file of metrics, for the textfile collector of Prometheus' node_exporter.

The text is OpenMetrics, limited to what the collector's older format has, too: gauges alone, no timestamps of samples;
to it `# UNIT` and `# EOF` are comments. Each series has the label `output`, so that the files of several outputs may
lie in one folder.
"""

import logging
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flows.operations.state import MonthState, OutputState, read_state
from flows.settings.values import Nightly
from flows.storage.atomic_files import write_atomically
from flows.storage.layout import Layout, today
from transforms.errors import TicRatesError

LOG = logging.getLogger(__name__)
Sample = tuple[Mapping[str, str], float]
PREFIX = "tic_rates"
SUFFIX = ".prom"  # the collector reads no other files


@dataclass(frozen=True)
class Metric:
    """One family of gauges. unit: the end of its name, where it has one."""

    name: str
    help: str
    labels: tuple[str, ...] = ("month",)
    unit: str | None = None

    @property
    def full_name(self) -> str:
        """As it is written."""
        return f"{PREFIX}_{self.name}"


BUILD = Metric("build_info", "The version that wrote the file; always 1", ("version", "python"))
STATUS = Metric("status_exit_code", "What tic-rates status ends with: 0 well, 3 look at it, 4 nothing is published", ())
CHECKED = Metric("checked_timestamp_seconds", "When the file was written", (), unit="seconds")
PUBLISHED = Metric("published_timestamp_seconds", "When the month's tables were last replaced", unit="seconds")
FINISHED = Metric("run_finished_timestamp_seconds", "When the last run of the month ended", unit="seconds")
SUCCEEDED = Metric("run_success_timestamp_seconds", "When the last run that did not fail ended", unit="seconds")
DURATION = Metric("run_duration_seconds", "How long the last run took", unit="seconds")
EXIT_CODE = Metric("run_exit_code", "What the last run came to: 0 well, 3 something was left out, 1, 2 or 4 failed")
FILES = Metric("files", "Files of the month by what became of them", ("month", "status"))
ROWS = Metric("rows", "Published rows of each table", ("month", "table"))
ELIGIBLE = Metric("rows_eligible", "Published rate rows that count")
QUARANTINED = Metric("files_quarantined", "Files that were not used, each with a reason in quality/files")
WITHHELD = Metric("payers_withheld", "Payers that failed a gate; their last good rows stay")
AWAITED = Metric("payers_awaited", "Payers that are not there yet")
LATE = Metric("payers_late", "Payers that are not there, after the day by which they are expected")
STALE = Metric("payers_stale", "Payers whose newest file is older than stale_after_days")
ATTENTION = Metric("attention", "1 for each payer withheld, late or stale", ("month", "payer", "what"))
METRICS = (
    *(BUILD, STATUS, CHECKED, PUBLISHED, FINISHED, SUCCEEDED, DURATION, EXIT_CODE, FILES, ROWS, ELIGIBLE),
    *(QUARANTINED, WITHHELD, AWAITED, LATE, STALE, ATTENTION),
)


def render_metrics(state: OutputState) -> str:
    """The text of the file."""
    lines = []
    for metric in METRICS:
        lines += [f"# HELP {metric.full_name} {metric.help}.", f"# TYPE {metric.full_name} gauge"]
        lines += [] if metric.unit is None else [f"# UNIT {metric.full_name} {metric.unit}"]
        lines += [_line(metric, {"output": state.output, **labels}, value) for labels, value in _samples(metric, state)]
    return "\n".join([*lines, "# EOF", ""])


def _line(metric: Metric, labels: Mapping[str, str], value: float) -> str:
    named = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
    return f"{metric.full_name}{{{named}}} {value:.3f}".removesuffix(".000")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _samples(metric: Metric, state: OutputState) -> Iterator[Sample]:
    if metric is BUILD:
        yield {"version": state.software, "python": platform.python_version()}, 1
    elif metric is STATUS:
        yield {}, state.exit_code
    elif metric is CHECKED:
        yield {}, _seconds(state.checked_at)
    else:
        for month in state.months:
            for labels, value in _samples_of(metric, month):
                yield {"month": month.month, **labels}, value


def _samples_of(metric: Metric, month: MonthState) -> Iterator[Sample]:
    run = month.run
    moments = {
        PUBLISHED: month.published_at,
        FINISHED: None if run is None else run.finished_at,
        SUCCEEDED: None if run is None else run.succeeded_at,
    }
    numbers: dict[Metric, float | None] = {
        DURATION: run.seconds if run and run.finished_at else None,
        EXIT_CODE: None if run is None else run.exit_code,
        ELIGIBLE: month.entry.get("rows_eligible", 0),
        QUARANTINED: len(month.quarantined),
        WITHHELD: len(month.withheld),
        AWAITED: len(month.awaited),
        LATE: len(month.awaited) if month.late else 0,
        STALE: len(month.stale),
    }
    if metric in moments:
        moment = moments[metric]
        yield from () if moment is None else [({}, _seconds(moment))]
    elif metric in numbers:
        number = numbers[metric]
        yield from () if number is None else [({}, float(number))]
    elif metric is FILES:
        yield from (({"status": status}, count) for status, count in sorted(month.sources.items()))
    elif metric is ROWS:
        yield from (({"table": table}, count) for table, count in sorted(month.rows.items()))
    else:
        payers = {"withheld": month.withheld, "late": month.awaited if month.late else {}, "stale": month.stale}
        yield from (({"payer": payer, "what": what}, 1) for what, names in payers.items() for payer in sorted(names))


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def write_metrics(path: Path, state: OutputState) -> None:
    """Replace the file as a whole: the collector never reads half of it."""
    write_atomically(path, render_metrics(state).encode(), durable=False)


@contextmanager
def metrics_written(
    path: Path | None, layout: Layout, timezone: str, nightly: Nightly, config: Path | None
) -> Iterator[None]:
    """Write the metrics after the body, however it ends; a file that can't be written is logged and fails nothing.

    Args: path: None: none are written.
    """
    try:
        yield
    finally:
        if path is not None:
            try:
                write_metrics(path, read_state(layout, today(timezone), nightly, config))
            except (OSError, TicRatesError) as error:
                LOG.warning("%s: the metrics can't be written: %s", path, error)

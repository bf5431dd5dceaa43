"""The state of an output as a text file of metrics, for the textfile collector of Prometheus' node_exporter.

The text is OpenMetrics, limited to what the collector's older format has, too: gauges alone, no timestamps of samples;
to it `# UNIT` and `# EOF` are comments. Each series has the label `output`, so that the files of several outputs may
lie in one folder.
"""

import logging
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path

from flows.operations.state import OutputState, read_state
from flows.settings.values import Config
from flows.storage.atomic_files import write_atomically
from flows.storage.layout import Layout, today
from transforms.errors import TicRatesError

LOG = logging.getLogger(__name__)
PREFIX = "tic_rates"
SUFFIX = ".prom"  # the collector reads no other files


@dataclass(frozen=True)
class Metric:
    """One family of gauges, and its labels besides the output."""

    name: str
    help: str
    labels: tuple[str, ...] = ("month",)

    @property
    def full_name(self) -> str:
        """As it is written."""
        return f"{PREFIX}_{self.name}"


METRICS = (
    Metric("build_info", "The version that wrote the file; always 1", ("version", "python")),
    Metric("status_exit_code", "What tic-rates status ends with: 0 well, 3 look at it, 4 nothing is published", ()),
    Metric("checked_timestamp_seconds", "When the file was written", ()),
    Metric("published_timestamp_seconds", "When the month's tables were last replaced"),
    Metric("run_finished_timestamp_seconds", "When the last run of the month ended"),
    Metric("run_success_timestamp_seconds", "When the last run that did not fail ended"),
    Metric("run_duration_seconds", "How long the last run took"),
    Metric("run_exit_code", "What the last run came to: 0 well, 3 something was left out, 1, 2 or 4 failed"),
    Metric("files", "Files of the month by what became of them", ("month", "status")),
    Metric("rows", "Published rows of each table", ("month", "table")),
    Metric("rows_eligible", "Published rate rows that count"),
    Metric("files_quarantined", "Files that were not used, each with a reason in quality/files"),
    Metric("payers_withheld", "Payers that failed a gate; their last good rows stay"),
    Metric("payers_awaited", "Payers that are not there yet"),
    Metric("payers_late", "Payers that are not there, after the day by which they are expected"),
    Metric("payers_stale", "Payers whose newest file is older than stale_after_days"),
    Metric("attention", "1 for each payer withheld, late or stale", ("month", "payer", "what")),
)


def render_metrics(state: OutputState) -> str:
    """The text of the file."""
    lines: dict[str, list[str]] = {}
    for metric in METRICS:
        unit = [f"# UNIT {metric.full_name} seconds"] if metric.name.endswith("_seconds") else []
        lines[metric.name] = [f"# HELP {metric.full_name} {metric.help}.", f"# TYPE {metric.full_name} gauge", *unit]
    for name, labels, value in _samples(state):
        named = ",".join(f'{label}="{_escaped(text)}"' for label, text in ({"output": state.output} | labels).items())
        lines[name] += [] if value is None else [f"{PREFIX}_{name}{{{named}}} {value:.3f}".removesuffix(".000")]
    return "\n".join([*chain.from_iterable(lines.values()), "# EOF", ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _samples(state: OutputState) -> Iterator[tuple[str, dict[str, str], float | None]]:
    """Metric, labels and value; None: there is none."""
    yield "build_info", {"version": state.software, "python": platform.python_version()}, 1
    yield "status_exit_code", {}, state.exit_code
    yield "checked_timestamp_seconds", {}, _seconds(state.checked_at)
    for month in state.months:
        of_month, run = {"month": month.month}, month.run
        yield "published_timestamp_seconds", of_month, _seconds(month.published_at)
        if run is not None:
            yield "run_finished_timestamp_seconds", of_month, _seconds(run.finished_at)
            yield "run_success_timestamp_seconds", of_month, _seconds(run.succeeded_at)
            yield "run_duration_seconds", of_month, run.seconds if run.finished_at else None
            yield "run_exit_code", of_month, run.exit_code
        yield from (("files", of_month | {"status": name}, count) for name, count in sorted(month.sources.items()))
        yield from (("rows", of_month | {"table": name}, count) for name, count in sorted(month.rows.items()))
        yield "rows_eligible", of_month, month.entry.get("rows_eligible", 0)
        yield "files_quarantined", of_month, len(month.quarantined)
        late = month.awaited if month.late else {}
        attention = {"withheld": month.withheld, "awaited": month.awaited, "late": late, "stale": month.stale}
        for what, payers in attention.items():
            yield f"payers_{what}", of_month, len(payers)
            if what != "awaited":
                yield from (("attention", of_month | {"payer": payer, "what": what}, 1) for payer in sorted(payers))


def _seconds(moment: str | None) -> float | None:
    return None if moment is None else datetime.fromisoformat(moment).timestamp()


def write_metrics(path: Path, state: OutputState) -> None:
    """Replace the file as a whole: the collector never reads half of it."""
    write_atomically(path, render_metrics(state).encode(), durable=False)


@contextmanager
def metrics_written(path: Path | None, layout: Layout, config: Config | None = None) -> Iterator[None]:
    """Write the metrics after the body, however it ends; a file that can't be written is logged and fails nothing.

    Args: path: None: none are written. config: of the output; None: time is UTC, and nights have their defaults.
    """
    try:
        yield
    finally:
        if path is not None:
            timezone, nightly, place = (config.timezone, config.nightly, config.path) if config else ("UTC", None, None)
            try:
                write_metrics(path, read_state(layout, today(timezone), nightly, place))
            except (OSError, TicRatesError) as error:
                LOG.warning("%s: the metrics can't be written: %s", path, error)

"""Log lines on stderr: text for people, or one JSON object a line for programs; neither shows a secret.

The format travels to other processes of a run in an environment variable.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

from flows.storage.redaction import redact_text
from transforms.errors import UsageError

FORMAT_ENVIRONMENT = "TIC_RATES_LOG_FORMAT"
FORMATS = ("text", "json")
SLOW_SECONDS = 60.0  # a file that takes longer has a line in text, too
FILES = logging.getLogger("files")  # not below `flows`: Prefect sends those lines to its server one by one

# Every event of a JSON line, when it is written, and its fields besides COMMON
LOG_EVENTS = {
    "run_started": ("a run begins to work on a month", ("output",)),
    "run_finished": ("a month's run ended", ("status", "exit_code", "seconds", "reason", "output")),
    "stage_finished": ("a stage of a month ended", ("stage", "status", "seconds")),
    "file_read": (
        "a file was read, or found to be unusable; in text only where it took over a minute",
        ("source", "status", "bytes", "bytes_json", "seconds", "reason"),
    ),
    "file_quarantined": ("a file of the month is not used", ("source", "reason")),
    "payer_withheld": ("a payer failed a gate", ("payer", "reason")),
    "payer_awaited": ("a payer is not there", ("payer", "since", "late", "reason")),
    "payer_stale": ("a payer's newest file is old", ("payer", "last_updated_on")),
    "month_event": ("an event for the webhook", ("status", "subjects", "next")),
    "command_failed": ("the command ends with an error", ("exit_code",)),
    "log": ("anything else", ()),
}
COMMON = {
    "time": "when, UTC, ISO 8601",
    "level": "debug, info, warning, error or critical",
    "event": "one of those below",
    "month": "YYYY-MM, where a month is worked on",
    "message": "the same line as in text",
    "logger": "the part of the program",
    "exception": "the traceback, where there is one",
}
_WORKED_ON: dict[str, Any] = {}  # fields of every line of this process


def log_event(
    logger: logging.Logger, event: str, message: str, *args: object, level: int = logging.INFO, **fields: Any
) -> None:
    """Log an event of ``LOG_EVENTS``. One of level INFO tells of progress: on a terminal it is not shown as text."""
    logger.log(level, message, *args, extra={"event": event, "fields": fields})


@contextmanager
def logged_with(**fields: Any) -> Iterator[None]:
    """Every JSON line of this process has these fields while the body runs."""
    before = dict(_WORKED_ON)
    _WORKED_ON.update(fields)
    try:
        yield
    finally:
        _WORKED_ON.clear()
        _WORKED_ON.update(before)


@contextmanager
def logged_stage(logger: logging.Logger, stage: str) -> Iterator[None]:
    """Log how long the body took, and whether it failed."""
    started, status = time.perf_counter(), "failed"
    try:
        yield
        status = "done"
    finally:
        seconds = time.perf_counter() - started
        line = ("%s%s: %s after %.1f s", f"{_WORKED_ON.get('month', '')} ".lstrip(), stage, status, seconds)
        log_event(logger, "stage_finished", *line, stage=stage, status=status, seconds=round(seconds, 3))


def check_format(environ: Mapping[str, str] = os.environ) -> None:
    """Raise UsageError where the environment names another format."""
    chosen = environ.get(FORMAT_ENVIRONMENT) or FORMATS[0]
    if chosen not in FORMATS:
        raise UsageError(f"{FORMAT_ENVIRONMENT}: expected {' or '.join(FORMATS)}, not {chosen[:40]!r}")


def is_json(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether log lines are JSON."""
    return environ.get(FORMAT_ENVIRONMENT) == "json"


class JsonFormatter(logging.Formatter):
    """One object a line: ``COMMON``, then the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = {**_WORKED_ON, **getattr(record, "fields", {})}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", "log"),
            **{name: _plain(value) for name, value in fields.items() if value is not None},
            "message": redact_text(record.getMessage()),
            "logger": record.name,
        }
        if record.exc_info:
            line["exception"] = redact_text(self.formatException(record.exc_info))
        return json.dumps(line, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return redact_text(value)
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


class JsonHandler(logging.StreamHandler[TextIO]):
    """Writes JSON lines to stderr. Prefect makes it, too, with settings of its own console, which are ignored."""

    def __init__(self, stream: TextIO | None = None, **_settings: Any) -> None:
        super().__init__(stream or sys.stderr)
        super().setFormatter(JsonFormatter())

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802 as logging names it
        """Keep the format."""


def set_up_logging(level: int = logging.INFO) -> None:
    """Log to stderr in the format of the environment, unless this process logs elsewhere already."""
    if is_json():
        handler: logging.Handler = JsonHandler()
        logging.captureWarnings(True)
        FILES.setLevel(logging.INFO)
    else:
        handler = logging.StreamHandler(sys.stderr)
        FILES.setLevel(logging.CRITICAL)
        formatter = logging.Formatter("%(levelname)s %(message)s")
        if sys.stderr.isatty():
            handler.addFilter(lambda record: record.levelno > logging.INFO or not hasattr(record, "event"))
        else:  # each line has its time, UTC
            formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
            formatter.converter = time.gmtime
        handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler])


def json_error(text: str, event: str, **fields: Any) -> str:
    """The line of an error that a command prints at its end."""
    record = logging.LogRecord("tic-rates", logging.ERROR, "", 0, "%s", (text,), None)
    record.event, record.fields = event, fields
    return JsonFormatter().format(record)

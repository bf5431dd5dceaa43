"""The standard streams, whether they were closed at the start or the reader of a pipe has gone."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress

from flows.storage.log_lines import is_json, json_error

_STANDARD = (0, 1, 2)


def open_standard_streams() -> None:
    """Open stdin, stdout and stderr where they are closed; else the next files opened would have their numbers."""
    while (number := os.open(os.devnull, os.O_RDWR)) in _STANDARD:
        os.set_inheritable(number, True)
    os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 lives as long as the process


def write_output(show: Callable[[], object]) -> None:
    """Print by ``show``; print nothing when the reader of stdout has gone (``| head``), since the work is done.

    Raises:
        OSError: stdout can't be written for another reason, such as a full disk.
    """
    try:
        show()
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout.fileno())


def print_error(text: str, event: str = "log", **fields: object) -> None:
    """A line on stderr, unless stderr can't be written; where log lines are JSON, of that event."""
    with suppress(OSError):
        print(json_error(text, event, **fields) if is_json() else text, file=sys.stderr, flush=True)


def flush_output() -> None:
    """Flush stdout and stderr: at its end the interpreter would fail on what is left, with its own exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _discard(stream.fileno())


def _discard(number: int) -> None:
    """Send what is still to be written there to the null device."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)

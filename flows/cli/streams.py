"""The standard streams, whatever became of them: closed before we began, or by whoever was reading along."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec

Given = ParamSpec("Given")
_STANDARD = (0, 1, 2)


def open_missing() -> None:
    """Give stdin, stdout and stderr a place: the next files opened would take their numbers, and what is printed."""
    while (number := os.open(os.devnull, os.O_RDWR)) in _STANDARD:
        os.set_inheritable(number, True)
    os.close(number)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 lives as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115


def tell(show: Callable[Given, object], *args: Given.args, **kwargs: Given.kwargs) -> None:
    """Print by ``show``; silently to nobody, when whoever was reading has gone (``| head``): the work is done.

    Raises:
        OSError: stdout can't be written for another reason, such as a full disk.
    """
    try:
        show(*args, **kwargs)
        sys.stdout.flush()
    except BrokenPipeError:
        _forget(sys.stdout.fileno())


def tell_error(text: str) -> None:
    """A line on stderr, where there is somebody to read it."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def settle() -> None:
    """Nothing is left to flush when the interpreter ends, which would fail then, with an exit code of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _forget(stream.fileno())


def _forget(number: int) -> None:
    """What is still to be written there goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)

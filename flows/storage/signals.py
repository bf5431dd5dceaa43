"""Signals that end the process, put off while it must not end."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def deferred_signals() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP take effect after the body: for a few renames that belong together.

    Their handlers are exchanged for ones that take a note: a mask would be in vain, for the system hands a signal to
    any thread that does not mask it, and its handler then runs in the main thread all the same. In another thread than
    that one nothing is to be done: no handler runs there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    try:
        with ExitStack() as stack:
            for number in STOPPING:
                stack.enter_context(_noted(number, came))
            yield
    finally:
        if came:
            signal.raise_signal(came[0])


@contextmanager
def _noted(number: int, came: list[int]) -> Iterator[None]:
    before = signal.getsignal(number)
    if before in (None, signal.SIG_IGN):  # None: not of Python's making
        yield
        return
    signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(number, before)

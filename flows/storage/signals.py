"""Signals that end the process, deferred while it must not end."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def deferred_signals() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP take effect after the body: for a few renames that belong together.

    Their handlers are replaced. A mask would not help: the system delivers a signal to any thread that does not mask
    it, and the handler then runs in the main thread all the same. In other threads no handler runs.
    """
    received: list[int] = []
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            stack.callback(lambda: signal.raise_signal(received[0]) if received else None)
            for number in STOPPING:
                handler = signal.getsignal(number)
                if handler not in (None, signal.SIG_IGN):  # None: not set by Python
                    signal.signal(number, lambda number, _frame: received.append(number))
                    stack.callback(signal.signal, number, handler)
        yield

"""How much the tests try: what takes a minute and finds little new is left to `make soak`; and what a reading does."""

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

SOAK = bool(os.environ.get("TIC_RATES_SOAK"))


def usually(few: int, soaking: int) -> int:
    """How often: few times in `make test`, more in `make soak`."""
    return soaking if SOAK else few


def lines_run(call: Callable[[], object]) -> int:
    """How many lines of Python a call runs in this thread: its effort, the same on every machine."""
    lines = 0

    def count(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        call()
    finally:
        sys.settrace(before)
    return lines

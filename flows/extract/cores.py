"""How many cores are ours: a container, or taskset, may give a process fewer than the machine has."""

import os
from contextlib import suppress
from math import ceil
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # "MICROSECONDS PERIOD", or "max PERIOD"


def cores() -> int:
    """Cores that this process may run on, and that its container's share of time fills; one at least."""
    usable = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # no container, or one that says "max"
        quota, period = map(int, QUOTA.read_text().split())
        usable = min(usable, ceil(quota / period))
    return max(usable, 1)

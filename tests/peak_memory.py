"""A process's own peak memory.

Not ``getrusage``: its ``ru_maxrss`` starts at what the parent held when it started the process, so that a small
child of a large test runner looks large.
"""

from pathlib import Path


def peak_bytes() -> int:
    """The largest resident set of this process so far, since it began to run its own program."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM in /proc/self/status")

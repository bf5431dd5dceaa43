"""``python -m flows.orchestration.following PARENT MODULE ARGUMENT...``: a module that ends when its parent does.

A parent killed with SIGKILL can stop nobody: its server and worker would stay, and hold the port.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, module: str, *arguments: str) -> None:
    """Become the module, to be sent SIGTERM when the parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == parent:  # else it ended before we asked
        os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])

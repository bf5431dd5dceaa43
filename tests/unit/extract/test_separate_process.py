"""Large work is done in a process of its own, whose end for want of memory is said."""

import os
import signal
from pathlib import Path

import pytest

from flows.extract.worker_processes import separate_process
from flows.storage.resource_errors import explain_resource_errors
from transforms.errors import OutOfResourcesError


def killed() -> None:
    """As the system ends a process where memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def starved() -> None:
    """As a library in Python says it."""
    raise MemoryError


def test_small_work_is_done_here_and_large_work_elsewhere() -> None:
    with separate_process() as process:
        assert process.run(os.getpid, large=False) == os.getpid()
        elsewhere = process.run(os.getpid, large=True)
        assert elsewhere != os.getpid()
        assert process.run(os.getpid, large=True) == elsewhere, "one process for all of it"
    with pytest.raises(ProcessLookupError):
        os.kill(elsewhere, 0)


@pytest.mark.slow  # each starts processes
@pytest.mark.parametrize(
    ("work", "said"),
    [(killed, "out of memory, it seems: the process that did it was killed"), (starved, "out of memory")],
)
def test_its_end_for_want_of_memory_is_said(work: object, said: str, tmp_path: Path) -> None:
    assert callable(work)
    with (
        pytest.raises(OutOfResourcesError) as told,
        separate_process() as process,
        explain_resource_errors("summing up", tmp_path),
    ):
        process.run(work, large=True)
    assert str(told.value).startswith(f"{said}, while summing up")
    assert "the last good tables are unchanged: provide more, or run with fewer --workers" in str(told.value)

"""A lack of resources is distinguished from bad files and bugs, also in the errors of libraries."""

import errno
from pathlib import Path

import polars as pl
import pytest

from flows.extract.provider_references import RemoteReferences
from flows.storage.layout import Layout
from flows.storage.resource_errors import explain_resource_errors, raise_if_exhausted
from transforms.errors import BadFileError, OutOfResourcesError, UsageError

PLACE = Path("/nowhere/out")
NO_SPACE = "parquet: underlying IO error: No space left on device (os error 28)"
SHORTAGES = [
    (OSError(errno.ENOSPC, "No space left on device"), "no space left on the disk at /nowhere/out"),
    (OSError(errno.EFBIG, "File too large", "/nowhere/out/x"), "may not grow further at /nowhere/out/x"),
    (OSError(errno.EMFILE, "Too many open files"), "may open no more files"),
    (OSError(errno.EIO, "Input/output error"), "failed to read or write"),
    (MemoryError(), "out of memory"),
    (RuntimeError("can't start new thread"), "no more processes or threads"),
    (pl.exceptions.ComputeError(NO_SPACE), "no space left"),
]


@pytest.mark.parametrize(("error", "told"), SHORTAGES, ids=[told for _, told in SHORTAGES])
def test_a_lack_of_resources_is_an_error_with_the_work_and_the_next_step(error: Exception, told: str) -> None:
    with pytest.raises(OutOfResourcesError) as raised, explain_resource_errors("summarising", PLACE):
        raise error
    assert raised.value.exit_code == 4
    said = str(raised.value)
    assert told in said and "while summarising" in said and "run the same command again" in said


def test_a_place_that_can_not_be_written_is_wrong_usage() -> None:
    with (
        pytest.raises(UsageError, match=r"can't write /nowhere/x: Read-only file system"),
        explain_resource_errors("reading", PLACE),
    ):
        raise OSError(errno.EROFS, "Read-only file system", "/nowhere/x")


@pytest.mark.parametrize("error", [ValueError("a bug"), FileNotFoundError(errno.ENOENT, "gone"), BadFileError("cut")])
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, explain_resource_errors("reading", PLACE):
        raise error
    assert raised.value is error


def test_a_signal_during_the_handling_of_a_lack_of_resources_passes() -> None:
    with pytest.raises(KeyboardInterrupt), explain_resource_errors("reading", PLACE):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise KeyboardInterrupt from None


def refused(cause: OSError) -> BadFileError:
    """As a reader wraps an error of the system."""
    try:
        try:
            raise cause
        except OSError as error:
            raise BadFileError(f"can't be opened: {error}") from error
    except BadFileError as error:
        return error


def test_no_source_is_quarantined_for_a_lack_of_resources() -> None:
    with pytest.raises(OutOfResourcesError, match=r"while reading a\.json"):
        raise_if_exhausted(refused(OSError(errno.EMFILE, "Too many open files")), "reading a.json", PLACE)
    raise_if_exhausted(refused(OSError(errno.EIO, "Input/output error")), "reading a.json", PLACE)
    raise_if_exhausted(refused(PermissionError(errno.EACCES, "Permission denied")), "reading a.json", PLACE)


def test_a_full_disk_does_not_make_a_provider_reference_unresolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RemoteReferences, "_read", fill)
    references = RemoteReferences(Layout(tmp_path))
    with pytest.raises(OutOfResourcesError, match="while fetching https://mrf"):
        references.fetch(["https://mrf.example.com/groups.json?signature=secret"])
    assert references.failed == {}


def test_errors_that_cause_each_other_are_examined_once() -> None:
    """As httpcore and httpx leave them where a connection was refused before and is again."""
    first, second = BadFileError("first"), BadFileError("second")
    first.__context__, second.__context__ = second, first
    raise_if_exhausted(first, "reading", PLACE)
    second.__context__ = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OutOfResourcesError):
        raise_if_exhausted(first, "reading", PLACE)

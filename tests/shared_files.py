"""Where the shared real files, CMS examples and field notes stand; tests that need them skip elsewhere."""

import os
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def shared_folder() -> Path | None:
    """``$TIC_RATES_SHARED``, else ``../shared`` or ``../../shared`` beside the repository; None where there is none."""
    named = os.environ.get("TIC_RATES_SHARED")
    places = [Path(named)] if named else [REPOSITORY.parent / "shared", REPOSITORY.parent.parent / "shared"]
    return next((place for place in places if place.is_dir()), None)


def shared_path(name: str) -> Path:
    """The path of a shared file or folder such as ``real/evry``; skips the test that asked where it is absent."""
    folder = shared_folder()
    if folder is None:
        pytest.skip("no shared folder: set TIC_RATES_SHARED to the folder that holds real/ and cms/")
    if not (folder / name).exists():
        pytest.skip(f"{folder / name} is absent")
    return folder / name


@cache
def shared_bytes(name: str) -> bytes:
    """The bytes of a shared file, read once per test session."""
    return shared_path(name).read_bytes()

"""Where the official check values lie: not packaged, so tests that want them skip where they are absent."""

import os
from pathlib import Path

import pytest


def shared_folder() -> Path:
    """``TIC_RATES_SHARED``, or ``shared`` beside the repository (or beside its worktrees); skips the test if absent."""
    repository = Path(__file__).resolve().parent.parent
    candidates = [repository.parent / "shared", repository.parent.parent / "shared"]
    if given := os.environ.get("TIC_RATES_SHARED"):
        candidates.insert(0, Path(given))
    found = next((folder for folder in candidates if (folder / "reference").is_dir()), None)
    if found is None:
        pytest.skip("no shared folder with the official check values; set TIC_RATES_SHARED")
    return found

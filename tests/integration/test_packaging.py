"""What a wheel holds: an installation must have every file that the report is made of."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.report_market import published_example, write_output
from tests.shared_files import REPOSITORY

pytestmark = pytest.mark.slow


def test_the_report_is_built_from_an_installed_wheel(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    write_output(tmp_path / "output", published_example())
    command = [sys.executable, "-P", "-m", "flows.cli.app", "report", "--output", "output", "--json"]
    own = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    ended = subprocess.run(command, cwd=tmp_path, env=own, check=True, capture_output=True, text=True)
    assert (tmp_path / json.loads(ended.stdout)["report"]).is_file()
    assert not (tmp_path / "site" / "tests").exists()

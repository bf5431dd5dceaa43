"""Prefect is used where it is configured, unless the command line says otherwise."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from flows.settings.environment import use_prefect
from tests.shared_files import REPOSITORY

SERVER = "http://127.0.0.1:4200/api"
PROFILES = f"""
active = "team"
[profiles.team]
PREFECT_API_URL = "{SERVER}"
[profiles.plain]
PREFECT_LOGGING_LEVEL = "INFO"
"""


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment whose Prefect has no files."""
    return {"PREFECT_HOME": str(tmp_path)}


def test_plain_calls_where_neither_the_environment_nor_a_profile_names_a_server(home: dict[str, str]) -> None:
    assert use_prefect(None, home) is False


def test_prefect_where_the_environment_names_a_server(home: dict[str, str]) -> None:
    assert use_prefect(None, home | {"PREFECT_API_URL": SERVER}) is True


@pytest.mark.parametrize(
    ("more", "used"),
    [
        ({}, True),
        ({"PREFECT_PROFILE": "plain"}, False),
        ({"PREFECT_PROFILE": "local"}, True),
        ({"PREFECT_API_URL": ""}, False),
    ],
)
def test_the_active_profile_of_prefects_file_counts(home: dict[str, str], more: dict[str, str], used: bool) -> None:
    Path(home["PREFECT_HOME"], "profiles.toml").write_text(PROFILES)
    assert use_prefect(None, home | more) is used


def test_an_unreadable_profile_file_is_logged_and_plain_calls_are_used(
    home: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    Path(home["PREFECT_HOME"], "profiles.toml").write_text("active = ")
    assert use_prefect(None, home) is False
    assert "profiles.toml can't be read" in caplog.text


@pytest.mark.parametrize("asked", [True, False])
def test_the_command_line_overrides_and_one_line_says_so(asked: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert use_prefect(asked, {"PREFECT_API_URL": SERVER}) is asked
    assert len(caplog.records) == 1


def test_the_choice_imports_no_prefect() -> None:
    program = "import sys; from flows.settings.environment import use_prefect; use_prefect(None, {}); "
    program += "print('prefect' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.strip() == "False"

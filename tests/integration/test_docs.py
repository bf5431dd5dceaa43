"""The commands of the documentation run as written, in a copy of the demo, and print what the pages show."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import Block, commands_of, name_of, pages, shows, steps_of
from tests.shared_files import REPOSITORY

pytestmark = pytest.mark.slow

HANG_SECONDS = 900
PORTS = ("8786",)  # a page names the usual port; the test takes a free one
MARK = "=== the next command ==="
WITH_COMMANDS = [page for page in pages() if any(block.not_run is None for block in commands_of(page))]
PROLOGUE = f"""
set -u
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
make() {{ command make --file '{REPOSITORY}/Makefile' --old-file .venv/.installed "$@"; }}
"""


def script_of(blocks: list[Block]) -> str:
    """All blocks of a page in one shell. After each command ``MARK`` and its exit code, which it leaves in ``$?``."""
    parts = [PROLOGUE]
    for block in blocks:
        if block.language == "sh":
            parts.append(f"set -e\n{block.text}set +e\necho '{MARK} 0'\n")
        else:
            parts += (f"{step.command}\ncode=$?; echo; echo '{MARK}' $code; (exit $code)\n" for step in steps_of(block))
    return "".join(parts)


def environment(home: Path) -> dict[str, str]:
    """The test's own, without settings of tic-rates, Prefect and a make that runs the tests, as after `activate`."""
    foreign = ("TIC_RATES_", "PREFECT_", "MAKE", "MFLAGS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**kept, "PATH": path, "HOME": str(home), "PREFECT_HOME": str(home / ".prefect"), "PYTHONUNBUFFERED": "1"}


def free_port() -> str:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return str(listening.getsockname()[1])


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_the_commands_of_a_page_run_and_print_what_it_shows(page: Path, demo_output: Path, tmp_path: Path) -> None:
    blocks = [block for block in commands_of(page) if block.not_run is None]
    folder = tmp_path / "folder"
    shutil.copytree(demo_output, folder / "output")
    (folder / ".venv").symlink_to(sys.prefix)
    script = script_of(blocks)
    for port in PORTS:
        script = script.replace(port, free_port())
    ended = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    outputs = re.split(rf"^{MARK} (\d+)\n", ended.stdout, flags=re.M)
    printed, codes, rest = outputs[0:-1:2], [int(code) for code in outputs[1::2]], outputs[-1]
    for block in blocks:
        steps = steps_of(block) if block.language == "console" else [None]
        for step in steps:
            assert printed, f"{block.place} fails:\n{rest}"
            output, code = printed.pop(0), codes.pop(0)
            if step is not None:
                assert shows(step.shown, output.rstrip("\n")), f"{block.place}: {step.command}\nprints\n{output}"
                assert code == 0 or "echo $?" in block.text, (
                    f"{block.place}: {step.command} ends with {code}:\n{output}"
                )


@pytest.mark.parametrize(
    "block", [block for page in pages() for block in commands_of(page) if block.not_run], ids=lambda block: block.place
)
def test_blocks_that_are_not_run(block: Block) -> None:
    """Listed with their reason by ``pytest -rs``; ``tests/unit/test_docs.py`` checks their options and counts them."""
    pytest.skip(f"not run: {block.not_run}")

"""Running `tic-rates` as a user does: in this process for speed, in one of its own where signals or stderr matter."""

import json
import os
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.cli.app import main
from tests.shared_files import REPOSITORY

PATIENCE_SECONDS = 240.0  # for a machine busy with other work; only a hang waits so long


@dataclass(frozen=True)
class Ended:
    """One command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json_line(self) -> dict[str, Any]:
        """The one line of stdout."""
        (line,) = self.out.splitlines()
        parsed: dict[str, Any] = json.loads(line)
        return parsed


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> Ended:
    """The command in this process; its log lines go to pytest's own log."""
    capsys.readouterr()
    code = main(_quick(arguments))
    captured = capsys.readouterr()
    return Ended(code, captured.out, captured.err)


def _quick(arguments: Sequence[object]) -> list[str]:
    """Without the report, which takes longer than most runs of the tests; ``--report`` (ours alone) asks for it."""
    words = [str(argument) for argument in arguments]
    if "--report" in words:
        words.remove("--report")
    elif words[:1] and words[0] in ("run", "nightly", "backfill"):
        words.insert(1, "--no-report")
    return words


def start(*arguments: object, **environment: str) -> "subprocess.Popen[str]":
    """The command in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli.app", *_quick(arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment,
        start_new_session=True,
    )


def end(process: "subprocess.Popen[str]") -> Ended:
    """Wait for a command, and for everything that holds its output open."""
    try:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Ended(process.returncode, out, err)


def execute(*arguments: object, **environment: str) -> Ended:
    """The command in a process of its own, to its end."""
    return end(start(*arguments, **environment))


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Look again and again until the condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS:.0f} s for {what}"
        time.sleep(0.002)


def digests(output: Path, *tables: str) -> dict[str, str]:
    """sha256 of every published Parquet file, by its path under ``output``."""
    import hashlib

    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for table in tables or ("summaries", "network_summaries", "rates", "providers", "quality")
        for path in sorted((output / table).rglob("*.parquet"))
        if path.name != "files.parquet" or tables
    }


def files_with(folder: Path, text: str) -> list[Path]:
    """The files under a folder that hold a text, as it is or in the rows of an extract's account."""
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in _content(path)]


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.name != "account.json":
        return data
    return data + b"".join(map(b64decode, json.loads(data)["rows"].values()))

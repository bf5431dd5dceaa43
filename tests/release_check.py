"""`make release-check`: everything that must hold for a release, a line for each check, all of them whatever fails.

The checks are those of ``.ci/run``, and what a release needs besides. Exit code 1 where one fails. What each printed is
in ``.release-check/``.
"""

import json
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from packaging.version import Version

from tests.shared_files import REPOSITORY

LOGS = REPOSITORY / ".release-check"
LAST_LINES = 15  # of what a failed check printed
HOUSE = (
    "tests/unit/test_rooms.py",
    "tests/unit/test_layers.py",
    "tests/unit/test_docs.py",
    "tests/unit/test_supply.py",
)
_ADDRESS = re.compile(r"^\s*(--(extra-)?index-url|--find-links|-i |-f )|://", re.MULTILINE)
_UNHASHED = re.compile(r"^[A-Za-z0-9][^\n]*[^\\\n]$", re.MULTILINE)  # a release whose line does not go on with hashes

Check = Callable[[], str]  # what is wrong; nothing where it passes


def ci_targets(script: str) -> list[str]:
    """The targets that ``.ci/run`` makes, in order."""
    return re.findall(r"^make ([\w-]+)$", script, re.MULTILINE)


def run(*command: str) -> str:
    """What a command printed, where it failed."""
    ended = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    (LOGS / f"{re.sub('[^a-z0-9]+', '-', ' '.join(command[-2:]).lower()).strip('-')}.log").write_bytes(ended.stdout)
    return "" if ended.returncode == 0 else ended.stdout.decode(errors="replace") or f"exit code {ended.returncode}"


def unchanged_by(target: str, *paths: str) -> str:
    """What a target changes in these paths; it should leave them as they are committed."""
    return run("make", target) or run("git", "diff", "--exit-code", "--stat", "--", *paths)


def check_clean_tree() -> str:
    """Files that are changed or not committed."""
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return status.stdout


def check_version(pyproject: str, changelog: str, bill: str, installed: str) -> str:
    """Where the version is not that of ``pyproject.toml``, as PEP 440 writes it."""
    version = tomllib.loads(pyproject)["project"]["version"]
    heading = re.search(r"^## \[?([^\]\s]+)", changelog, re.MULTILINE)
    stated = {
        "PEP 440's spelling": str(Version(version)),
        "the first heading of CHANGELOG.md": heading[1] if heading else None,
        ".ci/sbom.cdx.json": json.loads(bill)["metadata"]["component"]["version"],
        "tic-rates --version": json.loads(installed)["version"],
    }
    wrong = [f"{place} has {found}, pyproject.toml {version}" for place, found in stated.items() if found != version]
    return "\n".join(wrong)


def check_version_here() -> str:
    """``check_version`` of this repository and what is installed from it."""
    pyproject, changelog, bill = (
        (REPOSITORY / name).read_text() for name in ("pyproject.toml", "CHANGELOG.md", ".ci/sbom.cdx.json")
    )
    command = [str(Path(sys.executable).with_name("tic-rates")), "--version", "--json"]
    installed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return check_version(pyproject, changelog, bill, installed)


def check_locks(locks: Iterable[Path]) -> str:
    """Lock files that name an index, or a release without hashes."""
    wrong = []
    for path in locks:
        text = path.read_text()
        wrong += [f"{path.name}: names an address"] if _ADDRESS.search(text) else []
        wrong += [f"{path.name}: no hash: {found}" for found in _UNHASHED.findall(text)]
    return "\n".join(wrong)


def checks() -> dict[str, Check]:
    """Every check by its name; the quick ones first."""
    locks = ("requirements.lock", *(f".ci/{path.name}" for path in sorted((REPOSITORY / ".ci").glob("*.lock"))))
    targets = ci_targets((REPOSITORY / ".ci" / "run").read_text())
    pytest = (sys.executable, "-m", "pytest", "-q", "-n", "0", *HOUSE)
    return {
        "clean tree": check_clean_tree,
        "version": check_version_here,
        "locks are hashed": partial(check_locks, [REPOSITORY / name for name in locks]),
        "locks are fresh": partial(unchanged_by, "lock-check", *locks),
        "docs are generated": partial(unchanged_by, "docs", "docs", "output", "README.md"),
        "house": partial(run, *pytest),
        **{target: partial(run, "make", target) for target in targets},
        "wheel-check": partial(run, "make", "wheel-check"),
        "bill of materials": partial(run, "git", "diff", "--exit-code", "--stat", "--", ".ci"),
    }


def report(found: dict[str, Check], names: Sequence[str] = ()) -> int:
    """The number of checks that fail; prints a line for each, and why.

    Args: names: these alone.
    """
    started, failed = time.perf_counter(), []
    chosen = {name: check for name, check in found.items() if not names or name in names}
    for name, check in chosen.items():
        began = time.perf_counter()
        try:
            wrong = check()
        except (OSError, subprocess.CalledProcessError, ValueError, KeyError) as error:
            wrong = f"{type(error).__name__}: {error}"
        print(f"{'FAIL' if wrong else 'pass'}  {name:<20}{time.perf_counter() - began:>9.1f} s", flush=True)
        if wrong:
            failed.append(name)
            print("".join(f"      {line}\n" for line in wrong.rstrip().splitlines()[-LAST_LINES:]), end="", flush=True)
    seconds = time.perf_counter() - started
    summary = (
        f"{len(failed)} of {len(chosen)} checks fail: {', '.join(failed)}" if failed else f"{len(chosen)} checks pass"
    )
    print(f"{summary}; {seconds:.0f} s")
    return len(failed)


if __name__ == "__main__":
    LOGS.mkdir(exist_ok=True)
    sys.exit(1 if report(checks(), sys.argv[1:]) else 0)

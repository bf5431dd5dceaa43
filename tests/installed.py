"""tic-rates as others install it: the wheel, in an environment of its own outside of the repository, by a lock.

``python -m tests.installed`` is `make pythons`: for each Python from 3.11 to 3.14 that this machine has, it installs
requirements.lock and the wheel, runs the demo in an empty folder and the core of the tests, and prints one line.
TIC_RATES_PYTHONS names further interpreters, separated by colons. A Python that fails makes the exit code 1.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.shared_files import REPOSITORY

LOCK = REPOSITORY / "requirements.lock"
RUNTIME_LOCK = REPOSITORY / ".ci" / "runtime.lock"
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
CORE = ("benchmark", "schemas", "storage", "scan/test_scan_kernel.py")  # of tests/unit: under a minute
ASK = "import platform, sys, sysconfig; print('%d.%d' % sys.version_info[:2], platform.python_version(), bool("
ASK += "sysconfig.get_config_var('Py_GIL_DISABLED')), sys.executable)"


def build_wheel(folder: Path) -> Path:
    """The wheel, built by the build backend of this environment."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def clean_environment(home: Path) -> dict[str, str]:
    """What a new user's shell sets, and how this machine reaches its package index; no setting of ours or Prefect's."""
    foreign = ("TIC_RATES_", "PREFECT_", "PYTHON", "VIRTUAL_ENV", "MAKE", "MFLAGS", "PYTEST_", "COV_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {"HOME": str(home), "PREFECT_HOME": str(home / ".prefect")}


def install(interpreter: str, wheel: Path, lock: Path, folder: Path) -> Path:
    """The ``bin`` of a new environment that holds the lock's packages, by their hashes, and the wheel.

    Raises: subprocess.CalledProcessError: with what uv says on ``stderr``.
    """
    uv = [sys.executable, "-m", "uv"]
    environment = folder / "environment"
    into = [*uv, "pip", "install", "--quiet", "--no-deps", "--python", str(environment / "bin" / "python")]
    for command in (
        [*uv, "venv", "--quiet", "--no-project", "--python", interpreter, str(environment)],
        [*into, "--require-hashes", "-r", str(lock)],
        [*into, "--no-index", str(wheel)],
    ):
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
    return environment / "bin"


def run_demo(binaries: Path, folder: Path) -> dict[str, object]:
    """The result line of the installed `tic-rates demo`, run in an empty folder."""
    folder.mkdir()
    command = [str(binaries / "tic-rates"), "demo", "--json"]
    ended = subprocess.run(
        command, cwd=folder, env=clean_environment(folder.parent), check=True, capture_output=True, text=True
    )
    result: dict[str, object] = json.loads(ended.stdout)
    return result


def interpreters(environ: Mapping[str, str] = os.environ) -> dict[str, list[str]]:
    """The interpreters of each supported version: from TIC_RATES_PYTHONS, PATH and pyenv, each executable once."""
    pyenv = Path(environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates = [name for name in environ.get("TIC_RATES_PYTHONS", "").split(":") if name]
    for version in SUPPORTED:
        names = (f"python{version}", f"python{version}t")
        candidates += [path for name in names if (path := shutil.which(name, path=environ.get("PATH")))]
        candidates += [str(one) for name in names for one in sorted(pyenv.glob(f"*/bin/{name}"))]
    found: dict[str, dict[str, str]] = {version: {} for version in SUPPORTED}
    for candidate in candidates:
        said = subprocess.run([candidate, "-c", ASK], capture_output=True, text=True, check=False)
        if said.returncode == 0:  # a shim of pyenv without its version fails
            minor, full, free_threaded, executable = said.stdout.split(maxsplit=3)
            name = f"{full}t" if free_threaded == "True" else full
            found.setdefault(minor, {}).setdefault(name, executable.strip())
    return {version: list(chosen.values()) for version, chosen in found.items()}


def try_python(interpreter: str, wheel: Path, folder: Path) -> str:
    """What was seen of one interpreter, in a line.

    Raises: subprocess.CalledProcessError: installation, demo or tests failed.
    """
    binaries = install(interpreter, wheel, LOCK, folder)
    cells = run_demo(binaries, folder / "demo")["cells_checked"]
    tests = [str(REPOSITORY / "tests" / "unit" / room) for room in CORE]
    command = [str(binaries / "python"), "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *tests]
    ended = subprocess.run(
        command, cwd=REPOSITORY, env=clean_environment(folder), check=True, capture_output=True, text=True
    )
    return f"installed, demo ({cells} cells as known), {ended.stdout.splitlines()[-1]}"


def main() -> int:
    """One line for each Python; 1 where one of them fails."""
    failed = False
    with tempfile.TemporaryDirectory() as name:
        wheel = build_wheel(Path(name, "wheel"))
        for version, found in interpreters().items():
            if not found:
                print(f"{version}: not on this machine, not tried", flush=True)
            for number, interpreter in enumerate(found):
                folder = Path(name, f"{version}-{number}")
                folder.mkdir()
                try:
                    seen = try_python(interpreter, wheel, folder)
                except subprocess.CalledProcessError as error:
                    failed = True
                    last = (error.stderr or error.stdout or "").strip().splitlines()[-8:]
                    seen = "\n  ".join([f"FAILED: {error.cmd[0]} {' '.join(error.cmd[1:4])} ...", *last])
                print(f"{version} ({interpreter}): {seen}", flush=True)
                shutil.rmtree(folder)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

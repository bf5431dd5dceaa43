"""What others install: the wheel in an empty environment, and what an older Python says."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.installed import LOCK, RUNTIME_LOCK, build_wheel, clean_environment, install, interpreters, run_demo
from tests.shared_files import REPOSITORY

OLD_PYTHON = "#!/bin/sh\nexit 1\n"  # how one below 3.11 answers the Makefile's question


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.mark.slow
def test_the_wheel_holds_the_packages_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"flows", "transforms", "schemas"}
    ours = (path for package in ("flows", "transforms", "schemas") for path in (REPOSITORY / package).rglob("*.*"))
    assert {str(path.relative_to(REPOSITORY)) for path in ours if path.suffix != ".pyc"} <= set(names)
    assert "transforms/scan/scan_kernel/libkernel.so" in names


@pytest.mark.slow
def test_the_wheel_runs_the_demo_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    binaries = install("python3", wheel, RUNTIME_LOCK, tmp_path)
    result = run_demo(binaries, tmp_path / "empty")
    assert result["cells_checked"]
    assert (tmp_path / "empty" / "output" / "report" / "index.html").is_file()
    ask = "import flows, sys; from transforms.scan.scan_kernel.library import problem; print(flows.__path__, problem())"
    said = subprocess.check_output(
        [binaries / "python", "-c", ask], cwd=tmp_path, env=clean_environment(tmp_path), text=True
    )
    assert str(tmp_path) in said
    assert said.endswith("None\n")


def test_the_runtime_lock_has_the_releases_of_the_whole_lock_without_the_tools_of_development() -> None:
    runtime, whole = (
        {line.split()[0] for line in path.read_text().splitlines() if "==" in line} for path in (RUNTIME_LOCK, LOCK)
    )
    assert runtime < whole
    names = {release.split("==")[0] for release in runtime}
    assert {"pytest", "ruff", "mypy", "uv"}.isdisjoint(names)
    assert {"polars", "prefect", "distributed", "deltalake"} <= names


def test_make_with_an_older_python_says_which_one_it_needs(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.18" && exit 0\n' + OLD_PYTHON.splitlines()[1])
    old.chmod(0o755)
    command = ["make", "--no-print-directory", f"VENV={tmp_path}/venv", f"PYTHON={old}", f"{tmp_path}/venv/.packages"]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert f"tic-rates needs Python 3.11 or later, and {old} is Python 3.9.18" in ended.stderr
    assert "make PYTHON=python3.12" in ended.stderr
    assert not (tmp_path / "venv").exists()


def test_interpreters_are_found_by_name_and_each_once(tmp_path: Path) -> None:
    answers = {"python3.12": "3.12 3.12.1 False /a", "python3.13": "3.13 3.13.0 False /b", "python3.13t": ""}
    for name, answer in answers.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\necho '{answer}'\n" if answer else "#!/bin/sh\nexit 127\n")
        path.chmod(0o755)
    again = f"{tmp_path}/python3.12"
    found = interpreters({"PATH": str(tmp_path), "PYENV_ROOT": str(tmp_path), "TIC_RATES_PYTHONS": again})
    assert found == {"3.11": [], "3.12": ["/a"], "3.13": ["/b"], "3.14": []}

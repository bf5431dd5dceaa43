"""`make release-check`: what each check finds, and that all of them run whatever fails."""

import json
import re
from pathlib import Path

import pytest

from tests.release_check import check_locks, check_version, checks, ci_targets, report
from tests.shared_files import REPOSITORY

PYPROJECT, CHANGELOG = '[project]\nversion = "1.0.0rc1"\n', "# Changelog\n\n## 1.0.0rc1\n\n## 0.1.0\n"
BILL = json.dumps({"metadata": {"component": {"version": "1.0.0rc1"}}})
INSTALLED = json.dumps({"version": "1.0.0rc1"})
HASHED = "click==8.5.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n    # via tic-rates\n"


def test_every_target_of_ci_is_a_check_and_those_that_a_release_needs_besides() -> None:
    targets = ci_targets((REPOSITORY / ".ci" / "run").read_text())
    assert {"test", "test-slow", "fuzz-short", "mutants-short", "sanitize", "lint", "sbom", "audit"} <= {*targets}
    assert {
        *targets,
        "clean tree",
        "version",
        "locks are fresh",
        "docs are generated",
        "wheel-check",
    } <= checks().keys()
    made = re.findall(r"^([\w -]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert {*targets, "lock-check", "docs", "release-check"} <= {name for names in made for name in names.split()}


def test_the_version_is_one_everywhere() -> None:
    assert check_version(PYPROJECT, CHANGELOG, BILL, INSTALLED) == ""


@pytest.mark.parametrize(
    ("texts", "place"),
    [
        ((PYPROJECT, CHANGELOG.replace("1.0.0rc1", "Unreleased"), BILL, INSTALLED), "CHANGELOG.md has Unreleased"),
        ((PYPROJECT, CHANGELOG, BILL.replace("rc1", ""), INSTALLED), "sbom.cdx.json has 1.0.0,"),
        ((PYPROJECT, CHANGELOG, BILL, '{"version": "0.1.0"}'), "--version has 0.1.0"),
        ((PYPROJECT.replace("rc1", "-rc.1"), CHANGELOG, BILL, INSTALLED), "spelling has 1.0.0rc1"),
    ],
)
def test_another_version_anywhere_is_named(texts: tuple[str, str, str, str], place: str) -> None:
    assert place in check_version(*texts)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (HASHED, ""),
        (HASHED + "rich==15.0\n", "no hash: rich==15.0"),
        ("--index-url https://packages.example/simple\n" + HASHED, "names an address"),
        (HASHED + "wheel @ https://packages.example/wheel.whl \\\n    --hash=sha256:00\n", "names an address"),
    ],
)
def test_a_lock_names_hashes_and_no_address(text: str, wrong: str, tmp_path: Path) -> None:
    path = tmp_path / "requirements.lock"
    path.write_text(text)
    assert wrong in check_locks([path])
    assert bool(wrong) == bool(check_locks([path]))


def test_all_checks_run_whatever_fails(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> str:
        raise OSError("no such command")

    found = {"one": lambda: "reason", "two": broken, "three": lambda: ""}
    assert report(found) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["FAIL", "reason", "FAIL", "OSError:", "pass"]
    assert lines[-1].startswith("2 of 3 checks fail: one, two; ")
    assert report(found, ["three"]) == 0

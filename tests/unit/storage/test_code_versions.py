"""Versions of code: which modules count, and that the same rules have the same version everywhere."""

import subprocess
import sys
from pathlib import Path

import pytest

from flows.extract.readers import READING_MODULES, reading_version
from flows.storage.code_versions import _sources, code_version
from flows.tables.payer_builds import _BUILDING_MODULES, payer_rules
from tests.shared_files import REPOSITORY
from tests.walk import edit_source


def counted(*modules: str) -> set[str]:
    return set(_sources(modules))


def test_imports_are_followed_through_transforms_and_schemas() -> None:
    rules = counted(*_BUILDING_MODULES)
    assert {
        "transforms.benchmark.exclude",
        "transforms.benchmark.taxonomy",
        "transforms.benchmark.resolve",
        "schemas.codes",
    } <= rules
    assert (
        not {
            "transforms.report.charts",
            "transforms.scan.read_scan",
            "flows.storage.layout",
            "transforms.demo.market",
        }
        & rules
    )
    readers = counted(*READING_MODULES)
    assert {"transforms.read.clean", "transforms.read.walk", "transforms.limits", "schemas.extracted"} <= readers
    methodology = {"transforms.benchmark.exclude", "schemas.codes", "schemas.published"}
    assert not methodology & readers, "a new methodology reads no file again"


def test_versions_are_the_same_in_another_process() -> None:
    program = "from flows.tables.payer_builds import *; print(payer_rules(), reading_version())"
    arguments = [sys.executable, "-c", program]
    other = subprocess.run(arguments, capture_output=True, text=True, cwd=REPOSITORY, check=True).stdout.split()
    assert other == [payer_rules(), reading_version()]


def test_edited_sources_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = payer_rules(), reading_version()
    with monkeypatch.context() as patched:
        edit_source(patched, "transforms.benchmark.exclude", "edited")
        assert (payer_rules() != before[0], reading_version() != before[1]) == (True, False)
    assert (payer_rules(), reading_version()) == before


def test_the_sources_of_a_compiled_part_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "compiled_part"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "kernel.c").write_text("int one;")
    monkeypatch.syspath_prepend(tmp_path)
    before = code_version("compiled_part")
    (package / "kernel.c").write_text("int two;")
    code_version.cache_clear()
    assert code_version("compiled_part") != before

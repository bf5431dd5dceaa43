"""The compiled library: which sources it belongs to, what happens without it, and its levels against each other."""

import ctypes
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hatch_build
from flows.extract import readers
from tests.fuzz.blocks import POISONS
from tests.fuzz.reading import read_by_scan, without_bom
from tests.fuzz.seeds import CORPUS, field_note_seeds
from tests.shared_files import REPOSITORY
from transforms.errors import UsageError
from transforms.scan.scan_kernel import children, kernel, library, stamp

FOLDER = REPOSITORY / hatch_build.FOLDER
FUNCTIONS = {
    name: len(found.argtypes) for name, found in vars(kernel).items() if hasattr(found, "argtypes")
}  # how many arguments each has


def run_elsewhere(folder: Path, code: str) -> str:
    """A program on a copy of the package, of which something may have been changed."""
    command = [sys.executable, "-P", "-c", code]
    environment = {"PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def package(tmp_path: Path) -> Path:
    shutil.copytree(REPOSITORY / "transforms", tmp_path / "transforms", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


# The library and its sources


def test_every_source_counts_for_the_stamp() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.suffix in (".c", ".h")} == set(stamp.SOURCES)


SAY_PROBLEM = "from transforms.scan.scan_kernel.library import problem; print(problem())"


def test_a_library_of_these_sources_is_used(package: Path) -> None:
    assert run_elsewhere(package, SAY_PROBLEM) == "None\n"


@pytest.mark.parametrize("name", stamp.SOURCES)
def test_a_library_of_other_sources_is_not_used(package: Path, name: str) -> None:
    with (package / hatch_build.FOLDER / name).open("a") as source:
        source.write("\n")
    assert "built from other sources; run `make`" in run_elsewhere(package, SAY_PROBLEM)


@pytest.mark.parametrize("content", [None, b"", b"no library"])
def test_what_is_no_library_is_not_used(package: Path, content: bytes | None) -> None:
    place = package / hatch_build.FOLDER / stamp.LIBRARY
    place.unlink()
    if content is not None:
        place.write_bytes(content)
    assert "can't be loaded" in run_elsewhere(package, SAY_PROBLEM)


def test_without_a_library_ijson_reads_and_that_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(library, "problem", lambda: "the compiled scanner can't be loaded")
    readers.default_engine.cache_clear()
    try:
        with caplog.at_level(logging.WARNING):
            assert readers.default_engine() == "ijson"
    finally:
        readers.default_engine.cache_clear()
    assert caplog.messages == ["the compiled scanner can't be loaded; ijson reads instead, many times slower"]


def test_without_a_library_the_scanning_reader_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "problem", lambda: "the compiled scanner can't be loaded")
    with pytest.raises(UsageError, match="can't be loaded"):
        readers.reader_of("scan")


def test_a_compiler_that_refuses_leaves_no_library_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / hatch_build.FOLDER
    shutil.copytree(FOLDER, place)
    monkeypatch.setattr(hatch_build, "ROOT", tmp_path)
    monkeypatch.setenv("CC", "false")
    assert hatch_build.build_in_place() is not None
    assert not (place / stamp.LIBRARY).exists()


def test_where_there_is_no_compiler_the_one_that_comes_as_a_wheel_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert hatch_build.compiler() is None
    assert f"{hatch_build.ZIG} \\" in (REPOSITORY / ".ci" / "compiler.lock").read_text().replace(" ;", " \\")


# What Python and C have in common


def enumerations(text: str) -> list[list[str]]:
    bodies = re.findall(r"\benum \{([^}]*)\}", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL))
    return [[name.strip() for name in body.split(",")] for body in bodies]


def fields(text: str, struct: str) -> list[str]:
    body = re.search(r"typedef struct \{([^}]*)\} " + struct, re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL))
    assert body is not None
    return [name.strip() for line in re.findall(r"int64_t ([^;]*);", body[1]) for name in line.split(",")]


def test_the_constants_are_those_of_the_header() -> None:
    seen = 0
    for names in enumerations((FOLDER / "kernel.h").read_text()):
        value = 0
        for entry in names:
            name, _, given = entry.partition(" = ")
            value = int(given) if given else value
            if hasattr(kernel, name):
                assert getattr(kernel, name) == value, name
                seen += 1
            value += 1
    assert seen > 35 and kernel.NOWHERE == children.NOWHERE == -(2**62)


@pytest.mark.parametrize(
    ("source", "struct", "module"), [("kernel.h", "scan_state", kernel), ("children.c", "children_state", children)]
)
def test_the_slots_are_the_fields_of_the_struct(source: str, struct: str, module: object) -> None:
    names = fields((FOLDER / source).read_text(), struct)
    assert [getattr(module, name.upper()) for name in names] == list(range(len(names)))
    assert getattr(module, "SLOTS") == len(names)  # noqa: B009 a module of either kind


# Levels


ALL = library.levels()


@pytest.fixture(params=[*(pytest.param(name, marks=pytest.mark.slow) for name in ALL[:-1]), ALL[-1]])
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, arguments in FUNCTIONS.items():
        monkeypatch.setattr(kernel, name, library.function(name, arguments, request.param))
    return str(request.param)


def test_each_level_reads_the_same(level: str) -> None:
    best = library.levels()[-1]
    for document in [*(path.read_bytes() for path in sorted(CORPUS.glob("*.json"))), *field_note_seeds()]:
        data = without_bom(document)
        for number, cuts in enumerate([(), (len(data) // 3, len(data) // 2)]):
            found = read_by_scan(data, cuts, number)
            with pytest.MonkeyPatch.context() as patch:
                for name, arguments in FUNCTIONS.items():
                    patch.setattr(kernel, name, library.function(name, arguments, best))
                expected = read_by_scan(data, cuts, number)
            assert found.reading == expected.reading, (level, document[:200])


@pytest.mark.parametrize("level", library.levels())
def test_white_space_is_passed_over_and_nothing_else(level: str) -> None:
    skip = library.function("skip_blanks", 3, level)
    for byte in range(256):
        for before in (0, 1, 63, 64, 65, 200):
            text = b" \n\r\t"[byte % 4 : byte % 4 + 1] * before + bytes([byte])
            data = np.frombuffer(text + b" " * kernel.PADDING, np.uint8)
            expected = before + (byte in b" \n\r\t")
            assert skip(data.ctypes.data, len(text), 0) == expected, (byte, before)


@pytest.mark.parametrize("level", library.levels())
def test_utf8_is_told_from_what_is_not(level: str) -> None:
    check = library.function("check_utf8", 4, level)
    wrong = [b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"a" * 63 + b"\xff"]
    for text in [b"a" * 70, "é€😀".encode() * 40, *wrong]:
        for poison in POISONS:
            data = np.frombuffer(text + poison, np.uint8)
            state = (ctypes.c_int64 * 3)()
            found = check(data.ctypes.data, 0, len(text), ctypes.addressof(state))
            try:
                text.decode()
            except UnicodeDecodeError as error:
                assert error.start <= found < error.end + 4
            else:
                assert found == -1

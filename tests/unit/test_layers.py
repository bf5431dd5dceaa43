"""Who may import whom, and who may open what: held over the syntax trees, so that the layers stay layers."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("flows", "transforms", "schemas")
MAY_IMPORT = {"flows": set(PACKAGES), "transforms": {"transforms", "schemas"}, "schemas": {"schemas"}}
OUTSIDE = set("asyncio glob httpx logging multiprocessing os pathlib prefect socket subprocess tempfile time".split())
OF_OPEN_FILES = {"pread", "pwrite"}  # what os alone can do with a stream: read and write at a place, from any thread
OPENS = ("open", "read_", "write_", "scan_", "sink_")  # of a path, a frame, a library: a stream has read and write
OF_STREAMS = {
    *("archive.open", "pyarrow.csv.open_csv", "pa.ipc.open_stream", "pl.read_excel", "writer.write_batch"),
    *("self.grammar.open", "self.read_children", "parser.read_events"),
}  # members, sheets, elements and records of a stream that is open already


def modules(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (REPOSITORY / package).rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            if node.module != "os" or not OF_OPEN_FILES.issuperset(alias.name for alias in node.names):
                yield node.module or ""


def packages_imported(tree: ast.AST) -> set[str]:
    return {name.split(".")[0] for name in imported(tree)}


def openings(tree: ast.AST) -> list[str]:
    """Calls that open something by its name: the builtin, and methods such as ``path.read_text``."""
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    builtin = [name.id for name in called if isinstance(name, ast.Name) and name.id == "open"]
    methods = [ast.unparse(name) for name in called if isinstance(name, ast.Attribute) and name.attr.startswith(OPENS)]
    return builtin + [method for method in methods if method not in OF_STREAMS]


def tree_of(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_from_flows_to_transforms_to_schemas_and_never_back(package: str) -> None:
    for path in modules(package):
        ours = packages_imported(tree_of(path)) & {*PACKAGES, "tests"}
        assert ours <= MAY_IMPORT[package], path


def test_transforms_and_schemas_know_no_prefect_no_files_no_network_and_no_clock() -> None:
    for path in modules("transforms", "schemas"):
        assert not packages_imported(tree_of(path)) & OUTSIDE, path


def test_transforms_open_nothing() -> None:
    for path in modules("transforms"):
        assert not openings(tree_of(path)), path


def test_no_module_is_named_like_a_standard_one() -> None:
    names = {path.stem for path in modules(*PACKAGES)} - {"__init__"}
    assert not names & sys.stdlib_module_names


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("open('a')", ["open"]),
        ("path.open('rb')", ["path.open"]),
        ("Path(name).read_bytes()", ["Path(name).read_bytes"]),
        ("pl.read_csv(name)", ["pl.read_csv"]),
        ("frame.write_parquet(name)", ["frame.write_parquet"]),
        ("stream.read(1)", []),
        ("archive.open(member)", []),
        ("open_documents(raw)", []),
    ],
)
def test_openings_are_seen(code: str, found: list[str]) -> None:
    assert openings(ast.parse(code)) == found


def test_imports_inside_functions_are_seen() -> None:
    assert packages_imported(ast.parse("def f():\n    import os.path\n    from prefect import flow")) == {
        "os",
        "prefect",
    }


def test_of_os_no_more_than_reading_and_writing_at_a_place_passes() -> None:
    assert packages_imported(ast.parse("from os import pread, pwrite")) == set()
    assert packages_imported(ast.parse("from os import pread, remove")) == {"os"}

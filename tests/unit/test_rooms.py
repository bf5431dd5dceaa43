"""The rooms of the house: a room imports only from rooms below it, function-level imports included."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.shared_files import REPOSITORY

PACKAGES = ("flows", "transforms", "schemas")
# From top to bottom; a room may import itself and what stands after it. The flows are called by the command line.
ORDER = (
    "flows.cli",
    "flows.nightly flows.backfill",
    "flows.month",  # the others run it as their subflow
    *"flows.orchestration flows.operations flows.report flows.explain flows.publish flows.tables".split(),
    *"flows.extract flows.download".split(),
    *"flows.storage flows.settings".split(),
    *"transforms.contents transforms.scan transforms.read transforms.explain transforms.report transforms.cms".split(),
    *"transforms.benchmark transforms.demo transforms.scan.scan_kernel".split(),
    *"transforms.limits transforms.errors schemas".split(),
)
# What of transforms and schemas a room may use besides itself: several of them stand beside each other
ISLANDS = {
    "transforms.benchmark": {"schemas"},
    "transforms.demo": {"schemas"},
    "transforms.cms": {"schemas", "transforms.errors", "transforms.scan.scan_kernel"},
    "transforms.report": {"schemas", "transforms.cms"},
    "transforms.explain": {"schemas", "transforms.benchmark", "transforms.report"},
    "transforms.read": {"schemas", "transforms.errors", "transforms.limits"},
    "transforms.scan": {
        *("schemas", "transforms.errors", "transforms.limits", "transforms.read", "transforms.scan.scan_kernel")
    },
}
MOST_MODULES = 12
MOST_MODULE_LINES = 400
MOST_FUNCTION_LINES = 60
ROOM_OF = {room: number for number, rooms in enumerate(ORDER) for room in rooms.split()}


def modules() -> dict[str, Path]:
    """Every module of ours by name; a package by its ``__init__``."""
    paths = [path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")]
    return {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): path for path in paths
    }


MODULES = modules()


def room(module: str) -> str | None:
    """The room that a module stands in; None for a package that holds rooms."""
    parts = module.split(".")
    return next((name for n in range(len(parts), 0, -1) if (name := ".".join(parts[:n])) in ROOM_OF), None)


def imports(tree: ast.AST) -> Iterator[str]:
    """Modules imported anywhere in the tree, but for those that only types need."""
    if isinstance(tree, ast.If) and "TYPE_CHECKING" in ast.unparse(tree.test):
        return
    if isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom) and tree.module is not None:
        yield from (
            f"{tree.module}.{a.name}" if f"{tree.module}.{a.name}" in MODULES else tree.module for a in tree.names
        )
    for child in ast.iter_child_nodes(tree):
        yield from imports(child)


def wrong_imports(module: str, source: str) -> list[str]:
    """Imports of a module that run against the order of the rooms."""
    own = room(module)
    if own is None:
        return []
    found = {(name, other) for name in imports(ast.parse(source)) if (other := room(name)) is not None and other != own}
    return sorted(
        f"{module} -> {name}"
        for name, other in found
        if ROOM_OF[other] <= ROOM_OF[own] or (own in ISLANDS and other not in ISLANDS[own])
    )


def test_every_module_stands_in_a_room() -> None:
    assert [name for name in MODULES if name not in PACKAGES and room(name) is None] == []


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_room_imports_from_rooms_below_it_alone(name: str) -> None:
    assert wrong_imports(name, MODULES[name].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("flows.storage.locks", "from flows.publish.publish import prepare_output"),
        ("flows.extract.readers", "def read():\n    from flows.cli import app"),
        ("transforms.read.clean", "import flows.settings.config"),
        ("transforms.benchmark.rates", "from transforms.cms.medicare import price_service"),
        ("schemas.codes", "def f():\n    import transforms.errors"),
    ],
)
def test_a_planted_violation_is_found(module: str, source: str) -> None:
    assert len(wrong_imports(module, source)) == 1


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Also inside a room, and inside of functions: ``CycleError`` names the circle."""
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
    TopologicalSorter({name: set(imports(tree)) - {name} for name, tree in trees.items()}).prepare()


def test_what_only_types_need_is_no_violation() -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from flows.cli.app import main"
    assert wrong_imports("flows.storage.locks", source) == []


def test_rooms_modules_and_functions_have_a_size_that_a_reader_can_hold() -> None:
    folders: dict[Path, int] = {}
    too_long = []
    for name, path in MODULES.items():
        source = path.read_text(encoding="utf-8")
        if path.name != "__init__.py":
            folders[path.parent] = folders.get(path.parent, 0) + 1
        if source.count("\n") > MOST_MODULE_LINES:
            too_long.append(name)
        too_long += [
            f"{name}.{node.name}"
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (node.end_lineno or 0) - node.lineno >= MOST_FUNCTION_LINES
        ]
    assert too_long == []
    assert [str(folder) for folder, count in folders.items() if count > MOST_MODULES] == []


def test_each_room_says_what_it_does() -> None:
    packages = [path for path in MODULES.values() if path.name == "__init__.py"]
    assert [str(path) for path in packages if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))] == []

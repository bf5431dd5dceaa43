"""The error tree: every error of ours is a ``TicRatesError``, so that each has an exit code."""

import ast

import pytest

from tests.unit.test_layers import modules, tree_of
from transforms.errors import (
    BadFileError,
    NothingUsableError,
    OutageError,
    OutOfResourcesError,
    TicRatesError,
    UsageError,
)

BELOW_THE_TREE = {"SchemaError"}  # schemas imports nothing; a frame without its declared columns is a bug: exit code 1


def error_classes() -> dict[str, set[str]]:
    """Each class of flows, transforms and schemas that is named as an error, with its bases."""
    classes = (node for path in modules("flows", "transforms", "schemas") for node in ast.walk(tree_of(path)))
    return {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for node in classes
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
    }


def test_every_error_descends_from_the_root_of_the_tree() -> None:
    bases = error_classes()
    joined = {"TicRatesError"}
    while more := {name for name in bases if name not in joined and bases[name] & joined}:
        joined |= more
    assert set(bases) - joined == BELOW_THE_TREE


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (TicRatesError, 1),
        (UsageError, 2),
        (BadFileError, 3),
        (NothingUsableError, 4),
        (OutOfResourcesError, 4),
        (OutageError, 4),
    ],
)
def test_branches_carry_the_documented_exit_codes(error: type[TicRatesError], exit_code: int) -> None:
    assert error.exit_code == exit_code

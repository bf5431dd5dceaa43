"""The faults that mutation testing plants: what they are, how they are named, and that what survives is explained."""

import ast
from pathlib import Path

import pytest

from tests.mutants.plant import plant
from tests.mutants.runner import mutants_of, sample
from tests.mutants.survivors import as_entries, is_known, known_survivors, no_longer_there, unexplained
from tests.mutants.targets import TARGETS
from tests.shared_files import REPOSITORY


def faults(code: str) -> dict[str, str]:
    """Each fault of a module by its name, with the module's text."""
    source = code.encode()
    return {mutant.name: mutant.apply(source).decode() for mutant in plant("a.py", source)}


@pytest.mark.parametrize(
    ("code", "planted"),
    [
        ("a < b", {"module: a < b -> <=": "(a <= b)"}),
        ("a not in b", {"module: a not in b -> in": "(a in b)"}),
        ("a + 1", {"module: a + 1 -> -": "(a - 1)", "module: 1 -> 2": "a + (2)"}),
        ("a & ~b", {"module: a & ~b -> |": "(a | (~b))", "module: ~b -> b": "a & (b)"}),
        (
            "a and b or c",
            {"module: a and b or c -> and": "((a and b) and c)", "module: a and b -> or": "(a or b) or c"},
        ),
        ("x = True", {"module: True -> False": "x = False"}),
        ("x = b if a else c", {"module: if a -> not": "x = b if (not a) else c"}),
        ("[x for x in y if x]", {"module: if x -> dropped": "[x for x in y if True]"}),
        ("a.sort(b)", {"module: .sort(b) -> dropped": "(a)"}),
        ("pl.col(a)", {}),
        ("pl.min_horizontal(a)", {"module: .min_horizontal -> .max_horizontal": "pl.max_horizontal(a)"}),
        (
            "a.join(b, how='semi', on=c)",
            {
                "module: how='semi' -> dropped": "a.join(b, **{}, on=c)",
            },
        ),
        ("raise E(a + b)", {}),
        ('"""Says 1 + 1."""', {}),
        ("x: int = 1", {"module: 1 -> 2": "x: int = (2)"}),
        ('f"{a + 1}"', {}),
    ],
)
def test_a_fault_replaces_one_expression_by_a_likely_mistake(code: str, planted: dict[str, str]) -> None:
    assert faults(code) == planted


def test_faults_alike_in_one_function_are_numbered_and_named_by_their_function() -> None:
    code = "class A:\n    def b(self):\n        return 1, 1\ndef c():\n    return 1"
    assert list(faults(code)) == ["A.b: 1 -> 2", "A.b: 1 -> 2 #2", "c: 1 -> 2"]


def test_long_expressions_and_lines_are_named_shortly() -> None:
    (name, *_) = faults("x = (" + " +\n  ".join(f"name_{n}" for n in range(30)) + ")")
    assert len(name) < 110 and "\n" not in name


def test_every_module_has_faults_and_each_is_python_with_a_name_of_its_own() -> None:
    assert len({target.path for target in TARGETS}) == len(TARGETS)
    for target in TARGETS:
        source = (REPOSITORY / target.path).read_bytes()
        found = plant(target.path, source)
        assert len(found) > 5
        assert len({mutant.name for mutant in found}) == len(found)
        for mutant in found[::5]:
            assert ast.dump(ast.parse(mutant.apply(source))) != ast.dump(ast.parse(source)), mutant.name
        assert all((REPOSITORY / test.partition("::")[0]).is_file() for test in target.tests)


def test_every_survivor_answers_to_a_fault_and_has_a_reason() -> None:
    known = known_survivors()
    assert no_longer_there(known, mutants_of(TARGETS)) == []
    assert unexplained(known) == []


def test_survivors_are_written_as_they_are_read(tmp_path: Path) -> None:
    found = plant("a.py", b"x = a['b'] < 1\ny = a < 1")
    path = tmp_path / "SURVIVORS.toml"
    path.write_text(as_entries(found), encoding="utf-8")
    known = known_survivors(path)
    assert all(is_known(mutant, known) for mutant in found)
    assert len(unexplained(known)) == len(found)
    assert no_longer_there(known, {"a.py": found}) == [] != no_longer_there(known, {"a.py": found[1:]})
    assert not is_known(found[0], {})


def test_a_sample_is_the_seeds_and_in_order() -> None:
    found = plant("a.py", b"x = [" + b"1, " * 50 + b"]")
    chosen = sample(found, 10, seed=3)
    assert chosen == sample(found, 10, seed=3) != sample(found, 10, seed=4)
    assert [mutant.start for mutant in chosen] == sorted(mutant.start for mutant in chosen)
    assert sample(found, 99, seed=3) == found

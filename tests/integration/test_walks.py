"""Whatever ran before and whatever became of the cache, a publication gives the bytes of a clean run."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.effort import usually
from tests.walk import QUICK, SAME_TABLES, STEPS, WAYS, Capture, World, published

WALKS = 3  # of the default tests: together they take every step of ``QUICK``


def walk(world: World, names: Sequence[str]) -> None:
    """Take the steps; after each, publish in one of the ways, and at last in all of them."""
    history: list[str] = []
    expected: dict[str, str] = {}
    for name in ("begin", *names, "end"):
        if name in STEPS:
            STEPS[name](world)
        if name not in SAME_TABLES and name != "end":
            expected = world.clean_tables()
        for way in WAYS if name == "end" else [world.chance.choice(WAYS)]:
            ended = world.publish(way)
            history += [name, way]
            assert ended.code == 0, (history, ended.err)
            assert published(world.output) == expected, history


@pytest.mark.slow
@pytest.mark.parametrize("part", range(WALKS))
def test_tables_are_those_of_a_clean_run_after_every_step(
    part: int, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = random.Random(17).sample([*QUICK], len(QUICK))
    walk(World(tmp_path, capsys, monkeypatch, part), names[part::WALKS])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(usually(3, 60)))
def test_long_walks_end_at_the_tables_of_a_clean_run(
    seed: int, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, capsys, monkeypatch, seed)
    walk(world, world.chance.choices([*STEPS], k=15))

"""The faults that no test catches, and why: ``SURVIVORS.toml``, kept honest."""

import json
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from tests.mutants.plant import Mutant

SURVIVORS = Path(__file__).with_name("SURVIVORS.toml")

Known = Mapping[str, Mapping[str, str]]  # by path, the fault's name and the reason


def known_survivors(path: Path = SURVIVORS) -> Known:
    """What is written down: by module, each fault and why it changes nothing that is promised."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def is_known(mutant: Mutant, known: Known) -> bool:
    """Whether its survival is explained."""
    return mutant.name in known.get(mutant.path, {})


def no_longer_there(known: Known, mutants: Mapping[str, Collection[Mutant]]) -> list[str]:
    """Entries that no fault answers to: the code has changed, and the entry goes."""
    there = {(path, mutant.name) for path, found in mutants.items() for mutant in found}
    return [f"{path} {name}" for path, names in known.items() for name in names if (path, name) not in there]


def unexplained(known: Known) -> list[str]:
    """Entries without a reason."""
    return [f"{path} {name}" for path, names in known.items() for name, why in names.items() if not why.strip()]


def as_entries(mutants: Iterable[Mutant]) -> str:
    """The faults as entries to be explained, in the file's form."""
    lines: list[str] = []
    path = ""
    for mutant in sorted(mutants, key=lambda mutant: (mutant.path, mutant.start)):
        if mutant.path != path:
            path = mutant.path
            lines.append(f'\n["{path}"]')
        lines.append(f'{json.dumps(mutant.name)} = ""')
    return "\n".join(lines)

"""The lock and pyproject.toml, read: which releases, from which files, and which of our dependencies needs them."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
LOCK = REPOSITORY / "requirements.lock"
ROOT = "tic-rates"
RELEASE = re.compile(r"(?P<name>[a-z0-9-]+)(\[[^]]*\])?==(?P<version>\S+)( ; (?P<marker>[^\\]+?))?( \\)?")
HASH = re.compile(r"    --hash=sha256:([0-9a-f]{64})( \\)?")
NEEDED_BY = re.compile(r"    #(?: via|  ) ([a-z0-9-]+)( \(pyproject\.toml(:[a-z]+)?\))?")


@dataclass(frozen=True)
class Release:
    """One pinned release: its files' SHA-256, and the packages (``tic-rates`` among them) that require it."""

    name: str
    version: str
    marker: str | None
    sha256: tuple[str, ...]
    required_by: tuple[str, ...]


def blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    """A release's line and the indented ones below it."""
    block: list[str] = []
    for line in lines:
        if not line.startswith(" ") and block:
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def release_of(block: list[str]) -> Release:
    """Raises: ValueError: a line is none of release, hash and requirer, such as an index's address."""
    head = RELEASE.fullmatch(block[0])
    below = [(HASH.fullmatch(line), NEEDED_BY.fullmatch(line), line) for line in block[1:]]
    strange = [line for hashed, needed, line in below if not hashed and not needed and line != "    # via"]
    if not head or strange:
        raise ValueError(
            f"requirements.lock: what is {strange[0] if head else block[0]!r}? Make the lock by `make lock`"
        )
    sha256 = tuple(hashed[1] for hashed, _, _ in below if hashed)
    required_by = tuple(needed[1] for hashed, needed, _ in below if needed and not hashed)
    return Release(head["name"], head["version"], head["marker"], sha256, required_by)


def read_lock(text: str) -> list[Release]:
    """Every pinned release, by name."""
    return sorted((release_of(block) for block in blocks(text.splitlines())), key=lambda one: (one.name, one.version))


@cache
def locked() -> tuple[Release, ...]:
    """The releases of the committed lock."""
    return tuple(read_lock(LOCK.read_text(encoding="utf-8")))


@cache
def pyproject() -> Mapping[str, Mapping[str, object]]:
    """The committed pyproject.toml."""
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def requirements(stated: object) -> list[Requirement]:
    """A list of pyproject.toml, read."""
    assert isinstance(stated, list)
    return [Requirement(line) for line in stated]


def names(stated: Iterable[Requirement]) -> frozenset[str]:
    """Package names as the lock writes them."""
    return frozenset(canonicalize_name(requirement.name) for requirement in stated)


def to_run() -> list[Requirement]:
    """What an installed `tic-rates` requires."""
    return requirements(pyproject()["project"]["dependencies"])


def to_develop() -> list[Requirement]:
    """What the tests, the lint and the build require besides."""
    extras = pyproject()["project"]["optional-dependencies"]
    assert isinstance(extras, dict)
    return [requirement for stated in extras.values() for requirement in requirements(stated)]


def direct_dependencies(releases: Iterable[Release], direct: Iterable[str]) -> dict[str, frozenset[str]]:
    """For each package, those of ``direct`` that need it, themselves or through others."""
    required = {release.name: set(release.required_by) - {ROOT} for release in releases}
    needs = {name: {name} & set(direct) for name in required}
    changed = True
    while changed:
        wider = {name: needs[name].union(*(needs[by] for by in required[name])) for name in required}
        needs, changed = wider, wider != needs
    return {name: frozenset(found) for name, found in needs.items()}

"""`make licences`: the licence of every locked package, as its own metadata state it, into .ci/licences.md.

Bundled parts of wheels are not taken apart: numpy's hold OpenBLAS and GCC's runtime (GPL-3.0 with the exception that
lets anything link it), which numpy's own licence file lists.
"""

import re
from collections.abc import Iterable
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path
from typing import NamedTuple

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from tests.supply.lock import REPOSITORY, Release, direct_dependencies, locked, names, to_develop, to_run

TABLE = REPOSITORY / ".ci" / "licences.md"
UNKNOWN = "unknown"

# Any part of an expression that is one of these needs no word. All let us use, change and pass on, with their notice.
PERMITTED = frozenset(
    "0BSD, Apache-2.0, Apache-2.0 WITH LLVM-exception, BSD, BSD-2-Clause, BSD-3-Clause, CC0-1.0, CNRI-Python, ISC, "
    "MIT, MIT-0, PSF-2.0, Zlib".split(", ")
)
# Copyleft, and licences that appear once: by package, so that a further one is looked at before it comes in.
REVIEWED = {
    "certifi": {"MPL-2.0"},  # copyleft by file: Mozilla's certificates, used unchanged
    "hypothesis": {"MPL-2.0"},  # copyleft by file: tests alone, used unchanged
    "orjson": {"MPL-2.0"},  # copyleft by file: used unchanged
    "pathspec": {"MPL-2.0"},  # copyleft by file: used unchanged
    "text-unidecode": {"Artistic-1.0", "GPL-2.0-or-later"},  # a choice: taken under the Artistic License
}

# What older metadata say without an SPDX name. "BSD" is some BSD licence, which one the metadata don't say.
SPELLINGS = {
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "BSD": "BSD",
    "BSD License": "BSD",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "MIT license": "MIT",
    "MIT Licence": "MIT",
    "The MIT License (MIT)": "MIT",
    "PSF": "PSF-2.0",
    "Artistic License": "Artistic-1.0",
    "Apache Software License": "Apache-2.0",
    "GNU General Public License (GPL)": "GPL-2.0-or-later",  # beside the next one, which says which
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# Packages of other platforms and Pythons, which are not installed here: read from their wheels, by `pip download`.
ELSEWHERE = {
    ("async-timeout", "5.0.1"): ("Apache-2.0", "licence field"),
    ("pywin32", "312"): ("PSF-2.0", "licence field"),
    ("whenever", "0.10.5"): ("MIT", "expression"),
}


class Licence(NamedTuple):
    """A licence and the metadata field that states it."""

    expression: str
    stated: str


def spelled(text: str) -> str:
    """An SPDX expression, or UNKNOWN. Texts of many lines, a whole licence, count by their first."""
    first = text.strip().partition("\n")[0].strip()
    try:
        return SPELLINGS.get(first) or canonicalize_license_expression(first)
    except InvalidLicenseExpression:
        return UNKNOWN


def of_classifiers(stated: Iterable[str]) -> str:
    """Several classifiers are a choice between them."""
    last = [line.rpartition(" :: ")[2] for line in stated if line.startswith("License :: ")]
    return " OR ".join(sorted({spelled(line) for line in last})) or UNKNOWN


def licence_of(package: PackageMetadata) -> Licence:
    """The SPDX expression where there is one, else the licence field, else the classifiers."""
    if "License-Expression" in package:
        return Licence(canonicalize_license_expression(package["License-Expression"]), "expression")
    field = spelled(package["License"]) if "License" in package else UNKNOWN
    if field not in (UNKNOWN, "BSD", "Artistic-1.0"):  # classifiers say more than these
        return Licence(field, "licence field")
    classified = of_classifiers(package.get_all("Classifier") or [])
    return Licence(field, "licence field") if classified == UNKNOWN else Licence(classified, "classifiers")


def installed_licence(release: Release) -> Licence:
    """Raises: ValueError: the release is not what is installed, nor among those reviewed for other platforms."""
    elsewhere = ELSEWHERE.get((release.name, release.version))
    if elsewhere:
        return Licence(*elsewhere)
    try:
        package = metadata(release.name)
    except PackageNotFoundError:
        raise ValueError(
            f"{release.name} {release.version} is not installed here ({release.marker or 'install the lock'}): "
            "`pip download --no-deps` its wheel, read METADATA, and add it to ELSEWHERE in tests/supply/licences.py"
        ) from None
    if package["Version"] != release.version:
        raise ValueError(
            f"{release.name} {package['Version']} is installed, {release.version} locked: install the lock"
        )
    return licence_of(package)


def parts(expression: str) -> set[str]:
    """The licences an SPDX expression names."""
    return {part.strip(" ()") for part in re.split(r" AND | OR ", expression)}


def not_permitted(name: str, expression: str) -> set[str]:
    """The licences that nobody has looked at for this package."""
    return parts(expression) - PERMITTED - REVIEWED.get(name, set())


def line(release: Release, licence: Licence, run: frozenset[str], develop: frozenset[str]) -> str:
    """A row of the table."""
    needed = ", ".join(sorted(run)) or ", ".join(sorted(develop))
    use = "run" if run else "develop"
    return f"| {release.name} | {release.version} | {licence.expression} | {licence.stated} | {use} | {needed} |"


def written(releases: Iterable[Release]) -> str:
    """The table, as .ci/licences.md holds it."""
    releases = list(releases)
    run = direct_dependencies(releases, names(to_run()))
    develop = direct_dependencies(releases, names(to_develop()))
    rows = [line(one, installed_licence(one), run[one.name], develop[one.name]) for one in releases]
    return "\n".join((HEAD, *rows, ""))


HEAD = """\
# Licences of what is locked

Made by `make licences` from requirements.lock and the packages' own metadata; `tests/unit/test_supply.py` checks it.
`stated`: where the metadata say so: an SPDX expression, the free licence field, or classifiers (several are a choice;
"BSD" is one whose variant they don't name). `use`: `run` comes with an installed `tic-rates`, `develop` only with the
tests, lint and build. `needed by`: our direct dependencies that bring it. What wheels bundle (numpy's: OpenBLAS, and
GCC's runtime under the GPL-3.0 with its linking exception) stands in their own licence files.

| package | version | licence | stated | use | needed by |
| --- | --- | --- | --- | --- | --- |"""


def read_table(table: Path = TABLE) -> dict[str, list[str]]:
    """The committed table's cells, by package."""
    rows = [row.strip("| ").split(" | ") for row in table.read_text(encoding="utf-8").splitlines() if row[:2] == "| "]
    return {cells[0]: cells for cells in rows[2:]}


if __name__ == "__main__":
    TABLE.write_text(written(locked()), encoding="utf-8")

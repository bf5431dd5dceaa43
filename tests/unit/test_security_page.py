"""SECURITY.md says what is so: the tests it names exist, and its limits are the configuration's."""

import re
import tomllib

from flows.settings.config import example_text
from tests.supply.lock import REPOSITORY

TEXT = (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8")


def test_the_tests_and_files_it_names_exist() -> None:
    named = set(re.findall(r"`((?:tests|flows|transforms|schemas|\.ci)/[\w./]+)`", TEXT)) | set(
        re.findall(r"\]\((?!#)([^)]+)\)", TEXT)
    )
    assert len(named) > 20
    assert [name for name in sorted(named) if not (REPOSITORY / name).exists()] == []


def test_its_links_lead_to_its_headings() -> None:
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)}
    assert set(re.findall(r"\(#([^)]+)\)", TEXT)) <= headings


def test_its_limits_are_those_of_the_configuration_with_their_defaults() -> None:
    section = TEXT.partition("\n## Limits\n")[2].partition("\n## ")[0]
    stated = {name: int(value) for name, value in re.findall(r"^\| `(\w+)` \| ([\d_,]+) \|", section, re.MULTILINE)}
    assert stated == tomllib.loads(example_text())["limits"]


def test_the_make_targets_it_names_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert [one for one in re.findall(r"`make ([\w-]+)`", TEXT) if f"\n{one}:" not in makefile] == []

"""The documentation: links lead somewhere, generated pages are current, commands and options that it names exist."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.generate import GENERATED, REFERENCE
from tests.docs.pages import Block, anchors_of, commands_of, links_of, name_of, pages, shows, typed
from tests.shared_files import REPOSITORY

MOST_NOT_RUN = 19
MOST_README_LINES = 150
BLOCKS = [block for page in pages() for block in commands_of(page)]
_SECTION = re.compile(r"^## tic-rates ?([a-z ]*)\n\n```text\n(.*?)^```$", re.M | re.S)


def known_commands() -> dict[str, str]:
    """Each command of docs/reference/commands.md with its help."""
    return dict(_SECTION.findall((REFERENCE / "commands.md").read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    broken = []
    for link in links_of(page):
        target, _, anchor = link.partition("#")
        if re.match(r"\w+:", link):
            continue
        file = (page.parent / unquote(target)).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors_of(file)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_files_of_the_repository_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`((?:tests|flows|transforms|schemas|docs|\.ci)/[\w./-]*)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (REPOSITORY / name).exists()] == []


def test_every_page_is_linked_from_the_readme() -> None:
    found, waiting = set(), [REPOSITORY / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in found or page.suffix != ".md":
            continue
        found.add(page)
        targets = (link.partition("#")[0] for link in links_of(page) if not re.match(r"\w+:", link))
        waiting += ((page.parent / target).resolve() for target in targets if target)
    assert set(pages()) - found == set()


def test_the_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()) <= MOST_README_LINES


@pytest.mark.parametrize("page", GENERATED, ids=name_of)
def test_generated_pages_are_current(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == GENERATED[page](), "run `make docs`"


def test_commands_that_are_not_run_are_few_and_have_a_reason() -> None:
    not_run = [f"{block.place}: {block.not_run}" for block in BLOCKS if block.not_run]
    print("\n".join(not_run))
    assert len(not_run) <= MOST_NOT_RUN, "\n".join(not_run)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_commands_and_options_of_a_block_are_in_the_help(block: Block) -> None:
    known = known_commands()
    for words in re.findall(
        r"(?:^|[|&;(] *)tic-rates ([^|&;#>\n]*)", "\n".join(typed(block)).replace("\\\n", " "), re.M
    ):
        name = next((n for n in sorted(known, key=len, reverse=True) if n and f"{words} ".startswith(f"{n} ")), None)
        assert name, f"{block.place}: tic-rates {words}"
        unknown = [option for option in re.findall(r"(?:^| )(--[\w-]+)", words) if option not in known[name]]
        assert unknown == [], f"{block.place}: tic-rates {words}"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_make_targets_of_a_block_exist(block: Block) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make ([\w-]+)", "\n".join(typed(block)), re.M)
    assert [target for target in targets if f"\n{target}:" not in makefile] == []


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\n...\nd", "a\nb\nc\nd\n", True),
        ("a\n...\nd", "a\nd", True),
        ("a\n...", "a\nb", True),
        ("took ... s", "took 3.7 s", True),
        ("took ... s", "took 3.7 s\nmore", False),
        ("a", "b", False),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_dots_stand_for_what_is_left_out(shown: str, printed: str, *, same: bool) -> None:
    assert shows(shown, printed) is same

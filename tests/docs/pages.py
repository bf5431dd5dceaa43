"""Pages of the documentation: their code blocks, links and headings."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.shared_files import REPOSITORY

_FENCE = re.compile(r"^(?:<!-- not run: (?P<reason>.+?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.M)


@dataclass(frozen=True)
class Block:
    """A fenced block. ``not_run`` is the reason in the comment above it, if there is one."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None

    @property
    def place(self) -> str:
        """``README.md:12``."""
        return f"{name_of(self.page)}:{self.line}"


@dataclass(frozen=True)
class Step:
    """One command of a ``console`` block and what the page shows of its output."""

    command: str
    shown: str


def pages() -> list[Path]:
    """README first, then the other pages at the root and all of docs/, by name."""
    return [
        REPOSITORY / "README.md",
        *sorted({*REPOSITORY.glob("*.md")} - {REPOSITORY / "README.md"}),
        *sorted((REPOSITORY / "docs").rglob("*.md")),
    ]


def name_of(page: Path) -> str:
    """Its path in the repository."""
    return page.relative_to(REPOSITORY).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["language"], found["text"], found["reason"])
        for found in _FENCE.finditer(text)
    ]


def commands_of(page: Path) -> list[Block]:
    """The blocks that a reader types: ``sh`` and ``console``."""
    return [block for block in blocks_of(page) if block.language in {"sh", "console"}]


def steps_of(block: Block) -> list[Step]:
    """The commands of a ``console`` block; a line that begins with ``> `` continues the one before it."""
    steps = []
    for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        lines = part.splitlines()
        more = next((no for no, line in enumerate(lines[1:], 1) if not line.startswith("> ")), len(lines))
        command = "\n".join([lines[0], *(line[2:] for line in lines[1:more])])
        steps.append(Step(command, "\n".join(lines[more:])))
    return steps


def typed(block: Block) -> list[str]:
    """The lines of a block that are typed, without prompts."""
    if block.language == "sh":
        return block.text.splitlines()
    return [line for step in steps_of(block) for line in step.command.splitlines()]


def shows(shown: str, printed: str) -> bool:
    """Whether the output is as shown: ``...`` alone in a line is any number of lines, within a line any text."""
    lines = [
        r"(?:.*\n)*?" if line.strip() == "..." else ".*?".join(map(re.escape, line.rstrip().split("..."))) + r"[ ]*\n"
        for line in shown.splitlines()
    ]
    return re.fullmatch("".join(lines), "".join(f"{line}\n" for line in printed.splitlines())) is not None


def links_of(page: Path) -> list[str]:
    """The targets of all links and pictures outside of fenced blocks."""
    return _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))


def anchors_of(page: Path) -> set[str]:
    """What ``#...`` may name: the headings in lower case, without punctuation, with hyphens for blanks."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

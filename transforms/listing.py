"""The distinct files of tables of contents, each with counts and names instead of copies, and which of them are wanted.

Memory: the distinct files, and of one structure which of them it mentions.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from transforms.contents import ListedFile, StructureEnd

MAX_NETWORKS = 20


@dataclass(frozen=True)
class Choice:
    """Which files are wanted, by regular expressions searched in description and name; no ``include`` means all."""

    include: tuple[re.Pattern[str], ...] = ()
    exclude: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def of(cls, include: Iterable[str], exclude: Iterable[str]) -> "Choice":
        """From patterns that are known to compile."""
        return cls(tuple(map(re.compile, include)), tuple(map(re.compile, exclude)))


@dataclass(slots=True)
class FoundFile:
    """One distinct file. ``included`` and ``excluded``: by any of its mentions, so that their order says nothing."""

    name: str  # without query, which is what patterns see
    location: str  # as last mentioned: that signature may be the freshest
    contents: str | None = None  # the table of contents that mentioned it last
    refused: bool = False  # a location that can't be followed
    description: str | None = None
    mentions: int = 0
    plans: int = 0
    networks: tuple[str, ...] = ()  # the first ``MAX_NETWORKS`` by name
    included: bool = False
    excluded: bool = False

    def judge(self, text: str, choice: Choice) -> None:
        """Search the patterns in one of the texts that belong to this file."""
        self.included = self.included or not choice.include or any(each.search(text) for each in choice.include)
        self.excluded = self.excluded or any(each.search(text) for each in choice.exclude)

    def add_networks(self, names: tuple[str, ...]) -> None:
        """Note names of networks."""
        if names:
            self.networks = tuple(sorted({*self.networks, *names}))[:MAX_NETWORKS]

    @property
    def wanted(self) -> bool:
        """``exclude`` goes before ``include``."""
        return self.included and not self.excluded


@dataclass
class Listing:
    """Distinct files by host and path, in order of first mention."""

    choice: Choice = field(default_factory=Choice)
    files: dict[str, FoundFile] = field(default_factory=dict)
    _mentioned: dict[str, FoundFile] = field(default_factory=dict)  # by the structure that is being read

    def add(self, name: str, location: str, contents: str | None = None, *, refused: bool = False) -> FoundFile:
        """The file of that name, now known by its latest location."""
        key = _key(name)
        file = self.files.get(key)
        if file is None:
            file = self.files[key] = FoundFile(name, location, refused=refused)
            file.judge(name, self.choice)
        file.location, file.contents = location, contents or file.contents
        return file

    def mention(self, listed: ListedFile, name: str, location: str | None, contents: str) -> None:
        """Note a file as a structure lists it; ``location`` None: it can't be followed."""
        file = self.add(name, location or listed.location, contents, refused=location is None)
        file.mentions += 1
        file.add_networks(listed.networks)
        self._mentioned[_key(name)] = file
        if listed.description is not None and listed.description != file.description:
            file.judge(listed.description, self.choice)
            file.description = file.description or listed.description

    def end_structure(self, end: StructureEnd) -> None:
        """Add what is known of a structure to each file that it mentions."""
        for file in self._mentioned.values():
            file.plans += end.plans
            file.add_networks(end.networks)
        self._mentioned.clear()

    def merge(self, later: "Listing") -> None:
        """Add the files of a table that was read later."""
        for key, file in later.files.items():
            known = self.files.setdefault(key, file)
            if known is not file:
                known.location, known.contents, known.refused = file.location, file.contents, file.refused
                known.description = known.description or file.description
                known.mentions += file.mentions
                known.plans += file.plans
                known.add_networks(file.networks)
                known.included = known.included or file.included
                known.excluded = known.excluded or file.excluded


def _key(name: str) -> str:
    """Host and path: the scheme makes no other file of it."""
    return name.partition("://")[2] or name

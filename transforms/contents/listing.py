"""The distinct files of indexes, each with counts and names instead of copies, and which of them are wanted.

Memory: the distinct files, some 600 bytes each, and of one structure which of them it mentions, eight bytes each.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from transforms.contents.index_values import NO_PLANS, ListedFile, Plans, StructureEnd
from transforms.contents.names import NO_NAMES, Names
from transforms.contents.signatures import own_query

Resolve = Callable[[str], tuple[str, str | None]]  # a location as (name, what to fetch, or None: it can't be followed)

MAX_CACHED_TEXTS = 10_000
MAX_CACHED_LOCATIONS = 20_000
_HTTP, _HTTPS = "http://", "https://"
_WEB = (_HTTP, _HTTPS)


@dataclass(frozen=True)
class Choice:
    """Which files are wanted, by regular expressions searched in description and name; no ``include`` means all."""

    include: tuple[re.Pattern[str], ...] = ()
    exclude: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def of(cls, include: Iterable[str], exclude: Iterable[str]) -> "Choice":
        """From patterns that are known to compile."""
        return cls(tuple(map(re.compile, include)), tuple(map(re.compile, exclude)))

    def matches(self, text: str) -> tuple[bool, bool]:
        """Whether the text belongs to an included file, and to an excluded one."""
        included = not self.include or any(each.search(text) for each in self.include)
        return included, any(each.search(text) for each in self.exclude)


@dataclass(slots=True)
class FoundFile:
    """One distinct file. ``included`` and ``excluded``: by any of its mentions, so that their order says nothing."""

    name: str  # without query, which is what patterns see
    location: str  # as last mentioned: that signature may be the freshest
    contents: str | None = None  # the index that mentioned it last
    refused: bool = False  # a location that can't be followed
    description: str | None = None
    mentions: int = 0
    plans: Plans = NO_PLANS  # of the structures that mention it, summed
    networks: Names = NO_NAMES
    included: bool = False
    excluded: bool = False
    structure: int = 0  # the number of the structure that mentioned it last
    updated: str | None = None  # last_updated_on of the index, as stated
    in_month: bool = False  # by the address or the date of an index that lists it

    def add_match(self, match: tuple[bool, bool]) -> None:
        """Add whether one of the texts that belong to this file is included or excluded."""
        self.included = self.included or match[0]
        self.excluded = self.excluded or match[1]

    @property
    def wanted(self) -> bool:
        """``exclude`` goes before ``include``."""
        return self.included and not self.excluded


@dataclass
class Listing:
    """Distinct files by ``key_of``, in order of first mention."""

    choice: Choice = field(default_factory=Choice)
    files: dict[str, FoundFile] = field(default_factory=dict)
    _structure: int = 1  # the number of the one that is being read
    _mentioned: list[FoundFile] = field(default_factory=list)  # by it
    _located: dict[str, FoundFile] = field(default_factory=dict)  # by locations seen lately, as stated
    _matches: dict[str, tuple[bool, bool]] = field(default_factory=dict)  # of descriptions seen lately
    _texts: dict[str, str] = field(default_factory=dict)  # one copy of each

    def add(self, name: str, location: str, contents: str | None = None, *, refused: bool = False) -> FoundFile:
        """The file of that key, now known by its latest location.

        Args: contents: the index that lists it; None: the user does, whose address names a file with all its query.
        """
        key = name if refused else key_of(name, location) if contents is not None else _secure(location)
        file = self.files.get(key)
        if file is None:
            file = self.files[key] = FoundFile(name, name, refused=refused)
            file.add_match(self.choice.matches(name))
        if file.location != location:  # else one copy will do
            file.location = location
        file.contents = contents or file.contents
        return file

    def add_files(self, listed: Sequence[ListedFile], resolve: Resolve, contents: str) -> None:
        """Add files as a structure lists them. A blank location names no file."""
        if len(self._located) > MAX_CACHED_LOCATIONS:
            self._located.clear()
        located, structure, mentioned = self._located, self._structure, self._mentioned
        for each in listed:
            location = each.location
            file = located.get(location)
            if file is not None:
                file.location, file.contents = location, contents
            elif stripped := location.strip():
                name, followed = resolve(stripped)
                file = self.add(name, followed or name, contents, refused=followed is None)
                if file.location == location:
                    located[location] = file
            else:
                continue
            file.mentions += 1
            if file.structure != structure:
                file.structure = structure
                mentioned.append(file)
            if each.description is not None and each.description != file.description:
                self._describe(file, each.description)
            if each.networks is not NO_NAMES:
                file.networks = file.networks.plus(each.networks)

    def _describe(self, file: FoundFile, description: str) -> None:
        if len(self._texts) >= MAX_CACHED_TEXTS:
            self._texts.clear()
            self._matches.clear()
        description = self._texts.setdefault(description, description)
        match = self._matches.get(description)
        if match is None:
            match = self._matches[description] = self.choice.matches(description)
        file.add_match(match)
        file.description = file.description or description

    def end_structure(self, end: StructureEnd) -> None:
        """Add what is known of a structure to each file that it mentions."""
        before, after = NO_PLANS, NO_PLANS.plus(end.plans)
        for file in self._mentioned:
            if file.plans is not before:  # most files of a structure have the same ones
                before, after = file.plans, file.plans.plus(end.plans)
            file.plans = after
            if end.networks is not NO_NAMES:
                file.networks = file.networks.plus(end.networks)
        self._mentioned.clear()
        self._structure += 1

    def merge(self, later: "Listing") -> None:
        """Add the files of an index that was read later."""
        for key, file in later.files.items():
            known = self.files.setdefault(key, file)
            if known is not file:
                known.location, known.contents, known.refused = file.location, file.contents, file.refused
                known.description = known.description or file.description
                known.mentions += file.mentions
                known.plans = known.plans.plus(file.plans)
                known.networks = known.networks.plus(file.networks)
                known.in_month = known.in_month or file.in_month
                known.add_match((file.included, file.excluded))


def key_of(name: str, location: str) -> str:
    """What distinguishes a listed file: host, path and what of the query does not sign, as an https address.

    Args: name: the address without query and credentials. location: the whole address, or a path.
    """
    return _secure(name) + (own_query(location) if name.startswith(_WEB) else "")


def _secure(address: str) -> str:
    """As an https address: another scheme makes no other file of it."""
    return f"{_HTTPS}{address.removeprefix(_HTTP)}" if address.startswith(_HTTP) else address

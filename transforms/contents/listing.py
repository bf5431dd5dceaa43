"""The distinct files of tables of contents, each with counts and names instead of copies, and which of them are wanted.

Memory: the distinct files, some 600 bytes each, and of one structure which of them it mentions, eight bytes each.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from transforms.contents.contents import ListedFiles, StructureEnd
from transforms.contents.names import NO_NAMES, Names
from transforms.contents.signatures import own_query

Resolve = Callable[[str], tuple[str, str | None]]  # a location as (name, what to fetch, or None: it can't be followed)

MAX_KEPT_TEXTS = 10_000
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

    def judge(self, text: str) -> tuple[bool, bool]:
        """Whether the text belongs to an included file, and to an excluded one."""
        if not (self.include or self.exclude):
            return True, False
        included = not self.include or any(each.search(text) for each in self.include)
        return included, any(each.search(text) for each in self.exclude)


@dataclass(slots=True)
class FoundFile:
    """One distinct file. ``included`` and ``excluded``: by any of its mentions, so that their order says nothing."""

    name: str  # without query, which is what patterns see
    location: str  # as last mentioned: that signature may be the freshest
    contents: str | None = None  # the table of contents that mentioned it last
    refused: bool = False  # a location that can't be followed
    description: str | None = None
    mentions: int = 0
    plans: int = 0  # of the structures that mention it, summed
    plan_names: Names = NO_NAMES
    networks: Names = NO_NAMES
    included: bool = False
    excluded: bool = False
    structure: int = 0  # the number of the structure that mentioned it last
    updated: str | None = None  # last_updated_on of the table of contents, as stated
    in_month: bool = False  # by the address or the date of a table of contents that lists it

    def note(self, verdict: tuple[bool, bool]) -> None:
        """A verdict on one of the texts that belong to this file."""
        self.included = self.included or verdict[0]
        self.excluded = self.excluded or verdict[1]

    @property
    def wanted(self) -> bool:
        """``exclude`` goes before ``include``."""
        return self.included and not self.excluded


@dataclass(slots=True)
class _Group:
    """A list of files that structures repeat: mentioned once in full, then counted until ``Listing.settle``."""

    listed: ListedFiles
    mentions: list[FoundFile]  # as listed
    locations: list[tuple[FoundFile, str]]  # of each once
    times: int = 0
    plans: int = 0
    plan_names: Names = NO_NAMES
    networks: Names = NO_NAMES
    structure: int = 0  # the number of the one that mentioned it last


@dataclass
class Listing:
    """Distinct files by ``key_of``, in order of first mention."""

    choice: Choice = field(default_factory=Choice)
    files: dict[str, FoundFile] = field(default_factory=dict)
    _structure: int = 1  # the number of the one that is being read
    _mentioned: list[FoundFile] = field(default_factory=list)  # by it
    _groups: dict[int, _Group] = field(default_factory=dict)  # by the identity of ``listed``
    _group: _Group | None = None  # all that the structure that is being read mentions
    _verdicts: dict[str, tuple[bool, bool]] = field(default_factory=dict)  # on descriptions seen lately
    _texts: dict[str, str] = field(default_factory=dict)  # one copy of each

    def add(self, name: str, location: str, contents: str | None = None, *, refused: bool = False) -> FoundFile:
        """The file of that key, now known by its latest location.

        Args: contents: the table that lists it; None: the user does, whose address names a file with all its query.
        """
        key = name if refused else key_of(name, location) if contents is not None else _secure(location)
        file = self.files.get(key)
        if file is None:
            file = self.files[key] = FoundFile(name, name, refused=refused)
            file.note(self.choice.judge(name))
        if file.location != location:  # else one copy will do
            file.location = location
        file.contents = contents or file.contents
        return file

    def mention(self, listed: ListedFiles, resolve: Resolve, contents: str) -> None:
        """Note files as a structure lists them. A blank location names no file. ``settle`` when all is read."""
        if not listed.kept or self._mentioned or self._group is not None:
            self._mention_each(listed, resolve, contents)
        elif (group := self._groups.get(id(listed))) is not None:
            group.times += 1
            self._group = group
        else:
            mentions = self._mention_each(listed, resolve, contents)
            self._groups[id(listed)] = _Group(listed, mentions, [(file, file.location) for file in self._mentioned])

    def _mention_each(self, listed: ListedFiles, resolve: Resolve, contents: str) -> list[FoundFile]:
        mentions = []
        known, structure, mentioned = self.files, self._structure, self._mentioned
        for each in listed.files:
            location = each.location
            file = known.get(location.partition("?")[0] + own_query(location) if "?" in location else location)
            if file is not None and not file.refused:  # as a key: absolute, and nothing to be taken away from it
                if file.location != location:
                    file.location = location
                if file.contents is not contents:
                    file.contents = contents
            elif location := location.strip():
                name, followed = resolve(location)
                file = self.add(name, followed or name, contents, refused=followed is None)
            else:
                continue
            mentions.append(file)
            file.mentions += 1
            if file.structure != structure:
                file.structure = structure
                mentioned.append(file)
            if each.description is not None and each.description != file.description:
                self._describe(file, each.description)
        if listed.networks:
            self._mention_networks(listed, resolve)
        return mentions

    def _mention_networks(self, listed: ListedFiles, resolve: Resolve) -> None:
        for each, networks in zip(listed.files, listed.networks, strict=True):
            if networks.first and (location := each.location.strip()):
                name, followed = resolve(location)
                file = self.files[name if followed is None else key_of(name, followed)]
                file.networks = file.networks.plus(networks)

    def _describe(self, file: FoundFile, description: str) -> None:
        if len(self._texts) >= MAX_KEPT_TEXTS:
            self._texts.clear()
            self._verdicts.clear()
        description = self._texts.setdefault(description, description)
        verdict = self._verdicts.get(description)
        if verdict is None:
            verdict = self._verdicts[description] = self.choice.judge(description)
        file.note(verdict)
        file.description = file.description or description

    def end_structure(self, end: StructureEnd) -> None:
        """Add what is known of a structure to each file that it mentions."""
        group = self._group
        if group is not None:
            group.plans += end.plans
            group.plan_names = group.plan_names.plus(end.plan_names)
            group.networks = group.networks.plus(end.networks)
            group.structure = self._structure
            self._group = None
        plans, mentioned = end.plans, self._mentioned
        for file in mentioned:
            file.plans += plans
        if end.plan_names.first:
            before = after = NO_NAMES.plus(end.plan_names)
            for file in mentioned:
                if file.plan_names is not before:  # most files of a structure have the same ones
                    before, after = file.plan_names, file.plan_names.plus(end.plan_names)
                file.plan_names = after
        if end.networks.first:
            for file in mentioned:
                file.networks = file.networks.plus(end.networks)
        mentioned.clear()
        self._structure += 1

    def settle(self) -> None:
        """Add what was counted for lists that were repeated, in the order of their last mention."""
        for group in sorted(self._groups.values(), key=lambda each: each.structure):
            if not group.times:
                continue
            for file in group.mentions:
                file.mentions += group.times
            for file, location in group.locations:
                if group.structure > file.structure:
                    file.location, file.structure = location, group.structure
                file.plans += group.plans
                file.plan_names = file.plan_names.plus(group.plan_names)
                file.networks = file.networks.plus(group.networks)
        self._groups.clear()

    def merge(self, later: "Listing") -> None:
        """Add the files of a table that was read later."""
        for key, file in later.files.items():
            known = self.files.setdefault(key, file)
            if known is not file:
                known.location, known.contents, known.refused = file.location, file.contents, file.refused
                known.description = known.description or file.description
                known.mentions += file.mentions
                known.plans += file.plans
                known.plan_names = known.plan_names.plus(file.plan_names)
                known.networks = known.networks.plus(file.networks)
                known.in_month = known.in_month or file.in_month
                known.note((file.included, file.excluded))


def key_of(name: str, location: str) -> str:
    """What tells a listed file from others: host, path and what of the query does not sign, as an https address.

    Args: name: the address without query and credentials. location: the whole address, or a path.
    """
    return _secure(name) + (own_query(location) if name.startswith(_WEB) else "")


def _secure(address: str) -> str:
    """As an https address: another scheme makes no other file of it."""
    return f"{_HTTPS}{address.removeprefix(_HTTP)}" if address.startswith(_HTTP) else address

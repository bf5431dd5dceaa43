"""The distinct files of indexes, each with counts and names instead of copies, and which of them are wanted.

Memory: see ``found_files``; and of one structure which files it mentions, eight bytes each.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from transforms.contents.found_files import FoundFile, FoundFiles
from transforms.contents.index_values import NO_PLANS, ListedFile, Plans, StructureEnd
from transforms.contents.kinds import IN_NETWORK, INDEX
from transforms.contents.names import NO_NAMES
from transforms.contents.signatures import only_signs, own_query

Resolve = Callable[[str], tuple[str, str | None]]  # a location as (name, what to fetch, or None: it can't be followed)

MAX_CACHED_TEXTS = 10_000
MAX_CACHED_LOCATIONS = 20_000
_READ = (IN_NETWORK, INDEX)
_HTTP, _HTTPS = "http://", "https://"
_WEB = (_HTTP, _HTTPS)


@dataclass(frozen=True)
class Choice:
    """Which of the listed files are wanted. A part that is empty wants all.

    include, exclude: regular expressions searched in description and name; ``exclude`` goes before ``include``.
    plan_market_types, plan_id_types: one of a file's own must be among them, whatever their case.
    min_plans: the least number of plans behind a file.
    """

    include: tuple[re.Pattern[str], ...] = ()
    exclude: tuple[re.Pattern[str], ...] = ()
    plan_market_types: frozenset[str] = frozenset()
    plan_id_types: frozenset[str] = frozenset()
    min_plans: int = 0

    @classmethod
    def of(
        cls,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        plan_market_types: Iterable[str] = (),
        plan_id_types: Iterable[str] = (),
        min_plans: int = 0,
    ) -> "Choice":
        """From patterns that are known to compile."""
        return cls(
            tuple(map(re.compile, include)),
            tuple(map(re.compile, exclude)),
            frozenset(map(_folded, plan_market_types)),
            frozenset(map(_folded, plan_id_types)),
            min_plans,
        )

    def as_keys(self) -> dict[str, Any]:
        """What ``of`` makes the same choice from."""
        return {
            "include": [each.pattern for each in self.include],
            "exclude": [each.pattern for each in self.exclude],
            "plan_market_types": sorted(self.plan_market_types),
            "plan_id_types": sorted(self.plan_id_types),
            "min_plans": self.min_plans,
        }

    def matches(self, text: str) -> tuple[bool, bool]:
        """Whether the text belongs to an included file, and to an excluded one."""
        included = not self.include or any(each.search(text) for each in self.include)
        return included, any(each.search(text) for each in self.exclude)

    def left_out_by(self, file: "FoundFile") -> str | None:
        """The part that leaves a file out; None: it is wanted. Parts about plans concern what an index lists."""
        plans = file.plans
        if file.excluded or not file.included:
            return "exclude" if file.excluded else "include"
        if file.contents is None:
            return None
        if self.plan_market_types and self.plan_market_types.isdisjoint(map(_folded, plans.market_types.first)):
            return "plan_market_types"
        if self.plan_id_types and self.plan_id_types.isdisjoint(map(_folded, plans.id_types.first)):
            return "plan_id_types"
        return "min_plans" if plans.count < self.min_plans else None


@dataclass
class Listing:
    """Distinct files by ``key_of``, in order of first mention.

    updated: the index's own date, for files without one. indexes: other indexes that are listed, likewise.
    skipped: mentions of files that are not read, by their kind.
    """

    choice: Choice = field(default_factory=Choice)
    updated: str | None = None
    files: FoundFiles = field(init=False)
    indexes: FoundFiles = field(init=False)
    skipped: Counter[str] = field(default_factory=Counter)
    _ends: dict[int, StructureEnd] = field(default_factory=dict)  # of structures that were open when files left memory
    _structure: int = 1  # the number of the one that is being read
    _mentioned: list[FoundFile] = field(default_factory=list)  # by it
    _leaves_open: bool = False  # files that it mentions have left memory, or may have
    _located: dict[str, FoundFile] = field(default_factory=dict)  # by locations seen lately, without signature
    _matches: dict[str, tuple[bool, bool]] = field(default_factory=dict)  # of descriptions seen lately
    _plans: dict[Plans, Plans] = field(default_factory=dict)  # seen lately
    _texts: dict[str, str] = field(default_factory=dict)  # one copy of each

    def __post_init__(self) -> None:
        self.files = FoundFiles(lambda file: self.choice.left_out_by(file) is None, self._ends)
        self.indexes = FoundFiles(lambda file: not file.excluded, self._ends)

    def add(
        self, name: str, location: str, contents: str | None = None, *, refused: bool = False, kind: str = IN_NETWORK
    ) -> FoundFile:
        """The file of that key, now known by its latest location.

        Args: contents: the index that lists it; None: the user does, whose address names a file with all its query.
        """
        files = self.files if kind == IN_NETWORK else self.indexes
        key = name if refused else key_of(name, location) if contents is not None else _secure(location)
        file = files.get(key)
        if file is None:
            file = files.add(key, FoundFile(name, name, refused=refused))
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
            location, kind = each.location, each.kind
            if kind not in _READ:
                self.skipped[kind] += 1
                continue
            before, _, query = location.partition("?")
            file = located.get(before) if kind == IN_NETWORK else None
            if file is not None and "#" not in query and only_signs(query):
                file.location, file.contents = location, contents
            elif stripped := location.strip():
                name, followed = resolve(stripped)
                file = self.add(name, followed or name, contents, refused=followed is None, kind=kind)
                if file.location == location and kind == IN_NETWORK and "#" not in query and only_signs(query):
                    located[before] = file
            else:
                continue
            file.mentions += 1
            if file.structure != structure:
                self.files.complete(file).structure = structure
                mentioned.append(file)
            if each.description is not None and each.description != file.description:
                self._describe(file, each.description)
            if each.networks is not NO_NAMES:
                file.networks = file.networks.plus(each.networks)
            if each.updated is not None:
                file.updated = self._texts.setdefault(each.updated, each.updated)
            file.bytes = each.bytes or file.bytes
        self.settle()

    def settle(self) -> None:
        """Let files that are not wanted leave memory, if there are many."""
        full = [files for files in (self.files, self.indexes) if files.is_full]
        if full:
            for file in self._mentioned:
                file.open = self._leaves_open = True
            self._mentioned.clear()
            self._located.clear()
        for files in full:
            files.settle()

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
        if self._leaves_open:
            self._ends[self._structure], self._leaves_open = end, False
        before, after = NO_PLANS, self._one_of(end.plans)
        for file in self._mentioned:
            if file.plans is not before:  # most files of a structure have the same ones
                before, after = file.plans, self._one_of(file.plans.plus(end.plans))
            file.plans = after
            if end.networks is not NO_NAMES:
                file.networks = file.networks.plus(end.networks)
        self._mentioned.clear()
        self._structure += 1

    def _one_of(self, plans: Plans) -> Plans:
        """The same object for equal plans: files of many structures share them."""
        if len(self._plans) >= MAX_CACHED_TEXTS:
            self._plans.clear()
        return self._plans.setdefault(plans, plans)

    def merge(self, later: "Listing", is_in_month: Callable[[FoundFile], bool]) -> None:
        """Add the files of an index that was read later, and what it lists that is not read."""
        self.skipped += later.skipped
        for files, others in ((self.files, later.files), (self.indexes, later.indexes)):
            for key, file in others.items():
                file.updated = file.updated or later.updated
                file.in_month = is_in_month(file)
                known = files.get(key)
                if known is None:
                    files.add(key, file)
                else:
                    _merge(known, file)
                if files.is_full:
                    files.settle()


def _merge(known: FoundFile, file: FoundFile) -> None:
    known.location, known.contents, known.refused = file.location, file.contents, file.refused
    known.description = known.description or file.description
    known.mentions += file.mentions
    known.plans = known.plans.plus(file.plans)
    known.networks = known.networks.plus(file.networks)
    known.bytes = file.bytes or known.bytes
    known.in_month = known.in_month or file.in_month
    known.add_match((file.included, file.excluded))


def key_of(name: str, location: str) -> str:
    """What distinguishes a listed file: host, path and what of the query does not sign, as an https address.

    Args: name: the address without query and credentials. location: the whole address, or a path.
    """
    return _secure(name) + (own_query(location) if name.startswith(_WEB) else "")


def _folded(text: str) -> str:
    return text.strip().casefold()


def _secure(address: str) -> str:
    """As an https address: another scheme makes no other file of it."""
    return f"{_HTTPS}{address.removeprefix(_HTTP)}" if address.startswith(_HTTP) else address

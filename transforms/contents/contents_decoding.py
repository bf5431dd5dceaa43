"""Complete pieces of a table of contents, decoded by msgspec; ``OddElementError``: for the plain reading."""

import re
from collections.abc import Sequence
from typing import cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from schemas.mrf import LISTED_KEY, STRUCTURES_ALIAS, STRUCTURES_KEY
from transforms.contents.contents import Found, Level, ListedFile, ListedFiles, StructureEnd
from transforms.contents.names import NO_NAMES, Names, name_of, names_of
from transforms.errors import OddElementError

MAX_KEPT_BYTES = 4 << 20
MAX_SEEN = 100_000
LONG_LIST = 1_000  # of names: the plain reading counts them
LOOKING, NOT_LOOKING = 8, 56  # batches: the first ones repeat little even where much is repeated later

_LISTED = f'"{LISTED_KEY}"'.encode()
_NETWORK = b'"network_name'
_STRUCTURES_KEYS = tuple(f'"{key}"'.encode() for key in (STRUCTURES_KEY, STRUCTURES_ALIAS))
_ESCAPED_LETTER = re.compile(rb"\\u00[567]")  # which could be one of a key's


class Plan(msgspec.Struct, gc=False):
    """An element of ``reporting_plans``."""

    plan_name: str | None = None


class File(ListedFile, gc=False):
    """An element of ``in_network_files``, which may name networks."""

    network_name: list[str] | str | UnsetType | None = UNSET
    network_names: list[str] | str | UnsetType | None = UNSET


class Structure(msgspec.Struct, gc=False):
    """An element of ``reporting_structure``, a whole table of contents, or some members of one of them."""

    in_network_files: list[File] | File | UnsetType | None = UNSET
    reporting_plans: list[Plan] | Plan | UnsetType | None = UNSET
    network_name: list[str] | str | UnsetType | None = UNSET
    network_names: list[str] | str | UnsetType | None = UNSET
    reporting_structure: "list[Structure] | Structure | UnsetType | None" = UNSET
    TOC_Files: "list[Structure] | Structure | UnsetType | None" = UNSET
    last_updated_on: str | UnsetType | None = UNSET
    in_network: Raw | UnsetType = UNSET
    in_networks: Raw | UnsetType = UNSET


class UnreadStructure(Structure, gc=False):
    """A structure whose list of files is not decoded yet, because another structure may have the same list."""

    in_network_files: Raw | UnsetType = UNSET  # type: ignore[assignment]


_STRUCTURES = msgspec.json.Decoder(list[Structure])
_UNREAD_STRUCTURES = msgspec.json.Decoder(list[UnreadStructure])
_STRUCTURE = msgspec.json.Decoder(Structure)
_FILES = msgspec.json.Decoder(list[File])
_LISTED_VALUE = msgspec.json.Decoder(list[File] | File | None)
_PLANS = msgspec.json.Decoder(list[Plan])
_NAMES = msgspec.json.Decoder(list[str])
_ANY = msgspec.json.Decoder(Raw)


def decode_structures(data: bytes, *, unread: bool) -> "list[Structure]":
    """Elements of an array that may be structures; ``unread``: the files they list are left as they stand."""
    return cast("list[Structure]", (_UNREAD_STRUCTURES if unread else _STRUCTURES).decode(data))


def decode_members(data: bytes) -> Structure:
    """Some members of a structure."""
    return _STRUCTURE.decode(data)


def decode_plans(data: bytes) -> list[Plan]:
    """Some elements of ``reporting_plans``."""
    return _PLANS.decode(data)


def decode_names(data: bytes) -> list[str]:
    """Some names of networks."""
    return _NAMES.decode(data)


def expect_json(data: bytes) -> None:
    """Raise an error unless the bytes are JSON."""
    _ANY.decode(data)


def may_name_networks(data: bytes) -> bool:
    """Whether the bytes can name networks."""
    return _NETWORK in data


def check(decoded: Sequence[Structure], data: bytes, *, is_contents: bool, prices_refused: bool) -> bool:
    """Whether the document is known to be a table of contents, after a check that all listed files were decoded.

    Raises ``OddElementError`` where a key that is read occurs elsewhere, twice, or with escaped letters.

    Args:
        is_contents: whether the document is already known to be a table of contents.
        prices_refused: leave in-network prices to the plain reading, which raises the error.
    """
    refuse_escaped_keys(data)
    listing, says_so = count_listing(decoded)
    if listing != data.count(_LISTED):
        raise OddElementError
    if prices_refused and any(has_prices(each) for each in decoded):
        raise OddElementError
    if not (says_so or is_contents) and any(key in data for key in _STRUCTURES_KEYS):
        raise OddElementError
    return says_so or is_contents


def refuse_escaped_keys(data: bytes) -> None:
    """Raise ``OddElementError`` where a key that is read may have escaped letters."""
    if b"\\" in data and _ESCAPED_LETTER.search(data):
        raise OddElementError


def count_listing(structures: "Sequence[Structure]") -> tuple[int, bool]:
    """The number of structures that list files, nested ones included, and whether any key shows a table of contents."""
    count = 0
    nesting = False
    for each in structures:
        own = each.in_network_files is not UNSET
        count += own
        for inside in (each.reporting_structure, each.TOC_Files):
            if inside is UNSET:
                continue
            if own:
                raise OddElementError  # their order is not known here
            own = nesting = True
            if inside is not None:
                count += count_listing(inside if isinstance(inside, list) else (inside,))[0]
    return count, nesting or count > 0


def has_prices(structure: "Structure") -> bool:
    """Whether it is an in-network file's root."""
    return structure.in_network is not UNSET or structure.in_networks is not UNSET


def append_listed(
    structures: "Sequence[Structure]", found: list[Found], repeated: "RepeatedLists", *, networks: bool
) -> None:
    """Append what structures list to ``found``; ``networks``: files or structures may name networks."""
    for each in structures:
        append_nested(each, found, repeated, networks=networks)
        if each.in_network_files is not UNSET:
            plans = each.reporting_plans
            ended = StructureEnd(count_plans(plans), plan_names(plans), networks_of(each) if networks else NO_NAMES)
            found.append(ended)


def append_nested(structure: "Structure", found: list[Found], repeated: "RepeatedLists", *, networks: bool) -> None:
    """Append what a structure and its nested structures list to ``found``."""
    listed = structure.in_network_files
    if isinstance(listed, Raw):
        found.append(repeated.find(bytes(listed)))
    elif listed is not UNSET:
        found.append(as_listed(listed, networks=networks))
    else:
        for inside in (structure.reporting_structure, structure.TOC_Files):
            if inside is not UNSET and inside is not None:
                append_listed(inside if isinstance(inside, list) else (inside,), found, repeated, networks=networks)


class RepeatedLists:
    """Lists of files that several structures repeat byte for byte: decoded once, returned as the same object.

    The comparison takes a third of the time where no list repeats. It is therefore switched off after ``LOOKING``
    batches without many repetitions, and tried again after ``NOT_LOOKING`` batches.
    Memory: ``MAX_KEPT_BYTES`` of lists and what they decode to; a hash of up to ``MAX_SEEN`` lists.
    """

    def __init__(self) -> None:
        self.kept: dict[bytes, ListedFiles] = {}
        self.kept_bytes = 0
        self.seen: set[int] = set()
        self.turn = 0
        self.lists = self.repeats = 0  # in this batch

    def begin(self, *, unless: bool) -> bool:
        """Whether to compare lists in the next batch."""
        turn = self.turn % (LOOKING + NOT_LOOKING)
        if turn != LOOKING or 2 * self.repeats < self.lists:
            self.turn += 1
        self.lists = self.repeats = 0
        return turn <= LOOKING and not unless

    def find(self, data: bytes) -> ListedFiles:
        """The files of a list."""
        self.lists += 1
        known = self.kept.get(data)
        if known is not None:
            self.repeats += 1
            return known
        files = as_listed(_LISTED_VALUE.decode(data), networks=False)
        mark = hash(data)
        if mark in self.seen and self.kept_bytes + len(data) <= MAX_KEPT_BYTES:
            self.repeats += 1
            self.kept[data] = files
            self.kept_bytes += len(data)
            files.kept = True
        elif len(self.seen) < MAX_SEEN:
            self.seen.add(mark)
        return files


def add_members(part: "Structure", level: Level) -> None:
    """Store the plans and networks of some of a structure's members in ``level``."""
    level.lists_files = level.lists_files or part.in_network_files is not UNSET
    if part.reporting_plans is not UNSET:
        level.plans, level.plan_names = count_plans(part.reporting_plans), plan_names(part.reporting_plans)
    if part.network_name is not UNSET or part.network_names is not UNSET:
        level.networks = networks_of(part)


def count_plans(plans: list[Plan] | Plan | UnsetType | None) -> int:
    """The number of plans."""
    if isinstance(plans, list):
        return len(plans)
    return int(isinstance(plans, Plan))


def plan_names(plans: list[Plan] | Plan | UnsetType | None) -> Names:
    """The names of the plans."""
    if isinstance(plans, Plan):
        return name_of(plans.plan_name)
    if not isinstance(plans, list):
        return NO_NAMES
    return name_of(plans[0].plan_name) if len(plans) == 1 else names_of([plan.plan_name for plan in plans])


def files_of(data: bytes) -> ListedFiles:
    """The elements of ``in_network_files``."""
    refuse_escaped_keys(data)
    return as_listed(_FILES.decode(data), networks=_NETWORK in data)


def as_listed(stated: list[File] | File | None, *, networks: bool) -> ListedFiles:
    """Decoded files as ``ListedFiles``."""
    files = stated if isinstance(stated, list) else [] if stated is None else [stated]
    return ListedFiles(files, [networks_of(file) for file in files] if networks else ())


def networks_of(stated: "File | Structure") -> Names:
    """The networks that a file or structure names."""
    one, several = stated.network_name, stated.network_names
    if one is not UNSET and several is not UNSET:
        raise OddElementError  # the last one counts, and their order is not known here
    names = several if one is UNSET else one
    if names is UNSET or names is None:
        return NO_NAMES
    if isinstance(names, list) and len(names) > LONG_LIST:
        raise OddElementError
    return name_of(names) if isinstance(names, str) else names_of(names)

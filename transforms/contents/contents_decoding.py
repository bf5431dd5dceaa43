"""What complete pieces of a table of contents say: decoded by msgspec at once, or odd and left to the plain reading."""

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
    """The same, whose files are looked at before they are decoded: they may be another structure's."""

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
    """Anything, as long as it is JSON."""
    _ANY.decode(data)


def may_name_networks(data: bytes) -> bool:
    """Whether any of this could name networks."""
    return _NETWORK in data


def check(decoded: Sequence[Structure], data: bytes, *, is_contents: bool, prices_refused: bool) -> bool:
    """That all that is listed was decoded: no key of ours stands anywhere else, nor twice, nor in disguise.

    Args:
        is_contents: whether the document is known for a table of contents.
        prices_refused: in-network prices here are for the plain reading, which says so.

    Returns: whether it is known for one now.
    """
    refuse_disguise(data)
    listing, says_so = count_listing(decoded)
    if listing != data.count(_LISTED):
        raise OddElementError
    if prices_refused and any(has_prices(each) for each in decoded):
        raise OddElementError
    if not (says_so or is_contents) and any(key in data for key in _STRUCTURES_KEYS):
        raise OddElementError
    return says_so or is_contents


def refuse_disguise(data: bytes) -> None:
    """Leave to the plain reading what may hold a key of ours with escaped letters."""
    if b"\\" in data and _ESCAPED_LETTER.search(data):
        raise OddElementError


def count_listing(structures: "Sequence[Structure]") -> tuple[int, bool]:
    """How many of these and of those inside them list files, and whether any key says: a table of contents."""
    count = 0
    nesting = False
    for each in structures:
        own = each.in_network_files is not UNSET
        count += own
        for inside in (each.reporting_structure, each.TOC_Files):
            if inside is UNSET:
                continue
            if own:
                raise OddElementError  # which of them comes first is not known here
            own = nesting = True
            if inside is not None:
                count += count_listing(inside if isinstance(inside, list) else (inside,))[0]
    return count, nesting or count > 0


def has_prices(structure: "Structure") -> bool:
    """Whether it is an in-network file's root."""
    return structure.in_network is not UNSET or structure.in_networks is not UNSET


def give(structures: "Sequence[Structure]", found: list[Found], repeated: "RepeatedLists", *, networks: bool) -> None:
    """Add what structures list; ``networks``: some of it may name networks."""
    for each in structures:
        give_inside(each, found, repeated, networks=networks)
        if each.in_network_files is not UNSET:
            plans = each.reporting_plans
            ended = StructureEnd(count_plans(plans), plan_names(plans), networks_of(each) if networks else NO_NAMES)
            found.append(ended)


def give_inside(structure: "Structure", found: list[Found], repeated: "RepeatedLists", *, networks: bool) -> None:
    """Add what a structure lists, and those inside it."""
    listed = structure.in_network_files
    if isinstance(listed, Raw):
        found.append(repeated.find(bytes(listed)))
    elif listed is not UNSET:
        found.append(as_listed(listed, networks=networks))
    else:
        for inside in (structure.reporting_structure, structure.TOC_Files):
            if inside is not UNSET and inside is not None:
                give(inside if isinstance(inside, list) else (inside,), found, repeated, networks=networks)


class RepeatedLists:
    """Lists of files that structures repeat, told by their bytes: decoded once, and given as one and the same object.

    Looking costs a third of the speed where no list repeats, so that is given up, and tried again now and then.
    Memory: ``MAX_KEPT_BYTES`` of lists and what they decode to; a hash of up to ``MAX_SEEN`` lists.
    """

    def __init__(self) -> None:
        self.kept: dict[bytes, ListedFiles] = {}
        self.kept_bytes = 0
        self.seen: set[int] = set()
        self.turn = 0
        self.lists = self.repeats = 0  # in this batch

    def begin(self, *, unless: bool) -> bool:
        """Whether to look in the next batch."""
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


def note(part: "Structure", level: Level) -> None:
    """What some of a structure's members say of it."""
    level.lists_files = level.lists_files or part.in_network_files is not UNSET
    if part.reporting_plans is not UNSET:
        level.plans, level.plan_names = count_plans(part.reporting_plans), plan_names(part.reporting_plans)
    if part.network_name is not UNSET or part.network_names is not UNSET:
        level.networks = networks_of(part)


def count_plans(plans: list[Plan] | Plan | UnsetType | None) -> int:
    """How many."""
    if isinstance(plans, list):
        return len(plans)
    return int(isinstance(plans, Plan))


def plan_names(plans: list[Plan] | Plan | UnsetType | None) -> Names:
    """Their names."""
    if isinstance(plans, Plan):
        return name_of(plans.plan_name)
    if not isinstance(plans, list):
        return NO_NAMES
    return name_of(plans[0].plan_name) if len(plans) == 1 else names_of([plan.plan_name for plan in plans])


def files_of(data: bytes) -> ListedFiles:
    """The elements of ``in_network_files``."""
    refuse_disguise(data)
    return as_listed(_FILES.decode(data), networks=_NETWORK in data)


def as_listed(stated: list[File] | File | None, *, networks: bool) -> ListedFiles:
    """Decoded files."""
    files = stated if isinstance(stated, list) else [] if stated is None else [stated]
    return ListedFiles(files, [networks_of(file) for file in files] if networks else ())


def networks_of(stated: "File | Structure") -> Names:
    """The networks that a file or structure names."""
    one, several = stated.network_name, stated.network_names
    if one is not UNSET and several is not UNSET:
        raise OddElementError  # the last one stands, and which one that is is not known here
    names = several if one is UNSET else one
    if names is UNSET or names is None:
        return NO_NAMES
    if isinstance(names, list) and len(names) > LONG_LIST:
        raise OddElementError
    return name_of(names) if isinstance(names, str) else names_of(names)

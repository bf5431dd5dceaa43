"""What an index lists, as values: its files, the plans behind them, its date.

Memory: one value is bounded, however many plans or networks it sums up.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from schemas.mrf import NETWORK_KEYS
from transforms.contents.kinds import IN_NETWORK, kind_of_name, kind_of_schema
from transforms.contents.names import NO_NAMES, Names, name_of, names_of
from transforms.limits import Limits, crossed


class ListedFile(msgspec.Struct, frozen=True, gc=False):
    """One file as an index lists it. A location may be padded; a blank one lists nothing."""

    location: str = ""
    description: str | None = None
    networks: Names = msgspec.field(default=NO_NAMES, name="networks, not as a key")
    kind: str = msgspec.field(default=IN_NETWORK, name="kind, not as a key")  # INDEX, or a kind that is not read
    updated: str | None = msgspec.field(default=None, name="updated, not as a key")  # its own date, as stated
    bytes: int | None = msgspec.field(default=None, name="bytes, not as a key")  # as stated


class UsualFile(ListedFile, frozen=True, gc=False):
    """An element of ``in_network_files`` that names no networks."""

    network_name: UnsetType = UNSET
    network_names: UnsetType = UNSET


class UsualPlan(msgspec.Struct, gc=False):
    """An element of ``reporting_plans``."""

    plan_name: str | None = None
    plan_market_type: str | None = None
    plan_id_type: str | None = None
    own_name: str | None = msgspec.field(default=None, name="planName")  # in payers' own indexes
    own_market_type: str | None = msgspec.field(default=None, name="planMarketType")
    own_id_type: str | None = msgspec.field(default=None, name="planIdType")


_Member = Callable[[UsualPlan], str | None]
_NAMES: tuple[_Member, _Member] = attrgetter("plan_name"), attrgetter("own_name")
_MARKET_TYPES: tuple[_Member, _Member] = attrgetter("plan_market_type"), attrgetter("own_market_type")
_ID_TYPES: tuple[_Member, _Member] = attrgetter("plan_id_type"), attrgetter("own_id_type")
_BLANK = (None, "")


class Plans(msgspec.Struct, frozen=True, gc=False):
    """The number of reporting plans, and what they say of themselves, as published."""

    count: int = 0
    names: Names = NO_NAMES
    market_types: Names = NO_NAMES
    id_types: Names = NO_NAMES

    def plus(self, other: "Plans") -> "Plans":
        """The plans of both."""
        return Plans(
            self.count + other.count,
            self.names.plus(other.names),
            self.market_types.plus(other.market_types),
            self.id_types.plus(other.id_types),
        )


NO_PLANS = Plans()


class IndexFacts(msgspec.Struct, frozen=True, gc=False):
    """What indexes say of a file: the first description, the number of mentions, the plans behind it, its networks."""

    description: str | None
    mentions: int
    plans: Plans
    networks: Names


class StructureEnd(msgspec.Struct, gc=False):
    """The end of a reporting structure, which holds the files since the previous end: its plans and networks."""

    plans: Plans = NO_PLANS
    networks: Names = NO_NAMES


class IndexDate(msgspec.Struct, gc=False):
    """The index's own ``last_updated_on``, as stated if it is text; the last one, if repeated."""

    text: str | None


Found = list[ListedFile] | StructureEnd | IndexDate


def text_of(value: object) -> str | None:
    """A string as it is, a number as text; other values have none."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def networks_of(value: object, limits: Limits) -> Names:
    """The networks in a value of ``network_name``: a name or an array of names."""
    if not isinstance(value, list):
        return name_of(text_of(value))
    if len(value) > limits.list_entries:
        raise crossed(limits, "list_entries", "a longer list of names (in the index)")
    return names_of(map(text_of, value))


def files_of(value: object, limits: Limits) -> list[ListedFile]:
    """The files in a value of ``in_network_files``: an array of objects or addresses, or one of them."""
    try:
        return list[ListedFile](msgspec.convert(value, list[UsualFile]))
    except msgspec.ValidationError:
        elements = value if isinstance(value, list) else [value]
    files = []
    for each in elements:
        if isinstance(each, str):
            files.append(ListedFile(each))
        elif isinstance(each, dict):
            networks = NO_NAMES
            for key in NETWORK_KEYS:
                networks = networks.plus(networks_of(each.get(key), limits))
            files.append(ListedFile(text_of(each.get("location")) or "", text_of(each.get("description")), networks))
    return files


def plans_of(value: object) -> Plans:
    """The plans in a value of ``reporting_plans``: an array of objects, or one object."""
    try:
        plans = msgspec.convert(value, list[UsualPlan])
    except msgspec.ValidationError:
        elements = value if isinstance(value, list) else [value]
        plans = [
            UsualPlan(*(text_of(each.get(key)) for key in UsualPlan.__struct_encode_fields__))
            for each in elements
            if isinstance(each, dict)
        ]
    return plans_among(plans)


def plans_among(plans: Sequence[UsualPlan]) -> Plans:
    """Their number, and what they say of themselves."""
    if not plans:
        return NO_PLANS
    return Plans(
        len(plans),
        _names_among(plans, *_NAMES),
        _shared(_names_among(plans, *_MARKET_TYPES)),
        _shared(_names_among(plans, *_ID_TYPES)),
    )


def _names_among(plans: Sequence[UsualPlan], stated: _Member, own: _Member) -> Names:
    texts = set(map(stated, plans))
    if not texts.isdisjoint(_BLANK):
        texts = {stated(plan) or own(plan) for plan in plans}
    return names_of(texts) if len(texts) > 1 else name_of(*texts)


@lru_cache(1_000)
def _shared(names: Names) -> Names:
    """The same object for equal names: nearly all plans have the same few types."""
    return names


def entry_of(members: Mapping[str, object]) -> ListedFile:
    """The file of an entry of a payer's own index; ``members``: those of ENTRY_KEYS, with a path or a download URL."""
    updated, size = text_of(members.get("lastUpdatedOn")), members.get("size")
    if "downloadUrl" in members or "name" in members:
        name, address = text_of(members.get("name")), text_of(members.get("downloadUrl"))
        kind = kind_of_name(name or address or "")
        missing = "without a downloadUrl"
    else:
        name, address = text_of(members.get("fileName")), text_of(members.get("filePath"))
        kind = kind_of_schema(text_of(members.get("fileSchema")))
        missing = "without a filePath"
    if not (address and address.strip()):
        address, kind = name or "", missing
    return ListedFile(address, name, NO_NAMES, kind, updated, size if type(size) is int else None)


# ---- structures and entries decoded by their types: of their members only those read, two to three times faster ------


class _Structure(msgspec.Struct, gc=False):
    in_network_files: list[UsualFile] | UnsetType = UNSET
    reporting_plans: tuple[UsualPlan, ...] = ()
    reportingPlans: UnsetType = UNSET  # noqa: N815
    network_name: UnsetType = UNSET
    network_names: UnsetType = UNSET


class _Entry(msgspec.Struct, gc=False, omit_defaults=True):
    fileSchema: str | UnsetType | None = UNSET  # noqa: N815
    filePath: str | UnsetType | None = UNSET  # noqa: N815
    fileName: str | UnsetType | None = UNSET  # noqa: N815
    lastUpdatedOn: str | UnsetType | None = UNSET  # noqa: N815
    name: str | UnsetType | None = UNSET
    downloadUrl: str | UnsetType | None = UNSET  # noqa: N815
    size: Any = None
    reportingPlans: tuple[UsualPlan, ...] = ()  # noqa: N815
    in_network_files: UnsetType = UNSET
    reporting_plans: UnsetType = UNSET
    network_name: UnsetType = UNSET
    network_names: UnsetType = UNSET


_STRUCTURES = msgspec.json.Decoder(list[_Structure])
_ENTRIES = msgspec.json.Decoder(list[_Entry])


def read_usual(data: bytes, *, of_entries: bool) -> tuple[list[Found], int] | None:
    """What an array of structures or entries lists, and the number of lists of files; None: other types, or no JSON.

    The caller compares that number with what the text says: a structure may hold others, which are not decoded here.
    """
    try:
        if not data.isascii():
            data.decode()  # strings that are not decoded are not checked either
        found = _entries(data) if of_entries else _structures(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found, 0 if of_entries else len(found) // 2


def _structures(data: bytes) -> list[Found]:
    found: list[Found] = []
    for each in _STRUCTURES.decode(data):
        if each.in_network_files is not UNSET:
            found += (each.in_network_files, StructureEnd(plans_among(each.reporting_plans)))  # type: ignore[arg-type]
    return found


def _entries(data: bytes) -> list[Found]:
    found: list[Found] = []
    for each in _ENTRIES.decode(data):
        members = {key: value for key in _MEMBERS if (value := getattr(each, key)) is not UNSET}
        found += ([entry_of(members)], StructureEnd(plans_among(each.reportingPlans)))
    return found


_MEMBERS = _Entry.__struct_fields__[:7]  # those of ENTRY_KEYS

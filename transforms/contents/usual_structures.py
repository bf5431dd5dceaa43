"""Reporting structures and entries of payers' own indexes, decoded by their types: of their members only those read.

Twice to three times as fast as decoding everything. What does not have these types is left to ``index_grammar``.
Memory: what one decoded part lists.
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from transforms.contents.index_values import Found, StructureEnd, UsualFile, UsualPlan, entry_of, plans_among


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

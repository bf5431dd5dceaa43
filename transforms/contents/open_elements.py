"""The objects and arrays of a table of contents that the fast reading has entered, and what each of them holds."""

from dataclasses import dataclass, field

from schemas.mrf import LISTED_KEY, NETWORK_KEYS, PLAN_NAME_KEY, PLANS_KEY
from transforms.contents.contents import Level, OpenFile
from transforms.contents.names import NO_NAMES
from transforms.limits import Limits, crossed

# Kinds of objects and arrays
(
    STRUCTURE,  # an object that may list files
    STRUCTURES,  # an array that may hold such objects
    FILES,  # the value of in_network_files
    FILE,
    PLANS,
    PLAN,
    NETWORKS,
    NOTHING,  # holds nothing that is read  # holds nothing that is read
) = range(8)


@dataclass(slots=True)
class OpenElement:
    """An object or array that was entered. Its values go to ``level`` or ``file``, its own or an outer one's."""

    kind: int
    is_object: bool
    level: Level = field(default_factory=Level)
    file: OpenFile | None = None
    plan_name: str | None = None
    elements: int = 0  # of NETWORKS


def open_child(outer: OpenElement, key: str | None, limits: Limits, *, is_object: bool) -> OpenElement:
    """The element for a child that is entered. A repeated key discards the earlier value."""
    if outer.kind == STRUCTURES or (outer.kind == STRUCTURE and not _is_known(key)):
        return OpenElement(STRUCTURE, True) if is_object else OpenElement(STRUCTURES, False)
    if outer.kind == STRUCTURE:
        return _open_known_child(outer.level, key, is_object=is_object)
    if outer.kind == FILES and is_object:
        return OpenElement(FILE, True, file=OpenFile())
    if outer.kind == PLANS and is_object:
        return OpenElement(PLAN, True, outer.level)
    if outer.kind == FILE and key in NETWORK_KEYS:
        assert outer.file is not None
        outer.file.networks = NO_NAMES
        return OpenElement(NOTHING if is_object else NETWORKS, is_object, file=outer.file)
    if outer.kind == FILE and key in ("location", "description"):
        setattr(outer.file, key, None)
    elif outer.kind == PLAN and key == PLAN_NAME_KEY:
        outer.plan_name = None
    elif outer.kind == NETWORKS:
        count_names(outer, 1, limits)
    return OpenElement(NOTHING, is_object)


def _open_known_child(level: Level, key: str | None, *, is_object: bool) -> OpenElement:
    """The element for the value of a key that ``_is_known``."""
    if key == LISTED_KEY:
        level.lists_files = True
        return OpenElement(FILE, True, file=OpenFile()) if is_object else OpenElement(FILES, False)
    if key == PLANS_KEY:
        level.plans, level.plan_names = 0, NO_NAMES
        return OpenElement(PLAN if is_object else PLANS, is_object, level)
    level.networks = NO_NAMES
    return OpenElement(NOTHING if is_object else NETWORKS, is_object, level)


def _is_known(key: str | None) -> bool:
    """Whether this key of a structure lists files, plans or networks."""
    return key in (LISTED_KEY, PLANS_KEY) or key in NETWORK_KEYS


def count_names(opened: OpenElement, more: int, limits: Limits) -> None:
    """Add to the number of names; raises an error beyond the limit ``list_entries``, as ``Walker.scalars`` does."""
    opened.elements += more
    if opened.elements > limits.list_entries:
        raise crossed(limits, "list_entries", "a longer list of names (in the table of contents)")

"""The limits that protect the machine from what others publish: each with its default, its range, and the words for
crossing it. All are settings: ``[limits]`` in tic-rates.toml, or ``TIC_RATES_LIMITS_NAME`` in the environment.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from transforms.errors import BadFileError

Place = Callable[[int], str]  # how to say where a byte of a document stands


@dataclass(frozen=True)
class Limits:
    """What one published file may ask of this machine. Whole numbers; bytes unless the name says otherwise."""

    nesting: int = 3  # containers within containers
    zip_members: int = 100_000  # of all zips in one file together
    inflated_bytes: int = 4 << 40  # of all layers and members together
    inflate_ratio: int = 2_000  # of all layers together, to the file's own bytes; real files reach 23
    ratio_from_bytes: int = 1 << 30  # below this an absurd ratio harms nobody
    json_depth: int = 500  # brackets within a value; the schema needs 9
    string_bytes: int = 4 << 20  # of one string or key, as written between its quotes; yajl's time grows as its square
    number_digits: int = 1_000  # characters of one number where it is decoded
    value_chars: int = 4_000  # of one value that goes into a table: type, class, code, id, location, name
    list_entries: int = 100_000  # of one list of codes, modifiers or names
    redirects: int = 5
    header_bytes: int = 65_536  # of one answer's headers
    body_bytes: int = 2 << 40  # of one remote file
    min_bytes_per_second: int = 1_000  # of a remote file, over any ``rate_seconds`` of waiting for it; 0: any
    rate_seconds: int = 300


_HIGHEST = 1 << 60
_RANGES: Mapping[str, tuple[int, int]] = {
    "nesting": (1, 20),
    "json_depth": (20, 100_000),
    "string_bytes": (1 << 20, _HIGHEST),  # from here on both readers tell it to the byte
    "number_digits": (20, 4_300),  # CPython converts no longer ones
    "redirects": (0, 100),
    "header_bytes": (1_024, 102_400),  # what h11 takes at most
    "min_bytes_per_second": (0, _HIGHEST),
}
_OF_TRANSPORT = frozenset({"redirects", "header_bytes", "min_bytes_per_second", "rate_seconds"})
LIMITS = tuple(each.name for each in fields(Limits))


def limits_of_content(limits: Limits) -> dict[str, int]:
    """By name, the limits that decide whether a document is read to its end; not those of how it is fetched."""
    return {name: getattr(limits, name) for name in LIMITS if name not in _OF_TRANSPORT}


def same_within(limits: Limits, earlier: Mapping[str, int]) -> bool:
    """Whether what was read within the ``earlier`` ``limits_of_content`` can be read within these: none is lower."""
    now = limits_of_content(limits)
    return earlier.keys() == now.keys() and all(now[name] >= limit for name, limit in earlier.items())


def range_of(name: str) -> tuple[int, int]:
    """The lowest and the highest value that a limit can be set to."""
    return _RANGES.get(name, (1, _HIGHEST))


def environment_name(name: str, section: str = "limits") -> str:
    """The environment variable that sets it."""
    return f"TIC_RATES_{section.upper()}_{name.upper()}"


def crossed(limits: Limits, name: str, what: str) -> BadFileError:
    """The error for a limit: ``what`` was met and where, the limit, its value, and the settings that raise it."""
    value = getattr(limits, name)
    raises = f"[limits] {name} in tic-rates.toml or {environment_name(name)}"
    return BadFileError(f"{what}: limit {name} is {value:,}; to change it, set {raises}")

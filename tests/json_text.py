"""A small JSON writer for what ``json.dumps`` cannot write: duplicate keys, number spellings, escapes, mistakes."""

import json
from collections.abc import Callable, Iterable
from typing import Any

Json = Any  # dict, list, str, int, float, bool, None, Token or Pairs


class Token(str):
    """Written as it stands, without quotes: ``690.64470``, an escaped string, or no JSON at all."""

    __slots__ = ()


class Pairs(tuple[tuple[str, Json], ...]):
    """An object written pair by pair, in this order, duplicates and all."""

    __slots__ = ()


def json_text(value: Json, gap: Callable[[], str] = lambda: "", string: Callable[[str], str] = json.dumps) -> str:
    """``value`` as JSON text; ``gap`` gives the whitespace wherever JSON allows some, ``string`` spells a string."""

    def written(value: Json) -> str:
        match value:
            case Token():
                return value
            case Pairs():
                return members(value)
            case dict():
                return members(value.items())
            case list() | tuple():
                return enclosed("[", (written(element) for element in value), "]")
            case str():
                return string(value)
            case _:
                return json.dumps(value)

    def members(pairs: Iterable[tuple[str, Json]]) -> str:
        return enclosed("{", (f"{written(key)}{gap()}:{gap()}{written(value)}" for key, value in pairs), "}")

    def enclosed(opening: str, parts: Iterable[str], closing: str) -> str:
        return opening + gap() + f"{gap()},{gap()}".join(parts) + gap() + closing

    return gap() + written(value) + gap()


def json_bytes(value: Json) -> bytes:
    """``value`` as compact UTF-8 JSON."""
    return json_text(value, string=unescaped).encode()


def unescaped(text: str) -> str:
    """The shortest spelling of a string: only what must be escaped is."""
    return json.dumps(text, ensure_ascii=False)


def escaped(text: str) -> Token:
    r"""Every character as ``\u`` escapes, surrogate pairs included."""
    units = text.encode("utf-16-be", "surrogatepass")
    return Token('"' + "".join(f"\\u{units[at]:02x}{units[at + 1]:02X}" for at in range(0, len(units), 2)) + '"')

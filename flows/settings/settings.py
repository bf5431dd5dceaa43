"""One table of a configuration, read strictly: what is wrong is collected by line, and reading goes on with a default.

Messages name types and keys. A value is shown only where it can be no secret.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from flows.settings.toml_lines import Place, line_of
from transforms.errors import UsageError

Value = TypeVar("Value")

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}


class Problems:
    """All that is wrong with one configuration."""

    def __init__(self, path: Path, lines: Mapping[Place, int]) -> None:
        self.lines = lines
        self._path = path
        self._found: list[tuple[int, str]] = []

    def add(self, place: Place, what: str) -> None:
        """Note one; ``what`` says what is wrong and what to write instead."""
        keys = ".".join(_shown_key(part) for part in place if isinstance(part, str))
        self._found.append((line_of(self.lines, place), f"{keys}: {what}" if keys else what))

    def check(self) -> None:
        """``UsageError`` with one line for each, in the file's order."""
        if self._found:
            raise UsageError("\n".join(f"{self._path}:{line}: {what}" for line, what in sorted(self._found)))


@dataclass(frozen=True)
class Section:
    """A table of the configuration, where it stands, and the environment that secrets may come from."""

    values: Mapping[str, object]
    place: Place
    problems: Problems
    environ: Mapping[str, str]

    def problem(self, key: str, what: str) -> None:
        """Note what is wrong with a key."""
        self.problems.add((*self.place, key), what)

    def expect(self, known: Mapping[str, Iterable[str]], name: str) -> None:
        """Every key that section ``name`` doesn't know is wrong; what was meant is guessed from ``known``."""
        for key, value in self.values.items():
            if key not in known[name]:
                self.problem(key, f"unknown key; {_meant(key, value, known, name)}")

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``."""
        return self._bounded(key, default, low, high, "a whole number", int)

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """A number from ``low`` to ``high``."""
        return float(self._bounded(key, default, low, high, "a number", (int, float)))

    def number_or_off(self, key: str, default: float | None, low: float, high: float) -> float | None:
        """A number from ``low`` to ``high``, or None where ``false`` is written."""
        if self.values.get(key) is False:
            return None
        value = self._bounded(key, default, low, high, "a number, or false,", (int, float))
        return None if value is None else float(value)

    def _bounded(
        self, key: str, default: Value, low: float, high: float, what: str, kinds: type | tuple[type, ...]
    ) -> Value | int:
        value = self.values.get(key, default)
        if value is default:
            return default
        wanted = f"{what} from {_plain(low)} to {_plain(high)} is wanted"
        if isinstance(value, bool) or not isinstance(value, kinds):
            self.problem(key, f"{wanted}, not {_type_name(value)}; write {key} = {_example(default, low)}")
        elif not (isinstance(value, int | float) and low <= value <= high):
            self.problem(key, f"{value} is out of range: {wanted}")
        else:
            return value  # type: ignore[return-value]
        return default

    def flag(self, key: str, *, default: bool) -> bool:
        """``true`` or ``false``."""
        return self._typed(key, default, bool, f"true or false is wanted; write {key} = true")

    def text(self, key: str, default: Value, example: str) -> str | Value:
        """Text that can be no secret, trimmed; not blank."""
        if key not in self.values:
            return default
        text = self._typed(key, "", str, f'text is wanted; write {key} = "{example}"').strip()
        if isinstance(self.values[key], str) and not text:
            self.problem(key, f'is blank; write {key} = "{example}", or leave it out')
        return text or default

    def secret(self, key: str, example: str) -> str | None:
        """Text that may be a secret: written so, or ``{ env = "NAME" }``."""
        return self._revealed((key,), self.values[key], example) if key in self.values else None

    def secrets(self, key: str, example: str) -> list[tuple[Place, str]]:
        """The texts of a list that may be secrets, each with its place."""
        found = [((key, no), value) for no, value in enumerate(self._list(key, example))]
        texts = [(place, self._revealed(place, value, example)) for place, value in found]
        return [((*self.place, *place), text) for place, text in texts if text is not None]

    def texts(self, key: str, example: str) -> list[tuple[Place, str]]:
        """The texts of a list that can be no secrets, each with its place."""
        found = []
        for number, value in enumerate(self._list(key, example)):
            place = (*self.place, key, number)
            if isinstance(value, str) and value.strip():
                found.append((place, value.strip()))
            else:
                self.problems.add(place, f'text is wanted, not {_type_name(value)}; write {key} = ["{example}"]')
        return found

    def section(self, key: str) -> "Section":
        """The table under a key; an empty one where there is none."""
        header = ".".join(_shown_key(part) for part in (*self.place, key) if isinstance(part, str))
        value: dict[str, object] = self._typed(key, {}, dict, f"a table is wanted; write it as [{header}]")
        return Section(value, (*self.place, key), self.problems, self.environ)

    def sections(self, key: str) -> list["Section"]:
        """The tables of an array of tables."""
        what = f"begin each with [[{key}]]"
        tables: list[object] = self._typed(key, [], list, f"a list of tables is wanted; {what}")
        for number, table in enumerate(tables):
            if not isinstance(table, dict):
                self.problems.add((*self.place, key, number), f"a table is wanted, not {_type_name(table)}; {what}")
        return [
            Section(table, (*self.place, key, number), self.problems, self.environ)
            for number, table in enumerate(tables)
            if isinstance(table, dict)
        ]

    def _list(self, key: str, example: str) -> list[object]:
        return self._typed(key, [], list, f'a list is wanted; write {key} = ["{example}"]')

    def _typed(self, key: str, default: Value, kind: type, wanted: str) -> Value:
        value = self.values.get(key, default)
        if isinstance(value, kind):
            return value  # type: ignore[return-value]
        what, _, write = wanted.partition(";")
        self.problem(key, f"{what}, not {_type_name(value)}{';' if write else ''}{write}")
        return default

    def _revealed(self, place: Place, value: object, example: str) -> str | None:
        place = (*self.place, *place)
        if isinstance(value, dict) and set(value) == {"env"} and isinstance(value["env"], str):
            text = self.environ.get(value["env"], "").strip()
            if not text:
                self.problems.add(place, f"the environment variable {value['env']} is not set; set it where this runs")
            return text or None
        if isinstance(value, str) and value.strip():
            return value.strip()
        what = "blank text" if isinstance(value, str) else _type_name(value)
        self.problems.add(place, f'text or {{ env = "NAME" }} is wanted, not {what}; write "{example}"')
        return None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    folded = {each.casefold(): each for each in known}
    return next((folded[close] for close in get_close_matches(word.casefold(), folded, 1)), None)


def _meant(key: str, value: object, known: Mapping[str, Iterable[str]], name: str) -> str:
    guess = nearest(key, known[name])
    if guess is not None:
        return f"did you mean {guess}?"
    home = next((section for section, keys in known.items() if key in keys), None)
    if home == "":
        return "it belongs at the top of the file, before the first [section]"
    if home is not None:
        return f"it belongs in [{home}]"
    if name == "http.hosts" and isinstance(value, dict):
        return 'a host\'s name has dots: write it in quotes, [http.hosts."mrf.example.com"]'
    return f"known here: {', '.join(known[name])}"


def _shown_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else json.dumps(key)


def _type_name(value: object) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, str) and not value.strip():
        return "blank text"
    return _TYPE_NAMES.get(type(value), "a date or time")


def _plain(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def _example(default: object, low: float) -> object:
    return default if isinstance(default, int | float) and math.isfinite(default) else low

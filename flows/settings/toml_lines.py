"""On which line of a TOML text each key and array element stands, which tomllib does not say.

For text that tomllib has accepted: what is malformed is not looked for again.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping

Place = tuple[str | int, ...]  # keys from the root, and positions in arrays: ("payer", 0, "contents", 2)

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACES = re.compile(r"[ \t]*")
_QUOTED = r'"(?:[^"\\]|\\.)*"|\'[^\']*\''
_KEY = re.compile(rf"{_QUOTED}|[A-Za-z0-9_-]+")
_SCALAR = re.compile(
    rf'"""(?:[^\\]|\\.)*?"""(?:"{{0,2}})|\'\'\'.*?\'\'\'(?:\'{{0,2}})|{_QUOTED}|[^,\]}}\n#]*',
    re.DOTALL,
)


def line_of(lines: Mapping[Place, int], place: Place) -> int:
    """The line of a place; where it stands nowhere (a missing key), that of the table it belongs in."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def key_lines(text: str) -> dict[Place, int]:
    """The line, from 1, of every table header, key and array element."""
    scanner = _Scanner(text.replace("\r\n", "\n"))
    scanner.scan()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[Place, int] = {}
        self._text = text
        self._at = 0
        self._elements: Counter[Place] = Counter()  # of each array of tables, so far

    def scan(self) -> None:
        table: Place = ()
        self._pass(_BLANK)
        while self._at < len(self._text):
            if self._took("[["):
                table = self._array_of_tables_header()
            elif self._took("["):
                table = self._header()
            else:
                self._pair(table)
            self._pass(_BLANK)

    def _header(self) -> Place:
        line = self._line()
        place = self._through_arrays(self._keys())
        self._took("]")
        self._note(place, line)
        return place

    def _array_of_tables_header(self) -> Place:
        line = self._line()
        *parents, last = self._keys()
        self._took("]]")
        array = (*self._through_arrays(parents), last)
        place = (*array, self._elements[array])
        self._elements[array] += 1
        self._note(place, line)
        return place

    def _through_arrays(self, keys: list[str]) -> Place:
        """A header's keys as a place: what leads through an array of tables means its latest element."""
        place: Place = ()
        for key in keys:
            place = (*place, key)
            if place in self._elements:
                place = (*place, self._elements[place] - 1)
        return place

    def _pair(self, table: Place) -> None:
        line = self._line()
        place = (*table, *self._keys())
        self._note(place, line)
        self._took("=")
        self._value(place)

    def _value(self, place: Place) -> None:
        self._pass(_SPACES)
        if self._took("["):
            self._array(place)
        elif self._took("{"):
            self._inline_table(place)
        else:
            self._pass(_SCALAR)

    def _array(self, place: Place) -> None:
        number = 0
        self._pass(_BLANK)
        while not self._took("]"):
            self._note((*place, number), self._line())
            self._value((*place, number))
            self._pass(_BLANK)
            self._took(",")
            self._pass(_BLANK)
            number += 1

    def _inline_table(self, place: Place) -> None:
        self._pass(_BLANK)
        while not self._took("}"):
            self._pair(place)
            self._pass(_BLANK)
            self._took(",")
            self._pass(_BLANK)

    def _keys(self) -> list[str]:
        keys = [self._key()]
        while self._took("."):
            keys.append(self._key())
        return keys

    def _key(self) -> str:
        self._pass(_SPACES)
        written = self._pass(_KEY)
        self._pass(_SPACES)
        return str(tomllib.loads(f"key = {written}")["key"]) if written[:1] in ("'", '"') else written

    def _note(self, place: Place, line: int) -> None:
        for length in range(1, len(place) + 1):
            self.lines.setdefault(place[:length], line)

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _took(self, mark: str) -> bool:
        found = self._text.startswith(mark, self._at)
        self._at += len(mark) if found else 0
        return found

    def _pass(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        assert match is not None, "tomllib accepted this text"
        self._at = match.end()
        return match.group()

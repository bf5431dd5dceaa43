r"""Whether a broken document that the scanner took is broken only where the scanner says that it looks less closely.

``repaired`` walks a document by the rules in ``transforms.scan.read_scan``'s docstring and writes an empty object or
array for everything that these let pass unread: values of the root's other keys, items of other codes, references that
nothing cites, arrays among a section's elements. What it passes over must keep the weaker rules (strings closed and
without control characters, as many brackets of each kind closed as opened); everything else stays byte for byte.
When the result is strict JSON, and its full reading is what the scanner gave, the damage lay in skipped content alone.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from schemas.mrf import CODE_TYPES, SECTIONS
from tests.collected_rows import cited_texts
from tests.fuzz.reading import CODES, Read, read_by_ijson
from tests.plain_json import UnreadableError, plain_json
from transforms.limits import Limits
from transforms.read.clean import reference_key, text_of
from transforms.read.walk import replaces_value

MAX_DEPTH = 500
DEPTH_SLACK = 70  # "refused in steps of 64 bytes", and the readers begin to count at different levels
DIGITS = Limits().number_digits
UNCITED = b"52718281828"  # a zero might be the id of a reference that is cited

_SPACE = re.compile(rb"[ \n\r\t]*")
_STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\[^\x00-\x1f])*"')
_SCALAR = re.compile(rb'[^,}\] \n\r\t:"{\[]+')
_LONG_NUMBER = re.compile(rb"[-+.eE0-9]{%d}|[0-9][eE][+-]?[0-9]{19}" % (DIGITS + 1))
_WHOLE = re.compile(rb"-?[0-9]+")
_NUMBER_OR_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"|(-?[0-9][0-9.eE+-]*)', re.S)
_TOKEN = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\[^\x00-\x1f])*"|\\+|[{}\[\]"]')
MOST_BACKSLASHES = 8  # runs of them between strings and in front of a quote, each with two meanings


@dataclass
class _Backslashes:
    """What each run of stray backslashes between strings, in front of a quote, means: by the bits of ``meanings``.

    To the exact scan an odd one makes the quote behind it none, to the skimming one it means nothing; which of the two
    reads a place depends on where blocks end, and they may end within the run.
    """

    meanings: int
    seen: dict[int, int] = field(default_factory=dict)

    def escapes(self, place: int) -> bool:
        number = self.seen.setdefault(place, len(self.seen))
        return bool(self.meanings >> number & 1)


def _tokens(data: bytes, start: int, backslashes: _Backslashes) -> Iterator["re.Match[bytes]"]:
    """Strings and brackets from a place on."""
    while match := _TOKEN.search(data, start):
        start = match.end()
        if not match.group().startswith(b"\\"):
            yield match
        elif data[start : start + 1] == b'"' and backslashes.escapes(match.start()):
            start += 1


class UnexplainedError(Exception):
    """Broken by the weaker rules too, so that the scanner should have refused it."""


@dataclass
class _Repair:
    """One document's repair. ``long``: items are read piece by piece, and so skipped in within, too."""

    data: bytes
    cited: set[str]
    backslashes: _Backslashes
    long: bool
    replaced: bool  # also pass over references in a section that a later one replaces
    pos: int = 0
    out: list[bytes] = field(default_factory=list)

    def take(self, pattern: "re.Pattern[bytes]", what: str) -> bytes:
        match = pattern.match(self.data, self.pos)
        if not match:
            raise UnexplainedError(f"{what} expected at {self.pos}")
        self.pos = match.end()
        return match.group()

    def keep(self, token: bytes) -> bytes:
        self.out.append(token)
        return token

    def space(self) -> bytes:
        """Keep white space; the byte behind it."""
        self.keep(self.take(_SPACE, "space"))
        return self.data[self.pos : self.pos + 1]

    def byte(self, *allowed: bytes) -> bytes:
        if self.space() not in allowed:
            raise UnexplainedError(f"one of {allowed} expected at {self.pos}")
        self.pos += 1
        return self.keep(self.data[self.pos - 1 : self.pos])

    def container(self) -> bytes:
        """The bytes of the container that begins here, by the weaker rules."""
        start = self.pos
        depth = braces = 0
        for match in _tokens(self.data, start, self.backslashes):
            token = match.group()
            if token == b'"':
                break
            if token in (b"{", b"["):
                depth += 1
                braces += token == b"{"
            elif token in (b"}", b"]"):
                depth -= 1
                braces -= token == b"}"
            if not depth:
                if braces:
                    break
                self.pos = match.end()
                return self.data[start : self.pos]
        raise UnexplainedError(f"the container at {start} does not end as it should")

    def keep_container(self) -> None:
        self.keep(self.container())

    def empty(self) -> None:
        """Pass over a container and write an empty one."""
        self.keep(b"{}" if self.container()[:1] == b"{" else b"[]")

    def value(self) -> None:
        """A value that nothing decodes: containers are emptied, scalars kept."""
        first = self.data[self.pos : self.pos + 1]
        if first in (b"{", b"["):
            self.empty()
        else:
            self.scalar(first)

    def scalar(self, first: bytes) -> None:
        self.keep(self.take(_STRING if first == b'"' else _SCALAR, "a scalar"))

    def members(self) -> Iterator[str]:
        """Keys of the object that begins here; the caller takes each value."""
        self.byte(b"{")
        if self.space() == b"}":
            self.byte(b"}")
            return
        while True:
            self.space()
            yield _decoded(self.key())
            if self.byte(b",", b"}") == b"}":
                return

    def key(self) -> bytes:
        key = self.keep(self.take(_STRING, "a key"))
        self.byte(b":")
        self.space()
        return key

    def document(self) -> bytes:
        given: dict[str, str] = {}
        marks: list[int] = []
        for key in self.members():
            name = SECTIONS.get(key)
            is_null = self.data[self.pos : self.pos + 1] == b"n"
            if name is None or not replaces_value(key, name, given, is_null=is_null):
                self.value()
            else:
                self.section(name, marks)
        self.keep(self.data[self.pos :])
        return b"".join(self.out)

    def section(self, name: str, marks: list[int]) -> None:
        element = self.item if name == "in_network" else self.reference
        first = self.data[self.pos : self.pos + 1]
        if name != "in_network" and self.replaced and first != b"n":  # what stood before goes unread
            for mark in marks:
                self.out[mark] = b"{}"
            marks.clear()
        if first == b"{":
            self.element(element, marks)
        elif first == b"[":
            self.elements(lambda: self.element(element, marks))
        else:
            self.scalar(first)

    def elements(self, element: Callable[[], None]) -> None:
        self.byte(b"[")
        if self.space() == b"]":
            self.byte(b"]")
            return
        while True:
            first = self.space()
            if first == b"{":
                element()
            else:
                self.value()
            if self.byte(b",", b"]") == b"]":
                return

    def element(self, read: Callable[[dict[str, Any], list[int]], None], marks: list[int]) -> None:
        start = self.pos
        self.container()
        own = _own(self.data[: self.pos], start, self.backslashes)
        self.pos = start
        read(own, marks)

    def item(self, own: dict[str, Any], _marks: list[int]) -> None:
        code = _text(own.get("billing_code"))
        code_type = _text(own.get("billing_code_type")).upper()
        if code not in CODES or (code_type and code_type not in CODE_TYPES):
            self.empty()
        elif not self.long:
            self.keep_container()
        else:
            for key in self.members():
                if key == "negotiated_rates" and self.data[self.pos : self.pos + 1] == b"[":
                    self.elements(self.keep_container)
                elif key == "negotiated_rates" and self.data[self.pos : self.pos + 1] == b"{":
                    self.keep_container()
                else:
                    self.value()

    def reference(self, own: dict[str, Any], marks: list[int]) -> None:
        if reference_key(_plain(own.get("provider_group_id"))) not in self.cited:
            self.empty()
        else:
            marks.append(len(self.out))
            self.keep_container()


def _own(data: bytes, begin: int, backslashes: _Backslashes) -> dict[str, Any]:
    """An element's own members as far as they are keys with scalars, the last of each; containers are None."""
    depth = 0
    own: dict[str, Any] = {}
    for match in _tokens(data, begin, backslashes):
        text = match.group()
        if text in (b"{", b"["):
            depth += 1
        elif text in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and text[:1] == b'"' and len(text) > 1:
            start = _SPACE.match(data, match.end()).end()  # type: ignore[union-attr]
            if data[start : start + 1] == b":":
                at = _SPACE.match(data, start + 1).end()  # type: ignore[union-attr]
                value = _STRING.match(data, at) or _SCALAR.match(data, at)
                own[_decoded(text, "")] = value.group() if value else None
    return own


def _decoded(token: bytes, instead: str | None = None) -> str:
    try:
        return str(json.loads(token))
    except ValueError as error:
        if instead is not None:
            return instead
        raise UnexplainedError(f"{token!r} is no string") from error


def _plain(token: bytes | None) -> object:
    """A scalar as ijson gives it, where it is one; 0 for a number beyond the limits."""
    from decimal import Decimal

    if token and len(token) > DIGITS and _WHOLE.fullmatch(token):  # Python converts no more than 4,300 digits
        return 0
    try:
        value = json.loads(token or b"null", parse_float=Decimal)
    except ArithmeticError:  # an exponent beyond Decimal's: a number all the same
        return 0
    except ValueError:
        return None
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(value, str) else value


def _text(token: bytes | None) -> str:
    return (text_of(_plain(token)) or "").strip()


def is_explained(document: bytes, found: Read, *, long: bool) -> bool:
    """Whether what the scanner made of a broken document is what a full reading makes of it, less its skipped parts."""
    assert found.collected is not None
    assert found.reading is not None
    if any(document[place] != ord("{") for places in found.reading.offsets for place in places):
        return False
    cited = set(cited_texts(found.collected))
    most = meanings = 0
    while meanings <= most:
        for replaced in (False, True):
            backslashes = _Backslashes(meanings)
            try:
                repaired = _Repair(document, cited, backslashes, long, replaced).document()
                plain_json(repaired)
            except (UnexplainedError, UnreadableError):
                continue
            finally:
                most = max(most, (1 << min(len(backslashes.seen), MOST_BACKSLASHES)) - 1)
            if is_reading_of(repaired, found):
                return True
        meanings += 1
    return False


def is_reading_of(sound: bytes, found: Read) -> bool:
    """Whether this is what a full reading gives, at any depth, and with others instead of numbers beyond the limits.

    The scanner counts depth in steps of 64 bytes; such numbers pass where nobody asks for them, or are zeros as floats.
    """
    if not has_huge_number(sound):
        return _reads_as(sound, found)
    return any(_reads_as(_with_number(sound, number), found) for number in (b"0", UNCITED))


def _with_number(sound: bytes, number: bytes) -> bytes:
    return _NUMBER_OR_STRING.sub(lambda match: number if _LONG_NUMBER.search(match[1] or b"") else match[0], sound)


def _reads_as(sound: bytes, found: Read) -> bool:
    """With other offsets: a repaired document is shorter."""
    deep = depth_of(sound) > MAX_DEPTH - DEPTH_SLACK
    reading = read_by_ijson(sound, Limits(json_depth=len(sound)) if deep else Limits()).reading
    if reading is None or found.reading is None:
        return reading is found.reading
    return found.reading == reading._replace(offsets=found.reading.offsets)


def refusal_is_explained(document: bytes) -> bool:
    """Whether sound JSON may be refused: no object, or beyond a limit that both readers have."""
    if not document.lstrip(b" \n\r\t").startswith(b"{"):
        return True
    return has_huge_number(document) or depth_of(document) > MAX_DEPTH - DEPTH_SLACK


def has_huge_number(document: bytes) -> bool:
    """A number beyond ``number_digits`` or Python's exponents, which is found where it is decoded."""
    return bool(_LONG_NUMBER.search(document))


def depth_of(document: bytes) -> int:
    """How deep sound JSON is nested."""
    depth = deepest = 0
    for match in _TOKEN.finditer(document):
        token = match.group()
        depth += (token in (b"{", b"[")) - (token in (b"}", b"]"))
        deepest = max(deepest, depth)
    return deepest


__all__ = ["UnexplainedError", "depth_of", "has_huge_number", "is_explained", "is_reading_of", "refusal_is_explained"]

"""Where the values, members and gaps of a JSON text stand, so that it can be changed by cutting and pasting bytes.

Broken texts are taken as far as their brackets go.
"""

import re
from dataclasses import dataclass, field

Span = tuple[int, int]

_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.S)


@dataclass(frozen=True)
class Member:
    """An object's member: the whole, its key, its value."""

    whole: Span
    key: Span
    value: Span


@dataclass
class Text:
    """A JSON text and its parts. ``objects`` and ``arrays`` hold the members and elements of each container."""

    data: bytes
    values: list[Span] = field(default_factory=list)
    strings: list[Span] = field(default_factory=list)
    numbers: list[Span] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    objects: list[list[Member]] = field(default_factory=list)
    arrays: list[list[Span]] = field(default_factory=list)
    gaps: list[int] = field(default_factory=list)


@dataclass
class _Open:
    start: int
    is_object: bool
    members: list[Member] = field(default_factory=list)
    elements: list[Span] = field(default_factory=list)
    key: Span | None = None
    expects_value: bool = False


def parse(data: bytes) -> Text:
    """The parts of a text."""
    text = Text(data)
    stack: list[_Open] = []
    for match in _TOKENS.finditer(data):
        span = match.span()
        text.gaps.append(span[0])
        token = match.group()
        if token in (b"{", b"["):
            stack.append(_Open(span[0], token == b"{"))
        elif token in (b"}", b"]"):
            if stack:
                closed = stack.pop()
                if closed.is_object and closed.members:
                    text.objects.append(closed.members)
                elif closed.elements:
                    text.arrays.append(closed.elements)
                _add(text, stack, (closed.start, span[1]))
        elif token == b":":
            if stack:
                stack[-1].expects_value = True
        elif token != b",":
            _add_scalar(text, stack, token, span)
    return text


def _add_scalar(text: Text, stack: list[_Open], token: bytes, span: Span) -> None:
    if token[:1] == b'"':
        text.strings.append(span)
        if stack and stack[-1].is_object and not stack[-1].expects_value:
            stack[-1].key = span
            return
    elif token[:1] in b"-0123456789":
        text.numbers.append(span)
    _add(text, stack, span)


def _add(text: Text, stack: list[_Open], span: Span) -> None:
    text.values.append(span)
    if not stack:
        return
    top = stack[-1]
    if not top.is_object:
        top.elements.append(span)
    elif top.key is not None:
        member = Member((top.key[0], span[1]), top.key, span)
        top.members.append(member)
        text.members.append(member)
        top.key = None
        top.expects_value = False

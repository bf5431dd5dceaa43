"""Documents of a thousand elements or so, each element assembled at random: a few microseconds an element."""

from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.fuzz.parts import Fresh
from tests.fuzz.templates import Parts, Templates

CODE = -1  # the place of an item's code: wanted or another
ODDNESS = (*(0.0,) * 12, *(0.0005,) * 3, 0.004, 0.03)
STYLES, OF_A_STYLE = 12, 14
SHARES = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.97, 0.9, 0.6, 0.3, 0.03)
FEWEST, MOST = 300, 8_000
MOST_ODD = 800  # elements that only the plain grammar reads take ten times as long
ITEMS = ("in_network",) * 5 + ("in_networks",)
REFERENCES = ("provider_references",) * 5 + (
    "provider_reference",
    "provider_group_reference",
    "provider_group_references",
)
SEPARATORS = (b",", b",", b",\n", b" , ", b", ", b",\r\n\t\t")
HEADER = (
    b'"reporting_entity_name":"Acme"',
    b'"version":"2.0"',
    b'"x":[{"billing_code":"97026"}]',
    b'"last_updated_on":"2026-06-01"',
)


Numbered = list[NDArray[np.int64]]  # templates, as the numbers of the pools for their places


class Section(NamedTuple):
    """A root array."""

    key: str
    elements: list[bytes]


class Document(NamedTuple):
    """A document in parts."""

    header: list[bytes]
    sections: list[Section]
    separator: bytes

    def joined(self) -> tuple[bytes, dict[str, list[int]]]:
        """The document, and by section the places where its elements begin."""
        pieces: list[bytes] = [b"{", b",".join(self.header)]
        at = len(pieces[0]) + len(pieces[1])
        starts: dict[str, list[int]] = {}
        for key, elements in self.sections:
            opening = b'%b"%b":[' % (b"," if at > 1 else b"", key.encode())
            sizes = np.fromiter(map(len, elements), np.int64, len(elements)) + len(self.separator)
            first = at + len(opening)
            starts[key] = (first + np.cumsum(sizes) - sizes).tolist()
            body = self.separator.join(elements)
            pieces += [opening, body, b"]"]
            at = first + len(body) + 1
        return b"".join([*pieces, b"}"]), starts

    def with_elements(self, number: int, elements: list[bytes]) -> "Document":
        """With others in one of its sections."""
        sections = list(self.sections)
        sections[number] = sections[number]._replace(elements=elements)
        return self._replace(sections=sections)


class Assembler:
    """Templates and parts, and documents made of them."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.parts: list[bytes] = []
        self.first: list[int] = []
        self.size: list[int] = []
        self.pools: dict[bytes | str, int] = {}
        for name, parts in Fresh(self.random).pools().items():
            self._add(name, parts)
        self.styles = [self._style(self.random.choice(ODDNESS)) for _ in range(STYLES)]  # templates, most elements
        self.firsts, self.sizes = np.array(self.first), np.array(self.size)

    def _add(self, name: bytes | str, parts: list[bytes]) -> int:
        if name not in self.pools:
            self.pools[name] = len(self.first)
            self.first.append(len(self.parts))
            self.size.append(len(parts))
            self.parts += parts
        return self.pools[name]

    def _style(self, oddness: float) -> tuple[Numbered, Numbered, int]:
        """Templates of items and of references that a document may have together, and how many of each at most."""
        templates = Templates(self.random, oddness)
        items = [templates.item() for _ in range(OF_A_STYLE)]
        references = [templates.reference() for _ in range(OF_A_STYLE)]
        if oddness:
            items.append(["odd element"])
            references.append(["odd element"])
        most = MOST_ODD if oddness else MOST
        return [*map(self._numbered, items)], [*map(self._numbered, references)], most

    def _numbered(self, parts: Parts) -> NDArray[np.int64]:
        """A template as the numbers of its pools; bytes that follow each other are one part."""
        joined: list[bytes | str] = []
        for part in parts:
            if isinstance(part, bytes) and joined and isinstance(joined[-1], bytes):
                joined[-1] += part
            else:
                joined.append(part)
        return np.array([self._pool(part) for part in joined])

    def _pool(self, part: bytes | str) -> int:
        if part == "code":
            return CODE
        return self._add(part, [part]) if isinstance(part, bytes) else self.pools[part]

    def document(self) -> Document:
        """The next document."""
        random = self.random
        items, references, most = random.choice(self.styles)
        sections = [Section(random.choice(ITEMS), self._elements(items, random.choice(SHARES), most))]
        if random.random() < 0.85:
            place = 0 if random.random() < 0.6 else 1
            sections.insert(place, Section(random.choice(REFERENCES), self._elements(references, 1.0, most)))
        header = random.sample(HEADER, random.randrange(len(HEADER)))
        return Document(header, sections, random.choice(SEPARATORS))

    def _elements(self, templates: Numbered, share: float, most: int) -> list[bytes]:
        """Up to so many elements; ``share`` of them have a wanted code."""
        count = int(FEWEST * (most / FEWEST) ** self.random.random())
        few = self.random.sample(templates, self.random.randint(1, len(templates)))
        chosen = [few[number] for number in self.numbers.integers(0, len(few), count).tolist()]
        ends = np.cumsum([len(template) for template in chosen])
        slots = np.concatenate(chosen)
        codes = np.flatnonzero(slots == CODE)
        is_wanted = self.numbers.random(len(codes)) < share
        slots[codes] = np.where(is_wanted, self.pools["wanted code"], self.pools["other code"])
        places = self.firsts[slots] + (self.numbers.random(len(slots)) * self.sizes[slots]).astype(np.int64)
        taken = list(map(self.parts.__getitem__, places.tolist()))
        made, start = [], 0
        for end in ends.tolist():
            made.append(b"".join(taken[start:end]))
            start = end
        return made

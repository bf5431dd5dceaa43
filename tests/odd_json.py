"""What generated documents of every kind share: records with their fields in any order, missing, doubled, unknown."""

from abc import ABC, abstractmethod
from random import Random
from typing import Any

from tests.json_text import Pairs


class OddBuilder(ABC):
    """Builds a document; ``oddness`` is the chance that a value, an array or an object is not as the schema has it."""

    def __init__(self, random: Random, oddness: float) -> None:
        self.random = random
        self.oddness = oddness

    @abstractmethod
    def junk(self, depth: int = 3) -> Any:
        """Any JSON at all."""

    @abstractmethod
    def stray_key(self) -> str:
        """A key that does not belong where it will stand."""

    def odd(self) -> bool:
        """Whether this one is odd."""
        return self.random.random() < self.oddness

    def record(self, **fields: Any) -> Pairs:
        """These fields in any order; when odd: one missing, one doubled, unknown ones."""
        pairs: list[tuple[str, Any]] = list(fields.items())
        self.random.shuffle(pairs)
        if self.odd() and pairs:
            pairs.pop()
        if self.odd() and pairs:
            key, value = self.random.choice(pairs)
            self._insert(pairs, key, self.random.choice((self.junk(), value, None)))
        if self.odd():
            self._insert(pairs, self.stray_key(), self.junk())
        return Pairs(pairs)

    def _insert(self, pairs: list[tuple[str, Any]], key: str, value: Any) -> None:
        pairs.insert(self.random.randint(0, len(pairs)), (key, value))

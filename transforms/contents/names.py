"""Names in bounded number: the first by the alphabet, and whether there were more. So their order says nothing.

Memory: ``MAX_NAMES`` names, however many were seen.
"""

from bisect import bisect_left
from collections.abc import Iterable

import msgspec

MAX_NAMES = 20


class Names(msgspec.Struct, frozen=True, gc=False):
    """Distinct names, trimmed, blanks dropped. ``cut``: there were more than ``MAX_NAMES``, and these are the first."""

    first: tuple[str, ...] = ()
    cut: bool = False

    def plus(self, other: "Names") -> "Names":
        """The names of both."""
        if not other.first or other is self:
            return self
        if not self.first:
            return other
        if self.cut and other.first[0] >= self.first[-1]:  # at most the last one is new, and known
            return self
        if len(other.first) == 1:
            return self._plus_one(other.first[0])
        distinct = {*self.first, *other.first}
        return Names(tuple(sorted(distinct)[:MAX_NAMES]), self.cut or other.cut or len(distinct) > MAX_NAMES)

    def _plus_one(self, name: str) -> "Names":
        place = bisect_left(self.first, name)
        if place < len(self.first) and self.first[place] == name:
            return self
        first = (*self.first[:place], name, *self.first[place:])
        return Names(first[:MAX_NAMES], self.cut or len(first) > MAX_NAMES)


NO_NAMES = Names()


def name_of(text: str | None) -> Names:
    """One name."""
    stripped = text.strip() if text else None
    return Names((stripped,)) if stripped else NO_NAMES


def names_of(texts: Iterable[str | None]) -> Names:
    """The names among these texts."""
    distinct = set(map(str.strip, filter(None, texts)))
    distinct.discard("")
    if not distinct:
        return NO_NAMES
    if len(distinct) > MAX_NAMES:
        return Names(tuple(sorted(distinct)[:MAX_NAMES]), True)
    return Names(tuple(sorted(distinct)))

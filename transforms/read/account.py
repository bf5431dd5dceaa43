"""What a source held: headers, shapes, counts and quirks of its documents, as stored beside its extract."""

from collections import Counter
from dataclasses import dataclass, field

MAX_QUIRKS = 50
REMOTE_REFERENCES = "remote_references"  # among a document's flags
NO_JSON = "a zip member that is no JSON"


@dataclass(frozen=True)
class DocumentAccount:
    """What one JSON document held. ``codes``: per wanted code (items, prices)."""

    name: str
    header: dict[str, str]
    root_keys: tuple[str, ...]
    shape: str
    flags: tuple[str, ...]
    quirks: dict[str, int]
    items_seen: int
    items_matched: int
    codes: dict[str, tuple[int, int]]
    provider_references: int
    cited: int
    bytes_json: int


@dataclass(frozen=True)
class SourceAccount:
    """What one source held, its documents in order. ``set_aside``: members of its zip that are no JSON."""

    documents: tuple[DocumentAccount, ...] = field(default=())
    set_aside: int = 0

    @property
    def bytes_json(self) -> int:
        """Inflated bytes of all documents."""
        return sum(document.bytes_json for document in self.documents)

    @property
    def items_seen(self) -> int:
        """In-network items of all documents."""
        return sum(document.items_seen for document in self.documents)

    @property
    def items_matched(self) -> int:
        """Items of the wanted codes in all documents."""
        return sum(document.items_matched for document in self.documents)

    @property
    def prices(self) -> int:
        """Prices of the matched items."""
        return sum(prices for document in self.documents for _, prices in document.codes.values())

    @property
    def cites_remotely(self) -> bool:
        """Whether a matched price cites a reference that has a location in place of groups."""
        return any(REMOTE_REFERENCES in document.flags for document in self.documents)

    @property
    def shape(self) -> str:
        """The documents' shape; ``mixed`` when they differ."""
        shapes = {document.shape for document in self.documents}
        return shapes.pop() if len(shapes) == 1 else "mixed"

    @property
    def quirks(self) -> list[str]:
        """``name x count``, sorted by name."""
        total = Counter({NO_JSON: self.set_aside} if self.set_aside else {})
        for document in self.documents:
            total.update(document.quirks)
        return [f"{name} x {count}" for name, count in sorted(total.items())[:MAX_QUIRKS]]

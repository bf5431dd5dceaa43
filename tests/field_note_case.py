"""One case of FIELD-NOTES: made-up bytes that show what a line of it says, and what a reader must make of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.containers import CONTAINERS
from tests.json_text import json_bytes

Expect = Literal["matched", "no_match", "quarantined"]


@dataclass(frozen=True)
class Case:
    """``data`` is the JSON document, ``published`` the file; ``line`` quotes the FIELD-NOTES line it stands for.

    ``ruling`` says which reading was chosen where contract and decisions are silent. ``skipped``: the mistake stands
    in content that nobody asked for, where a reader that skips without decoding may not see it. ``remote`` holds
    provider files by location.
    """

    name: str
    line: str
    data: bytes
    container: str = "plain"
    expect: Expect = "matched"
    file_name: str = "in-network-rates.json"
    ruling: str = ""
    skipped: bool = False
    remote: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def published(self) -> bytes:
        """The bytes as the payer publishes them."""
        return CONTAINERS[self.container](self.data)


def case(name: str, line: str, content: Any, **more: Any) -> Case:
    """A case from a document to be written as JSON, or from bytes as they are."""
    return Case(name, line, content if isinstance(content, bytes) else json_bytes(content), **more)
